import json

import pytest

from ingest.miniweb.site import Page, Site, image_page
from tests.building import HOST, build, ledger_of, pictures, write_urls
from tests.ingest.inspect.test_c2pa import jpeg, store

TDMREP = json.dumps([{"location": "/", "tdm-reservation": 1}]).encode()


def outcome_of(serve, tmp_path, site, *arguments):
    web = serve(site)
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, "/x")])
    build(tmp_path / "d", f"--input={table}", *arguments)
    (row,) = ledger_of(tmp_path / "d")
    return row, [request.path for request in web.requests()]


@pytest.mark.parametrize(
    ("consent", "outcome", "signals"),
    [("honour", "opt_out", 3), ("record", "kept", 3), ("ignore", "kept", 0)],
)
def test_what_a_file_itself_asserts_is_heeded(serve, tmp_path, consent, outcome, signals):
    site = Site()
    site.add(HOST, "/x", image_page(jpeg(store()), "image/jpeg"))
    row, _ = outcome_of(serve, tmp_path, site, f"--c2pa={consent}")
    assert (row["outcome"], len(row["opt_out_signals"])) == (outcome, signals)
    assert bool(row["opt_out_rule"]) == (consent == "honour")


@pytest.mark.parametrize(
    ("flag", "path", "content"),
    [
        ("--tdm-file", "/.well-known/tdmrep.json", TDMREP),
        ("--ai-txt", "/ai.txt", b"User-Agent: *\nDisallow: /\n"),
    ],
)
def test_files_of_the_publisher_are_asked_for_only_if_wanted(serve, tmp_path, flag, path, content):
    picture = pictures(1)[0]
    for number, (consent, outcome) in enumerate(
        (("honour", "opt_out"), ("record", "kept"), ("ignore", "kept"))
    ):
        site, folder = Site(), tmp_path / str(number)
        folder.mkdir()
        site.add(HOST, "/x", image_page(picture.content, picture.media_type))
        site.add(HOST, path, Page(content))
        row, asked = outcome_of(serve, folder, site, f"{flag}={consent}")
        assert row["outcome"] == outcome
        assert (path in asked) == (consent != "ignore")
        assert any(path in signal for signal in row["opt_out_signals"]) == (consent != "ignore")


def test_the_rule_of_robots_txt_is_on_record_with_its_file(serve, tmp_path):
    site = Site()
    site.add(HOST, "/robots.txt", Page(b"User-agent: *\nAllow: /y\nDisallow: /x\n"))
    row, asked = outcome_of(serve, tmp_path, site)
    assert (row["outcome"], asked) == ("robots", ["/robots.txt"])
    assert "line 3: Disallow: /x" in row["opt_out_rule"]
    assert row["robots_sha256"] in row["opt_out_rule"]
    assert row["robots_fetched_at"] is not None
