import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Stands for the trainer: waits until it is told to stop, saves, and says so by its exit code.
TRAINER = """
import os, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
# In one piece: both write at the same time.
os.write(1, b"trains" + bytes([10]))
# None ends before all are there: Torchrun would kill the rest before it can be told anything.
while not os.path.exists({go!r}):
    time.sleep(0.01)
{what}
"""
# Torchrun's word to those that outlive a crash.
STOP = "(signal.sigwait([signal.SIGTERM]), sys.exit(75))"
WAIT = "signal.sigwait([signal.SIGUSR1]); os.write(1, b'saved' + bytes([10])); sys.exit(75)"


@pytest.fixture
def launch(tmp_path):
    started = []

    def run(what, num_ranks=2):
        script = tmp_path / "trainer.py"
        go = tmp_path / "go"
        script.write_text(TRAINER.format(what=what, go=str(go)))
        command = [sys.executable, "-m", "train_entry.launch", f"--nproc-per-node={num_ranks}"]
        process = subprocess.Popen([*command, script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert [process.stdout.readline() for _ in range(num_ranks)] == ["trains\n"] * num_ranks
        go.touch()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_help_begins_with_an_example_and_the_exit_codes():
    command = [sys.executable, "-m", "train_entry.launch", "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text.index("-m train_entry.pretrain CONFIG") < text.index("75 (EX_TEMPFAIL")
    assert "--nproc-per-node" in text


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_who_is_told_to_stop_lets_the_trainers_save_and_ends_with_75(launch, signum):
    process = launch(WAIT)
    process.send_signal(signum)
    told, _ = process.communicate()
    assert told == "saved\n" * 2
    assert process.returncode == 75


def test_trainers_that_stopped_on_another_machine_s_word_end_with_75(launch):
    process = launch("sys.exit(75)")
    process.communicate()
    assert process.returncode == 75


def test_one_trainer_that_failed_outweighs_others_that_stopped(launch):
    process = launch(f"sys.exit(3) if os.environ['RANK'] == '1' else {STOP}")
    process.communicate()
    assert process.returncode == 1


def test_trainers_that_finished_end_with_0(launch):
    process = launch("sys.exit(0)")
    process.communicate()
    assert process.returncode == 0
