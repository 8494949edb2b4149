import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.audit.verify import audit
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Site, image_page
from ingest.pack.conservation import parts_digest
from ingest.pack.seal import manifest_bytes, read_manifest
from schemas.manifest import (
    commit_path,
    digest,
    encode,
    former_manifest_path,
    former_seal_path,
    retry_path,
)
from tests.building import (
    HOST,
    build,
    commits_of,
    pictures,
    record_of,
    uncurated,
    write_urls,
)

NUM_PICTURES, NUM_LATE = 40, 15
NUM_FIRST_SHARDS = 5


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A dataset of three generations that no test may change."""
    folder = tmp_path_factory.mktemp("retried")
    site = Site()
    for number, picture in enumerate(pictures(NUM_PICTURES)):
        page = image_page(picture.content, picture.media_type)
        failures = 0 if number >= NUM_LATE else 1 + number % 2
        site.add(HOST, f"/{number}", replace(page, num_failures=failures))
    with MiniWeb(site) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES + 3)]
        table = write_urls(folder / "urls.csv", urls)
        build(folder / "d", f"--input={table}", "--shard-candidates=9", "--max-attempts=1")
        for _ in range(2):
            finished = uncurated("retry", folder / "d", "--outcomes=http_5xx")
            assert finished.returncode == 0, finished.stderr
    return folder / "d"


@pytest.fixture
def copied(sealed, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(sealed, tmp_path / "copy"))


def findings_of(dataset):
    return [str(finding) for finding in audit(str(dataset)).findings]


def write_table(path, table):
    pq.write_table(table, path, compression="zstd")
    return digest(path.read_bytes())


def forge(dataset, shard, change):
    """Change the plan part and ledger of a shard, and make all digests fit, as a forger would."""
    rows = commits_of(dataset)
    changes = {}
    for kind in ("plan", "ledger"):
        path = dataset / getattr(rows[shard], f"{kind}_file")
        changes[f"{kind}_sha256"] = write_table(path, change(pq.read_table(path)))
    changes["ledger_bytes"] = path.stat().st_size
    rows[shard] = rows[shard].model_copy(update=changes)
    (dataset / commit_path(shard)).write_bytes(encode(rows[shard]))
    (dataset / "manifest.parquet").write_bytes(manifest_bytes(rows))
    record = record_of(dataset)
    retries = []
    for retry in record.retries:
        parts = rows[retry.first_shard :][: retry.num_shards]
        sha256 = parts_digest([row.plan_sha256 for row in parts])
        retries.append(retry.model_copy(update={"parts_sha256": sha256}))
    write_retries(dataset, retries)


def write_retries(dataset, retries):
    """Put other records of retries in, and a seal that holds them."""
    for retry in retries:
        (dataset / retry_path(retry.generation)).write_bytes(encode(retry))
    manifest = digest((dataset / "manifest.parquet").read_bytes())
    changes = {"retries": tuple(retries), "manifest_sha256": manifest}
    record = record_of(dataset).model_copy(update=changes).sealed()
    (dataset / "dataset.json").write_bytes(encode(record))


def test_three_generations_are_verified(sealed):
    assert findings_of(sealed) == []
    assert len(record_of(sealed).retries) == 2
    assert record_of(sealed).outcomes == {"kept": NUM_PICTURES, "http_404": 3}


def test_until_the_new_seal_is_there_the_old_one_is_valid_whatever_the_manifest(copied):
    seal = (copied / "dataset.json").read_bytes()
    # As a build leaves it that is killed between manifest and seal.
    shutil.copy(copied / former_seal_path(1), copied / "dataset.json")
    # Or as someone leaves it who puts the former seal back, which must not pass.
    assert findings_of(copied) == [
        "generations/0002.json: expected in the seal, got a retry that is in none although all its "
        "shards are there"
    ]
    assert len(read_manifest(str(copied))) == record_of(copied).num_shards
    assert uncurated("retry", copied, "--outcomes=http_5xx").returncode == 0
    assert (copied / "dataset.json").read_bytes() == seal
    assert findings_of(copied) == []


def test_a_retry_under_way_is_a_note(copied):
    shutil.copy(copied / former_seal_path(1), copied / "dataset.json")
    (copied / commit_path(len(read_manifest(str(copied))))).unlink()
    (copied / "shards" / "00000-0123456789ab.tar").write_bytes(b"of another shard")
    report = audit(str(copied))
    assert [str(one) for one in report.findings] == [
        "shards/00000-0123456789ab.tar: expected in no record, got a file"
    ]
    assert report.notes[0].startswith("retry 2 is under way: it is not part of the seal yet")
    assert report.notes[1].endswith("files of what is under way are in no record yet")


@pytest.mark.parametrize("generation", [0, 1])
def test_former_seals_and_manifests_are_checked(copied, generation):
    for name in (former_seal_path(generation), former_manifest_path(generation)):
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(content[:-1] + b" ")
        assert any(one.startswith(name) for one in findings_of(copied)), name
        quick = audit(str(copied), quick=True).findings
        assert any(str(one).startswith(name) for one in quick), name
        (copied / name).unlink()
        assert f"{name}: expected a file, got none" in findings_of(copied)
        (copied / name).write_bytes(content)
    assert findings_of(copied) == []


def test_another_url_under_the_id_of_a_candidate_is_found(copied):
    shard = record_of(copied).retries[0].first_shard

    def other_url(table):
        place = table.schema.get_field_index("url")
        urls = pa.array(["http://elsewhere.example/"] * table.num_rows)
        return table.set_column(place, table.schema.field(place), urls)

    forge(copied, shard, other_url)
    path = commits_of(copied)[shard].plan_file
    assert any(one.startswith(f"{path}: column url differs") for one in findings_of(copied))


def test_a_candidate_that_nobody_planned_is_found(copied):
    retry = record_of(copied).retries[0]

    def foreign_id(table):
        ids = ["f" * 32, *table["id"].to_pylist()[1:]]
        return table.set_column(0, table.schema.field(0), [ids])

    forge(copied, retry.first_shard, foreign_id)
    assert any(one.startswith(f"{retry_path(1)}: superseded") for one in findings_of(copied))


def test_a_retry_of_what_it_did_not_ask_for_is_found(copied):
    first, second = record_of(copied).retries
    write_retries(copied, [first.model_copy(update={"outcomes": ("dns",)}), second])
    found = findings_of(copied)
    assert any("expected an outcome of dns before, got http_5xx" in one for one in found)


def test_a_retry_of_a_final_outcome_is_found(copied):
    first, second = record_of(copied).retries
    outcomes = ("duplicate_near", "http_5xx")
    write_retries(copied, [first.model_copy(update={"outcomes": outcomes}), second])
    expected = f"{retry_path(1)}: final_outcomes: expected [], got ['duplicate_near']"
    assert expected in findings_of(copied)


def test_a_false_root_of_the_former_seal_is_found(copied):
    first, second = record_of(copied).retries
    write_retries(copied, [first.model_copy(update={"merkle_root": "0" * 64}), second])
    assert any(one.startswith(f"{retry_path(1)}: merkle_root") for one in findings_of(copied))


def test_a_generation_of_shards_that_are_not_there_is_found(copied):
    first, second = record_of(copied).retries
    write_retries(copied, [first, second.model_copy(update={"first_shard": 1000})])
    found = findings_of(copied)
    assert any("generations cannot be compared" in one for one in found)
    write_retries(copied, [first, second.model_copy(update={"num_shards": 1000})])
    assert any(one.startswith("manifest.parquet: conservation") for one in findings_of(copied))
