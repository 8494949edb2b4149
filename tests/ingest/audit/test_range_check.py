import random

import pytest

from ingest.audit.range_check import check_ranges
from ingest.pack import arrow
from ingest.pack.arrow import write_arrow
from ingest.pack.tar import write_tar
from tests.samples import packed

_WRITERS = {"arrow": write_arrow, "tar": write_tar}
NUM_IMAGES = 11


@pytest.fixture(scope="module", params=["arrow", "tar"])
def shard(request, tmp_path_factory):
    """Folder, commit and ledger rows of a shard, of three batches if it is Arrow."""
    folder = tmp_path_factory.mktemp("shard")
    (folder / "shards").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "BATCH_ROWS", 4)
        generator = random.Random(5)
        images = [generator.randbytes(1 + generator.randrange(300)) for _ in range(NUM_IMAGES)]
        with (folder / "shards" / f"0.{request.param}").open("wb") as file:
            commit, rows = packed(_WRITERS[request.param], file, images, request.param)
    return folder, commit, rows


def looked_at(shard, places):
    """What is found of some samples: findings, and (place, image, leaf) of each."""
    folder, commit, rows = shard
    offsets = [row["offset_bytes"] for row in rows]
    seen = []
    findings = check_ranges(
        str(folder),
        commit,
        offsets,
        [(place, rows[place]) for place in places],
        lambda place, row, image, leaf: seen.append((place, bytes(image), leaf)),
    )
    return [str(one) for one in findings], seen


@pytest.mark.parametrize("places", [[0], [3, 4], [10], [1, 5, 9], list(range(NUM_IMAGES))])
def test_any_samples_of_a_sound_shard_are_found_whole(shard, places):
    folder, commit, rows = shard
    content = (folder / commit.shard_file).read_bytes()
    findings, seen = looked_at(shard, places)
    assert findings == []
    assert [place for place, _, _ in seen] == places
    for place, image, _ in seen:
        begin = rows[place]["offset_bytes"]
        assert image == content[begin : begin + rows[place]["length_bytes"]]


def test_a_flipped_byte_is_a_finding_or_lies_elsewhere_but_never_a_crash(shard):
    folder, commit, rows = shard
    path = folder / commit.shard_file
    content = path.read_bytes()
    generator, num_found = random.Random(3), 0
    for position in range(0, len(content), 7):
        spoiled = bytearray(content)
        spoiled[position] ^= generator.randrange(1, 256)
        path.write_bytes(spoiled)
        num_found += bool(looked_at(shard, [1, 5, 9])[0])
    path.write_bytes(content)
    assert num_found > len(content) / 7 / 10
    for place in (1, 5, 9):
        spoiled = bytearray(content)
        spoiled[rows[place]["offset_bytes"]] ^= 1
        path.write_bytes(spoiled)
        findings, _ = looked_at(shard, [1, 5, 9])
        assert len(findings) == 1
        assert f"sample {rows[place]['id']}: sha256" in findings[0]
    path.write_bytes(content)


def test_a_truncated_shard_is_a_finding(shard):
    folder, commit, _ = shard
    path = folder / commit.shard_file
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        findings, _ = looked_at(shard, list(range(NUM_IMAGES)))
        # The end of a tar belongs to no sample.
        assert findings or (commit.shard_file.endswith("tar") and length == len(content) - 1)
    path.unlink()
    assert looked_at(shard, [0])[0] == [f"{commit.shard_file}: expected a file, got none"]
    path.write_bytes(content)
