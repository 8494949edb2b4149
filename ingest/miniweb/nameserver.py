"""A little name server on loopback, whose names may lie, change their minds, or say nothing.

Written by hand rather than with a library: half of what it says is what a library would refuse to
write. It serves UDP and TCP on one port, on the event loop that it is entered in.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from ingest.errors import SetupError
from ingest.miniweb.dns_message import (
    Kind,
    Question,
    Record,
    Status,
    read_question,
    write_answer,
    write_name,
)
from ingest.miniweb.ports import ADDRESS, listen, port_of

_UDP_BYTES = 512
_MAX_LINKS = 16
_PORT_TRIES = 50


class Trick(Enum):
    """How an answer is spoilt on its way."""

    NONE = "as it should be"
    SILENT = "never sent"
    SILENT_TCP = "cut short over UDP, never sent over TCP"
    WRONG_NUMBER = "under the number of another query"
    WRONG_QUESTION = "to another question"
    POINTER_LOOP = "with a compressed name that points at itself"
    GARBAGE = "bytes that are no message"
    SHORT = "ends in the middle of a record"


@dataclass(frozen=True)
class Reply:
    """What a name says when it is asked."""

    records: tuple[Record, ...] = ()
    status: Status = Status.OK
    trick: Trick = Trick.NONE


# The replies of a name to its first, second, ... query of one type; the last one stays.
Names = Mapping[str, tuple[Reply, ...]]


@dataclass(frozen=True)
class Query:
    """One query as it came; `at_s` is on the monotonic clock."""

    name: str
    kind: int
    transport: str
    at_s: float


class NameServer(asyncio.DatagramProtocol):
    """Answers for `names`, and 127.0.0.1 for all of *.localhost; an asynchronous context."""

    def __init__(self, names: Names, port: int = 0) -> None:
        self._names = names
        self._udp, self._tcp = _pair_of_sockets(port)
        self._turns: Counter[tuple[str, int]] = Counter()
        self._queries: list[Query] = []
        self._lock = threading.Lock()
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port of both UDP and TCP."""
        return port_of(self._udp)

    def queries(self) -> list[Query]:
        """All queries so far, in order."""
        with self._lock:
            return list(self._queries)

    async def __aenter__(self) -> "NameServer":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=self._udp)
        self._server = await asyncio.start_server(self._accept, sock=self._tcp)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._transport
        assert self._server
        self._transport.close()
        self._server.close()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport
        answer = self._answer(data, "udp")
        if answer is not None:
            self._transport.sendto(answer, addr)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    answer = self._answer(await reader.readexactly(length), "tcp")
                    if answer is not None:
                        writer.write(len(answer).to_bytes(2, "big") + answer)
                        await writer.drain()
        finally:
            writer.transport.abort()

    def _answer(self, message: bytes, transport: str) -> bytes | None:
        """The bytes that go back; None: silence."""
        try:
            question = read_question(message)
        except ValueError:
            return None
        with self._lock:
            self._queries.append(Query(question.name, question.kind, transport, time.monotonic()))
        reply = self._reply(question)
        records = self._wanted(question, reply)
        if reply.trick is not Trick.NONE:
            return _spoilt(question, records, reply.trick, transport)
        answer = write_answer(question, records, reply.status)
        if transport == "udp" and len(answer) > _UDP_BYTES:
            return write_answer(question, (), reply.status, truncated=True)
        return answer

    def _reply(self, question: Question) -> Reply:
        replies = self._names.get(question.name)
        if replies is None:
            return _default(question.name)
        key = (question.name, question.kind)
        turn, self._turns[key] = self._turns[key], self._turns[key] + 1
        return replies[min(turn, len(replies) - 1)]

    def _wanted(self, question: Question, reply: Reply) -> tuple[Record, ...]:
        """The records of the asked type, behind the aliases that lead to them."""
        aliases, owner = list[Record](), question.name
        for _ in range(_MAX_LINKS):
            named = [replace(one, name=owner) for one in reply.records]
            found = [one for one in named if one.kind == question.kind]
            alias = next((one for one in named if one.kind is Kind.CNAME), None)
            if found or alias is None:
                return (*aliases, *found)
            aliases.append(alias)
            owner = alias.value
            reply = self._names.get(owner, (_default(owner),))[-1]
        return tuple(aliases)


def _default(name: str) -> Reply:
    if name == "localhost" or name.endswith(".localhost"):
        return Reply((Record(Kind.A, ADDRESS, 60),))
    return Reply(status=Status.NO_SUCH_NAME)


def _spoilt(
    question: Question, records: tuple[Record, ...], trick: Trick, transport: str
) -> bytes | None:
    """What goes back for a reply with a trick; None: silence."""
    answer = write_answer(question, records, Status.OK)
    if trick is Trick.SILENT or (trick is Trick.SILENT_TCP and transport == "tcp"):
        return None
    if trick is Trick.SILENT_TCP:
        return write_answer(question, (), Status.OK, truncated=True)
    if trick is Trick.WRONG_NUMBER:
        return write_answer(replace(question, number=question.number ^ 1), records, Status.OK)
    if trick is Trick.WRONG_QUESTION:
        return write_answer(replace(question, name="stranger.test"), records, Status.OK)
    if trick is Trick.POINTER_LOOP:
        begin = len(write_answer(question, (), Status.OK, truncated=True))
        itself = (0xC000 | begin).to_bytes(2, "big")
        return answer[:begin] + itself + answer[begin + len(write_name(question.name)) :]
    return answer[:2] + b"\xff" * 60 if trick is Trick.GARBAGE else answer[:-3]


def _pair_of_sockets(port: int) -> tuple[socket.socket, socket.socket]:
    """A bound UDP and a listening TCP socket on the same port; port 0: any that is free in both."""
    for _ in range(_PORT_TRIES):
        tcp, udp = listen(port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind((ADDRESS, port_of(tcp)))
        except OSError:
            tcp.close()
            udp.close()
        else:
            return udp, tcp
    raise SetupError(
        f"expected port {port} to be free over UDP too, got none in {_PORT_TRIES} tries"
    )
