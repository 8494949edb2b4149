"""Answers that never end, come a byte at a time, break off, or are not quite HTTP."""

from ingest.miniweb.attacks.kit import DOMAIN, Attack, Kit, head, jpeg
from ingest.miniweb.site import Delivery, Page, Repeat, Reset, Send, Wait
from ingest.miniweb.wire import NOISE
from schemas.outcome import Outcome

_TIME, _SPEED, _BYTES = "`--timeout-s`", "`--low-speed-s`", "`--max-image-bytes`"
_HEADER = "libcurl: 300 KiB of header"
_HTTP = "the HTTP parser"
_CLOSE = "the connection's end"
_STATUS_LINE = Send(b"HTTP/1.1 200 OK\r\n")


def add_answers(kit: Kit) -> None:
    """Everything that one connection can do wrong."""
    _add_endless(kit)
    _add_slow(kit)
    _add_floods(kit)
    _add_resets(kit)
    _add_lengths(kit)
    _add_chunks(kit)
    _add_nonsense(kit)


def _add_endless(kit: Kit) -> None:
    large = Outcome.TOO_LARGE
    endless, long = Page(delivery=Delivery.ENDLESS), Page(delivery=Delivery.LONG)
    kit.page("endless-body", endless, "a body that never ends", _BYTES, large)
    kit.page("long-body", long, "200 MB, with their length", _BYTES, large)
    error = (head(status="404 Not Found"), Repeat(NOISE))
    kit.wire("endless-error-page", error, "a 404 page without end", "64 KiB", Outcome.HTTP_404)


def _add_slow(kit: Kit) -> None:
    slow, late = Outcome.LOW_SPEED, Outcome.TIMEOUT
    drip = Page(delivery=Delivery.DRIP)
    kit.page("drip", drip, "a byte a second", _SPEED, slow, late)
    headers = (_STATUS_LINE, Repeat(b"X-More: yes\r\n", slow=True))
    kit.wire("slow-headers", headers, "a header a second, without end", _SPEED, slow, late)
    silent = Page(delivery=Delivery.NEVER)
    kit.page("never-answers", silent, "no answer at all", _SPEED, slow, late)
    stuck = (head("Content-Length: 5000"), Send(jpeg()[:100]), Wait())
    kit.wire("stuck-body", stuck, "stops in the body and stays", _SPEED, slow, late)
    unheard = (Outcome.ROBOTS_UNAVAILABLE, late)
    for name, port, what, hosts in (
        ("never-reads", "{deaf_port}", "accepts connections and never reads", unheard),
        (
            "never-accepts",
            "{full_port}",
            "its queue of connections is full",
            (Outcome.CONNECT, *unheard),
        ),
    ):
        url = f"http://{name}.{DOMAIN}:{port}/x.jpg"
        kit.attacks.append(Attack(name, what, url, hosts, "`--connect-timeout-s`, " + _TIME))


def _add_floods(kit: Kit) -> None:
    broken = (Outcome.PROTOCOL, Outcome.CONNECTION_LOST)
    for name, steps, what in (
        (
            "header-without-end",
            (_STATUS_LINE, Send(b"X-Long: "), Repeat(b"a" * 65_536)),
            "one header that never ends",
        ),
        ("header-flood", (_STATUS_LINE, Repeat(b"X-More: yes\r\n" * 1000)), "endless headers"),
        ("status-without-end", (Send(b"HTTP/1.1 200 "), Repeat(b"a" * 65_536)), "a status line"),
        (
            "trailer-flood",
            (
                head("Transfer-Encoding: chunked"),
                Send(b"0\r\n"),
                Repeat(b"X-More: yes\r\n" * 1000),
            ),
            "endless headers behind a chunked body",
        ),
        (
            "interim-flood",
            (Repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),),
            "answers of status 100 without end",
        ),
        (
            "early-hints-flood",
            (Repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100),),
            "answers of status 103 without end",
        ),
    ):
        kit.wire(name, steps, what, _HEADER, *broken)


def _add_resets(kit: Kit) -> None:
    lost = Outcome.CONNECTION_LOST
    before = (Reset(),)
    kit.wire("reset-at-once", before, "a reset instead of an answer", _CLOSE, Outcome.CONNECT, lost)
    headers = (_STATUS_LINE, Send(b"X-More: yes\r\n"), Reset())
    kit.wire("reset-in-headers", headers, "a reset in the headers", _CLOSE, lost)
    body = (head("Content-Length: 5000"), Send(jpeg()[:500]), Reset())
    kit.wire("reset-in-body", body, "a reset in the body", _CLOSE, lost)
    kit.wire("closed-at-once", (Send(b""),), "an end instead of an answer", _CLOSE, lost)
    cut = Page(jpeg(), delivery=Delivery.CUT)
    kit.page("closed-in-body", cut, "an end in the middle of the body", _CLOSE, lost)


def _add_lengths(kit: Kit) -> None:
    body, length = Send(jpeg()), len(jpeg())
    forged = Send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    bad, kept = Outcome.PROTOCOL, Outcome.KEPT
    lost = Outcome.CONNECTION_LOST
    for name, line, what, outcomes in (
        ("length-too-long", f"{length + 100}", "100 bytes fewer than announced", (lost,)),
        ("length-negative", "-5", "a negative length", (bad,)),
        ("length-no-number", "many", "a length that is no number", (bad,)),
        ("length-huge", "9" * 30, "a length of 30 digits", (bad, kept, lost)),
        ("length-list", f"{length}, 7", "two lengths in one header", (bad, kept)),
    ):
        kit.wire(name, (head(f"Content-Length: {line}"), body), what, _HTTP, *outcomes)
    two = (head(f"Content-Length: {length}", "Content-Length: 7"), body)
    kit.wire("length-twice", two, "two lengths in two headers", _HTTP, bad, Outcome.CORRUPT)
    more = (head(f"Content-Length: {length}"), body, forged)
    kit.wire("answer-smuggled", more, "an unasked answer behind the body", _HTTP, kept)
    short = (head(f"Content-Length: {length // 2}"), body)
    kit.wire(
        "length-too-short", short, "a length that cuts the picture", "decoding", Outcome.CORRUPT
    )


def _add_chunks(kit: Kit) -> None:
    begin = head("Transfer-Encoding: chunked")
    piece = b"%x\r\n%b\r\n" % (len(jpeg()), jpeg())
    bad, lost, large = Outcome.PROTOCOL, Outcome.CONNECTION_LOST, Outcome.TOO_LARGE
    for name, steps, what, outcomes in (
        (
            "chunk-size-bad",
            (Send(b"xyz\r\n" + jpeg()),),
            "a chunk size that is no number",
            (bad, lost),
        ),
        ("chunk-size-negative", (Send(b"-5\r\n" + jpeg()),), "a negative chunk size", (bad, lost)),
        (
            "chunk-size-huge",
            (Send(b"f" * 17 + b"\r\n"), Repeat(NOISE)),
            "a chunk size of 17 digits",
            (bad, lost),
        ),
        (
            "chunk-size-endless",
            (Repeat(b"0" * 65_536),),
            "a chunk size that never ends",
            (bad, lost),
        ),
        (
            "chunk-extension-endless",
            (Send(b"5;x="), Repeat(b"a" * 65_536)),
            "a chunk extension that never ends",
            (bad, Outcome.TIMEOUT, Outcome.LOW_SPEED),
        ),
        ("chunks-of-one-byte", (Repeat(b"1\r\na\r\n" * 10_000),), "chunks of one byte", (bad,)),
        ("chunk-endless", (Send(b"7fffffffffffffff\r\n"), Repeat(NOISE)), "a huge chunk", (large,)),
        ("chunk-without-end", (Send(piece),), "no last chunk", (lost,)),
    ):
        limit = _BYTES if large in outcomes else _HTTP
        kit.wire(name, (begin, *steps), what, limit, *outcomes)
    both = head("Transfer-Encoding: chunked", "Content-Length: 5")
    ended = (both, Send(piece + b"0\r\n\r\n"))
    kit.wire("length-and-chunks", ended, "a length beside chunks", _HTTP, Outcome.KEPT, bad)


def _add_nonsense(kit: Kit) -> None:
    bad, other = Outcome.PROTOCOL, Outcome.HTTP_OTHER
    garbage = Page(delivery=Delivery.GARBAGE)
    kit.page("garbage", garbage, "bytes that are no HTTP", _HTTP, bad)
    kit.wire("http-0-9", (Send(jpeg()),), "a body without any header", _HTTP, bad)
    date = "X-Robots-Tag: unavailable_after: 25 Jun 99999999999999999999 15:00:00 GMT"
    dated = (head(f"Content-Length: {len(jpeg())}", date), Send(jpeg()))
    kit.wire("tag-undated", dated, "X-Robots-Tag with an impossible day", "RFC 9110", Outcome.KEPT)
    tags = "X-Robots-Tag: " + ", ".join(["max-snippet: 1"] * 5000)
    tagged = (head(f"Content-Length: {len(jpeg())}", tags), Send(jpeg()))
    kit.wire("tag-long", tagged, "X-Robots-Tag of 80 kB", "500 characters", Outcome.KEPT)
    for name, status, what, outcomes in (
        ("status-letters", "2x0 OK", "a status that is no number", (bad, other)),
        ("status-long", "20000000000 OK", "a status of eleven digits", (bad, other)),
        ("status-zero", "000 OK", "status 000", (bad, other)),
        ("status-999", "999 Odd", "status 999", (other, bad)),
        ("status-101", "101 Switching Protocols", "an upgrade nobody asked for", (other, bad)),
        ("status-206", "206 Partial Content", "a part nobody asked for", (other,)),
        ("status-304", "304 Not Modified", "not modified since never", (other,)),
    ):
        kit.wire(name, (head(status=status), Send(jpeg())), what, _HTTP, *outcomes)
    digits = (head("Content-Length: 0", status="2" * 5000),)
    kit.wire("status-longest", digits, "a status of 5,000 digits", _HTTP, bad, other)
    version = (Send(b"HTTP/9.9 200 OK\r\n\r\n" + jpeg()),)
    kit.wire("version-9", version, "HTTP/9.9", _HTTP, bad)
    nul = (head("X-Nul: a\0b", f"Content-Length: {len(jpeg())}"), Send(jpeg()))
    kit.wire("header-nul", nul, "a NUL in a header", _HTTP, bad, Outcome.KEPT)
    fold = (Send(b"HTTP/1.1 200 OK\r\n: empty\r\n folded\r\nno colon\r\n\r\n" + jpeg()),)
    kit.wire("header-nameless", fold, "headers without name or colon", _HTTP, bad, Outcome.KEPT)
