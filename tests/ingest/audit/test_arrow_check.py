import io
import random

import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.audit.arrow_check import check_arrow
from ingest.pack import arrow
from ingest.pack.arrow import write_arrow
from schemas.manifest import digest
from schemas.shard import ArrowSample
from tests.samples import packed


@pytest.fixture(scope="module")
def shard():
    """The bytes of a shard of three batches, its commit and its ledger rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "BATCH_ROWS", 4)
        generator, buffer = random.Random(5), io.BytesIO()
        images = [generator.randbytes(generator.randrange(300)) for _ in range(11)]
        commit, rows = packed(write_arrow, buffer, images)
        yield buffer.getvalue(), commit, rows


def findings_of(content, commit, rows):
    return [str(one) for one in check_arrow(commit, io.BytesIO(content), rows)]


def resealed(content, commit):
    """The commit that a forger would write for these bytes."""
    return commit.model_copy(update={"shard_bytes": len(content), "shard_sha256": digest(content)})


def rewritten(content, change, **options):
    """The shard as Arrow writes it after a change to its list of batches."""
    reader = pa.ipc.open_file(content)
    found = change([reader.get_batch(number) for number in range(reader.num_record_batches)])
    buffer = io.BytesIO()
    schema = found[0].schema
    with pa.ipc.new_file(buffer, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in found:
            writer.write_batch(batch)
    return buffer.getvalue()


def with_column(batch, name, values):
    at = batch.schema.get_field_index(name)
    return batch.set_column(at, batch.schema.field(name), pa.array(values, batch.schema[at].type))


def test_a_sound_shard_has_no_findings(shard):
    assert findings_of(*shard) == []
    assert pa.ipc.open_file(shard[0]).num_record_batches == 3


def test_an_empty_shard_is_sound():
    buffer = io.BytesIO()
    commit, rows = packed(write_arrow, buffer, [])
    assert findings_of(buffer.getvalue(), commit, rows) == []


def test_every_flipped_byte_is_a_finding(shard):
    content, commit, rows = shard
    generator = random.Random(3)
    for position in range(0, len(content), 3):
        spoiled = bytearray(content)
        spoiled[position] ^= generator.randrange(1, 256)
        found = findings_of(bytes(spoiled), commit, rows)
        assert any("sha256: expected" in one for one in found), position


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damage_is_a_finding_and_no_crash(shard, data):
    content, commit, rows = shard
    spoiled = bytearray(content)
    for _ in range(data.draw(st.integers(0, 6))):
        position = data.draw(st.integers(0, len(content) - 1))
        damage = data.draw(st.binary(min_size=1, max_size=8))
        spoiled[position : position + len(damage)] = damage
    del spoiled[data.draw(st.integers(len(content) // 2, len(content))) :]
    found = findings_of(bytes(spoiled), commit, rows)
    assert bool(found) == (bytes(spoiled) != content)
    assert all(one.startswith(commit.shard_file) for one in found)


def test_a_flip_in_an_image_names_its_sample_alone(shard):
    content, commit, rows = shard
    row = next(row for row in rows if row["length_bytes"])
    spoiled = bytearray(content)
    spoiled[row["offset_bytes"]] ^= 1
    named = [one for one in findings_of(bytes(spoiled), commit, rows) if "sample " in one]
    assert len(named) == 1
    assert f"sample {row['id']}: sha256 of the image: expected {row['sha256']}, got" in named[0]


@pytest.mark.parametrize("name", [name for name in ArrowSample.model_fields if name != "image"])
def test_a_forged_column_is_found_though_all_digests_fit(shard, name):
    content, commit, rows = shard

    def forge(found):
        values = found[1][name].to_pylist()
        values[2] = values[2] + 1 if isinstance(values[2], int) else "f" + values[2][1:]
        return [found[0], with_column(found[1], name, values), found[2]]

    forged = rewritten(content, forge)
    found = findings_of(forged, resealed(forged, commit), rows)
    assert any(f"sample {rows[6]['id']}: " in one for one in found), found
    assert not any("shards/0.arrow: sha256" in one for one in found)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda found: found[:2], "samples: expected 11, got 8"),
        (lambda found: [*found, found[2]], "samples: expected 11, got 14"),
        (lambda found: [found[1], found[0], found[2]], "id: expected 0"),
        (lambda found: [found[0].slice(0, 3), *found[1:]], "rows of batch 0: expected 4, got 3"),
        (lambda found: [*found, found[0].slice(0, 0)], "rows of batch 3: expected None, got 0"),
        (lambda found: [one.drop_columns(["url"]) for one in found], "schema: expected id: string"),
        (
            lambda found: [one.replace_schema_metadata({"a": "b"}) for one in found],
            "schema: expected id: string",
        ),
    ],
)
def test_other_batches_are_found_though_all_digests_fit(shard, change, expected):
    content, commit, rows = shard
    forged = rewritten(content, change)
    found = findings_of(forged, resealed(forged, commit), rows)
    assert any(expected in one for one in found), found


def test_compressed_batches_are_found(shard):
    content, commit, rows = shard
    forged = rewritten(content, list, compression="zstd")
    assert findings_of(forged, resealed(forged, commit), rows)


def test_nulls_are_found(shard):
    content, commit, rows = shard

    def forge(found):
        return [with_column(one, "phash", [None] * one.num_rows) for one in found]

    forged = rewritten(content, forge)
    found = findings_of(forged, resealed(forged, commit), rows)
    assert any("batch 0: nulls of phash: expected 0, got 4" in one for one in found)


def footer_start(content):
    return len(content) - 10 - int.from_bytes(content[-10:-6], "little")


def test_bytes_between_the_batches_and_the_footer_are_found(shard):
    content, commit, rows = shard
    at = footer_start(content)
    forged = content[:at] + b"hidden.." + content[at:]
    found = findings_of(forged, resealed(forged, commit), rows)
    assert "shards/0.arrow: length of the footer: expected" in found[0]


def test_bytes_in_the_padding_are_found(shard):
    content, commit, rows = shard
    row = next(row for row in rows[3::4] if (row["offset_bytes"] + row["length_bytes"]) % 8)
    forged = bytearray(content)
    forged[row["offset_bytes"] + row["length_bytes"]] = 1
    found = findings_of(bytes(forged), resealed(bytes(forged), commit), rows)
    assert any("padding: expected 0, got" in one for one in found), found


def test_a_footer_that_leads_elsewhere_is_found(shard):
    content, commit, rows = shard
    at = footer_start(content)
    footer = content[at:]
    first_batch = 8 + 8 + int.from_bytes(content[12:16], "little")
    place = first_batch.to_bytes(8, "little")
    assert footer.count(place) == 1
    forged = content[:at] + footer.replace(place, (first_batch + 8).to_bytes(8, "little"))
    found = findings_of(forged, resealed(forged, commit), rows)
    assert any("place of batch 0: expected (" in one for one in found), found


def test_a_shard_without_a_readable_ledger_is_checked_by_its_digest(shard):
    content, commit, _ = shard
    assert findings_of(content, commit, None) == []
    assert len(findings_of(content + b"x", commit, None)) == 2


def test_a_column_name_that_is_no_utf_8_is_a_finding_and_no_crash(shard):
    content, commit, rows = shard
    forged = content.replace(b"extension", b"extensio\xff")
    assert forged != content
    found = findings_of(forged, resealed(forged, commit), rows)
    assert any("expected an Arrow file, got schema: expected" in one for one in found), found
