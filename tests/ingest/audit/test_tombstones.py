"""Removals after the fact: what an audit finds of records and tombstones that were changed."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.audit.verify import audit
from ingest.errors import SetupError
from pipelines.remove import remove
from pipelines.repack import repack
from schemas.arrow import parquet_bytes
from schemas.audit_options import RemoveOptions, RepackOptions
from schemas.manifest import decode, digest, encode
from schemas.removal import Removal, removal_path
from tests.building import build_pictures, ledger_of

NUM_PICTURES, NUM_REMOVALS = 9, 3


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A dataset out of whose first shards three requests take an image each; as it is."""
    folder = tmp_path_factory.mktemp("sealed")
    build_pictures(folder / "d", NUM_PICTURES, "--shard-candidates=3")
    for row in ledger_of(folder / "d")[::3][:NUM_REMOVALS]:
        request = {"id": (row["id"],), "reason": "r", "authority": "a"}
        remove(RemoveOptions(dataset=str(folder / "d"), **request), [])
    return folder / "d"


@pytest.fixture
def copied(sealed, tmp_path):
    return Path(shutil.copytree(sealed, tmp_path / "d"))


def findings_of(dataset, quick=True):
    return [str(finding) for finding in audit(str(dataset), quick=quick).findings]


def record_of(dataset, number):
    return decode(Removal, (dataset / removal_path(number)).read_bytes())


def forge(dataset, number, **columns):
    """Put other values into the tombstone of a request, whose record fits again."""
    record = record_of(dataset, number)
    ((path, _),) = record.tombstone_files.items()
    table = pq.read_table(dataset / path)
    for name, values in columns.items():
        place, field = table.schema.get_field_index(name), table.schema.field(name)
        table = table.set_column(place, field, pa.array(values, field.type))
    (dataset / path).write_bytes(parquet_bytes(table))
    files = {path: digest((dataset / path).read_bytes())}
    changed = record.model_copy(update={"tombstone_files": files})
    (dataset / removal_path(number)).write_bytes(encode(changed))
    return path


def test_sound_removals_have_no_findings(sealed):
    assert findings_of(sealed) == findings_of(sealed, quick=False) == []
    assert audit(str(sealed), quick=True).num_removed == NUM_REMOVALS


def test_a_request_that_is_gone_with_its_tombstones_leaves_a_gap(copied):
    for path in (*record_of(copied, 2).tombstone_files, removal_path(2)):
        (copied / path).unlink()
    assert findings_of(copied) == ["removals/0002.json: expected a file, got none"]


def test_a_request_that_a_repack_has_obeyed_is_missed_once(copied):
    repack(RepackOptions(dataset=str(copied)), [])
    (copied / removal_path(1)).unlink()
    assert findings_of(copied) == ["removals/0001.json: expected a file, got none"]


def test_requests_under_each_others_names_are_found(copied):
    paths = [copied / removal_path(number) for number in (1, 2)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)
    assert findings_of(copied) == [
        "removals/0001.json: name: expected removals/0002.json, got removals/0001.json",
        "removals/0002.json: name: expected removals/0001.json, got removals/0002.json",
    ]


def test_a_tombstone_of_another_sample_than_its_shard_holds_is_found(copied):
    path = forge(copied, 1, id=["f" * 32])
    assert findings_of(copied, quick=False) == [
        f"{path}: sample {'f' * 32}: expected among the kept of shard 0, got none"
    ]


def test_what_is_no_table_of_tombstones_is_told(copied):
    ((path, _),) = record_of(copied, 1).tombstone_files.items()
    (copied / path).write_bytes(b"none")
    wrong = f"{path}: expected a table of tombstones, got "
    assert [one for one in findings_of(copied) if one.startswith(wrong)]
    with pytest.raises(SetupError, match=wrong):
        repack(RepackOptions(dataset=str(copied)), [])


def test_a_tombstone_of_another_shard_is_found(copied):
    path = forge(copied, 1, shard=[2])
    (finding,) = findings_of(copied, quick=False)
    assert finding.startswith(f"{path}: sample ")
    assert finding.endswith("expected among the kept of shard 2, got none")


def test_a_tombstone_that_counts_twice_is_found(copied):
    record = record_of(copied, 1)
    ((path, _),) = record.tombstone_files.items()
    table = pq.read_table(copied / path)
    (copied / path).write_bytes(parquet_bytes(pa.concat_tables([table, table])))
    files = {path: digest((copied / path).read_bytes())}
    changed = record.model_copy(update={"tombstone_files": files, "num_removed": 2})
    (copied / removal_path(1)).write_bytes(encode(changed))
    assert findings_of(copied) == ["removals/0001.json: num_removed: expected 2, got 1"]


def test_what_was_not_read_is_not_said_to_be_compared(copied):
    whole = "every byte was compared"
    assert whole in "\n".join(audit(str(copied)).lines())
    (copied / "dataset.json").unlink()
    assert whole not in "\n".join(audit(str(copied)).lines())
