"""Redirects in circles, to far too many places, and to places that are hard to read."""

from ingest.miniweb.attacks.kit import DOMAIN, PORT, Kit, good_page, raw_redirect
from ingest.miniweb.site import Page, Send, redirect
from schemas.outcome import Outcome

_GUARD, _HOPS = "the address guard", "`--max-redirects`"


def add_redirects(kit: Kit) -> None:
    """All ways in which a Location can mislead."""
    _add_circles(kit)
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
    nul = raw_redirect(b"/a\0b")
    kit.page("location-nul", nul, "a NUL in Location", "the HTTP parser", broken, bad, gone)
    carriage = raw_redirect(b"/a\rX-Evil: 1")
    kit.page("location-cr", carriage, "a bare CR in Location", "the HTTP parser", broken, bad, gone)
    host = kit.page(
        "location-crlf",
        redirect("/y%0D%0AX-Evil:%201"),
        "an encoded CRLF",
        "percent-encoding",
        kept,
    )
    kit.site.add(host, "/y%0D%0AX-Evil:%201", good_page())
    latin = raw_redirect("/é ü.jpg".encode("latin-1"))
    kit.page(
        "location-latin", latin, "Latin-1 and a space in Location", "percent-encoding", gone, bad
    )
    two = Page(steps=(Send(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n\r\n"),))
    kit.page("location-twice", two, "two Locations", "the HTTP parser", broken, gone, bad)
    host = kit.page(
        "location-hostless", redirect("http:///y"), "a Location without host", "RFC 3986", gone, bad
    )
    # WHATWG reads a backslash as a slash, so that 10.0.0.1 is the host; RFC 3986 knows none.
    away = redirect(f"http://10.0.0.1\\@{host}:{PORT}/")
    inside = (Outcome.FORBIDDEN_ADDRESS, bad, gone)
    kit.page("location-backslash", away, "a backslash before the host", _GUARD, *inside)
