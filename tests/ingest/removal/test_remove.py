"""Requests to take out: none may be lost, or be in vain, in silence."""

import pytest

from ingest import storage
from ingest.audit.verify import audit
from ingest.errors import SetupError
from ingest.removal.remove import list_removals
from ingest.sources.dataset import read_tombstones
from pipelines.remove import lines_of, remove
from pipelines.repack import repack
from schemas.audit_options import RemoveOptions, RepackOptions
from tests.building import build_pictures, ledger_of

NUM_PICTURES = 3


@pytest.fixture
def dataset(tmp_path):
    build_pictures(tmp_path / "d", NUM_PICTURES)
    return tmp_path / "d"


def take_out(dataset, sample_id, reason="r", authority="a"):
    request = {"id": (sample_id,), "reason": reason, "authority": authority}
    return remove(RemoveOptions(dataset=str(dataset), **request), [])


def test_of_two_at_once_one_is_refused_and_the_other_takes_out_what_it_says(dataset, monkeypatch):
    first, second, _ = (row["id"] for row in ledger_of(dataset))
    create = storage.create_bytes

    def meanwhile(*of_first):
        """The first is about to write its record; the second gets as far, but is slower."""

        def too_late(*of_second):
            monkeypatch.setattr(storage, "create_bytes", create)
            assert create(*of_first)
            return create(*of_second)

        monkeypatch.setattr(storage, "create_bytes", too_late)
        with pytest.raises(SetupError, match="got another one of that number meanwhile"):
            take_out(dataset, second)
        return True

    monkeypatch.setattr(storage, "create_bytes", meanwhile)
    assert take_out(dataset, first).num_removed == 1
    assert set(read_tombstones(str(dataset))) == {first}
    assert audit(str(dataset)).findings == []

    assert take_out(dataset, second).removal == 2
    assert set(read_tombstones(str(dataset))) == {first, second}
    assert audit(str(dataset)).findings == []


def test_a_request_that_was_cut_off_takes_out_the_same_when_it_is_made_again(dataset, monkeypatch):
    first, second, _ = (row["id"] for row in ledger_of(dataset))
    take_out(dataset, first)

    def cut_off(*arguments):
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(storage, "create_bytes", cut_off)
        with pytest.raises(InterruptedError):
            take_out(dataset, second)
    assert set(read_tombstones(str(dataset))) == {first, second}
    record = take_out(dataset, second)
    assert (record.removal, record.num_removed, record.num_before) == (2, 1, 0)
    assert set(read_tombstones(str(dataset))) == {first, second}
    assert audit(str(dataset)).findings == []


def test_what_lies_beside_the_records_of_requests_has_no_number(dataset):
    (dataset / "removals").mkdir()
    (dataset / "removals" / "0001 (copy).json").write_text("{}")
    assert list_removals(str(dataset)) == []
    assert take_out(dataset, ledger_of(dataset)[0]["id"]).removal == 1


def test_a_request_that_finds_nothing_says_so(dataset):
    sample_id = ledger_of(dataset)[0]["id"]
    assert "1 images have a tombstone now" in lines_of(take_out(dataset, sample_id), False)[-1]
    for one, before in (("0" * 32, ""), (sample_id, "; 1 had one already")):
        record = take_out(dataset, one)
        told = f"removal {record.removal}: recorded, but nothing is removed by it{before}"
        assert lines_of(record, False)[-1] == told


@pytest.mark.parametrize("missing", ["reason", "authority"])
def test_a_request_has_a_reason_and_an_authority(dataset, missing):
    with pytest.raises(SetupError, match=f"--{missing}: expected words for the record, got none"):
        take_out(dataset, "0" * 32, **{missing: " "})
    assert list_removals(str(dataset)) == []


def test_what_is_no_read_log_is_refused_before_anything_is_taken_out(dataset, tmp_path):
    take_out(dataset, ledger_of(dataset)[0]["id"])
    before = {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()}
    (tmp_path / "run").mkdir()
    options = RepackOptions(dataset=str(dataset), read_log=(str(tmp_path / "run"),))
    with pytest.raises(SetupError, match="got none: was the run made with"):
        repack(options, [])
    # What the trainer writes in any case.
    (tmp_path / "run" / "journal.jsonl").write_text('{"step":1,"loss":2.0}\n')
    with pytest.raises(SetupError, match="expected lines of a read log"):
        repack(options, [])
    assert before == {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()}
