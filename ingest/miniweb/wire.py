"""Pages as bytes on a connection: which steps a page means, and how they are played."""

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from http import HTTPStatus
from itertools import count

from ingest.miniweb.site import Delivery, Page, Repeat, Reset, Send, Step, Wait

NOISE = random.Random(0).randbytes(1 << 18)
_LONG_BLOCKS = 763
_LINGER_NOT = struct.pack("ii", 1, 0)


def script(page: Page) -> tuple[Step, ...]:
    """What goes over the wire for a page, head included."""
    if page.steps:
        return page.steps
    whole, delivery = len(page.body), page.delivery
    if delivery is Delivery.WHOLE:
        return (Send(_head(page, f"Content-Length: {whole}") + page.body),)
    if delivery is Delivery.CUT:
        half = page.body[: whole // 2]
        return (Send(_head(page, f"Content-Length: {whole}") + half),)
    if delivery is Delivery.LONG:
        length = f"Content-Length: {_LONG_BLOCKS * len(NOISE)}"
        return (Send(_head(page, length)), Repeat(NOISE, times=_LONG_BLOCKS))
    if delivery is Delivery.NEVER:
        return (Wait(),)
    if delivery is Delivery.GARBAGE:
        return (Send(b"\x00\x01 this is no HTTP\r\n\r\n" + NOISE[:1000]),)
    drip = Repeat(b"\xff", slow=True)
    stream = drip if delivery is Delivery.DRIP else Repeat(NOISE)
    return (Send(_head(page, "Connection: close")), stream)


async def play(steps: tuple[Step, ...], writer: asyncio.StreamWriter, drip_s: float) -> None:
    """Play the steps to a client; ends early, with ConnectionError, when it leaves."""
    for step in steps:
        match step:
            case Send():
                writer.write(step.content)
                await writer.drain()
            case Repeat():
                await _repeat(step, writer, drip_s)
            case Wait():
                await asyncio.Event().wait()
            case Reset():
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                writer.transport.abort()


async def _repeat(step: Repeat, writer: asyncio.StreamWriter, drip_s: float) -> None:
    turns: Iterator[int] = count() if step.times is None else iter(range(step.times))
    for _ in turns:
        writer.write(step.block)
        await writer.drain()
        # Even a client that always reads leaves the others their turn.
        await asyncio.sleep(drip_s if step.slow else 0)


def _head(page: Page, framing: str) -> bytes:
    reason = HTTPStatus(page.status).phrase if page.status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {page.status} {reason}"]
    lines += [*(f"{name}: {value}" for name, value in page.headers), framing]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
