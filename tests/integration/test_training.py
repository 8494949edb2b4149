"""Whole runs: the same on any number of ranks, however spread, killed and taken up again."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.digits import digit_files
from tests.train_entry.datasets import make_dataset
from tests.train_entry.ranks import on_ranks
from train_entry.config import CONFIG_FOLDER, load_config
from train_entry.errors import Diverged
from train_entry.export import export_checkpoint, load_exported
from train_entry.journal import JOURNAL_FILE, read_journal
from train_entry.loop import train
from train_entry.parallel import Ranks

NUM_IMAGES, BATCH, STEPS = 70, 8, 10
TINY = (
    "model={w_0: 16, w_a: 16, w_m: 2.5, depth: 3, group_width: 8, stem_width: 16}",
    "model.batch_norm_group=0",
    "crops.groups=[{count: 2, px: 32, area_min: 0.3, area_max: 1},"
    "{count: 2, px: 16, area_min: 0.1, area_max: 0.3}]",
    "swav={hidden: [32], dim: 16, prototypes: 20, head_std: 0.1, epsilon: 0.05, rounds: 3,"
    " queue: 16, queue_from_step: 4, freeze_prototypes: 2}",
    f"optim={{steps: {STEPS}, lr: 4.8, warmup_steps: 3, warmup_lr: 0.1}}",
    f"data.batch={BATCH}",
    "parallel.device=cpu",
    "checkpoint={every: 3, keep: 9}",
    "journal={every: 1, tensorboard: false, progress: false}",
)
CONFIG = str(CONFIG_FOLDER / "smoke_cpu.yaml")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    files = digit_files(NUM_IMAGES)
    make_dataset(folder, [files[:30], files[30:45], files[45:]])
    return folder


def arguments(dataset, output, *others):
    cache = f"loader.cache={output}-cache"
    return [f"data={dataset}", f"output={output}", cache, *TINY, *others]


def _train(told):
    torch.use_deterministic_algorithms(True)
    config = load_config(CONFIG, told)
    assert train(config, Ranks(dist.get_rank(), dist.get_world_size(), torch.device("cpu")))


def losses_of(output):
    return [line["loss"] for line in read_journal(Path(output) / JOURNAL_FILE)]


def tensors_of(output, step=STEPS):
    """All tensors of the model after a step of a run."""
    path = Path(output) / f"model-{step}.safetensors"
    export_checkpoint(Path(output) / f"checkpoints/step-{step:08}", path)
    return load_exported(path)[0]


@pytest.fixture(scope="module")
def alone(dataset, tmp_path_factory):
    """The output of a run on one rank that nothing disturbed."""
    output = tmp_path_factory.mktemp("alone") / "run"
    on_ranks(1, _train, arguments(dataset, output))
    return output


@pytest.mark.parametrize(
    ("world", "others"),
    [
        (2, ["parallel.checkpoint_stages=[1,2]"]),
        (4, ["parallel.shard=2"]),
        (2, ["parallel.cpu_offload=true", "parallel.shard=1", "parallel.split_last_block=false"]),
    ],
)
def test_a_run_is_the_same_however_it_is_spread(dataset, alone, tmp_path, world, others):
    output = tmp_path / "run"
    on_ranks(world, _train, arguments(dataset, output, *others))
    assert len(losses_of(output)) == STEPS
    assert losses_of(output) == pytest.approx(losses_of(alone), abs=1e-5)
    assert_close(tensors_of(output), tensors_of(alone), 1e-5)
    # Of equal weights: those of ten steps differ by more than a rounding error, and so statistics.
    early, expected = (
        {name: value for name, value in tensors_of(run, step=3).items() if "running" in name}
        for run in (output, alone)
    )
    assert_close(early, expected, 1e-6)


def assert_close(got, expected, tolerance):
    """Two sets of tensors, relative to the largest value of each or to 1."""
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        allowed = tolerance * max(1.0, value.abs().max().item())
        torch.testing.assert_close(
            got[name], value, rtol=0, atol=allowed, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_compiled_blocks_change_nothing(dataset, tmp_path):
    small = ["model.depth=1", "crops.groups=[{count: 2, px: 32, area_min: 0.3, area_max: 1}]"]
    small += ["optim.steps=3", "swav.queue=0"]
    for name, compiled in (("plain", "false"), ("compiled", "true")):
        told = arguments(dataset, tmp_path / name, *small, f"parallel.compile={compiled}")
        on_ranks(1, _train, told)
    plain, compiled = losses_of(tmp_path / "plain"), losses_of(tmp_path / "compiled")
    assert compiled == pytest.approx(plain, abs=1e-5)


def test_a_run_leaves_journal_events_profile_and_its_resolved_configuration(dataset, tmp_path):
    output = tmp_path / "run"
    told = ["swav.single_pass=true", "optim.accumulate=2", "optim.steps=4"]
    told += ["journal={every: 2, progress: false, profile_from: 2, profile_steps: 1}"]
    on_ranks(1, _train, arguments(dataset, output, *told, "journal.peak_tflops=0.1"))
    lines = read_journal(output / JOURNAL_FILE)
    assert [line["step"] for line in lines] == [0, 2]
    for line in lines:
        assert 0 <= line["data_wait"] < 1
        assert 0 < line["mfu"] < 1
        assert 0 <= line["prototype_usage"] <= 1
        assert line["memory_mib"] > 0
        assert line["bad_samples"] == 0
    assert list((output / "tensorboard").glob("events*"))
    assert list((output / "profile").glob("*.json"))
    assert load_config(str(output / "config.yaml"), []).optim.accumulate == 2


def _diverge(told):
    config = load_config(CONFIG, told)
    with pytest.raises(Diverged, match="got 3 steps without in a row"):
        train(config, Ranks(dist.get_rank(), dist.get_world_size(), torch.device("cpu")))


def test_losses_that_are_no_numbers_end_the_run(dataset, tmp_path):
    # Beyond what float32 holds.
    told = ["optim.lr=1e38", "optim.warmup_steps=0", "optim.trust=1e30"]
    on_ranks(2, _diverge, arguments(dataset, tmp_path / "run", *told))


def launched(world, told, **options):
    command = [sys.executable, "-m", "train_entry.launch", f"--nproc-per-node={world}"]
    return subprocess.Popen(
        [*command, "-m", "train_entry.pretrain", CONFIG, *told],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def finished(world, told):
    process = launched(world, told)
    text, _ = process.communicate(timeout=200)
    return process.returncode, text


def told_step(process, step):
    """Wait until the run says that it has done a step; what it said."""
    said = []
    for line in process.stdout:
        said.append(line)
        if f"step {step} of" in line:
            return said
    raise AssertionError("".join(said))


def kill_all(process):
    """End a run and all its ranks at once, as a machine that loses its power."""
    os.killpg(process.pid, signal.SIGKILL)
    # torchrun gives each rank a session of its own.
    subprocess.run(["pkill", "-KILL", "-f", " ".join(process.args[-2:])], check=False)
    process.communicate(timeout=30)


def samples_read(output):
    """How often each sample was read in each epoch, by the log: a step's last reading counts."""
    steps = defaultdict(dict)
    for path in sorted((Path(output) / "read-logs").glob("*.jsonl")):
        for line in map(json.loads, path.read_text().splitlines()):
            steps[line["step"]][line["position"], line["epoch"], line["rank"]] = line
    return steps


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_killed_run_goes_on_exactly_on_any_number_of_ranks(dataset, alone, tmp_path, world):
    output = tmp_path / "run"
    told = arguments(dataset, output, "loader.read_log=true")
    process = launched(world if world == 1 else 2, told)
    told_step(process, random.Random(world).randint(5, 8))
    kill_all(process)
    code, text = finished(world, told)
    assert code == 0, text
    assert "going on at step" in text
    losses = losses_of(output)
    assert len(losses) == STEPS
    if world == 1:
        assert losses == losses_of(alone)
    assert losses == pytest.approx(losses_of(alone), abs=1e-5)
    seen = Counter()
    for step, lines in samples_read(output).items():
        ranks = {rank for _, _, rank in lines}
        # A step that two runs took is there with the ranks of both: the last run's count.
        number = world if len(ranks) != 2 or world == 2 else 2
        chosen = [line for line in lines.values() if line["rank"] < number]
        assert sum(len(line["reads"]) for line in chosen) == BATCH, step
        seen.update(tuple(read) for line in chosen for read in line["reads"])
    assert len(seen) == NUM_IMAGES
    assert sum(seen.values()) == STEPS * BATCH
    assert set(seen.values()) == {1, 2}


@pytest.mark.parametrize("asked", [signal.SIGUSR1, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on(dataset, alone, tmp_path, asked):
    output = tmp_path / "run"
    told = arguments(dataset, output, "loader.workers=1", "checkpoint.every=1000")
    process = launched(2, told)
    told_step(process, 4)
    process.send_signal(asked)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == os.EX_TEMPFAIL, text
    code, text = finished(2, told)
    assert code == 0, text
    assert losses_of(output) == pytest.approx(losses_of(alone), abs=1e-5)


def test_a_wrong_configuration_or_dataset_ends_with_a_sentence(dataset, tmp_path):
    code, text = finished(1, arguments(tmp_path / "nothing", tmp_path / "run"))
    assert code != 0
    assert "expected" in text
    assert "Traceback" not in text
