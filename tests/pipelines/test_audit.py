"""The command: its depths, its JSON, and the same findings wherever shards are read."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.audit import run_audit
from schemas.audit_options import AuditOptions
from tests.building import build_pictures, commits_of, uncurated

ON_BEAM = ("--runner=FnApiRunner",)
NUM_PICTURES = 20


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    build_pictures(folder / "d", NUM_PICTURES, "--shard-candidates=5")
    return folder / "d"


@pytest.fixture
def spoiled(sealed, tmp_path):
    """A copy with a flipped byte in each shard."""
    dataset = Path(shutil.copytree(sealed, tmp_path / "copy"))
    for commit in commits_of(dataset):
        content = bytearray((dataset / commit.shard_file).read_bytes())
        content[600] ^= 1
        (dataset / commit.shard_file).write_bytes(content)
    return dataset


@pytest.mark.parametrize("samples", ["", "all"])
def test_beam_finds_the_same_in_the_same_order(spoiled, samples, tmp_path):
    options = AuditOptions(dataset=str(spoiled), samples=samples, scratch=str(tmp_path / "scratch"))
    here, there = (run_audit(options, arguments) for arguments in ((), ON_BEAM))
    assert list(there.lines()) == list(here.lines())
    assert len(here.findings) >= len(commits_of(spoiled))
    assert here.num_samples == (NUM_PICTURES if samples else 0)


def test_verdict_depth_and_findings_go_to_a_json_file(spoiled, tmp_path):
    path = tmp_path / "verdict.json"
    finished = uncurated("audit", spoiled, "--samples=all", f"--json-file={path}")
    assert finished.returncode == 1
    found = json.loads(path.read_text())
    assert found["sound"] is False
    assert found["depth"] == {"quick": False, "samples": "all"}
    assert found["verdict"] == f"{len(found['findings'])} mismatches"
    assert {one["where"] for one in found["findings"]} == {
        commit.shard_file for commit in commits_of(spoiled)
    }
    assert found["counts"]["num_samples_checked"] == found["counts"]["num_kept"] == NUM_PICTURES
    assert [f"WRONG {one['where']}: {one['what']}" for one in found["findings"]] == [
        line for line in finished.stdout.splitlines() if line.startswith("WRONG")
    ]


def test_a_sound_dataset_is_sound_in_json_too(sealed, tmp_path):
    path = tmp_path / "verdict.json"
    finished = uncurated("audit", sealed, "--quick", "--samples=50%", f"--json-file={path}")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = json.loads(path.read_text())
    assert (found["sound"], found["findings"], found["notes"]) == (True, [], [])
    assert 0 < found["counts"]["num_samples_checked"] < NUM_PICTURES


def test_an_audit_without_flags_of_beam_does_not_import_it(sealed):
    program = (
        "import sys\nfrom pipelines.command import main\n"
        f"assert main(['audit', {str(sealed)!r}, '--samples=all']) == 0\n"
        "assert 'apache_beam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_workers_elsewhere_need_a_dataset_and_a_scratch_that_they_reach(sealed):
    elsewhere = ("--runner=PortableRunner", "--job_endpoint=example.org:1")
    refused = uncurated("audit", sealed, *elsewhere)
    assert refused.returncode == 2
    assert "expected a URI that all workers of the runner 'portable' reach" in " ".join(
        refused.stderr.split()
    )
