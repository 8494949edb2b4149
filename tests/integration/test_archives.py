"""From a WAT or WARC file, or a sitemap, to a sealed dataset with one command."""

from hashlib import sha256

import pytest

from tests.archives import WARC_DATE, Image, Page, response, warc_records, write_records, write_wat
from tests.building import (
    HOST,
    build,
    columns_of,
    ledger_of,
    picture_site,
    pictures,
    record_of,
    uncurated,
)

NUM_PICTURES = 12


@pytest.fixture
def web(serve):
    return serve(picture_site(NUM_PICTURES))


def digests(numbers):
    return {sha256(pictures(NUM_PICTURES)[n].content).hexdigest() for n in numbers}


def audited(dataset):
    finished = uncurated("audit", dataset)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return ledger_of(dataset)


def test_a_wat_file_becomes_a_dataset_of_the_images_that_its_pages_show(web, tmp_path):
    links = [
        {"path": "IMG@/src", "url": web.url(HOST, f"/{n}"), "alt": f"Picture {n}"}
        for n in range(NUM_PICTURES)
    ]
    pages = [
        Page(f"http://blog.example/{n}", links=[*links[n : n + 3], links[0]]) for n in range(10)
    ]
    write_wat(tmp_path / "t.warc.wat.gz", pages)
    build(tmp_path / "d", f"--input={tmp_path / 't.warc.wat.gz'}", "--shard-candidates=20")
    rows = audited(tmp_path / "d")
    assert {row["outcome"] for row in rows} == {"kept"}
    assert {row["sha256"] for row in rows} == digests(range(NUM_PICTURES))
    for row in rows:
        columns = columns_of(row)
        assert columns["alt"] == f"Picture {row['url'].rpartition('/')[2]}"
        assert columns["page_url"].startswith("http://blog.example/")
    (source,) = record_of(tmp_path / "d").plan.inputs
    assert (source.kind, source.num_rows) == ("wat", len(rows))


def test_a_warc_file_rescues_images_whose_links_are_dead_and_says_so(web, tmp_path):
    page = "".join(f"<img src='{web.url(HOST, f'/{n}')}'>" for n in range(4))
    gone = [
        Image(f"http://gone.example/{n}.jpg", pictures(NUM_PICTURES)[n].content)
        for n in range(4, 9)
    ]
    broken = Image("http://gone.example/html.jpg", b"<html>not found</html>")
    records = warc_records([Page("http://blog.example/", page.encode())], [*gone, broken])
    no_url, content = "http://gone.example/no.jpg", pictures(NUM_PICTURES)[9].content
    records.append(response(no_url, content, "image/jpeg", headers=["X-Robots-Tag: noai"]))
    write_records(tmp_path / "t.warc.gz", records)
    build(tmp_path / "d", f"--input={tmp_path / 't.warc.gz'}")
    rows = {row["url"]: row for row in audited(tmp_path / "d")}
    assert len(rows) == 4 + 5 + 2
    kept = [row for row in rows.values() if row["outcome"] == "kept"]
    assert {row["sha256"] for row in kept} == digests(range(9))
    assert {row["carrier"] for row in kept} == {"url", "warc"}
    for one in gone:
        row = rows[one.url]
        assert (row["carrier"], row["http_status"], row["content_type"]) == (
            *("warc", 200, "image/jpeg"),
        )
        assert f"{row['fetched_at']:%Y-%m-%dT%H:%M:%SZ}" == WARC_DATE
        assert row["requests"] == []
    assert rows[no_url]["outcome"] == "opt_out"
    assert rows[no_url]["opt_out_rule"] == "x-robots-tag: noai"
    assert rows[broken.url]["outcome"] == "not_an_image"


def test_a_sitemap_becomes_a_dataset(web, tmp_path):
    images = "".join(
        f"<image:image><image:loc>{web.url(HOST, f'/{n}')}</image:loc></image:image>"
        for n in range(NUM_PICTURES)
    )
    (tmp_path / "sitemap.xml").write_text(
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" '
        'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">'
        f"<url><loc>http://blog.example/</loc>{images}</url></urlset>"
    )
    build(tmp_path / "d", f"--input={tmp_path / 'sitemap.xml'}")
    rows = audited(tmp_path / "d")
    assert {row["sha256"] for row in rows} == digests(range(NUM_PICTURES))
    assert {columns_of(row)["page_url"] for row in rows} == {"http://blog.example/"}
