"""The loop of a child process: it reads regions of spools, answers with bytes or an outcome word.

A request is (spool, offset, length, side), an answer a status, a length and a payload. The process
limits its own memory, and an alarm of the kernel kills it when one image takes too long, even
inside C code. `child_pool` is the other end.
"""

import contextlib
import gc
import resource
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from ingest.errors import InspectError
from ingest.spool import read_region
from schemas.outcome import Outcome

REQUEST = struct.Struct("<IQQI")
# Whether there is a result, and the bytes that follow: the result, or a JSON [outcome, detail].
ANSWER_HEAD = struct.Struct("<?I")

# (content of the region, side of the request, most pixels) -> result; raises InspectError.
Work = Callable[[bytes, int, int], bytes]


def serve(arguments: Sequence[str], work: Work) -> None:
    """Do `work` until the other end closes: SOCKET TIMEOUT_S MEMORY_MIB MAX_PIXELS SPOOL..."""
    channel = socket.socket(fileno=int(arguments[0]))
    timeout_s, memory_mib, max_pixels = float(arguments[1]), int(arguments[2]), int(arguments[3])
    spools = [int(descriptor) for descriptor in arguments[4:]]
    _limit_memory(memory_mib)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    stream = channel.makefile("rb", buffering=4096)
    # A reset or broken pipe means that nobody waits for the rest.
    with contextlib.suppress(ConnectionError):
        while len(request := stream.read(REQUEST.size)) == REQUEST.size:
            spool, offset, length, side_px = REQUEST.unpack(request)
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            try:
                content = read_region(spools[spool], offset, length)
                done, payload = True, work(content, side_px, max_pixels)
            except InspectError as error:
                done, payload = False, _refusal(error.outcome, error.detail)
            except MemoryError:
                detail = "decoding needed more memory than the limit"
                done, payload = False, _refusal(Outcome.DECODER_MEMORY, detail)
            signal.setitimer(signal.ITIMER_REAL, 0)
            channel.sendall(ANSWER_HEAD.pack(done, len(payload)) + payload)


def _refusal(outcome: Outcome, detail: str) -> bytes:
    return orjson.dumps([outcome.value, detail])


def _limit_memory(memory_mib: int) -> None:
    """Cap the address space at what the imports took plus `memory_mib`."""
    statm = Path("/proc/self/statm")
    own_bytes = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
    limit = own_bytes + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
