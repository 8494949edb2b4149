from ingest import storage
from ingest.pack.commit import list_commits
from schemas.manifest import commit_path


def test_finished_shards_are_listed_by_number_beyond_five_digits_too(tmp_path):
    numbers = [100_000, 99_999, 7, 1_000_000]
    for number in numbers:
        storage.create_bytes(storage.join(str(tmp_path), commit_path(number)), b"{}")
    (tmp_path / "commits" / ".00008.json.x.partial").write_bytes(b"")
    assert list_commits(str(tmp_path)) == sorted(numbers)
    assert list_commits(str(tmp_path / "nothing")) == []
