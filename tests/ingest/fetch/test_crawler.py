import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections import Counter
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ingest.fetch.crawler import Crawler, retry_after_s
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Delivery, Page, Site, image_page, redirect
from ingest.spool import Spool
from schemas.options import BuildOptions, ConsentOptions, PolitenessOptions
from schemas.outcome import Outcome
from tests.visiting import BODY, GOOD, HOST, served, visit, visit_all


def test_an_answer_is_told_in_full(serve):
    web = served(serve, x=GOOD)
    ((found, body),) = visit_all([web.url(HOST, "/x")])
    assert (found.outcome, found.attempts, found.redirects) == (None, 1, [])
    assert body == BODY
    assert found.final_url == web.url(HOST, "/x")
    assert found.answer.status == 200
    assert found.answer.address == "127.0.0.1"
    assert found.answer.header("etag") == GOOD.headers[1][1]
    assert found.fetched_at_us > 1_600_000_000_000_000
    assert found.fetch_ms >= 0


def test_many_large_bodies_arrive_whole_at_once(serve):
    site = Site()
    bodies = [bytes([number]) * (300_000 + number) for number in range(60)]
    for number, body in enumerate(bodies):
        site.add(HOST, f"/{number}", image_page(body, "image/png"))
    web = serve(site)
    found = visit_all([web.url(HOST, f"/{number}") for number in range(60)])
    assert [sha256(body).digest() for _, body in found] == [sha256(b).digest() for b in bodies]


def test_redirects_are_followed_recorded_and_bounded(serve):
    pages = {f"hop{n}": redirect(f"/hop{n + 1}") for n in range(9)}
    web = served(
        serve, a=redirect("b", 301), b=redirect("/c", 308), c=GOOD, loop=redirect("/loop"), **pages
    )
    found = visit(web.url(HOST, "/a"))
    assert found.outcome is None
    assert found.redirects == [web.url(HOST, "/b"), web.url(HOST, "/c")]
    assert found.final_url == web.url(HOST, "/c")
    assert visit(web.url(HOST, "/loop")).outcome is Outcome.TOO_MANY_REDIRECTS
    assert visit(web.url(HOST, "/hop0")).outcome is Outcome.TOO_MANY_REDIRECTS
    assert visit(web.url(HOST, "/hop5"), fetch={"max_redirects": 2}).outcome is not None


@pytest.mark.parametrize(
    ("location", "outcome"),
    [
        ("http://10.0.0.1/", Outcome.FORBIDDEN_ADDRESS),
        ("http://169.254.169.254/latest", Outcome.FORBIDDEN_ADDRESS),
        ("file:///etc/passwd", Outcome.BAD_REDIRECT),
        ("http://[", Outcome.BAD_REDIRECT),
        ("", Outcome.TOO_MANY_REDIRECTS),
    ],
)
def test_a_redirect_leads_nowhere_private(serve, location, outcome):
    web = served(serve, x=redirect(location))
    assert visit(web.url(HOST, "/x")).outcome is outcome


def test_loopback_is_refused_unless_allowed(serve):
    web = served(serve, x=GOOD)

    async def run():
        spool = Spool(0, "")
        crawler = Crawler(BuildOptions(output="unused"))
        found = [
            await crawler.visit(f"http://{host}:{web.port}/x", spool)
            for host in (
                *("127.0.0.1", HOST, "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "0"),
                *("localhost.", "127.0.0.1.", "127.1", "[::ffff:127.0.0.1]", "%31%32%37.0.0.1"),
            )
        ]
        await crawler.close()
        spool.close()
        return found

    found = asyncio.run(run())
    assert {one.outcome for one in found} == {Outcome.FORBIDDEN_ADDRESS}
    assert web.requests() == []


def busy_for(seconds, num_failures=1):
    """A page that answers 429 with Retry-After the first time."""
    retry_after = (("Retry-After", str(seconds)),) if seconds else ()
    return Page(BODY, num_failures=num_failures, failure_status=429, failure_headers=retry_after)


def test_passing_failures_are_tried_again_and_lasting_ones_are_not(serve):
    web = served(
        serve,
        once=Page(BODY, num_failures=1),
        always=Page(b"", 500),
        missing=Page(b"", 404),
        wait=busy_for(1),
    )
    names = ("once", "always", "missing", "wait")
    found = visit_all([web.url(HOST, f"/{name}") for name in names])
    assert [(one.outcome, one.attempts) for one, _ in found] == [
        (None, 2),
        (Outcome.HTTP_5XX, 2),
        (Outcome.HTTP_404, 1),
        (None, 2),
    ]


def test_a_host_that_asks_for_a_long_rest_gets_it(serve):
    web = served(serve, x=busy_for(900, num_failures=99))
    found = visit_all([web.url(HOST, "/x")] * 40)
    outcomes = Counter(one.outcome for one, _ in found)
    asked = sum(request.path == "/x" for request in web.requests())
    # Those that were in flight already when the first answer came, and nobody after them.
    assert asked == outcomes[Outcome.HTTP_429] <= 16
    assert outcomes[Outcome.DEFERRED] == 40 - asked


def test_a_storm_of_429_is_met_by_ever_longer_rests(serve):
    web = served(serve, x=busy_for(None, num_failures=999))
    politeness = PolitenessOptions(host_wait_s=1.9)
    found = visit_all([web.url(HOST, "/x")] * 60, politeness=politeness)
    outcomes = Counter(one.outcome for one, _ in found)
    assert set(outcomes) == {Outcome.HTTP_429, Outcome.DEFERRED}
    assert sum(request.path == "/x" for request in web.requests()) <= 18


@pytest.fixture
def black_hole():
    """A port that lets nobody in: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("robots_txt", ["ignore", "honour"])
def test_ten_thousand_urls_of_a_dead_host_cost_three_time_outs(black_hole, robots_txt):
    found = visit_all(
        [f"http://dead.localhost:{black_hole}/{number}" for number in range(10_000)],
        fetch={"connect_timeout_s": 0.5, "max_attempts": 3},
        consent=ConsentOptions(robots_txt=robots_txt),
    )
    assert {one.outcome for one, _ in found} <= {Outcome.CONNECT, Outcome.HOST_DOWN}
    assert len({id(one.requests) for one, _ in found}) == 10_000
    assert sum(len(one.requests) for one, _ in found) == 3


def test_a_host_whose_robots_txt_never_comes_costs_one_time_out():
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        urls = [f"http://dead.localhost:{port}/{number}" for number in range(100)]
        found = visit_all(urls, fetch={"timeout_s": 0.5})
    assert {one.outcome for one, _ in found} == {Outcome.ROBOTS_UNAVAILABLE}
    assert sum(len(one.requests) for one, _ in found) == 1


def test_every_request_is_on_record(serve):
    web = served(serve, a=redirect("/b"), b=Page(BODY, num_failures=1))
    found = visit(web.url(HOST, "/a"))
    assert found.outcome is None
    assert [one["host"] for one in found.requests] == [HOST] * len(web.requests())
    times = [one["at"] for one in found.requests]
    assert times == sorted(times)
    assert times[-1] == found.fetched_at_us


def test_redirects_and_tries_share_one_deadline(serve):
    pages = {
        f"hop{n}": Page(b"", 302, (("Location", f"/hop{n + 1}"),), delay_s=0.4) for n in range(5)
    }
    web = served(serve, **pages)
    found = visit(web.url(HOST, "/hop0"), fetch={"timeout_s": 1.0})
    assert found.outcome is Outcome.TIMEOUT


def test_inline_bytes_need_no_request():
    (found, body), (empty, _), (broken, _) = visit_all(
        ["data:image/png;base64,YWJj", "data:,", "data:;base64,!"]
    )
    assert (found.outcome, body, found.requests) == (None, b"abc", [])
    assert empty.outcome is Outcome.EMPTY
    assert broken.outcome is Outcome.INVALID_URL


def test_endless_and_slow_answers_end(serve):
    site = Site()
    for delivery in Delivery:
        site.add(HOST, f"/{delivery.name}", Page(BODY, delivery=delivery))
    web = serve(site)
    limits = {"timeout_s": 2.5, "low_speed_s": 1, "low_speed_bytes_per_s": 100}
    found = visit_all(
        [web.url(HOST, f"/{delivery.name}") for delivery in Delivery],
        fetch={**limits, "max_image_bytes": 2_000_000, "max_attempts": 1},
    )
    outcomes = dict(zip(Delivery, (one.outcome for one, _ in found), strict=True))
    assert outcomes == {
        Delivery.WHOLE: None,
        Delivery.CUT: Outcome.CONNECTION_LOST,
        Delivery.ENDLESS: Outcome.TOO_LARGE,
        Delivery.LONG: Outcome.TOO_LARGE,
        Delivery.DRIP: Outcome.LOW_SPEED,
        Delivery.NEVER: outcomes[Delivery.NEVER],
        Delivery.GARBAGE: Outcome.PROTOCOL,
    }
    assert outcomes[Delivery.NEVER] in (Outcome.LOW_SPEED, Outcome.TIMEOUT)


def test_the_byte_cap_counts_what_is_decompressed(serve):
    import gzip

    packed = gzip.compress(bytes(5_000_000))
    page = Page(packed, headers=(("Content-Encoding", "gzip"),))
    web = served(serve, x=page)
    url = web.url(HOST, "/x")
    assert visit(url, fetch={"max_image_bytes": 1_000_000}).outcome is Outcome.TOO_LARGE
    ((found, body),) = visit_all([url])
    assert found.outcome is None
    assert body == bytes(5_000_000)


def test_candidates_beyond_a_hosts_budget_are_deferred_and_never_asked_for(serve):
    web = served(serve, x=GOOD)
    politeness = PolitenessOptions(host_requests_per_s=4.0, host_wait_s=1.0)
    found = visit_all([web.url(HOST, "/x")] * 12, politeness=politeness)
    outcomes = [one.outcome for one, _ in found]
    # One turn went to robots.txt.
    assert outcomes.count(None) in (4, 5)
    assert outcomes.count(Outcome.DEFERRED) == 12 - outcomes.count(None)
    assert len(web.requests()) == outcomes.count(None) + 1


def test_proxies_of_the_environment_are_not_used(serve, monkeypatch):
    web = served(serve, x=GOOD)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert visit(web.url(HOST, "/x")).outcome is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", 0.0),
        ("-3", 0.0),
    ],
)
def test_retry_after_is_read_in_both_forms(value, seconds):
    assert retry_after_s(value, now=40.0) == seconds


@pytest.fixture
def https(tmp_path):
    """An HTTPS server with a certificate of its own making; its port and certificate."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*command, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404 if self.path == "/robots.txt" else 200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, certificate
    server.shutdown()
    thread.join()
    server.server_close()


def test_certificates_are_verified(https, monkeypatch):
    port, certificate = https
    url = f"https://localhost:{port}/x"
    assert visit(url).outcome is Outcome.TLS
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    ((found, body),) = visit_all([url])
    assert (found.outcome, body) == (None, b"abc")


def test_a_closed_port_refuses(serve):
    web: MiniWeb = served(serve)
    found = visit(f"http://127.0.0.1:{web.closed_port}/x", fetch={"max_attempts": 1})
    assert found.outcome is Outcome.CONNECT
