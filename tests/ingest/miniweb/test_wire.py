import http.client
import socket
import time

import pytest

from ingest.miniweb.server import Manner
from ingest.miniweb.site import Page, Repeat, Reset, Send, Site, Wait, redirect

HOST = "a.localhost"
HEAD = Send(b"HTTP/1.1 200 OK\r\n\r\n")


def exchange(web, path="/x", stop_at=None):
    """Everything that the server sends, up to its end, a reset or `stop_at` bytes."""
    received = b""
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        while (stop_at is None or len(received) < stop_at) and (more := connection.recv(65_536)):
            received += more
    return received


def served(serve, *steps, **manner):
    site = Site()
    site.add(HOST, "/x", Page(steps=steps))
    return serve(site, manner=Manner(**manner))


def test_steps_are_sent_as_they_are_and_then_the_connection_closes(serve):
    web = served(serve, HEAD, Repeat(b"ab", times=3), Send(b"\xff"))
    assert exchange(web) == HEAD.content + b"ababab\xff"


def test_a_repetition_without_number_lasts_as_long_as_somebody_reads(serve):
    web = served(serve, Repeat(b"x" * 1000))
    assert len(exchange(web, stop_at=5_000_000)) >= 5_000_000


def test_slow_repetitions_pause(serve):
    web = served(serve, Repeat(b"x", slow=True, times=5), drip_s=0.05)
    began = time.monotonic()
    assert exchange(web) == b"xxxxx"
    assert time.monotonic() - began >= 0.2


def test_a_reset_is_no_ordinary_end(serve):
    web = served(serve, HEAD, Reset())
    with pytest.raises(ConnectionResetError):
        exchange(web)


def test_waiting_keeps_the_connection_open(serve):
    web = served(serve, HEAD, Wait())
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        connection.sendall(f"GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert connection.recv(1000) == HEAD.content
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1000)


def test_dead_ports_refuse_ignore_and_drop(serve):
    web = served(serve, HEAD)
    closed, deaf, full = (int(web.fill(f"{{{name}_port}}")) for name in ("closed", "deaf", "full"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", closed), timeout=1)
    with socket.create_connection(("127.0.0.1", deaf), timeout=0.1) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", full), timeout=0.1)


def test_requests_tell_when_they_came_and_a_host_may_have_one_page_for_all_paths(serve):
    site = Site()
    site.add(HOST, "*", Page(b"anything"))
    site.add(HOST, "/moved", redirect("http://b.localhost:{port}/"))
    web = serve(site)
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    for path, status in (("/1", 200), ("/2", 200), ("/moved", 302)):
        connection.request("GET", path, headers={"Host": HOST, "X-Evil": "1"})
        answer = connection.getresponse()
        assert answer.status == status
        answer.read()
    connection.close()
    assert answer.headers["Location"] == f"http://b.localhost:{web.port}/"
    times = [request.at_s for request in web.requests()]
    assert began <= times[0] <= times[1] <= times[2] <= time.monotonic()
    assert web.requests()[0].headers["x-evil"] == "1"
