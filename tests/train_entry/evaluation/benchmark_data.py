"""Benchmarks on disk, as small as can be: contents say which image they are."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.benchmarks import read_benchmark

_DEFINITION = """
id = "tiny"
name = "Tiny"
home = "https://example.org"
licence = "unknown"
category = "object"
task = "single_label"
year = 2020
metric = "top1"
protocols = ["linear_probe"]
"""
DIVIDED = '[[splits]]\nname = "train"\nclean = false\n[[splits]]\nname = "test"\nclean = true\n'
WHOLE = '[[splits]]\nname = "all"\nclean = true\n'


def tiny(text="", splits=DIVIDED):
    """A benchmark with these tables of a definition."""
    return read_benchmark("tiny.toml", f"{_DEFINITION}\n{splits}\n{text}")


def put(root, *names, content=None):
    """Files whose content is their own name, or the given one; the root as text."""
    for name in names:
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        given = name.encode() if content is None else content
        path.write_bytes(given.encode() if isinstance(given, str) else given)
    return str(root)


def tar_bytes(members):
    """A tar file of contents by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def parquet_bytes(columns, rows_per_group=None, classes=None):
    """A parquet file; classes: names by column, as the datasets library writes them."""
    table = pa.table(columns)
    if classes:
        features = {
            column: {"names": names, "_type": "ClassLabel"} for column, names in classes.items()
        }
        told = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": told})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=rows_per_group)
    return buffer.getvalue()


def arrow_bytes(columns, rows_per_batch=None, *, stream=False):
    """An Arrow file, in the file format or in the stream format."""
    table, buffer = pa.table(columns), io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)
    return buffer.getvalue()


def images_with_paths(*paths):
    """A column of images whose content is their path."""
    return pa.array([{"bytes": path.encode(), "path": path} for path in paths])
