"""What a user asks of a finished dataset by the commands: query, show, proofs for strangers."""

import csv
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest import storage
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Page, image_page
from tests.building import (
    ALLOW,
    HOST,
    build,
    command,
    commits_of,
    ledger_of,
    picture_site,
    pictures,
    record_of,
    run,
    uncurated,
    write_urls,
)

NUM_PICTURES, NUM_LATE = 12, 4
SCRIPT = Path("ingest/questions/check_proof.py").resolve()
HOSTILE = "?\x1b[2J\x1b]0;owned\x07\u202egpj"
OPTIONS = ("--shard-candidates=4", "--max-attempts=1", "--decoder-processes=1")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset with a redirect, a hostile URL, dead links and a retry generation; one of Arrow."""
    folder = tmp_path_factory.mktemp("world")
    site = picture_site(NUM_PICTURES)
    for number, picture in enumerate(pictures(NUM_PICTURES + NUM_LATE)[NUM_PICTURES:]):
        late = replace(image_page(picture.content, picture.media_type), num_failures=1)
        site.add(HOST, f"/late-{number}", late)
    site.add(HOST, "/moved", Page(b"", 302, (("Location", "/3"),)))
    with MiniWeb(site) as web:
        paths = [f"/{number}" for number in range(NUM_PICTURES)]
        paths += [f"/late-{number}" for number in range(NUM_LATE)]
        paths += ["/moved", "/gone", f"/{HOSTILE}"]
        urls = write_urls(folder / "urls.csv", [web.url(HOST, path) for path in paths])
        build(folder / "tar", f"--input={urls}", *OPTIONS)
        finished = uncurated("retry", folder / "tar", *ALLOW)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        build(folder / "arrow", f"--input={urls}", *OPTIONS, "--format=arrow")
    return folder


def ask(dataset, sql, *arguments):
    """The rows of an answer."""
    lines = run("query", dataset, sql, "--format=json", *arguments).splitlines()
    return [json.loads(line) for line in lines]


def show(dataset, key, *arguments):
    """All images that `show` tells of."""
    lines = run("show", dataset, key, "--format=json", *arguments).splitlines()
    return [json.loads(line) for line in lines]


def test_the_outcomes_of_the_ledger_are_those_of_the_seal(world):
    for kind in ("tar", "arrow"):
        sql = "SELECT outcome, count(*) AS n FROM ledger GROUP BY 1"
        found = {row["outcome"]: row["n"] for row in ask(world / kind, sql)}
        assert found == record_of(world / kind).outcomes
    assert record_of(world / "tar").outcomes["kept"] == NUM_PICTURES + NUM_LATE + 1


def test_each_view_can_be_asked(world):
    sql = """
        SELECT (SELECT count(*) FROM ledger) AS ledger, (SELECT count(*) FROM plan) AS plan,
               (SELECT count(*) FROM ledger_all) AS ledger_all,
               (SELECT count(*) FROM kept) AS kept, (SELECT count(*) FROM manifest) AS manifest,
               (SELECT count(*) FROM tombstones) AS tombstones,
               (SELECT count(*) FROM removals) AS removals, (SELECT version FROM dataset) AS version
    """
    record = record_of(world / "tar")
    num_rows = record.num_candidates + record.retries[0].num_candidates
    assert ask(world / "tar", sql) == [
        {
            "ledger": record.num_candidates,
            "plan": num_rows,
            "ledger_all": num_rows,
            "kept": record.num_kept,
            "manifest": record.num_shards,
            "tombstones": 0,
            "removals": 0,
            "version": "1.1.0",
        }
    ]


def test_the_formats_agree(world, tmp_path):
    sql = "SELECT id, url, num_bytes, redirects FROM ledger ORDER BY id"
    rows = ask(world / "tar", sql)
    target = tmp_path / "answer.parquet"
    run("query", world / "tar", sql, "--format=parquet", f"--output={target}")
    assert pq.read_table(target).to_pylist() == rows
    text = run("query", world / "tar", sql, "--format=csv")
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [line["url"] for line in lines] == [row["url"] for row in rows]
    assert [line["num_bytes"] for line in lines] == [
        "" if row["num_bytes"] is None else str(row["num_bytes"]) for row in rows
    ]


def test_a_table_shows_the_first_rows_and_counts_the_others(world):
    printed = run("query", world / "tar", "SELECT id, url FROM ledger", "--limit=5").splitlines()
    assert len(printed) == 2 + 5 + 1
    assert f"{record_of(world / 'tar').num_candidates - 5} more:" in printed[-1]


def test_hostile_text_does_not_reach_a_terminal(world):
    sql = "SELECT url FROM ledger WHERE url LIKE '%owned%'"
    ((url,),) = (row.values() for row in ask(world / "tar", sql))
    assert url.endswith(HOSTILE)
    for printed in (
        run("query", world / "tar", sql),
        run("show", world / "tar", url),
        run("show", world / "tar", url, "--format=json"),
        run("show", world / "tar", HOSTILE, code=1),
        run("query", world / "tar", f"SELECT error('{HOSTILE}')", code=2),
    ):
        assert all(one.isprintable() for line in printed.split("\n") for one in line)
        assert "\\u001b[2J" in printed
        assert "\\u202e" in printed


def test_the_command_answers_and_closes_quietly_when_nobody_reads_on(world):
    sql = "SELECT * FROM range(3000000)"
    with subprocess.Popen(
        command("query", world / "tar", sql, "--format=csv"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout.readline() == b'"range"\n'
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 0


def test_a_question_comes_from_standard_input_too(world):
    finished = subprocess.run(
        command("query", world / "tar", "-", "--format=csv"),
        input="SELECT count(*) AS n -- of all\nFROM ledger",
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert finished.stdout == f'"n"\n"{record_of(world / "tar").num_candidates}"\n'


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT * FROM '/etc/passwd'", "expected a question that DuckDB can answer"),
        ("COPY ledger TO 'stolen.csv'", "expected a SELECT, got COPY"),
        ("FROM urls", "there is: dataset, kept, ledger, ledger_all, manifest, plan, removals"),
        ("SELECT urls FROM ledger", "columns of ledger: id, source, row, url"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence_and_code_2(sql, told, world):
    assert told in " ".join(run("query", world / "arrow", sql, code=2).split())


def test_a_failed_answer_leaves_no_file(world, tmp_path):
    target = tmp_path / "answer.csv"
    late = "SELECT CASE WHEN i > 90000 THEN error('late') ELSE i END AS i FROM range(99999) t(i)"
    run("query", world / "tar", late, "--format=csv", f"--output={target}", code=2)
    assert list(tmp_path.iterdir()) == []


def test_show_tells_all_generations_of_a_candidate(world):
    late = [row for row in ledger_of(world / "tar") if row["generation"]]
    for row in late:
        for key in (row["id"], row["url"], row["sha256"]):
            images = [one for one in show(world / "tar", key) if one["id"] == row["id"]]
            ((first, last),) = (one["ledger"] for one in images)
            assert [first["generation"], last["generation"]] == [0, 1]
            assert [first["outcome"], last["outcome"]] == ["http_5xx", "kept"]
            assert [one["url"] for one in images[0]["plan"]] == [row["url"]] * 2
            assert images[0]["problems"] == []
    assert len(late) == NUM_LATE


def test_show_finds_where_a_redirect_led(world):
    (moved,) = ask(world / "tar", "SELECT id, final_url FROM ledger WHERE url LIKE '%/moved'")
    found = show(world / "tar", moved["final_url"])
    assert len(found) == 2
    (image,) = (one for one in found if one["id"] == moved["id"])
    assert image["ledger"][0]["redirects"] == [moved["final_url"]]


def test_show_of_nothing_is_code_1_and_a_sentence(world):
    told = run("show", world / "tar", "https://example.org/none.jpg", code=1)
    assert told == f"no image of {world / 'tar'} has the URL https://example.org/none.jpg\n"


@pytest.mark.parametrize("kind", ["tar", "arrow"])
def test_a_stranger_verifies_the_picture_and_its_proof(kind, world, tmp_path):
    row = next(row for row in reversed(ledger_of(world / kind)) if row["outcome"] == "kept")
    files = (f"--picture={tmp_path / 'image'}", f"--proof={tmp_path / 'proof.json'}")
    show(world / kind, row["id"], *files)
    assert sha256((tmp_path / "image").read_bytes()).hexdigest() == row["sha256"]
    arguments = [tmp_path / "proof.json", tmp_path / "image", record_of(world / kind).merkle_root]
    finished = subprocess.run(
        [sys.executable, "-I", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert f"is sample {row['id']} of dataset" in finished.stdout
    assert json.loads((tmp_path / "proof.json").read_bytes())["record_sha256"] == (
        record_of(world / kind).record_sha256
    )


def test_one_of_several_images_must_be_named(world, tmp_path):
    (moved,) = ask(world / "tar", "SELECT sha256 FROM ledger WHERE url LIKE '%/moved'")
    target = tmp_path / "image"
    told = run("show", world / "tar", moved["sha256"], f"--picture={target}", code=2)
    assert "expected one image to give, got 2: name it by its id" in told
    assert not target.exists()


def test_a_removed_image_is_shown_with_the_reason_and_given_to_nobody(world, tmp_path):
    dataset = tmp_path / "dataset"
    shutil.copytree(world / "tar", dataset)
    row = next(row for row in ledger_of(dataset) if row["url"].endswith("/5"))
    asked = ("--reason=a \x1b[1m private picture", "--authority=its owner")
    run("remove", dataset, f"--url={row['url']}", *asked)
    (image,) = show(dataset, row["id"])
    ((path, record),) = image["removals"].items()
    assert (path, record["authority"]) == ("removals/0001.json", "its owner")
    assert image["tombstones"][0]["file"] in record["tombstone_files"]
    target = tmp_path / "image"
    refused = run("show", dataset, row["id"], f"--picture={target}", code=2)
    assert image["tombstones"][0]["file"] in refused
    assert not target.exists()
    assert "\x1b" not in run("show", dataset, row["id"])
    assert ask(dataset, f"SELECT id FROM kept WHERE id = '{row['id']}'") == []
    (removal,) = ask(dataset, "SELECT reason, num_removed FROM removals")
    assert removal == {"reason": "a \x1b[1m private picture", "num_removed": 1}


def test_an_image_that_a_repack_took_out_is_known_by_what_it_was(world, tmp_path):
    dataset = tmp_path / "dataset"
    shutil.copytree(world / "tar", dataset)
    row = next(row for row in ledger_of(dataset) if row["url"].endswith("/6"))
    run("remove", dataset, f"--id={row['id']}", "--reason=private", "--authority=its owner")
    run("repack", dataset)
    for key in (row["id"], row["url"], row["sha256"]):
        (image,) = show(dataset, key)
        assert (image["id"], image["outcome"]) == (row["id"], "removed")
        (taken,) = image["taken_out"]
        assert (taken["repack"], taken["version"]) == (1, "1.1.0")
    assert "taken out of shard" in run("show", dataset, row["url"])
    refused = run("show", dataset, row["id"], f"--picture={tmp_path / 'image'}", code=2)
    assert "expected a kept image, got outcome removed" in refused
    other = next(one for one in ledger_of(dataset) if one["outcome"] == "kept")
    show(dataset, other["id"], f"--proof={tmp_path / 'proof.json'}")
    proof = json.loads((tmp_path / "proof.json").read_bytes())
    assert proof["merkle_root"] == record_of(dataset).merkle_root


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_a_bucket_is_asked_like_a_folder(kind, world, tmp_path, object_store):
    dataset = f"{object_store(kind).bucket}/{tmp_path.name}/dataset"
    for path in storage.list_files(str(world / "tar")):
        content = (world / "tar" / path).read_bytes()
        storage.write_bytes(storage.join(dataset, path), content)
    sql = "SELECT outcome, count(*) AS n, sum(num_bytes) AS m FROM ledger GROUP BY 1 ORDER BY 1"
    assert ask(dataset, sql) == ask(world / "tar", sql)
    row = next(row for row in ledger_of(world / "tar") if row["generation"])
    target = tmp_path / "image"
    (image,) = show(dataset, row["url"], f"--picture={target}")
    assert image["shard_file"] == commits_of(world / "tar")[row["shard"]].shard_file
    assert sha256(target.read_bytes()).hexdigest() == row["sha256"]


def test_no_bucket_is_reached_by_a_question(world, object_store):
    store = object_store("s3")
    storage.write_bytes(f"{store.bucket}/secret.csv", b"a,b\n1,2\n")
    for sql in (f"FROM '{store.bucket}/secret.csv'", f"FROM read_csv('{store.bucket}/secret.csv')"):
        assert "expected a question" in run("query", world / "tar", sql, code=2)
