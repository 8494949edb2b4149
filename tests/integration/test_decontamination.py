"""The whole chain by the commands that a user types: index, build, certificate, decontaminate."""

import io
import json
import random
import shutil

import pyarrow.parquet as pq
import pytest

from ingest.copies.kinds import KINDS, open_original
from ingest.evaluation_index.match import Query
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.decode import inspect_image
from ingest.miniweb.pictures import evaluation_tiles
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Page
from schemas.options import MatchOptions
from tests.building import HOST, build, ledger_of, picture_site, record_of, uncurated, write_urls

COPIES_OF_A_KIND = 2
NUM_STRANGERS = 60
NUM_ORIGINALS = 24


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An evaluation set, its index, and a web of copies of all kinds among strangers."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "eval").mkdir()
    originals = []
    for number, tile in enumerate(evaluation_tiles(5, NUM_ORIGINALS)):
        buffer = io.BytesIO()
        tile.save(buffer, "PNG")
        (folder / "eval" / f"{number:02d}.png").write_bytes(buffer.getvalue())
        originals.append(buffer.getvalue())
    finished = uncurated(
        "index", f"--eval-set=bench={folder / 'eval'}", f"--output={folder / 'eval.index'}",
        "--canaries=168",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    site = picture_site(NUM_STRANGERS)
    copies = {}
    draw = random.Random(2)
    for kind in KINDS.values():
        for number in range(COPIES_OF_A_KIND):
            original = draw.randrange(NUM_ORIGINALS)
            copy = kind.make(open_original(originals[original]), f"planted {number}")
            path = f"/{kind.name}-{number}.{copy.extension}"
            site.add(HOST, path, Page(body=copy.content))
            copies[path] = (f"bench/{original:02d}.png", copy.content)
    with MiniWeb(site) as web:
        paths = [*copies, *(f"/{number}" for number in range(NUM_STRANGERS))]
        urls = write_urls(folder / "urls.csv", [web.url(HOST, path) for path in paths])
        inputs = (f"--input={urls}", "--shard-candidates=70")
        build(folder / "clean", *inputs, f"--eval-index={folder / 'eval.index'}")
        build(folder / "dirty", *inputs)
        build(folder / "dirty-arrow", *inputs, "--format=arrow")
    return folder, copies


def path_of(row):
    return "/" + row["url"].rsplit("/", 1)[1]


def test_a_build_finds_what_the_search_finds_and_removes_nothing_else(world):
    folder, copies = world
    index = EvaluationIndex.open(str(folder / "eval.index"))
    rows = {path_of(row): row for row in ledger_of(folder / "clean")}
    assert len(rows) == len(copies) + NUM_STRANGERS
    num_of_others = 0
    for path, row in rows.items():
        if path not in copies:
            assert row["outcome"] == "kept", row
            continue
        name, content = copies[path]
        found = inspect_image(content, 10**8)
        query = Query(bytes.fromhex(found.sha256), bytes.fromhex(found.pixels_sha256), found.views)
        match = index.match([query], MatchOptions())[0]
        expected = match.outcome.value if match and match.outcome else "kept"
        assert row["outcome"] == expected, (path, row["detail"])
        num_of_others += expected != "kept" and row["nearest_eval"] != name
    # Some of the originals are tiles of one picture.
    assert num_of_others <= 0.05 * len(copies)


def test_the_certificate_tells_what_the_ledger_tells_and_recall_within_its_interval(world):
    folder, copies = world
    certificate = record_of(folder / "clean").certificate
    rows = [row for row in ledger_of(folder / "clean") if path_of(row) in copies]
    removed = [row for row in rows if row["outcome"].startswith("duplicate_")]
    bench = certificate.sets["bench"]
    assert bench.exact_copies + bench.near_copies == len(removed)
    assert certificate.num_candidates == len(copies) + NUM_STRANGERS
    assert certificate.recall.tried == bench.protected.num_canaries == 168
    assert certificate.recall.low <= len(removed) / len(rows) <= certificate.recall.high
    for kind in ("jpeg_75_50", "half_size", "grey", "flip_left_right", "rotate_90", "webp"):
        planted = [row for row in rows if path_of(row).startswith(f"/{kind}-")]
        assert {row["outcome"] for row in planted} <= {"duplicate_near", "duplicate_exact"}, kind
    near = [row for row in removed if row["outcome"] == "duplicate_near"]
    assert all(len(row["thumbnail"]) == 1024 for row in near)


def test_the_command_prints_the_certificate_and_writes_it_as_json(world, tmp_path):
    folder, _ = world
    finished = uncurated("certificate", folder / "clean", f"--json-file={tmp_path / 'c.json'}")
    assert finished.returncode == 0, finished.stderr
    assert "recall on canaries" in finished.stdout
    assert "bench" in finished.stdout
    content = json.loads((tmp_path / "c.json").read_text())
    certificate = record_of(folder / "clean").certificate
    assert content["certificate"] == certificate.model_dump(mode="json")
    bench = certificate.sets["bench"]
    assert len(content["copies"]) == bench.exact_copies + bench.near_copies
    page = tmp_path / "removed.html"
    arguments = (f"--html={page}", f"--eval-set=bench={folder / 'eval'}")
    assert uncurated("certificate", folder / "clean", *arguments).returncode == 0
    assert page.read_text().count('<figure class="pair">') == bench.near_copies
    assert page.read_text().count("data:image/jpeg") == 2 * bench.near_copies
    refused = uncurated("certificate", folder / "dirty")
    assert refused.returncode == 2
    assert "not decontaminated" in refused.stderr


@pytest.mark.parametrize("name", ["dirty", "dirty-arrow"])
def test_a_later_decontamination_removes_the_same_by_tombstones(world, name):
    folder, _ = world
    dirty = folder / name
    arguments = ("decontaminate", dirty, f"--eval-index={folder / 'eval.index'}")
    finished = uncurated(*arguments)
    assert finished.returncode == 0, finished.stderr
    tombstones = [
        row for path in (dirty / "tombstones").iterdir() for row in pq.read_table(path).to_pylist()
    ]
    clean = {
        path_of(row): row["outcome"]
        for row in ledger_of(folder / "clean")
        if row["outcome"].startswith("duplicate_")
    }
    ids = {row["id"]: path_of(row) for row in ledger_of(dirty)}
    removed = {ids[row["id"]]: row["outcome"] for row in tombstones}
    assert removed.items() <= clean.items()
    # Without the certainty of each bit a few far copies are not even suspects.
    assert len(removed) >= 0.9 * len(clean)
    audited = uncurated("audit", dirty)
    assert audited.returncode == 0, audited.stdout
    assert f"removed after the fact: {len(removed)} images" in audited.stdout
    before = {path: path.read_bytes() for path in (dirty).rglob("*.parquet")}
    assert uncurated(*arguments).returncode == 0
    assert before == {path: path.read_bytes() for path in (dirty).rglob("*.parquet")}
    path = next((dirty / "tombstones").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    assert f"tombstones/{path.name}: sha256" in uncurated("audit", dirty).stdout


def test_a_repack_takes_later_copies_out_of_the_shards_and_keeps_their_provenance(world, tmp_path):
    folder, _ = world
    dataset = shutil.copytree(folder / "dirty", tmp_path / "d")
    before = {row["id"]: row for row in ledger_of(dataset)}
    shutil.rmtree(dataset / "tombstones", ignore_errors=True)
    shutil.rmtree(dataset / "certificates", ignore_errors=True)
    arguments = ("decontaminate", dataset, f"--eval-index={folder / 'eval.index'}")
    assert uncurated(*arguments).returncode == 0
    tombstones = {
        row["id"]: row
        for path in (dataset / "tombstones").iterdir()
        for row in pq.read_table(path).to_pylist()
    }
    repacked = uncurated("repack", dataset)
    assert repacked.returncode == 0, repacked.stderr
    audited = uncurated("audit", dataset, "--samples=all")
    assert audited.returncode == 0, audited.stdout
    record = record_of(dataset)
    assert record.version == "2.0.0"
    assert sum(record.repacks[0].removed.values()) == len(tombstones)
    for row in ledger_of(dataset):
        old, tombstone = before[row["id"]], tombstones.get(row["id"])
        assert (row["url"], row["sha256"], row["md5"]) == (old["url"], old["sha256"], old["md5"])
        assert row["outcome"] == (tombstone or old)["outcome"]
        if tombstone:
            assert row["nearest_eval"] == tombstone["nearest_eval"]
            assert row["offset_bytes"] is None
    again = uncurated(*arguments)
    assert again.returncode == 0, again.stderr
    assert "0 of" in again.stdout
    assert uncurated("audit", dataset).returncode == 0
