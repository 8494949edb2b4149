import json
import os
from itertools import islice

import pytest
import torch
from torch.utils.data import DataLoader

from tests.train_entry.datasets import content_of, make_dataset
from train_entry.config import LoaderConfig
from train_entry.errors import DataError
from train_entry.loader import Loader
from train_entry.reader import BadSample, StreamDataset

IMAGES = [[content_of(100 * shard + n) for n in range(size)] for shard, size in enumerate((17, 23))]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loader")
    make_dataset(folder / "dataset", IMAGES)
    return folder


def measure(sample):
    """A transform that says by whom it was called."""
    return torch.tensor([len(sample.content), os.getpid()])


def refuse_some(sample):
    if len(sample.content) % 7 == 3:
        raise BadSample("of a length that nobody likes")
    return measure(sample)


def stream(world, /, workers=0, transform=measure, **options):
    loader = LoaderConfig(cache=str(world / "cache"), workers=workers, max_bad=1)
    return StreamDataset(
        str(world / "dataset"),
        batch=8,
        transform=transform,
        collate=torch.stack,
        loader=loader,
        **options,
    )


def ids_of(batches):
    return [batch.ids for batch in batches]


def test_workers_give_the_steps_in_order_and_others_take_over(world):
    plain = ids_of(islice(Loader(stream(world)), 12))
    loader = Loader(stream(world, workers=2))
    batches = list(islice(loader, 5))
    assert ids_of(batches) == plain[:5]
    made_by = {int(number) for batch in batches for number in batch.data[:, 1]}
    assert len(made_by) == 2
    assert os.getpid() not in made_by
    for workers in (0, 2):
        other = Loader(stream(world, workers=workers))
        other.load_state_dict(loader.state_dict())
        assert ids_of(islice(other, 4)) == plain[5:9]
        assert other.step == 9


def test_plain_torch_loaders_go_on_from_the_state_of_a_batch(world):
    plain = ids_of(islice(Loader(stream(world)), 6))
    dataset = stream(world)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    batches = list(islice(loader, 3))
    assert ids_of(batches) == plain[:3]
    again = stream(world)
    again.load_state_dict(batches[-1].state.to_dict())
    assert ids_of(islice(again, 3)) == plain[3:]


def test_a_loader_goes_on_where_it_was_left(world):
    plain = ids_of(islice(Loader(stream(world)), 6))
    loader = Loader(stream(world))
    assert ids_of(islice(loader, 2)) + ids_of(islice(loader, 4)) == plain
    assert loader.state_dict()["step"] == 6


def test_the_loader_leaves_the_models_randomness_alone(world):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    next(iter(Loader(stream(world))))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_read_log_has_a_line_for_each_step(world, tmp_path):
    log = tmp_path / "reads.jsonl"
    loader = Loader(stream(world, rank=1, world=2), read_log=log)
    batches = list(islice(loader, 6))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {line["rank"] for line in lines} == {1}
    states = [stream(world).state, *(batch.state for batch in batches)]
    for line, batch, state in zip(lines, batches, states[:-1], strict=True):
        assert (line["epoch"], line["position"]) == (state.epoch, state.position)
        assert line["reads"] == [list(read) for read in batch.reads]


def test_problems_are_logged(world, caplog):
    loader = Loader(stream(world, transform=refuse_some))
    list(islice(loader, 5))
    assert "left out: BadSample: of a length that nobody likes" in caplog.text


def test_a_state_of_another_root_is_refused(world):
    state = {**Loader(stream(world)).state_dict(), "root": "ab" * 32}
    with pytest.raises(DataError, match=f"expected Merkle root {'ab' * 32}, got"):
        Loader(stream(world)).load_state_dict(state)
