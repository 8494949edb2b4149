"""Redirects in circles, to far too many places, to other schemes, and inwards."""

from ingest.miniweb.attacks.kit import DOMAIN, PORT, Kit, good_page
from ingest.miniweb.site import Page, Send, redirect
from schemas.outcome import Outcome

_GUARD, _HOPS = "the address guard", "`--max-redirects`"
# 10.0.0.1, 169.254.169.254 and others that no outsider may reach, in all the ways to write them.
# 127.0.0.1 itself is not among them: whoever crawls this web has to allow it.
_INWARDS = {
    "private": "10.0.0.1",
    "private-172": "172.16.0.1",
    "private-192": "192.168.0.1",
    "carrier": "100.64.0.1",
    "metadata": "169.254.169.254/latest/meta-data",
    "this-network": "0.0.0.0",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.1",
    "decimal": "167772161",
    "octal": "012.0.0.01",
    "hexadecimal": "0x0a000001",
    "hexadecimal-parts": "0xa.0x0.0x0.0x1",
    "short": "10.1",
    "dot": "10.0.0.1.",
    "loopback-two": "127.0.0.2",
    "loopback-decimal": "2130706434",
    "loopback-hexadecimal": "0x7f000002",
    "loopback-octal": "0177.0.0.2",
    "loopback-short": "127.2",
    "loopback-six": "[::1]",
    "loopback-mapped": "[::ffff:127.0.0.2]",
    "unspecified-six": "[::]",
    "mapped": "[::ffff:10.0.0.1]",
    "mapped-hexadecimal": "[::ffff:a00:1]",
    "compatible": "[::10.0.0.1]",
    "six-to-four": "[2002:a00:1::]",
    "teredo": "[2001:0:a00:1::f5ff:fffe]",
    "nat64": "[64:ff9b::a00:1]",
    "nat64-local": "[64:ff9b:1::a00:1]",
    "unique-local": "[fd00::1]",
    "link-local": "[fe80::1]",
    "site-local": "[fec0::1]",
    "multicast-six": "[ff02::1]",
    "documentation": "[2001:db8::1]",
    "user": "good.example@10.0.0.1",
    "user-and-word": "good.example:80@10.0.0.1",
    "fullwidth-digits": "１０.0.0.1",  # noqa: RUF001  # The attack itself.
    "fullwidth-dots": "10。0。0。1",
    "circled-digits": "①⓪.0.0.①",
    "encoded-digits": "%31%30.0.0.1",
}
_SCHEMES = {
    "file": "file:///etc/passwd",
    "ftp": "ftp://10.0.0.1/",
    "gopher": "gopher://10.0.0.1:25/_HELO",
    "dict": "dict://10.0.0.1:11211/stats",
    "javascript": "javascript:alert(1)",
    "smb": "smb://10.0.0.1/share",
    "unknown": "x-y-z://10.0.0.1/",
    "broken": "http://[::1",
    "bad-port": "http://10.0.0.1:99999/",
    "data": "data:image/png;base64,iVBORw0KGgo=",
}


def add_redirects(kit: Kit) -> None:
    """All ways in which a Location can mislead."""
    _add_circles(kit)
    for name, address in _INWARDS.items():
        what = f"a redirect to `http://{address}/`".replace("|", "\\|")
        refused = [Outcome.FORBIDDEN_ADDRESS, Outcome.BAD_REDIRECT, Outcome.INVALID_URL]
        page = _raw(f"http://{address}/".encode())
        kit.page(f"inward-{name}", page, what, _GUARD, *refused)
    for name, location in _SCHEMES.items():
        what = f"a redirect to `{location}`"
        page = _raw(location.encode())
        kit.page(f"scheme-{name}", page, what, "http and https only", Outcome.BAD_REDIRECT)
    _add_odd_locations(kit)


def _add_circles(kit: Kit) -> None:
    loops = Outcome.TOO_MANY_REDIRECTS
    kit.page("redirect-loop", redirect("/x.jpg"), "a redirect to itself", _HOPS, loops)
    host = kit.page("redirect-circle", redirect("/y"), "a circle of two redirects", _HOPS, loops)
    kit.site.add(host, "/y", redirect("/x.jpg"))
    host = kit.page("redirect-chain", redirect("/1"), "a chain of 100 redirects", _HOPS, loops)
    for number in range(1, 100):
        kit.site.add(host, f"/{number}", redirect(f"/{number + 1}"))
    names = [f"redirect-relay-{number}.{DOMAIN}" for number in range(20)]
    first = redirect(f"http://{names[0]}:{PORT}/x.jpg")
    kit.page("redirect-relay", first, "a chain through 20 hosts", _HOPS, loops)
    for host, following in zip(names, [*names[1:], names[0]], strict=True):
        kit.site.add(host, "/x.jpg", redirect(f"http://{following}:{PORT}/x.jpg"))


def _add_odd_locations(kit: Kit) -> None:
    bad, kept, broken = Outcome.BAD_REDIRECT, Outcome.KEPT, Outcome.PROTOCOL
    gone = Outcome.HTTP_404
    long = redirect("/" + "a" * 60_000)
    kit.page("location-long", long, "a Location of 60 kB", "16,384 characters", bad)
    endless = Page(b"", 302)
    kit.page("location-missing", endless, "no Location", _HOPS, bad, Outcome.TOO_MANY_REDIRECTS)
    nul = _raw(b"/a\0b")
    kit.page("location-nul", nul, "a NUL in Location", "the HTTP parser", broken, bad, gone)
    carriage = _raw(b"/a\rX-Evil: 1")
    kit.page("location-cr", carriage, "a bare CR in Location", "the HTTP parser", broken, bad, gone)
    host = kit.page(
        "location-crlf",
        redirect("/y%0d%0aX-Evil:%201"),
        "an encoded CRLF",
        "percent-encoding",
        kept,
    )
    kit.site.add(host, "/y%0d%0aX-Evil:%201", good_page())
    latin = _raw("/é ü.jpg".encode("latin-1"))
    kit.page("location-latin", latin, "Latin-1 and a space in Location", "http", gone, bad)
    two = Page(steps=(Send(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n\r\n"),))
    kit.page("location-twice", two, "two Locations", "the HTTP parser", broken, gone, bad)
    host = kit.page(
        "location-hostless", redirect("http:///y"), "a Location without host", "", gone, bad
    )
    # WHATWG reads a backslash as a slash, so that 10.0.0.1 is the host; RFC 3986 knows none.
    away = redirect(f"http://10.0.0.1\\@{host}:{PORT}/")
    inside = (Outcome.FORBIDDEN_ADDRESS, bad, gone)
    kit.page("location-backslash", away, "a backslash before the host", _GUARD, *inside)


def _raw(location: bytes) -> Page:
    """A redirect whose Location goes over the wire as it is."""
    start = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
    return Page(steps=(Send(start + location + b"\r\n\r\n"),))
