"""The papers of a real dataset, as `uncurated report` writes them, against its seal and ledger."""

import csv
import json
import re

import pytest

from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Page, Site, image_page
from tests.building import (
    HOST,
    build,
    commits_of,
    ledger_of,
    pictures,
    record_of,
    uncurated,
    write_urls,
)

# Foreign code: rdflib, pandas and mlcroissant itself warn of their own future.
pytestmark = pytest.mark.filterwarnings("ignore")
NUM_URLS = 110
FORBIDDEN, REFUSING = "forbidden.localhost", "refusing.localhost"
HOSTILE_NAME = "urls |`<script>alert(1)`.csv"
TOLD = {
    "title": "Crawl <b>one</b>",
    "creator": "Example Lab",
    "contact": "takedown@example.org",
    "license": "CC0-1.0",
    "url": "https://example.org/data",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset with an evaluation copy, a robots refusal and an opt-out, and its papers."""
    folder = tmp_path_factory.mktemp("papers")
    images = pictures(12)
    (folder / "eval").mkdir()
    (folder / "eval" / "a.jpg").write_bytes(images[0].content)
    index = folder / "eval.index"
    made = uncurated(
        "index", f"--eval-set=bench={folder / 'eval'}", f"--output={index}", "--canaries=4"
    )
    assert made.returncode == 0, made.stderr
    site = Site()
    for number in range(NUM_URLS):
        picture = images[number % len(images)]
        site.add(HOST, f"/{number}", image_page(picture.content, picture.media_type))
    site.add(FORBIDDEN, "/robots.txt", Page(b"User-agent: *\nDisallow: /\n"))
    site.add(REFUSING, "/x", Page(images[1].content, headers=(("X-Robots-Tag", "noai"),)))
    with MiniWeb(site) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_URLS)]
        urls += [web.url(HOST, "/missing"), web.url(FORBIDDEN, "/x"), web.url(REFUSING, "/x")]
        table = write_urls(folder / HOSTILE_NAME, urls)
        arguments = (f"--input={table}", "--shard-candidates=60", f"--eval-index={index}")
        build(folder / "dataset", *arguments, "--user-agent=tester/1.0 (+https://example.org)")
    told = [f"--{name}={value}" for name, value in TOLD.items()]
    finished = uncurated("report", folder / "dataset", *told)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder / "dataset"


@pytest.fixture(scope="module")
def loaded(dataset):
    import mlcroissant

    return mlcroissant.Dataset(jsonld=str(dataset / "croissant.json"))


def paper(dataset, name):
    return (dataset / "report" / name).read_text()


def rows_of(dataset, name):
    with (dataset / "report" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_croissant_record_validates_without_errors_or_warnings(loaded):
    assert not loaded.metadata.ctx.issues.errors
    assert not loaded.metadata.ctx.issues.warnings


def test_the_whole_ledger_is_read_through_it(dataset, loaded):
    records = {one["ledger/id"].decode(): one for one in loaded.records("ledger")}
    expected = {row["id"]: row for row in ledger_of(dataset)}
    assert len(records) == NUM_URLS + 3 >= 100
    assert records.keys() == expected.keys()
    for key, row in expected.items():
        for name in ("url", "outcome", "sha256", "md5", "phash", "address"):
            found = records[key][f"ledger/{name}"]
            assert (found and found.decode()) == row[name]
        for name in ("http_status", "num_bytes", "width_px", "offset_bytes", "shard"):
            assert records[key][f"ledger/{name}"] == row[name]
        requests = [
            (one["ledger/requests/host"].decode(), one["ledger/requests/at"].to_pydatetime())
            for one in records[key]["ledger/requests"]
        ]
        assert requests == [(one["host"], one["at"]) for one in row["requests"]]


def test_the_manifest_is_read_and_its_digest_checked(dataset, loaded):
    found = [one["manifest/shard_sha256"].decode() for one in loaded.records("manifest")]
    assert found == [one.shard_sha256 for one in commits_of(dataset)]


def test_all_images_are_read_out_of_the_shards(dataset, loaded, tmp_path, monkeypatch):
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path))
    sizes = {
        one["images/id"].decode(): one["images/image"].size for one in loaded.records("images")
    }
    kept = {row["id"]: row for row in ledger_of(dataset) if row["outcome"] == "kept"}
    assert sizes == {key: (row["width_px"], row["height_px"]) for key, row in kept.items()}


def test_figures_are_those_of_the_seal(dataset):
    record = record_of(dataset)
    assert {"kept", "duplicate_exact", "robots", "opt_out", "http_404"} <= record.outcomes.keys()
    sheet = paper(dataset, "DATASHEET.md").replace("\\", "")
    rows = dict(re.findall(r"^\| (\w+) \| ([\d,]+) \| [\d.]+% \| [^|]+ \|$", sheet, re.M))
    counted = {word: int(rows[word].replace(",", "")) for word in record.outcomes}
    assert counted == record.outcomes
    missing = json.loads((dataset / "croissant.json").read_bytes())["rai:dataCollectionMissingData"]
    for word, count in record.outcomes.items():
        said = "Kept:" if word == "kept" else word
        assert f"{said} {count:,} of {record.num_candidates:,}" in missing
    summary = paper(dataset, "eu-summary.md")
    assert f"| Images | {record.num_kept:,} |" in summary
    assert f"| Bytes of the images | {record.image_bytes:,} |" in summary
    assert "tester/1.0" in summary
    assert record.merkle_root in summary


def test_the_certificate_is_told_in_the_papers(dataset):
    record = record_of(dataset)
    copies = record.certificate.sets["bench"].exact_copies
    assert copies >= 1
    for name in ("DATASHEET.md", "eu-summary.md"):
        assert f"bench (1 images): {copies:,} exact" in paper(dataset, name)


def test_domains_add_up_to_the_images(dataset):
    record, rows = record_of(dataset), rows_of(dataset, "top-domains.csv")
    assert sum(int(row["num_kept"]) for row in rows) == record.num_kept
    assert sum(int(row["kept_bytes"]) for row in rows) == record.image_bytes
    assert [row["domain"] for row in rows] == [HOST]


def test_opt_outs_tell_what_was_refused(dataset):
    rows = rows_of(dataset, "opt-outs.csv")
    refused = ("honour", "1", "0", "1")
    told = {
        (row["kind"], row["text"]): (
            row["mode"],
            row["num_candidates"],
            row["num_kept"],
            row["num_refused"],
        )
        for row in rows
    }
    assert told == {
        (kind, text): refused
        for kind in ("signal", "rule")
        for text in ("robots.txt: Disallow: /", "x-robots-tag: noai")
    }


def test_hostile_names_are_text(dataset):
    for name in ("DATASHEET.md", "eu-summary.md"):
        text = paper(dataset, name)
        assert "<script" not in text
        assert "<b>" not in text
        assert "&lt;script&gt;" in text


def test_the_same_command_writes_the_same_bytes_elsewhere(dataset, tmp_path):
    told = [f"--{name}={value}" for name, value in TOLD.items()]
    finished = uncurated("report", dataset, f"--output={tmp_path}", *told)
    assert finished.returncode == 0, finished.stderr
    for name in ("DATASHEET.md", "eu-summary.md", "opt-outs.csv", "top-domains.csv"):
        assert (tmp_path / name).read_bytes() == (dataset / "report" / name).read_bytes()
    assert (tmp_path / "croissant.json").read_bytes() == (dataset / "croissant.json").read_bytes()


def test_an_audit_finds_nothing_wrong_beside_the_papers(dataset):
    finished = uncurated("audit", dataset)
    assert finished.returncode == 0, finished.stdout + finished.stderr
