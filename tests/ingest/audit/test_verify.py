import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.audit.verify import audit
from ingest.miniweb.server import MiniWeb
from schemas.manifest import Commit, DatasetRecord, decode, digest, encode
from tests.building import HOST, build, commits_of, picture_site, uncurated, write_urls

NUM_PICTURES = 24


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A sealed dataset that no test may change."""
    folder = tmp_path_factory.mktemp("sealed")
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES + 3)]
        table = write_urls(folder / "urls.csv", urls)
        build(folder / "dataset", f"--input={table}", "--shard-candidates=9")
    return folder / "dataset"


@pytest.fixture
def copied(sealed, tmp_path):
    """A copy of the sealed dataset to spoil."""
    return Path(shutil.copytree(sealed, tmp_path / "copy"))


def findings_of(dataset):
    return [str(finding) for finding in audit(str(dataset)).findings]


def test_a_sound_dataset_has_no_findings_and_exit_code_0(sealed):
    assert findings_of(sealed) == []
    finished = uncurated("audit", sealed)
    assert finished.returncode == 0
    assert "verdict: verified" in finished.stdout
    assert "not decontaminated" in finished.stdout
    assert "27 = " in finished.stdout


def files_of(dataset):
    return sorted(path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file())


def test_one_flipped_bit_in_any_file_is_found_and_its_file_named(copied):
    generator = random.Random(11)
    num_flips = 0
    for name in files_of(copied):
        path = copied / name
        content = path.read_bytes()
        positions = {0, len(content) - 1, *(generator.randrange(len(content)) for _ in range(6))}
        for position in positions:
            spoiled = bytearray(content)
            spoiled[position] ^= 1 << generator.randrange(8)
            path.write_bytes(bytes(spoiled))
            found = findings_of(copied)
            assert any(one.startswith(str(name)) for one in found), (name, position, found)
            num_flips += 1
        path.write_bytes(content)
    assert num_flips > 80
    assert findings_of(copied) == []


def test_a_flip_inside_an_image_names_the_sample(copied):
    commit = next(commit for commit in commits_of(copied) if commit.num_kept > 1)
    ledger = pq.read_table(copied / commit.ledger_file).to_pylist()
    row = [row for row in ledger if row["outcome"] == "kept"][1]
    path = copied / commit.shard_file
    content = bytearray(path.read_bytes())
    content[row["offset_bytes"] + row["length_bytes"] // 2] ^= 1
    path.write_bytes(bytes(content))
    found = [one for one in findings_of(copied) if row["id"] in one]
    assert len(found) == 1
    assert f"sha256: expected {row['sha256']}, got " in found[0]


def test_an_id_that_is_no_hex_is_a_finding_and_no_crash(copied):
    commit = next(commit for commit in commits_of(copied) if commit.num_kept > 1)
    path = copied / commit.ledger_file
    table = pq.read_table(path)
    ids = ["\0" + one[1:] for one in table["id"].to_pylist()]
    pq.write_table(table.set_column(0, table.schema.field("id"), [ids]), path)
    assert any("id: expected 32 hex digits, got '\\x00" in one for one in findings_of(copied))


def test_a_missing_file_is_named(copied):
    for name in files_of(copied):
        if name.name != "dataset.json":
            content = (copied / name).read_bytes()
            (copied / name).unlink()
            found = findings_of(copied)
            assert any(one.startswith(str(name)) for one in found), (name, found)
            (copied / name).write_bytes(content)
    (copied / "dataset.json").unlink()
    assert findings_of(copied) == ["dataset.json: expected a file, got none"]
    assert uncurated("audit", copied).returncode == 1


def reseal(dataset, **changes):
    """Make dataset.json consistent with itself after a change, as a forger would."""
    path = dataset / "dataset.json"
    record = decode(DatasetRecord, path.read_bytes()).model_copy(update=changes)
    path.write_bytes(encode(record.sealed()))


def test_forged_totals_are_found(copied):
    record = decode(DatasetRecord, (copied / "dataset.json").read_bytes())
    reseal(copied, num_kept=record.num_kept + 1, outcomes={**record.outcomes, "kept": 99})
    found = findings_of(copied)
    assert any("num_kept: expected 24, got 25" in one for one in found)
    assert any("outcomes: expected" in one for one in found)


def test_a_claim_of_decontamination_that_the_build_record_denies_is_found(copied):
    reseal(copied, decontamination="against everything")
    (found,) = findings_of(copied)
    assert "decontamination: expected not decontaminated, got against everything" in found


def test_a_ledger_that_lost_a_row_is_found_even_with_consistent_digests(copied):
    commits = commits_of(copied)
    # Which shard the missing pages fall into depends on the path of the table.
    place = next(n for n, commit in enumerate(commits) if commit.num_kept < commit.num_candidates)
    table = pq.read_table(copied / commits[place].ledger_file)
    dropped = next(n for n, word in enumerate(table["outcome"].to_pylist()) if word != "kept")
    lost_id = table["id"][dropped].as_py()
    kept = [n for n in range(table.num_rows) if n != dropped]
    pq.write_table(table.take(kept), copied / commits[place].ledger_file)
    forged = digest((copied / commits[place].ledger_file).read_bytes())
    commits[place] = commits[place].model_copy(update={"ledger_sha256": forged})
    (copied / "commits" / f"{place:05d}.json").write_bytes(encode(commits[place]))
    pq.write_table(Commit.to_table(commits), copied / "manifest.parquet", compression="zstd")
    reseal(copied, manifest_sha256=digest((copied / "manifest.parquet").read_bytes()))
    found = findings_of(copied)
    assert any(f"candidate {lost_id}: planned 1 times, recorded 0" in one for one in found)


def test_another_schema_version_is_refused_with_both_sides(copied):
    path = copied / "dataset.json"
    content = json.loads(path.read_text())
    content["schema_version"] = "999"
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    assert "dataset.json: schema_version: expected 1, got 999" in findings_of(copied)


def test_a_file_that_no_record_names_is_found(copied):
    (copied / "shards" / "00000-000000000000.tar").write_bytes(b"half")
    assert findings_of(copied) == [
        "shards/00000-000000000000.tar: expected in no record, got a file"
    ]


def test_what_is_no_part_of_the_dataset_is_a_note(copied):
    (copied / "notes.txt").write_bytes(b"mine")
    report = audit(str(copied))
    assert report.findings == []
    assert report.notes == ["no part of the dataset: notes.txt"]


def test_what_is_no_dataset_is_told_so(tmp_path):
    finished = uncurated("audit", tmp_path)
    assert finished.returncode == 1
    assert "dataset.json: expected a file, got none" in finished.stdout


def test_a_column_name_that_is_no_utf_8_is_a_finding_and_no_crash(copied):
    commit = next(commit for commit in commits_of(copied) if commit.num_kept)
    for name in (commit.ledger_file, commit.plan_file, "manifest.parquet"):
        content = (copied / name).read_bytes()
        column = b"image_bytes" if name == "manifest.parquet" else b"carrier"
        spoiled = content.replace(column, column[:-1] + b"\xff")
        assert spoiled != content
        (copied / name).write_bytes(spoiled)
        found = findings_of(copied)
        assert any(one.startswith(f"{name}: expected a ") and "utf-8" in one for one in found)
        (copied / name).write_bytes(content)
    assert findings_of(copied) == []
