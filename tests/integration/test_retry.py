import json
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from ingest.errors import SetupError
from ingest.miniweb.site import Page, Site, image_page
from ingest.retry import Ask
from pipelines.retry import build_options, plan_retry
from tests.building import (
    ALLOW,
    HOST,
    build,
    commits_of,
    ledger_of,
    pictures,
    record_of,
    shards_of,
    uncurated,
    write_urls,
)

NUM_GOOD, NUM_LATE, NUM_GONE = 20, 12, 5
ONCE = ("--max-attempts=1", "--shard-candidates=10", "--seed=3")
RUNNER = ["--runner=FnApiRunner"]


def flaky_site(num_failures=1):
    """Good pictures, some that answer 503 at first, and dead links."""
    site = Site()
    for number, picture in enumerate(pictures(NUM_GOOD + NUM_LATE)):
        page = image_page(picture.content, picture.media_type)
        late = number >= NUM_GOOD
        site.add(HOST, f"/{number}", replace(page, num_failures=num_failures if late else 0))
    for number in range(NUM_GONE):
        site.add(HOST, f"/gone-{number}", Page(b"", 404))
    return site


def begin(web, tmp_path, *arguments):
    paths = [f"/{number}" for number in range(NUM_GOOD + NUM_LATE)]
    paths += [f"/gone-{number}" for number in range(NUM_GONE)]
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, path) for path in paths])
    return build(tmp_path / "d", f"--input={table}", *ONCE, *arguments)


def retry(tmp_path, *arguments):
    finished = uncurated("retry", tmp_path / "d", *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def audited(tmp_path):
    finished = uncurated("audit", tmp_path / "d")
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@pytest.mark.parametrize(
    "processes", [(), ("--direct_num_workers=2", "--direct_running_mode=multi_processing")]
)
def test_what_failed_is_asked_for_again_and_nothing_else(serve, tmp_path, processes):
    web = serve(flaky_site())
    before = begin(web, tmp_path, *ALLOW)
    assert before.outcomes == {"kept": NUM_GOOD, "http_404": NUM_GONE, "http_5xx": NUM_LATE}
    shards, asked = shards_of(tmp_path / "d"), len(web.requests())
    seal = (tmp_path / "d" / "dataset.json").read_bytes()
    retry(tmp_path, *processes)
    after = record_of(tmp_path / "d")
    assert after.outcomes == {"kept": NUM_GOOD + NUM_LATE, "http_404": NUM_GONE}
    assert after.num_candidates == before.num_candidates
    assert after.num_kept == NUM_GOOD + NUM_LATE
    assert {name: shards_of(tmp_path / "d")[name] for name in shards} == shards
    new = [request.path for request in web.requests()[asked:] if request.path != "/robots.txt"]
    assert Counter(new) == {f"/{NUM_GOOD + number}": 1 for number in range(NUM_LATE)}
    (generation,) = after.retries
    assert generation.superseded == {"http_5xx": NUM_LATE}
    assert (tmp_path / "d/generations/0000-dataset.json").read_bytes() == seal
    assert "retry 1: 12 candidates" in audited(tmp_path)


def test_the_last_row_of_a_candidate_counts(serve, tmp_path):
    web = serve(flaky_site(num_failures=2))
    begin(web, tmp_path)
    retry(tmp_path, "--outcomes=http_5xx")
    assert record_of(tmp_path / "d").outcomes["http_5xx"] == NUM_LATE
    retry(tmp_path, "--outcomes=http_5xx,dns")
    assert record_of(tmp_path / "d").outcomes["kept"] == NUM_GOOD + NUM_LATE
    rows = ledger_of(tmp_path / "d")
    assert Counter(row["generation"] for row in rows) == {
        0: NUM_GOOD + NUM_LATE + NUM_GONE,
        1: NUM_LATE,
        2: NUM_LATE,
    }
    ledger = f"{tmp_path}/d/ledger/*.parquet"
    found = duckdb.sql(
        f"SELECT outcome, count(*) FROM (FROM '{ledger}' QUALIFY row_number() OVER "
        "(PARTITION BY id ORDER BY generation DESC) = 1) GROUP BY 1"
    ).fetchall()
    assert dict(found) == record_of(tmp_path / "d").outcomes
    audited(tmp_path)


def test_a_condition_on_the_ledger_chooses(serve, tmp_path):
    web = serve(flaky_site())
    begin(web, tmp_path)
    retry(tmp_path, "--where", f"url LIKE '%/{NUM_GOOD + 3}' AND attempts = 1")
    record = record_of(tmp_path / "d")
    assert record.outcomes["http_5xx"] == NUM_LATE - 1
    (row,) = [row for row in ledger_of(tmp_path / "d") if row["generation"] == 1]
    assert row["url"].endswith(f"/{NUM_GOOD + 3}")
    assert json.loads(row["columns"])["caption"] == f"caption of {NUM_GOOD + 3}"


def test_nothing_to_retry_changes_nothing(serve, tmp_path):
    web = serve(flaky_site(num_failures=0))
    begin(web, tmp_path)
    seal = (tmp_path / "d" / "dataset.json").read_bytes()
    assert "nothing to retry" in retry(tmp_path)
    assert (tmp_path / "d" / "dataset.json").read_bytes() == seal
    assert not (tmp_path / "d" / "generations").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--outcomes=kept"], "got kept"),
        (["--outcomes=timeout,often"], "got often"),
        (["--outcomes="], "got none"),
        (["--where=nonsense ="], "--where: expected a SQL condition on the ledger's columns"),
        (["--where=true; DROP TABLE ledger"], "--where: expected a SQL condition"),
        (["--max-pixels=5"], "expected max_pixels 100000000 as recorded, got 5"),
    ],
)
def test_what_cannot_be_done_is_refused(serve, tmp_path, arguments, message):
    web = serve(flaky_site())
    begin(web, tmp_path)
    seal = (tmp_path / "d" / "dataset.json").read_bytes()
    finished = uncurated("retry", tmp_path / "d", *arguments)
    assert finished.returncode == 2
    assert message in " ".join(finished.stderr.split())
    assert (tmp_path / "d" / "dataset.json").read_bytes() == seal


@pytest.mark.parametrize("command", ["retry", "build"])
def test_an_interrupted_retry_goes_on(serve, tmp_path, command):
    web = serve(flaky_site())
    begin(web, tmp_path)
    dataset = str(tmp_path / "d")
    planned = plan_retry(dataset, Ask.parse("http_5xx", ""), RUNNER)
    assert planned is not None
    # The dataset as it was stays valid until the generation is complete.
    assert record_of(dataset).retries == ()
    audited(tmp_path)
    assert plan_retry(dataset, Ask.parse("http_404", ""), RUNNER) == planned
    if command == "retry":
        retry(tmp_path)
    else:
        build(dataset, "--max-attempts=1")
    assert record_of(dataset).retries == (planned,)
    assert record_of(dataset).outcomes["kept"] == NUM_GOOD + NUM_LATE
    audited(tmp_path)


def test_an_unfinished_dataset_has_nothing_to_retry(tmp_path):
    with pytest.raises(SetupError, match="run `build` first"):
        plan_retry(str(tmp_path), Ask.parse("dns", ""), RUNNER)
    with pytest.raises(SetupError, match="run `build` first"):
        build_options(str(tmp_path), Namespace())


@pytest.mark.parametrize(
    ("file", "find", "put"),
    [
        ("generations/0001.json", '"http_5xx": 12', '"http_5xx": 11'),
        ("generations/0000-dataset.json", '"num_kept": 20', '"num_kept": 21'),
        ("generations/0001.json", None, None),
    ],
)
def test_an_audit_notices_what_is_wrong_with_a_generation(serve, tmp_path, file, find, put):
    web = serve(flaky_site())
    begin(web, tmp_path)
    retry(tmp_path)
    path = Path(tmp_path) / "d" / file
    if find is None:
        path.unlink()
    else:
        text = path.read_text()
        assert find in text
        path.write_text(text.replace(find, put))
    finished = uncurated("audit", tmp_path / "d")
    assert finished.returncode == 1
    assert file in finished.stdout


def test_new_shards_are_numbered_behind_the_old_ones(serve, tmp_path):
    web = serve(flaky_site())
    before = begin(web, tmp_path)
    retry(tmp_path)
    numbers = [commit.shard for commit in commits_of(tmp_path / "d")]
    assert numbers == list(range(record_of(tmp_path / "d").num_shards))
    assert record_of(tmp_path / "d").retries[0].first_shard == before.num_shards
