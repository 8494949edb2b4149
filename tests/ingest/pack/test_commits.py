import pytest

from ingest import storage
from ingest.pack.commit import list_commits, pack_shard, read_commit
from ingest.spool import Spool
from schemas.manifest import commit_path
from tests import ledgers
from tests.ledgers import make_ledger_dataset


def test_finished_shards_are_listed_by_number_beyond_five_digits_too(tmp_path):
    numbers = [100_000, 99_999, 7, 1_000_000]
    for number in numbers:
        storage.create_bytes(storage.join(str(tmp_path), commit_path(number)), b"{}")
    (tmp_path / "commits" / ".00008.json.x.partial").write_bytes(b"")
    assert list_commits(str(tmp_path)) == sorted(numbers)
    assert list_commits(str(tmp_path / "nothing")) == []


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """A finished dataset of one shard, and a function that packs the same shard once more."""
    arguments = []

    def keep(content, spool, dataset, options):
        arguments.append((content, spool, dataset, options))
        return pack_shard(content, spool, dataset, options)

    monkeypatch.setattr(ledgers, "pack_shard", keep)
    # The bytes of the pictures are read again.
    with monkeypatch.context() as open_still:
        open_still.setattr(Spool, "close", lambda spool: None)
        make_ledger_dataset(tmp_path / "dataset", 20, num_pictures=5)
    yield str(tmp_path / "dataset"), lambda: pack_shard(*arguments[0])
    arguments[0][1].close()


def lose_staged_files(monkeypatch):
    """As if another build had been sealed, and had swept, just before a file gets its name."""
    publish = storage.publish

    def swept(staged_file, uri):
        staged_file.unlink()
        publish(staged_file, uri)

    monkeypatch.setattr(storage, "publish", swept)


def test_who_loses_his_files_to_a_build_that_is_sealed_takes_its_commit(packed, monkeypatch):
    dataset, pack = packed
    lose_staged_files(monkeypatch)
    assert pack() == read_commit(dataset, 0)


def test_a_file_that_is_lost_without_a_commit_is_an_error(packed, monkeypatch):
    dataset, pack = packed
    storage.remove(storage.join(dataset, commit_path(0)))
    lose_staged_files(monkeypatch)
    with pytest.raises(FileNotFoundError):
        pack()
