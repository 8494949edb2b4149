"""The program of a decoder process: reads requests from a socket, answers with what the image is.

A request is (spool, offset, length, side), an answer a length and a JSON array: what the image is,
or, if `side` is not 0, its pixels with sides of at most so many. The process limits its own memory,
and an alarm of the kernel kills it when one image takes too long, even inside C code.
"""

import contextlib
import gc
import os
import resource
import signal
import socket
import struct
import sys
from base64 import b64encode
from dataclasses import astuple
from pathlib import Path

import orjson

from ingest.errors import InspectError
from ingest.inspect.decode import configure_pillow, inspect_image, small_picture
from ingest.spool import read_region
from schemas.outcome import Outcome

REQUEST = struct.Struct("<IQQI")
ANSWER_LENGTH = struct.Struct("<I")
# For tests of the sandbox: with this variable set, these markers in a file are obeyed.
MARKERS_VARIABLE = "UNCURATED_TEST_DECODER_MARKERS"
ABORT_MARKER = b"uncurated-test: abort the decoder"
HANG_MARKER = b"uncurated-test: hang the decoder"


def main(argv: list[str]) -> None:
    """Serve requests until the other end closes: SOCKET TIMEOUT_S MEMORY_MIB MAX_PIXELS SPOOL..."""
    channel = socket.socket(fileno=int(argv[0]))
    timeout_s, memory_mib, max_pixels = float(argv[1]), int(argv[2]), int(argv[3])
    spools = [int(descriptor) for descriptor in argv[4:]]
    configure_pillow()
    _limit_memory(memory_mib)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    stream = channel.makefile("rb", buffering=4096)
    # A reset or broken pipe means that nobody waits for the rest.
    with contextlib.suppress(ConnectionError):
        while len(request := stream.read(REQUEST.size)) == REQUEST.size:
            spool, offset, length, side_px = REQUEST.unpack(request)
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            found = _answer(spools[spool], offset, length, side_px, max_pixels)
            answer = orjson.dumps(found, default=_text)
            signal.setitimer(signal.ITIMER_REAL, 0)
            channel.sendall(ANSWER_LENGTH.pack(len(answer)) + answer)


def _answer(
    descriptor: int, offset: int, length: int, side_px: int, max_pixels: int
) -> list[object]:
    """The answer: [outcome, detail], or "ok" before the fields of an Inspection or a picture."""
    try:
        content = read_region(descriptor, offset, length)
        _obey_markers(content)
        if side_px:
            pixels = small_picture(content, side_px, max_pixels)
            return ["ok", *pixels.shape[:2], pixels.tobytes()]
        return ["ok", *astuple(inspect_image(content, max_pixels))]
    except InspectError as error:
        return [error.outcome.value, error.detail]
    except MemoryError:
        return [Outcome.DECODER_MEMORY.value, "decoding needed more memory than the limit"]


def _text(value: bytes) -> str:
    return b64encode(value).decode()


def _obey_markers(content: bytes) -> None:
    if MARKERS_VARIABLE not in os.environ:
        return
    if ABORT_MARKER in content:
        os.abort()
    while HANG_MARKER in content:
        signal.pause()


def _limit_memory(memory_mib: int) -> None:
    """Cap the address space at what the imports took plus `memory_mib`."""
    statm = Path("/proc/self/statm")
    own_bytes = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
    limit = own_bytes + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1:])
