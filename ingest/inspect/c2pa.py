"""The training and data mining assertion of a file's Content Credentials, where there is one.

C2PA technical specification 2.1, section 18.20 (`c2pa.training-mining`), and CAWG training and data
mining assertion 1.1 (`cawg.training-mining`): a map of uses to `allowed`, `notAllowed` or
`constrained`, in CBOR, inside JUMBF boxes (ISO 19566-5). JPEG holds them in APP11 segments, PNG in
a chunk caBX, WebP in a chunk C2PA. Signatures are not verified: what is asserted is put on record,
whoever asserts it.
"""

import struct
from collections.abc import Iterator
from typing import Any

_LABELS = ("c2pa.training-mining", "cawg.training-mining")
_JPEG, _PNG, _RIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF"
_APP11, _START_OF_SCAN = 0xEB, 0xDA
_MAX_BOXES, _MAX_DEPTH, _MAX_ENTRIES = 10_000, 12, 32
# Uses that this crawl is for (CAWG 1.1, section 3): inference alone, that of a model, is not.
_OUR_USES = ("data_mining", "ai_training", "ai_generative_training")


def training_mining(content: bytes) -> tuple[str, ...]:
    """The entries of the assertion, as `use: permission`; none of a file that asserts nothing.

    Never raises: what is malformed asserts nothing.
    """
    found: list[str] = []
    try:
        # Of nearly all files a few headers are looked at: 3 us.
        store = _manifest_store(content)
        for label, kind, payload in _assertions(store) if store else ():
            found += _entries(kind, payload) if label.startswith(_LABELS) else ()
    except (ValueError, struct.error, RecursionError):
        return tuple(found[:_MAX_ENTRIES])
    return tuple(found[:_MAX_ENTRIES])


def refuses(entries: tuple[str, ...]) -> bool:
    """Whether an entry denies mining or training; a constraint that is not met denies it, too."""
    for entry in entries:
        use, _, permission = entry.partition(": ")
        ours = use.partition(".")[2] in _OUR_USES
        if ours and permission.partition(" ")[0] in ("notAllowed", "constrained"):
            return True
    return False


def _manifest_store(content: bytes) -> bytes:
    if content.startswith(_JPEG):
        return b"".join(_jpeg_pieces(content))
    if content.startswith(_PNG):
        return next(_chunks(content, 8, ">I4s", True, b"caBX"), b"")
    if content.startswith(_RIFF):
        return next(_chunks(content, 12, "<4sI", False, b"C2PA"), b"")
    return b""


def _jpeg_pieces(content: bytes) -> Iterator[bytes]:
    """The JUMBF superbox that APP11 segments hold in pieces (ISO 19566-5, annex D)."""
    place, is_first = 2, True
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == _START_OF_SCAN or length < 2:
            return
        piece = content[place + 4 : place + 2 + length]
        # "JP", number of the box, number of the piece; the box's own header stands in each piece.
        if marker == _APP11 and piece[:2] == b"JP" and len(piece) > 16:
            yield piece[8:] if is_first else piece[16:]
            is_first = False
        place += 2 + length


def _chunks(
    content: bytes, place: int, head: str, length_first: bool, wanted: bytes
) -> Iterator[bytes]:
    """Data of the wanted chunks of a PNG or RIFF file."""
    while place + 8 <= len(content):
        first, second = struct.unpack_from(head, content, place)
        name, length = (second, first) if length_first else (first, second)
        if name == wanted:
            yield content[place + 8 : place + 8 + length]
        if name == b"IDAT":
            return
        # PNG: a checksum of four bytes; RIFF: even lengths.
        place += 8 + length + (4 if length_first else length % 2)


def _assertions(store: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Label, box type and payload of each labelled content box, breadth first."""
    waiting, num_boxes = [(store, 0)], 0
    while waiting:
        data, depth = waiting.pop(0)
        label = ""
        for kind, payload in _boxes(data):
            num_boxes += 1
            if num_boxes > _MAX_BOXES:
                return
            if kind == b"jumd":
                label = _label(payload)
            elif kind == b"jumb" and depth < _MAX_DEPTH:
                waiting.append((payload, depth + 1))
            elif kind in (b"cbor", b"json"):
                yield label, kind, payload


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        begin = place + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        end = len(data) if length == 0 else place + length
        if end < begin:
            return
        yield kind, data[begin:end]
        place = end


def _label(description: bytes) -> str:
    """The label in a description box: behind a UUID of 16 bytes and a byte of toggles."""
    return description[17:].partition(b"\0")[0].decode("utf-8", errors="replace")


def _entries(kind: bytes, payload: bytes) -> list[str]:
    found = _parse(kind, payload)
    entries = found.get("entries", found) if isinstance(found, dict) else {}
    if not isinstance(entries, dict):
        return []
    return [
        f"{use}: {value['use']}"[:200]
        for use, value in entries.items()
        if isinstance(value, dict) and "use" in value
    ]


def _parse(kind: bytes, payload: bytes) -> Any:
    # Only the few files that hold an assertion pay for the import.
    if kind == b"json":
        import orjson

        return orjson.loads(payload)
    import cbor2

    try:
        return cbor2.loads(payload)
    except cbor2.CBORDecodeError as error:
        raise ValueError(str(error)) from error
