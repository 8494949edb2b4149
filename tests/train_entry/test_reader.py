import pickle
from collections import Counter
from hashlib import sha256
from itertools import islice

import pytest

from tests.train_entry.datasets import add_tombstones, content_of, make_dataset
from train_entry.config import LoaderConfig
from train_entry.errors import ConfigError, DataError
from train_entry.reader import BadSample, Sample, StreamDataset

SIZES = (7, 0, 20, 13)
IMAGES = [[content_of(100 * shard + n) for n in range(size)] for shard, size in enumerate(SIZES)]
FLAT = [image for images in IMAGES for image in images]
BATCH = 8


@pytest.fixture(params=["tar", "arrow"])
def world(request, tmp_path):
    """A folder with a dataset, and the ids of its samples."""
    return tmp_path, make_dataset(tmp_path / "dataset", IMAGES, request.param)


def stream(world, /, max_bad=1.0, **options):
    loader = LoaderConfig(cache=str(world[0] / "cache"), max_bad=max_bad)
    options = {"batch": BATCH, "seed": 3, "loader": loader, **options}
    return StreamDataset(str(world[0] / "dataset"), **options)


def ids_of(batches):
    return [sample_id for batch in batches for sample_id in batch.ids]


def global_ids(world, /, num_steps, num_ranks, **options):
    """The ids of each step over all ranks, in the order of slots."""
    ranks = [
        islice(stream(world, rank=rank, world=num_ranks, **options), num_steps)
        for rank in range(num_ranks)
    ]
    return [ids_of(shares) for shares in zip(*ranks, strict=True)]


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_each_sample_comes_once_an_epoch_with_its_own_bytes(world, order):
    batches = list(islice(stream(world, order=order), 10))
    assert Counter(ids_of(batches)) == dict.fromkeys(world[1], 2)
    for batch in batches:
        for sample in batch.data:
            assert sample.content == FLAT[world[1].index(sample.id)] == FLAT[sample.index]
    assert [sample.epoch for batch in batches for sample in batch.data] == [0] * 40 + [1] * 40


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_what_is_saved_after_a_step_continues_there(world, order):
    whole = ids_of(islice(stream(world, order=order), 12))
    for num_steps in (0, 3, 5, 7):
        first = stream(world, order=order)
        begin = ids_of(islice(first, num_steps))
        second = stream(world, order=order)
        second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
        assert begin + ids_of(islice(second, 12 - num_steps)) == whole


def test_the_state_of_a_batch_is_that_after_it(world):
    dataset = stream(world)
    for batch in islice(dataset, 7):
        assert batch.state.to_dict() == dataset.state_dict()


def test_a_state_of_another_dataset_is_refused_with_both_roots(world, tmp_path):
    make_dataset(tmp_path / "other", [[b"other"]])
    other = StreamDataset(str(tmp_path / "other"), batch=1, seed=3, loader=stream(world).loader)
    dataset = stream(world)
    with pytest.raises(DataError) as caught:
        dataset.load_state_dict(other.state_dict())
    assert other.dataset.root in str(caught.value)
    assert dataset.dataset.root in str(caught.value)


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match="shuffle"):
        StreamDataset("/nowhere", batch=1, shuffle=True)


def test_tombstones_are_obeyed(world):
    folder, ids = world
    removed = [ids[0], ids[8], ids[39]]
    add_tombstones(folder / "dataset", removed, {ids[0]: 0, ids[8]: 2, ids[39]: 3})
    seen = Counter(ids_of(islice(stream(world, batch=1), 2 * 37)))
    assert seen == dict.fromkeys(set(ids) - set(removed), 2)


def test_a_batch_is_transformed_and_collated(world):
    def collate(lengths):
        return {"sum": sum(lengths)}

    dataset = stream(world, transform=lambda sample: len(sample.content), collate=collate)
    plain = next(iter(stream(world)))
    assert next(iter(dataset)).data == {"sum": sum(len(one.content) for one in plain.data)}


def test_reads_name_the_bytes_of_each_sample(world):
    dataset = stream(world)
    for batch in islice(dataset, 5):
        for sample, (shard, offset, length) in zip(batch.data, batch.reads, strict=True):
            file = world[0] / "dataset" / dataset.dataset.shards[shard].file
            assert file.read_bytes()[offset : offset + length] == sample.content


class Refusing:
    """A transform that cannot use some samples."""

    def __init__(self, ids, error):
        self.ids, self.error = set(ids), error

    def __call__(self, sample):
        if sample.id in self.ids:
            raise self.error("no picture")
        return sample.content


@pytest.mark.parametrize("order", ["samples", "blocks"])
@pytest.mark.parametrize("error", [BadSample, ValueError, OSError])
def test_a_bad_sample_is_replaced_by_the_next_good_one_of_the_step(world, order, error):
    plain = global_ids(world, 5, 1, order=order)
    bad = {plain[0][2], plain[0][7], plain[1][3], plain[1][4]}
    found = global_ids(world, 5, 1, order=order, transform=Refusing(bad, error))
    expected = [list(ids) for ids in plain]
    expected[0][2], expected[0][7] = plain[0][3], plain[0][0]
    expected[1][3] = expected[1][4] = plain[1][5]
    assert found == expected
    for num_ranks in (2, 4, 8):
        again = global_ids(world, 5, num_ranks, order=order, transform=Refusing(bad, error))
        assert again == expected


def test_a_bad_sample_is_reported_with_its_shard(world):
    plain = next(iter(stream(world)))
    bad = plain.data[2]
    dataset = stream(world, transform=Refusing([bad.id], BadSample))
    batch = next(iter(dataset))
    (problem,) = batch.problems
    assert problem.sample_id == bad.id
    assert problem.shard_file == dataset.dataset.shards[plain.reads[2][0]].file
    assert problem.message == "BadSample: no picture"
    assert batch.ids[2] == batch.ids[3]
    assert batch.reads[2] == batch.reads[3]


def test_any_other_error_of_a_transform_ends_the_run(world):
    with pytest.raises(ZeroDivisionError):
        next(iter(stream(world, transform=Refusing(world[1], ZeroDivisionError))))


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_a_bad_shard_is_reported_once_and_its_samples_are_replaced(world, order):
    folder, ids = world
    # With a seed that fills no step from this shard alone: that would end the run.
    dataset = stream(world, order=order, seed=5)
    (folder / "dataset" / dataset.dataset.shards[2].file).unlink()
    batches = list(islice(dataset, 10))
    (problem,) = [problem for batch in batches for problem in batch.problems]
    assert (problem.shard_file, problem.sample_id) == (dataset.dataset.shards[2].file, "")
    assert set(ids_of(batches)) == set(ids[:7] + ids[27:])
    assert {len(batch.ids) for batch in batches} == {BATCH}


def test_a_shard_without_its_ledger_is_left_out(world):
    folder, ids = world
    dataset = stream(world)
    (folder / "dataset" / dataset.dataset.shards[3].ledger_file).unlink()
    batches = list(islice(dataset, 10))
    (problem,) = [problem for batch in batches for problem in batch.problems]
    assert "expected the ledger of the shard" in problem.message
    assert set(ids_of(batches)) == set(ids[:27])


def test_a_step_without_a_good_sample_ends_the_run(world):
    bad = next(iter(stream(world))).ids
    dataset = stream(world, transform=Refusing(bad, BadSample))
    with pytest.raises(DataError, match="step 0: expected readable samples, got none of 8"):
        next(iter(dataset))


def test_too_many_bad_samples_end_the_run(world, monkeypatch):
    monkeypatch.setattr("train_entry.reader._ENOUGH_SAMPLES", 16)
    plain = list(islice(stream(world), 3))
    bad = [plain[0].ids[0], plain[2].ids[0], plain[2].ids[1]]
    batches = iter(stream(world, max_bad=0.1, transform=Refusing(bad, BadSample)))
    # One of 8 is more, but 8 are too few to tell; one of 16 is less.
    assert len(list(islice(batches, 2))) == 2
    with pytest.raises(DataError, match=r"at most 10.00% unreadable samples, got 3 of 24"):
        next(batches)


def test_pinning_reaches_the_data(world):
    class Data:
        def pin_memory(self):
            return "pinned"

    batch = next(iter(stream(world, collate=lambda samples: Data())))
    assert batch.pin_memory().data == "pinned"
    assert next(iter(stream(world))).pin_memory().ids


def test_torchs_own_loader_gives_the_same_batches(world):
    from torch.utils.data import DataLoader

    plain = ids_of(islice(stream(world), 6))
    dataset = stream(world)
    loader = DataLoader(dataset, batch_size=None)
    assert ids_of(islice(loader, 6)) == plain
    again = stream(world)
    again.load_state_dict(dataset.state_dict())
    assert ids_of(islice(again, 2)) == ids_of(islice(stream(world), 6, 8))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_webdataset_reads_the_same_samples(tmp_path):
    import webdataset

    world = tmp_path, make_dataset(tmp_path / "dataset", IMAGES)
    dataset = stream(world)
    files = [
        str(tmp_path / "dataset" / shard.file) for shard in dataset.dataset.shards if shard.num_kept
    ]
    theirs = {
        sample["__key__"]: sha256(sample["jpg"]).hexdigest()
        for sample in webdataset.WebDataset(files, shardshuffle=False)
    }
    ours = {
        sample.id: sha256(sample.content).hexdigest()
        for batch in islice(dataset, 5)
        for sample in batch.data
    }
    assert ours == theirs
    assert len(ours) == 40


def test_a_sample_is_a_plain_value():
    sample = Sample("ab" * 16, 3, 1, b"bytes")
    assert pickle.loads(pickle.dumps(sample)) == sample
