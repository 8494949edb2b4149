import io
import struct
import zlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingest.inspect.c2pa import refuses, training_mining

ENTRIES = {
    "entries": {
        "cawg.ai_generative_training": {"use": "notAllowed"},
        "cawg.data_mining": {"use": "constrained", "constraint_info": "ask us"},
        "cawg.ai_inference": {"use": "allowed"},
    }
}
EXPECTED = (
    "cawg.ai_generative_training: notAllowed",
    "cawg.data_mining: constrained",
    "cawg.ai_inference: allowed",
)


def box(kind, payload):
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def superbox(label, *boxes):
    description = box(b"jumd", bytes(16) + b"\x03" + label.encode() + b"\0")
    return box(b"jumb", description + b"".join(boxes))


def store(label="cawg.training-mining", content=ENTRIES, kind=b"cbor"):
    payload = cbor2.dumps(content) if isinstance(content, dict) else content
    other = superbox("c2pa.actions", box(b"cbor", cbor2.dumps({"actions": []})))
    assertions = superbox("c2pa.assertions", other, superbox(label, box(kind, payload)))
    return superbox("c2pa", superbox("urn:uuid:1", assertions))


def picture(kind):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, kind)
    return stream.getvalue()


def jpeg(jumbf, piece_bytes=64_000):
    plain, header, segments = picture("JPEG"), jumbf[:8], b""
    pieces = [jumbf[8:][at : at + piece_bytes] for at in range(0, len(jumbf) - 8, piece_bytes)]
    for number, piece in enumerate(pieces, 1):
        data = b"JP" + struct.pack(">HI", 1, number) + header + piece
        segments += b"\xff\xeb" + struct.pack(">H", len(data) + 2) + data
    return plain[:2] + segments + plain[2:]


def png(jumbf):
    plain = picture("PNG")
    chunk = struct.pack(">I", len(jumbf)) + b"caBX" + jumbf
    return plain[:33] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + plain[33:]


def webp(jumbf):
    body = picture("WEBP")[8:] + b"C2PA" + struct.pack("<I", len(jumbf)) + jumbf
    body += b"\0" * (len(jumbf) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("file", [jpeg, png, webp])
def test_the_assertion_is_found_in_each_format(file):
    found = training_mining(file(store()))
    assert found == EXPECTED
    assert refuses(found)


def test_an_assertion_may_come_in_pieces():
    long = {"entries": {**ENTRIES["entries"], "x.filler": {"use": "allowed", "text": "x" * 5000}}}
    assert training_mining(jpeg(store(content=long), piece_bytes=1000))[:3] == EXPECTED


@pytest.mark.parametrize(
    ("label", "entries", "refused"),
    [
        ("c2pa.training-mining", {"c2pa.ai_training": {"use": "notAllowed"}}, True),
        ("c2pa.training-mining__1", {"c2pa.data_mining": {"use": "constrained"}}, True),
        ("c2pa.training-mining.v2", {"c2pa.ai_training": {"use": "allowed"}}, False),
        ("cawg.training-mining", {"cawg.ai_inference": {"use": "notAllowed"}}, False),
        ("c2pa.actions", {"c2pa.ai_training": {"use": "notAllowed"}}, False),
    ],
)
def test_what_denies_our_use_is_told_from_the_rest(label, entries, refused):
    content = jpeg(store(label, {"entries": entries}))
    assert refuses(training_mining(content)) == refused
    assert refuses(training_mining(jpeg(store(label, entries)))) == refused


def test_json_is_read_too():
    content = b'{"entries": {"cawg.ai_training": {"use": "notAllowed"}}}'
    assert training_mining(png(store(content=content, kind=b"json"))) == (
        "cawg.ai_training: notAllowed",
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_without_credentials_asserts_nothing(kind):
    assert training_mining(picture(kind)) == ()
    assert training_mining(picture(kind) + b"jumb") == ()


def test_nested_boxes_end():
    deep = b""
    for _ in range(3000):
        deep = box(b"jumb", deep)
    assert training_mining(jpeg(superbox("c2pa", deep)[:60_000])) == ()
    assert training_mining(png(superbox("c2pa", box(b"cbor", b"\x81" * 100_000)))) == ()
    assert training_mining(png(superbox("c2pa", *[box(b"free", b"")] * 200_000))) == ()


@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=8))
def test_garbage_asserts_nothing_and_raises_nothing(garbage, place, flip):
    whole = jpeg(store())
    training_mining(whole[:place] + flip + whole[place + len(flip) :])
    training_mining(whole[:place] + garbage)
    training_mining(jpeg(b"\0\0\0\x20jumb" + garbage))
    training_mining(jpeg(store(content=garbage)))
