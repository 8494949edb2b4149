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
from ingest.sources.html_links import (
    ATTRIBUTES,
    META_NAMES,
    ImageLink,
    LinkCollector,
    decode_page,
    image_links,
)
from ingest.sources.http_message import parse_message
from ingest.sources.piece import Piece
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

WAT, WARC = "wat", "warc"
# How WAT names an attribute -> tag and attribute.
_PATHS = {
    f"{tag.upper()}@/{name}": (tag, name) for tag, names in ATTRIBUTES.items() for name in names
}
# A record without any of these names no image.
_SIGNS = (b"IMG@", b"SOURCE@", b"INPUT@", b"POSTER", b"poster", b":image", b"IMAGE@", b"image_src")
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


def wat_links(block: bytes) -> list[ImageLink]:
    """The image links that the JSON of one page names; raises ValueError if it is none."""
    if not any(sign in block for sign in _SIGNS):
        return []
    envelope = _dict(orjson.loads(block), "Envelope")
    html = _dict(envelope, "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata")
    page_url = _dict(envelope, "WARC-Header-Metadata").get("WARC-Target-URI")
    found = LinkCollector(page_url if isinstance(page_url, str) else "")
    head = _dict(html, "Head")
    if isinstance(base := head.get("Base"), str):
        found.rebase(base)
    for meta in _list(head, "Metas"):
        name = str(meta.get("property") or meta.get("name") or "").lower()
        if name in META_NAMES:
            found.add("meta", name, str(meta.get("content") or ""))
    for link in _list(head, "Link"):
        if link.get("rel") == "image_src":
            found.add("link", "image_src", str(link.get("url") or ""))
    for link in _list(html, "Links"):
        named = _PATHS.get(str(link.get("path")))
        if named is not None and isinstance(url := link.get("url"), str):
            found.add(*named, url, _text(link.get("alt")))
    return found.links()


def _of_wat(source: str, record: Record) -> Iterator[Candidate]:
    if record.problem is not None:
        yield _broken(source, record)
        return
    try:
        links = wat_links(record.block)
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
        page = decode_page(body, charset.group(1) if charset else None)
        yield from _candidates(source, record, image_links(page, record.uri))


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


def _list(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
