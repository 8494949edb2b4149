"""A forger who knows the layout: changes that leave all digests consistent with each other."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.audit.leaves import kept_rows
from ingest.pack.arrow import write_arrow
from ingest.pack.sample import Sample
from ingest.pack.seal import read_manifest, seal_dataset
from ingest.pack.tar import write_tar
from schemas.manifest import commit_path, content_path, decode, digest, encode
from schemas.merkle import merkle_root
from schemas.tombstone import CERTIFICATES, Decontamination

_WRITERS = {"tar": write_tar, "arrow": write_arrow}


def read_ledger(dataset, commit):
    return pq.read_table(Path(dataset) / commit.ledger_file)


def images_of(dataset, commit):
    """The kept rows of a shard in its order, as plain values, and their images."""
    rows = kept_rows(read_ledger(dataset, commit)).to_pylist()
    content = (Path(dataset) / commit.shard_file).read_bytes()
    spans = ((row["offset_bytes"], row["length_bytes"]) for row in rows)
    return rows, [content[offset : offset + length] for offset, length in spans]


def with_values(table, values):
    """A table with other values: `values` by column and row."""
    for name, by_row in values.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        column = table[name].to_pylist()
        for row, value in by_row.items():
            column[row] = value
        table = table.set_column(place, field, pa.array(column, field.type))
    return table


def forge_ledger(dataset, commit, table, **changes):
    """Put another ledger under a shard; digests and names, and `changes` of the commit, fit."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue()
    path = content_path("ledger", commit.shard, digest(content), "parquet")
    (Path(dataset) / path).write_bytes(content)
    facts = {"ledger_file": path, "ledger_bytes": len(content), "ledger_sha256": digest(content)}
    _reseal(dataset, commit.model_copy(update={**facts, **changes}))


def forge_shard(dataset, commit, change):
    """Pack a shard anew, after `change(row, image)` gave other values and bytes for its first one.

    Shard, ledger, commit, manifest, seal and later certificates tell the same lie.
    """
    rows, images = images_of(dataset, commit)
    rows[0], images[0] = change(rows[0], images[0])
    kind = commit.shard_file.rpartition(".")[2]
    buffer = io.BytesIO()
    samples = [Sample.of_row(row, image) for row, image in zip(rows, images, strict=True)]
    written = _WRITERS[kind](samples, buffer)
    path = content_path("shards", commit.shard, written.sha256, kind)
    (Path(dataset) / path).write_bytes(buffer.getvalue())
    table = read_ledger(dataset, commit)
    ids = table["id"].to_pylist()
    values = {name: {} for name in table.column_names}
    for row, image, offset in zip(rows, images, written.offsets, strict=True):
        row.update(offset_bytes=offset, length_bytes=len(image))
        for name, value in row.items():
            values[name][ids.index(row["id"])] = value
    forge_ledger(
        dataset,
        commit,
        with_values(table, values),
        shard_file=path,
        shard_bytes=written.num_bytes,
        shard_sha256=written.sha256,
        image_bytes=sum(map(len, images)),
        merkle_root=merkle_root(written.leaves).hex(),
    )


def _reseal(dataset, commit):
    rows = [commit if row.shard == commit.shard else row for row in read_manifest(str(dataset))]
    (Path(dataset) / commit_path(commit.shard)).write_bytes(encode(commit))
    record = seal_dataset(str(dataset), rows)
    for path in (Path(dataset) / CERTIFICATES).glob("*.json"):
        later = decode(Decontamination, path.read_bytes())
        forged = later.model_copy(update={"merkle_root": record.merkle_root})
        path.write_bytes(encode(forged))
