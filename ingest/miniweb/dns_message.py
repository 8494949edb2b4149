"""DNS messages, as far as a small name server needs them (RFC 1035, section 4)."""

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum

_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION = 0x8000, 0x0400, 0x0200, 0x0080
_KEPT_FLAGS = 0x7900  # Operation code and "recursion desired" come back as they were asked.
_INTERNET = 1
_MAX_LABEL_BYTES = 63


class Kind(IntEnum):
    """Record types that are served."""

    A = 1
    CNAME = 5
    SOA = 6
    AAAA = 28


class Status(IntEnum):
    """Response codes."""

    OK = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NO_SUCH_NAME = 3
    REFUSED = 5


@dataclass(frozen=True)
class Record:
    """One record: an address for A and AAAA, a name for CNAME and SOA."""

    kind: Kind
    value: str
    ttl_s: int = 0
    name: str = ""


@dataclass(frozen=True)
class Question:
    """What a query asks for; `name` in lower case, without the last dot."""

    number: int
    flags: int
    name: str
    kind: int


def read_question(message: bytes) -> Question:
    """The question of a query; raises ValueError if it has not exactly one."""
    if len(message) < _HEADER.size:
        raise ValueError(f"expected {_HEADER.size} bytes of header, got {len(message)}")
    number, flags, num_questions, *_ = _HEADER.unpack_from(message)
    if num_questions != 1 or flags & _RESPONSE:
        raise ValueError(f"expected a query with 1 question, got {num_questions}")
    labels, at = [], _HEADER.size
    while length := message[at : at + 1]:
        at += 1
        if length == b"\0":
            break
        if length[0] > _MAX_LABEL_BYTES:
            raise ValueError(f"expected a label of at most 63 bytes, got {length[0]}")
        labels.append(message[at : at + length[0]].decode("latin-1"))
        at += length[0]
    if len(message) < at + 4:
        raise ValueError(f"expected {at + 4} bytes of question, got {len(message)}")
    kind = int.from_bytes(message[at : at + 2], "big")
    return Question(number, flags, ".".join(labels).lower(), kind)


def write_answer(
    question: Question, records: tuple[Record, ...], status: Status, truncated: bool = False
) -> bytes:
    """The answer to a question; a record without a name bears that of the question.

    An answer without records tells how long that may be remembered (RFC 2308): not at all.
    """
    flags = _RESPONSE | _AUTHORITATIVE | _RECURSION | (question.flags & _KEPT_FLAGS) | status
    flags |= _TRUNCATED if truncated else 0
    absent = not records and not truncated and status in (Status.OK, Status.NO_SUCH_NAME)
    authority = (Record(Kind.SOA, "nowhere.test"),) if absent else ()
    header = _HEADER.pack(question.number, flags, 1, len(records), len(authority), 0)
    asked = write_name(question.name) + struct.pack(">HH", question.kind, _INTERNET)
    return header + asked + b"".join(_record(question, one) for one in (*records, *authority))


def write_name(name: str) -> bytes:
    """A name as labels, without compression."""
    labels = [label.encode("latin-1") for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _record(question: Question, record: Record) -> bytes:
    data = _data(record)
    name = write_name(record.name or question.name)
    return name + struct.pack(">HHIH", record.kind, _INTERNET, record.ttl_s, len(data)) + data


def _data(record: Record) -> bytes:
    if record.kind in (Kind.A, Kind.AAAA):
        return ipaddress.ip_address(record.value).packed
    if record.kind is Kind.CNAME:
        return write_name(record.value)
    serial_and_times = struct.pack(">IIIII", 1, 3600, 600, 86_400, 0)
    return write_name(record.value) + write_name(f"hostmaster.{record.value}") + serial_and_times
