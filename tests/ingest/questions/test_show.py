from hashlib import sha256

import pyarrow.parquet as pq
import pytest

from ingest.errors import SetupError
from ingest.questions import search
from ingest.questions.sealed import read_sealed
from ingest.questions.search import kind_of
from ingest.questions.show import find_images, read_picture
from schemas.ledger import LedgerRow
from tests.building import commits_of
from tests.train_entry.datasets import (
    add_retry,
    add_tombstones,
    content_of,
    make_dataset,
    replace_ledger,
)

SHARED = b"the same placeholder on many hosts"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset whose shards share an image, and the ids in order."""
    folder = tmp_path_factory.mktemp("data")
    shards = [[content_of(0), SHARED], [SHARED, content_of(1), SHARED]]
    return folder, make_dataset(folder, shards)


def find(folder, key):
    return find_images(read_sealed(str(folder)), key)


def rows_of(folder):
    return [
        row
        for commit in commits_of(folder)
        for row in pq.read_table(folder / commit.ledger_file).to_pylist()
    ]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("0123456789ABCDEF" * 2, ("id", "0123456789abcdef" * 2)),
        ("0123456789ABCDEF" * 4, ("SHA-256", "0123456789abcdef" * 4)),
        ("https://example.org/A", ("URL", "https://example.org/A")),
        ("0" * 31, ("URL", "0" * 31)),
    ],
)
def test_a_key_is_known_by_its_form(key, kind):
    assert kind_of(key) == kind


def test_an_image_is_found_by_id_url_and_sha256(made):
    folder, ids = made
    row = next(row for row in rows_of(folder) if row["id"] == ids[3])
    for key in (row["id"], row["id"].upper(), row["url"], row["sha256"]):
        shown = find(folder, key)
        assert shown.num_found == 1
        (image,) = shown.images
        assert image.rows == [row]
        assert image.shard_file == commits_of(folder)[1].shard_file
        assert (image.tombstones, image.removals, image.taken_out) == ([], {}, [])


def test_all_that_share_their_bytes_are_listed(made):
    folder, ids = made
    shown = find(folder, sha256(SHARED).hexdigest())
    assert shown.num_found == 3
    assert [image.id for image in shown.images] == sorted([ids[1], ids[2], ids[4]])


def test_of_very_many_the_first_are_listed_and_all_counted(made, monkeypatch):
    folder, ids = made
    monkeypatch.setattr(search, "MAX_FOUND", 2)
    shown = find(folder, sha256(SHARED).hexdigest())
    assert shown.num_found == 3
    assert [image.id for image in shown.images] == sorted([ids[1], ids[2], ids[4]])[:2]


@pytest.mark.parametrize("key", ["0" * 32, "0" * 64, "https://example.org/none", ""])
def test_what_is_not_there_is_not_found(key, made):
    shown = find(made[0], key)
    assert (shown.num_found, shown.images) == (0, [])


@pytest.mark.parametrize("key", ["' OR 1=1 --", "%", "'; DROP VIEW ledger; --", "\x00", "\ud800"])
def test_a_hostile_key_is_but_text(key, made):
    assert find(made[0], key).images == []


def test_what_was_not_had_is_shown_too(made):
    folder, _ = made
    row = next(row for row in rows_of(folder) if row["outcome"] != "kept")
    (image,) = find(folder, row["url"]).images
    assert image.last["outcome"] == "http_404"
    assert image.shard_file is None
    with pytest.raises(
        SetupError, match=f"expected a kept image, got outcome http_404 of {row['id']}"
    ):
        read_picture(read_sealed(str(folder)), image)


@pytest.mark.parametrize("kind", ["tar", "arrow"])
def test_the_picture_is_what_was_packed(kind, tmp_path):
    images = [content_of(number) for number in range(3)]
    ids = make_dataset(tmp_path, [images[:1], images[1:]], kind)
    sealed = read_sealed(str(tmp_path))
    for sample_id, image in zip(ids, images, strict=True):
        assert read_picture(sealed, find_images(sealed, sample_id).images[0]) == image


def test_damaged_bytes_are_not_given_away(tmp_path):
    ids = make_dataset(tmp_path, [[content_of(0)]])
    shard = tmp_path / commits_of(tmp_path)[0].shard_file
    shard.write_bytes(shard.read_bytes().replace(b"sample 0", b"Sample 0", 1))
    sealed = read_sealed(str(tmp_path))
    (image,) = find_images(sealed, ids[0]).images
    with pytest.raises(SetupError, match=f"expected SHA-256 {image.last['sha256']}, got"):
        read_picture(sealed, image)


def test_a_removed_picture_is_given_to_nobody(tmp_path):
    ids = make_dataset(tmp_path, [[content_of(0), content_of(1)]])
    add_tombstones(tmp_path, ids[:1], dict.fromkeys(ids, 0))
    sealed = read_sealed(str(tmp_path))
    (image,) = find_images(sealed, ids[0]).images
    (tombstone,) = image.tombstones
    assert (tmp_path / tombstone["file"]).is_file()
    with pytest.raises(SetupError, match=f"without a tombstone, got {tombstone['file']}: dupl"):
        read_picture(sealed, image)
    assert find_images(sealed, ids[1]).images[0].tombstones == []


def test_a_retried_candidate_has_all_its_rows_and_the_last_counts(tmp_path):
    make_dataset(tmp_path, [[content_of(0)]])
    add_retry(tmp_path, [[content_of(1)]])
    first, second = (
        pq.read_table(tmp_path / one.ledger_file).to_pylist() for one in commits_of(tmp_path)
    )
    missing = next(row for row in first if row["outcome"] != "kept")
    kept = next(row for row in second if row["outcome"] == "kept")
    kept |= {"id": missing["id"], "generation": 1}
    columns = {name: [row[name] for row in second] for name in LedgerRow.model_fields}
    replace_ledger(tmp_path, 1, LedgerRow.columns_to_table(columns))
    for key in (missing["id"], kept["sha256"], kept["url"]):
        (image,) = find(tmp_path, key).images
        assert [row["outcome"] for row in image.rows] == ["http_404", "kept"]
        assert image.shard_file == commits_of(tmp_path)[1].shard_file


def test_bytes_and_times_become_plain_values(made):
    folder, ids = made
    (image,) = find(folder, ids[0]).images
    told = image.as_dict()
    assert told["outcome"] == "kept"
    assert told["ledger"][0]["sha256"] == sha256(content_of(0)).hexdigest()
