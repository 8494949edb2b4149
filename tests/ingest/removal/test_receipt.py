"""Read logs of training runs: what counts, what is left out, what is refused."""

import json

import pytest

from ingest.errors import SetupError
from ingest.removal.receipt import READ_LOGS, check_read_logs, runs_reads
from schemas.outcome import Outcome
from schemas.removal import RemovedSample

ROOT = "ab" * 32
REMOVED = RemovedSample(
    shard=3,
    outcome=Outcome.REMOVED,
    id_digest="0" * 64,
    image_digest="0" * 64,
    url_digest="0" * 64,
    offset_bytes=512,
    length_bytes=100,
)


def line(step, *reads, root=ROOT):
    return json.dumps({"step": step, "root": root, "reads": reads}) + "\n"


@pytest.fixture
def log(tmp_path):
    (tmp_path / READ_LOGS).mkdir()
    return tmp_path / READ_LOGS / "rank-00000.jsonl"


def reads_of(run):
    (found,) = runs_reads([str(run)], [REMOVED], {ROOT})
    return found


def test_reads_of_the_removed_are_counted_once_and_those_of_other_versions_apart(log, tmp_path):
    log.write_text(
        line(1, [3, 512, 100], [3, 0, 9])
        + line(2, [3, 512, 100])
        + line(3, [3, 512, 100], root="cd" * 32)
    )
    found = reads_of(tmp_path)
    assert (found.num_reads, found.num_other_reads, found.num_removed_read) == (3, 1, 1)
    assert (found.first_step, found.last_step) == (1, 2)
    assert reads_of(log.parent).logs_sha256 == found.logs_sha256


def test_half_a_line_at_the_end_of_a_log_is_left_out(log, tmp_path, caplog):
    for whole in ("", line(1, [3, 512, 100])):
        log.write_text(whole + line(2, [3, 512, 100])[:-9])
        check_read_logs([str(tmp_path)])
        assert reads_of(tmp_path).num_reads == (1 if whole else 0)
        assert "left out" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        '{"step":1,"loss":2.0}',
        "[1]",
        "5",
        "no JSON",
        '{"step":1,"reads":null}',
        '{"step":1,"reads":[[0,1]]}',
        '{"reads":[]}',
    ],
)
def test_lines_of_another_kind_are_refused(log, tmp_path, text):
    log.write_text(f"{text}\n")
    with pytest.raises(SetupError, match="expected lines of a read log"):
        check_read_logs([str(tmp_path)])


def test_a_run_without_logs_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"loader\.read_log=true"):
        check_read_logs([str(tmp_path)])
