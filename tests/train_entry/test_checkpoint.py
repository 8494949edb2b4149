import pytest
import torch
import torch.distributed as dist

from tests.train_entry.ranks import on_ranks
from train_entry.checkpoint import Checkpoints, State, read_run
from train_entry.config import TrainConfig
from train_entry.errors import CheckpointError, ConfigError
from train_entry.optimizer import make_optimizer, set_learning_rate
from train_entry.parallel import Ranks, build_model
from train_entry.record import check_same_run, run_record

IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def config_of(output, **changes):
    values = {
        "output": str(output),
        "data": {"dataset": "nowhere", "batch": 24},
        "model": {"w_0": 16, "w_a": 8, "w_m": 2.2, "depth": 3, "group_width": 8, "stem_width": 16},
        "swav": {"hidden": [24], "dim": 8, "prototypes": 13},
        "optim": {"steps": 10, "warmup_steps": 0},
    }
    return TrainConfig.model_validate({**values, **changes})


def opened(output, optimizer="larc", keep=2, asynchronous=True, queue=None):
    config = config_of(output, optim={"name": optimizer, "steps": 10, "warmup_steps": 0})
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), torch.device("cpu"))
    model = build_model(config, ranks)
    optimizer = make_optimizer(model, config.optim)
    return State(model, optimizer, queue), Checkpoints(str(output), keep, asynchronous), optimizer


def trained(state, optimizer, steps=2):
    for _ in range(steps):
        own = IMAGES.chunk(dist.get_world_size())[dist.get_rank()]
        _, scores = state.model([own])
        scores.square().mean().backward()
        set_learning_rate(optimizer, 0.1)
        optimizer.step()
        optimizer.zero_grad()


def whole(values):
    """Nested tensors as plain ones, whatever they are split into."""
    if isinstance(values, dict):
        return {key: whole(one) for key, one in values.items()}
    if isinstance(values, list):
        return [whole(one) for one in values]
    if hasattr(values, "full_tensor"):
        return values.full_tensor().detach().clone()
    return values.clone() if isinstance(values, torch.Tensor) else values


def _save(output, optimizer_name, asynchronous):
    queue = torch.arange(12.0).reshape(1, 6, 2)
    state, checkpoints, optimizer = opened(
        output, optimizer_name, asynchronous=asynchronous, queue=queue
    )
    trained(state, optimizer)
    saved = whole(state.tensors())
    checkpoints.save(2, state, {"note": "two steps"})
    # What is trained meanwhile must not reach the files.
    trained(state, optimizer)
    checkpoints.finish()
    return saved


def _load(output, optimizer_name):
    queue = torch.zeros(1, 6, 2)
    state, checkpoints, _ = opened(output, optimizer_name, queue=queue)
    newest = checkpoints.latest()
    state.load(newest)
    return newest.name, whole(state.tensors())


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize(
    ("optimizer", "before", "after", "asynchronous"),
    [("larc", 2, 1, True), ("larc", 1, 3, False), ("adamw", 2, 2, True)],
)
def test_any_number_of_ranks_loads_what_any_number_saved(
    tmp_path, optimizer, before, after, asynchronous
):
    saved = on_ranks(before, _save, tmp_path, optimizer, asynchronous)[0]
    assert read_run(tmp_path / "checkpoints/step-00000002") == {"step": 2, "note": "two steps"}
    for name, loaded in on_ranks(after, _load, tmp_path, optimizer):
        assert name == "step-00000002"
        assert same(loaded, saved)


def _keep(output):
    left = output / "checkpoints/step-00000009.partial"
    left.mkdir(parents=True)
    state, checkpoints, optimizer = opened(output, keep=2)
    trained(state, optimizer, steps=1)
    for step in (1, 2, 3):
        checkpoints.save(step, state, {})
    checkpoints.finish()
    return sorted(path.name for path in (output / "checkpoints").iterdir())


def test_the_latest_are_kept_and_leftovers_of_a_crash_removed(tmp_path):
    assert on_ranks(1, _keep, tmp_path) == [["step-00000002", "step-00000003"]]


def _damaged(output):
    state, checkpoints, _ = opened(output)
    try:
        state.load(checkpoints.latest())
    except CheckpointError as error:
        return str(error)
    return ""


def test_a_checkpoint_of_another_model_or_a_damaged_one_is_refused(tmp_path):
    on_ranks(1, _save, tmp_path, "larc", False)
    (part,) = (tmp_path / "checkpoints/step-00000002").glob("*.distcp")
    part.write_bytes(part.read_bytes()[:1000])
    assert "expected a checkpoint of this run" in on_ranks(1, _damaged, tmp_path)[0]
    with pytest.raises(CheckpointError, match="expected the record of a run"):
        read_run(tmp_path)


def test_another_configuration_is_refused_by_name_and_both_values(tmp_path):
    config = config_of(tmp_path)
    record = run_record(config, {"position": 0}, num_ranks=2, tombstones={})
    check_same_run(record, config)
    check_same_run(record, config_of(tmp_path, parallel={"shard": 1}))
    other = config_of(tmp_path, seed=3)
    with pytest.raises(ConfigError, match="seed: expected 0, got 3"):
        check_same_run(record, other)
