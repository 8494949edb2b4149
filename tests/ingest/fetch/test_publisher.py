import asyncio
from hashlib import sha256

import pytest

from ingest.fetch.crawler import Crawler
from ingest.miniweb.site import Delivery, Page, Site, image_page, redirect
from ingest.spool import Spool
from schemas.options import BuildOptions, ConsentOptions, FetchOptions
from schemas.outcome import Outcome
from tests.visiting import BODY, GOOD, HOST, LOOPBACK, served, visit, visit_all


def with_robots(serve, page):
    site = Site()
    site.add(HOST, "/robots.txt", page)
    site.add(HOST, "/x", GOOD)
    site.add(HOST, "/private/x", GOOD)
    site.add(HOST, "/to-private", redirect("/private/x"))
    return serve(site)


RULES = Page(b"User-agent: *\nDisallow: /private/\n\nUser-agent: evilbot\nDisallow: /\n")


def test_robots_txt_is_asked_once_and_obeyed_behind_redirects_too(serve):
    web = with_robots(serve, RULES)
    paths = ["/x", "/private/x", "/to-private"] * 3
    found = visit_all([web.url(HOST, path) for path in paths])
    assert [one.outcome for one, _ in found] == [None, Outcome.ROBOTS, Outcome.ROBOTS] * 3
    asked = [request.path for request in web.requests()]
    assert asked.count("/robots.txt") == 1
    assert "/private/x" not in asked
    assert sha256(RULES.body).hexdigest() in found[1][0].rule


def test_robots_txt_may_be_only_recorded_or_ignored(serve):
    web = with_robots(serve, RULES)
    url = web.url(HOST, "/private/x")
    recorded = visit(url, consent=ConsentOptions(robots_txt="record"))
    assert (recorded.outcome, recorded.rule) == (None, None)
    assert recorded.signals[0].startswith(web.url(HOST, "/robots.txt "))
    count = len(web.requests())
    assert visit(url, consent=ConsentOptions(robots_txt="ignore")).signals == ()
    assert [request.path for request in web.requests()[count:]] == ["/private/x"]


@pytest.mark.parametrize(
    ("page", "outcome"),
    [
        (Page(b"", 404), None),
        (Page(b"", 403), None),
        (Page(b"", 500), Outcome.ROBOTS_UNAVAILABLE),
        (Page(delivery=Delivery.NEVER), Outcome.ROBOTS_UNAVAILABLE),
        (redirect("/robots.txt"), None),
        (Page(b"\xff\xfe<html>", 200), None),
        (Page(b"User-agent: *\nDisallow: /private/\n" + b"#" * 2_000_000), None),
    ],
)
def test_a_broken_robots_txt_is_read_as_the_rfc_says(serve, page, outcome):
    web = with_robots(serve, page)
    assert visit(web.url(HOST, "/x"), fetch={"timeout_s": 2.0}).outcome is outcome


def test_the_agent_of_robots_txt_is_ours(serve):
    web = with_robots(serve, RULES)
    refused = visit(web.url(HOST, "/x"), fetch={"user_agent": "EvilBot/2.0 (+http://a.example)"})
    assert refused.outcome is Outcome.ROBOTS
    assert web.requests()[0].user_agent == "EvilBot/2.0 (+http://a.example)"


def test_opt_out_headers_are_honoured_and_recorded(serve):
    refusal = image_page(BODY, "image/jpeg", X_Robots_Tag="noai")
    web = served(serve, x=refusal)
    found = visit(web.url(HOST, "/x"))
    assert (found.outcome, found.rule) == (Outcome.OPT_OUT, "x-robots-tag: noai")
    recorded = visit(web.url(HOST, "/x"), consent=ConsentOptions(x_robots_tag="record"))
    assert (recorded.outcome, recorded.signals) == (None, ("x-robots-tag: noai",))


def test_a_candidate_that_is_late_spoils_no_robots_txt_for_others(serve):
    site = Site()
    site.add("other.localhost", "/robots.txt", Page(b"", 404, delay_s=1.2))
    site.add("other.localhost", "/x", Page(BODY, delay_s=1.2))
    web = serve(site)
    site.pages[HOST, "/late"] = Page(
        b"", 302, (("Location", web.url("other.localhost", "/x")),), delay_s=3.0
    )
    options = BuildOptions(
        output="unused", fetch=FetchOptions(allow_network=LOOPBACK, timeout_s=4.0)
    )

    async def run():
        spool, crawler = Spool(0, ""), Crawler(options)
        late = await crawler.visit(web.url(HOST, "/late"), spool)
        other = await crawler.visit(web.url("other.localhost", "/x"), spool)
        await crawler.close()
        spool.close()
        return late.outcome, other.outcome

    assert asyncio.run(run()) == (Outcome.TIMEOUT, None)
