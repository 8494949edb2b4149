"""WAT archives (Common Crawl's extract of all links) and WARC archives (the answers themselves).

A candidate's row is the offset of its record, so that it can be looked up with one range request.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from fastwarc.warc import WarcRecordType

from ingest.errors import FetchError
from ingest.inspect.header import sniff_format
from ingest.sources.archive import Record, read_records, split_archive
from ingest.sources.candidates import in_batches, stored_candidate, url_candidate
from ingest.sources.html_links import image_links
from ingest.sources.http_message import parse_message
from ingest.sources.image_link import (
    LAZY_SETS,
    LAZY_SOURCES,
    META_NAMES,
    Collector,
    ImageLink,
    base_of,
    is_reference,
    largest_candidate,
)
from ingest.sources.piece import Piece
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

WAT, WARC = "wat", "warc"
# How WAT names an attribute -> how we do. `input` and `video` are taken as they come.
_SINGLE = {
    "IMG@/src": "img@src",
    "IMAGE@/src": "img@src",
    "INPUT@/src": "input@src",
    "VIDEO@/poster": "video@poster",
}
_LAZY = {f"IMG@/{name}": f"img@{name}" for name in LAZY_SOURCES}
_SETS = {
    f"{tag.upper()}@/{name}": f"{tag}@{name}"
    for tag in ("img", "source")
    for name in ("srcset", *LAZY_SETS)
}
# Where a link that may be one of an image tells its path; where a page's head may name one.
_PATH = re.compile(rb"@/(?<=IMG@/|RCE@/|DEO@/|PUT@/|AGE@/)(?:src|data-|poster)")
_IN_HEAD = re.compile(rb":image|image_src")
_BASE = re.compile(rb'"Base":"(?:[^"\\]|\\.)*+"')
_HEAD, _LINKS = b'"Head":{', b'"Links":['
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_HTML_SIGNS = (b"<html", b"<!doctype html", b"<head", b"<body")
_SNIFFED_BYTES = 1024
# Pages and images beyond are not looked into.
_MAX_BODY_BYTES = 1 << 28


def split_wat(uri: str, options: PlanOptions) -> Iterator[Piece]:
    """The pieces of a WAT file."""
    return split_archive(uri, WAT)


def split_warc(uri: str, options: PlanOptions) -> Iterator[Piece]:
    """The pieces of a WARC file."""
    return split_archive(uri, WARC)


def read_wat(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The image links of the pages that a stretch of a WAT file tells of."""
    records = read_records(piece.uri, piece.begin, piece.end, WarcRecordType.metadata)
    return in_batches(one for record in records for one in _of_wat(piece.uri, record))


def read_warc(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The images that a stretch of a WARC file holds, and the image links of its pages."""
    wanted = WarcRecordType.response | WarcRecordType.resource
    records = read_records(piece.uri, piece.begin, piece.end, wanted)
    return in_batches(
        one for record in records for one in _of_warc(piece.uri, record, options.archive_records)
    )


def count_wat(piece: Piece, options: PlanOptions) -> int:
    """The number of image links of a piece; as costly as reading them."""
    return sum(map(len, read_wat(piece, options)))


def count_warc(piece: Piece, options: PlanOptions) -> int:
    """The number of images and image links of a piece; as costly as reading them."""
    return sum(map(len, read_warc(piece, options)))


def wat_links(block: bytes, page_url: str) -> list[ImageLink]:
    """The image links that the JSON of one page names; raises ValueError if it is none.

    Only the few objects that may name an image are parsed: flat ones, between the braces around a
    hit. Should a text hold a brace, that is no JSON, and all of the record is parsed. (The line
    ends see to it: no string may hold one, so none goes on from one object to the next.)
    """
    try:
        objects = orjson.loads(b"[" + b",\n".join(_flat_objects(block)) + b"]")
    except orjson.JSONDecodeError:
        objects = _all_objects(orjson.loads(block))
    found = Collector(base_of(page_url))
    for one in objects:
        path, url = one.get("path"), one.get("url")
        if not isinstance(path, str) or not isinstance(url, str):
            path = url = ""
        if path in _SINGLE:
            found.add(url, _SINGLE[path], _text(one.get("alt")))
        elif path in _LAZY and is_reference(url):
            found.add(url, _LAZY[path], _text(one.get("alt")))
        elif path in _SETS:
            found.add(largest_candidate(url) or "", _SETS[path], _text(one.get("alt")))
        elif isinstance(base := one.get("Base"), str):
            found.rebase(base_of(page_url, base))
        else:
            _add_of_head(found, one)
    return found.links()


def _add_of_head(found: Collector, one: dict[str, Any]) -> None:
    """Add what an object of a page's head names: a meta property, or a link of relation."""
    name = _text(one.get("property") or one.get("name")).strip().lower()
    if name in META_NAMES:
        found.add(_text(one.get("content")), f"meta@{name}")
    elif "image_src" in _text(one.get("rel")).lower().split():
        found.add(_text(one.get("url")), "link@image_src")


def _flat_objects(block: bytes) -> Iterator[bytes]:
    """The objects around each hit, those of the head first, and of these its base."""
    links_at = block.find(_LINKS)
    head_end = links_at if 0 <= block.find(_HEAD) < links_at else len(block)
    if base := _BASE.search(block, 0, head_end):
        yield b"{" + base.group() + b"}"
    for hits in (_IN_HEAD.finditer(block, 0, head_end), _PATH.finditer(block)):
        end = 0
        for hit in hits:
            at = hit.start()
            if at >= end:
                begin, end = block.rfind(b"{", end, at), block.find(b"}", at) + 1
                yield block[begin:end]


def _all_objects(record: Any) -> Iterator[dict[str, Any]]:
    """All objects that may name an image; the base of the page comes first."""
    html = _dict(record, "Envelope", "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata")
    head = _dict(html, "Head")
    yield {"Base": head.get("Base")}
    for found in (head.get("Metas"), head.get("Link"), html.get("Links")):
        yield from (one for one in found or () if isinstance(one, dict))


def _of_wat(source: str, record: Record) -> Iterator[Candidate]:
    if record.problem is not None:
        yield _broken(source, record)
        return
    try:
        links = wat_links(record.block, record.uri)
    except ValueError as error:
        yield _broken(source, record._replace(problem=f"expected JSON, got {error}"))
        return
    yield from _candidates(source, record, links)


def _of_warc(source: str, record: Record, wanted: str) -> Iterator[Candidate]:
    if record.problem is not None:
        yield _broken(source, record)
        return
    content_type, body = None, record.block
    if record.kind == WarcRecordType.response:
        try:
            answer = parse_message(record.block, _MAX_BODY_BYTES)
        except FetchError as error:
            yield _broken(source, record._replace(problem=error.detail))
            return
        if answer.status != 200:
            return
        content_type, body = answer.header("content-type"), answer.body
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or sniff_format(body[:_SNIFFED_BYTES]) is not None:
        if wanted != "links":
            yield _archived_image(source, record, content_type)
    elif wanted != "images" and ("html" in kind or (not kind and _looks_like_html(body))):
        charset = _CHARSET.search(content_type or "")
        links = image_links(body, record.uri, charset.group(1) if charset else None)
        yield from _candidates(source, record, links)


def _candidates(source: str, record: Record, links: list[ImageLink]) -> Iterator[Candidate]:
    for link in links:
        columns = {"page_url": record.uri, "attribute": link.attribute, "alt": link.alt}
        yield url_candidate(source, record.offset, link.url, columns)


def _archived_image(source: str, record: Record, content_type: str | None) -> Candidate:
    columns = {"content_type": content_type, "warc_date": record.date}
    place = (Carrier.WARC, source, f"{record.offset}+{record.length}")
    return stored_candidate(source, record.offset, record.uri, columns, place)


def _broken(source: str, record: Record) -> Candidate:
    assert record.problem is not None
    place = (Carrier.WARC, source, f"{record.offset}+{record.length}")
    problem = (Outcome.MALFORMED_ROW, record.problem)
    return stored_candidate(source, record.offset, record.uri or source, {}, place, problem)


def _looks_like_html(body: bytes) -> bool:
    head = body[:_SNIFFED_BYTES].lower()
    return any(sign in head for sign in _HTML_SIGNS)


def _dict(value: Any, *names: str) -> dict[str, Any]:
    """The object at a path of names; empty if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
