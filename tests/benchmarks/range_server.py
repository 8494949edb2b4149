"""A folder over HTTP with range requests, each answered after a delay: an object store far away.

As a script: serve the folder that is named, with so many milliseconds of latency; print the port,
stop when stdin closes.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WRITE_BYTES = 1 << 20


@contextmanager
def range_server(folder: Path, latency_ms: int) -> Iterator[str]:
    """The address of the folder, served by a process of its own."""
    server = subprocess.Popen(
        [sys.executable, __file__, str(folder), str(latency_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.communicate(timeout=30)


async def _serve(folder: Path, latency_s: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(latency_s)
                await _answer(folder, request.decode("latin-1"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


async def _answer(folder: Path, request: str, writer: asyncio.StreamWriter) -> None:
    line, *headers = request.split("\r\n")
    method, target, _ = line.split(" ")
    path = folder / target.lstrip("/")
    if not path.is_file():
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    size = path.stat().st_size
    begin, end, status = 0, size, "200 OK"
    for header in headers:
        name, _, value = header.partition(": ")
        if name.lower() == "range":
            first, _, last = value.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(size, int(last) + 1 if last else size)
            status = "206 Partial Content"
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Length: {end - begin}\r\nAccept-Ranges: bytes\r\n"
        f"Content-Range: bytes {begin}-{end - 1}/{size}\r\n\r\n".encode()
    )
    if method == "GET":
        with path.open("rb") as file:
            file.seek(begin)
            while begin < end:
                block = file.read(min(_WRITE_BYTES, end - begin))
                begin += len(block)
                writer.write(block)
                await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]) / 1000))
