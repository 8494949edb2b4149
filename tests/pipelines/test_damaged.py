"""Datasets that are none, or damaged: each command says so in a line, and changes nothing."""

import shutil
from pathlib import Path

import pytest

from pipelines.command import main
from tests.building import build_pictures

WHY = ("--reason=r", "--authority=a")
COMMANDS = (
    ("audit",),
    ("audit", "--quick"),
    ("report",),
    ("query", "SELECT 1"),
    ("show", "a" * 32),
    ("remove", "--id=" + "a" * 32, *WHY),
    ("repack",),
    ("retry",),
    ("certificate",),
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    build_pictures(folder / "d", 6, "--shard-candidates=3")
    return folder / "d"


def first(folder):
    return min(Path(folder).iterdir())


def cut(path):
    path.write_bytes(path.read_bytes()[:500])


def to_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "seal cut": lambda dataset: cut(dataset / "dataset.json"),
    "seal of another kind": lambda dataset: (dataset / "dataset.json").write_bytes(b"[]"),
    "seal no text": lambda dataset: (dataset / "dataset.json").write_bytes(b"\xff\xfe"),
    "seal a folder": lambda dataset: to_folder(dataset / "dataset.json"),
    "manifest cut": lambda dataset: cut(dataset / "manifest.parquet"),
    "manifest gone": lambda dataset: (dataset / "manifest.parquet").unlink(),
    "manifest a folder": lambda dataset: to_folder(dataset / "manifest.parquet"),
    "plan a folder": lambda dataset: to_folder(dataset / "plan.json"),
    "plan part a folder": lambda dataset: to_folder(first(dataset / "plan")),
    "commit a folder": lambda dataset: to_folder(first(dataset / "commits")),
    "ledger cut": lambda dataset: cut(first(dataset / "ledger")),
    "ledger a folder": lambda dataset: to_folder(first(dataset / "ledger")),
    "shard a folder": lambda dataset: to_folder(first(dataset / "shards")),
}


def told(capsys, dataset, command):
    """The exit code and all that a command says; an exception fails the test."""
    code = main([command[0], str(dataset), *command[1:]])
    found = capsys.readouterr()
    return code, found.out + found.err


def contents(dataset):
    return {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_and_audited(damage, sealed, tmp_path, capsys):
    dataset = Path(shutil.copytree(sealed, tmp_path / "d"))
    DAMAGES[damage](dataset)
    before = contents(dataset)
    for command in COMMANDS[:2]:
        code, text = told(capsys, dataset, command)
        found = code == 1 and "verdict: NOT VERIFIED" not in text
        # Without reading shards and ledgers, what is in them cannot be known.
        assert found or (code, "--quick" in command) == (0, True), (command, text)
    for command in COMMANDS[2:]:
        code, text = told(capsys, dataset, command)
        # What a command does not read does not stop it.
        assert text, command
        if code:
            assert before.items() <= contents(dataset).items(), (command, text)


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "a file"])
def test_what_is_no_dataset_is_refused(what, tmp_path, capsys):
    dataset = tmp_path / "d"
    if what == "an empty folder":
        dataset.mkdir()
    elif what == "a file":
        dataset.write_text("text")
    for command in COMMANDS:
        code, text = told(capsys, dataset, command)
        assert code in (1, 2), (command, text)
        assert "expected" in text, (command, text)
