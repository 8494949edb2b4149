import os
import subprocess

import pytest

from tests.docker.commands import check_command
from tests.docker.dockerfile import ROOT

SCRIPT = ROOT / "docker" / "slurm" / "pretrain.sbatch"
# Stands for the programs of Slurm: notes how it was called, and ends as it is told to.
STUB = """#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0")" "$@" > "$CALLS/$(basename "$0").$1"
[[ $1 != show ]] || printf 'node01\\nnode02\\n'
[[ $(basename "$0") != srun ]] || exit "$ENDS_WITH"
"""


@pytest.fixture
def submit(tmp_path):
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    calls.mkdir()
    for name in ("srun", "scontrol"):
        (programs / name).write_text(STUB)
        (programs / name).chmod(0o755)

    def run(ends_with, **environment):
        told = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "ENDS_WITH": str(ends_with),
            "SLURM_JOB_ID": "31415",
            "SLURM_JOB_NODELIST": "node[01-02]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "64",
            "DATA": "gs://bucket/dataset",
            "RUN": str(tmp_path / "run"),
            **environment,
        }
        done = subprocess.run(["bash", SCRIPT], env=told, cwd=ROOT, check=False)
        return done.returncode, {one.name: one.read_text().splitlines() for one in calls.iterdir()}

    return run


def test_the_script_is_sound():
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    asked = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    # Without B: it goes to the steps, and to the batch shell, which would die of it, it does not.
    assert "#SBATCH --signal=USR1@120" in asked
    assert "#SBATCH --requeue" in asked
    assert "#SBATCH --ntasks-per-node=1" in asked


def test_each_node_gets_one_launcher_and_all_meet_at_the_first(submit):
    code, calls = submit(0)
    assert code == 0
    command = calls["srun.--wait=300"]
    assert check_command(command[command.index("python") :]) == {
        "--nnodes": "2",
        "--nproc-per-node": "8",
        "--rdzv-backend": "c10d",
        "--rdzv-endpoint": "node01:21415",
        "--rdzv-id": "31415-0",
        "--rdzv-conf": "join_timeout=1800",
        "--shutdown-timeout": "100",
    }
    assert "data=gs://bucket/dataset" in command
    assert set(calls) == {"srun.--wait=300", "scontrol.show"}


def test_a_run_that_was_interrupted_is_queued_again(submit):
    code, calls = submit(75)
    assert code == 75
    assert calls["scontrol.requeue"] == ["scontrol", "requeue", "31415"]


def test_a_run_that_failed_is_not_queued_again(submit):
    code, calls = submit(1)
    assert code == 1
    assert "scontrol.requeue" not in calls


def test_in_a_container_it_sees_the_run_and_a_local_dataset(submit, tmp_path):
    _, calls = submit(0, IMAGE="registry/uncurated-trainer:1", DATA="/data/set")
    command = calls["srun.--wait=300"]
    assert "--container-image=registry/uncurated-trainer:1" in command
    run = tmp_path / "run"
    assert f"--container-mounts={run}:{run},/data/set:/data/set" in command
    check_command(command[command.index("python") :])
    assert "/opt/uncurated/configs/seer_10b.yaml" in command


def test_without_a_dataset_nothing_starts(submit):
    code, calls = submit(0, DATA="")
    assert code != 0
    assert not calls
