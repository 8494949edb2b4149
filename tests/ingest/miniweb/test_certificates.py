import socket
import ssl
from datetime import UTC, datetime

import pytest

from ingest.miniweb.certificates import make_authority, tls_context
from ingest.miniweb.server import Manner, MiniWeb
from ingest.miniweb.site import Flaw, Page, Site


@pytest.fixture(scope="module")
def web_and_authority():
    now = datetime.now(UTC)
    authority = make_authority(now)
    site, hosts = Site(), {f"{flaw.name.lower()}.localhost": flaw for flaw in Flaw}
    for host in hosts:
        site.add(host, "/x", Page(host.encode()))
    with MiniWeb(site, manner=Manner(tls=tls_context(authority, hosts, now))) as web:
        yield web, authority.pem.decode()


def ask(web, host, pem):
    """The answer to GET /x over TLS, after the usual checks of certificate and name."""
    context = ssl.create_default_context(cadata=pem)
    context.hostname_checks_common_name = False
    port = int(web.fill("{tls_port}"))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(f"GET /x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(host.encode()):
            answer += secure.recv(1000)
        return answer


def test_a_good_certificate_is_good_for_its_host(web_and_authority):
    web, pem = web_and_authority
    assert ask(web, "none.localhost", pem).startswith(b"HTTP/1.1 200 OK")
    assert ask(web, "none.localhost", pem) == ask(web, "none.localhost", pem)


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        (Flaw.EXPIRED, "expired"),
        (Flaw.EARLY, "not yet valid"),
        (Flaw.SELF_SIGNED, "self-signed"),
        (Flaw.STRANGER, "unable to get local issuer"),
        (Flaw.OTHER_NAME, "Hostname mismatch"),
        (Flaw.NO_NAME, "Hostname mismatch"),
    ],
)
def test_each_flaw_is_the_one_that_it_says(web_and_authority, flaw, message):
    web, pem = web_and_authority
    with pytest.raises(ssl.SSLCertVerificationError, match=message):
        ask(web, f"{flaw.name.lower()}.localhost", pem)


def test_a_handshake_at_the_plain_port_is_answered_with_noise(web_and_authority):
    web, _ = web_and_authority
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as plain:
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="none.localhost")
