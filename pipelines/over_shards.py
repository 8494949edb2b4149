"""Some work on each shard of a dataset: on threads of this machine, or on Beam's workers."""

import os
import secrets
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from ingest import storage
from ingest.errors import SetupError

# Shards of one element: a file of results each would be many files of a dataset of 100,000 shards.
_MOST_AT_ONCE, _FEWEST_ELEMENTS = 16, 1000
_FILES_AT_ONCE = 100
_REMOVERS = 16
_LENGTH = struct.Struct("<Q")

Work = Callable[[int], bytes]


def map_shards(
    work: Work, shards: Sequence[int], beam_arguments: Sequence[str], scratch: str
) -> Iterator[bytes]:
    """What `work` gives for each of these shards, in their order.

    work: gets the number of a shard; on Beam it is pickled, and may run twice for a shard, of which
    one result counts. beam_arguments: none for threads of this machine, one for each CPU, else
    they name the runner. scratch: folder or URI that all workers reach, for results on their way
    here; "" for a temporary one, if the workers are on this machine. Raises SetupError if they are
    not, and Submitted if the runner does not wait.
    """
    if beam_arguments:
        yield from _map_on_beam(work, shards, beam_arguments, scratch)
    else:
        yield from _map_on_threads(work, shards)


def _map_on_threads(work: Work, shards: Sequence[int]) -> Iterator[bytes]:
    num_threads = len(os.sched_getaffinity(0))
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for shard in shards:
                waiting.append(pool.submit(work, shard))
                if len(waiting) > 2 * num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # Else whoever stops early waits for all that is left.
            for future in waiting:
                future.cancel()


def _map_on_beam(
    work: Work, shards: Sequence[int], beam_arguments: Sequence[str], scratch: str
) -> Iterator[bytes]:
    # Beam takes a second to import.
    from pipelines.shard_pipeline import run_over_shards, workers_are_elsewhere

    with ExitStack() as stack:
        if scratch:
            # Of its own, so that results of another run are never taken for this one's.
            folder = storage.join(scratch, f"shards-{secrets.token_hex(8)}")
        elif workers_are_elsewhere(beam_arguments):
            raise SetupError("--scratch: expected a URI that all workers reach, got none")
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="uncurated-shards-"))
        size = min(_MOST_AT_ONCE, -(-len(shards) // _FEWEST_ELEMENTS))
        pieces = [shards[at : at + size] for at in range(0, len(shards), size or 1)]
        run_over_shards(work, pieces, folder, beam_arguments)
        yield from _collect(folder, len(pieces))


def result_path(piece: int) -> str:
    """Name of the file with the results of a piece."""
    return f"{piece:07d}"


def pack_results(results: Sequence[bytes]) -> bytes:
    """Results as one string of bytes."""
    return b"".join(_LENGTH.pack(len(one)) + one for one in results)


def unpack_results(content: bytes) -> Iterator[bytes]:
    """The results that `pack_results` joined."""
    at = 0
    while at < len(content):
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        yield content[at : at + length]
        at += length


def _collect(folder: str, num_pieces: int) -> Iterator[bytes]:
    """All results in order; their files are deleted once they are read."""
    names = [result_path(piece) for piece in range(num_pieces)]
    with ThreadPoolExecutor(_REMOVERS) as pool:
        for at in range(0, num_pieces, _FILES_AT_ONCE):
            some = names[at : at + _FILES_AT_ONCE]
            for content in storage.read_many(folder, some):
                yield from unpack_results(content)
            list(pool.map(lambda name: storage.remove(storage.join(folder, name)), some))
