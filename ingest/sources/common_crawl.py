"""Common Crawl's archives: image links of pages (WAT, WARC) and archived images (WARC).

A WAT file tells of each page of its WARC file what Common Crawl's extractor found (github.com,
commoncrawl/ia-web-commons, ExtractingParseObserver): `src` of images, `poster` of videos, `src` of
inputs, <meta> and <link>, character references already decoded; neither srcset nor lazy-load
attributes, which are read all the same should an archive have them.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from ingest.errors import FetchError
from ingest.inspect.header import sniff_format
from ingest.sources.archive_records import (
    ArchiveProblem,
    Record,
    read_records,
    split_record,
)
from ingest.sources.archived_response import ArchivedResponse, parse_record
from ingest.sources.html_links import image_links
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

# Of pages that are longer, the rest is not read; Common Crawl cuts them at 1 or 5 MiB.
MAX_PAGE_BYTES = 64 << 20
_SNIFFED_BYTES = 2048
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_UNTOLD_TYPES = frozenset({"", "application/octet-stream", "unknown/unknown", "text/plain"})
_HTML_SIGN = re.compile(
    rb"\s*+(?:<!--.{0,500}?-->\s*+)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.ASCII | re.IGNORECASE)
_CONTENT = re.compile(rb"\r\nWARC-Type[ \t]*+:[ \t]*+(?:response|resource)[ \t]*+\r\n", re.I)

# Of a link's path in WAT: where it stood, and whether it is a set or a lazy-load attribute.
_SOURCES = {
    "IMG@/src": "img@src",
    "INPUT@/src": "input@src",
    "VIDEO@/poster": "video@poster",
}
_LAZY = {f"IMG@/{name}": f"img@{name}" for name in LAZY_SOURCES}
_SETS = {
    f"{tag.upper()}@/{name}": f"{tag}@{name}"
    for tag in ("img", "source")
    for name in ("srcset", *LAZY_SETS)
}
# Of a page; the JSON of a request has none.
_PAGE_SIGN = b'"HTML-Metadata"'
_PATHS = frozenset({*_SOURCES, *_LAZY, *_SETS})


class ArchiveLink(NamedTuple):
    """A link to an image: offset of the page's record, absolute URL, page_url, attribute, alt."""

    record_offset: int
    url: str
    columns: dict[str, Any]


class ArchivedImage(NamedTuple):
    """An archived image: where its record lies, as stored, and its URL.

    columns: http_status, content_type, warc_date.
    """

    record_offset: int
    record_length: int
    url: str
    columns: dict[str, Any]


def read_wat(uri: str, begin: int, end: int) -> Iterator[ArchiveLink | ArchiveProblem]:
    """The image links of the pages whose records begin in [begin, end) of a WAT file."""
    for record in read_records(uri, begin, end):
        if isinstance(record, ArchiveProblem):
            yield record
        elif _PAGE_SIGN in record.content:
            try:
                page_url, links = wat_links(split_record(record.content)[1])
            except ValueError as error:
                yield ArchiveProblem(record.offset, str(error))
                continue
            yield from _rows(record.offset, page_url, links)


def read_warc(
    uri: str, begin: int, end: int, links: bool = True, images: bool = True
) -> Iterator[ArchiveLink | ArchivedImage | ArchiveProblem]:
    """Links and images of the answers whose records begin in [begin, end) of a WARC file.

    They are those of `response` records with status 200, and of `resource` records.
    """
    for record in read_records(uri, begin, end):
        if isinstance(record, ArchiveProblem):
            yield record
        elif _CONTENT.search(record.content, 0, 4096):
            try:
                yield from _of_response(record, links, images)
            except FetchError as error:
                yield ArchiveProblem(record.offset, error.detail)


def wat_links(payload: bytes) -> tuple[str, list[ImageLink]]:
    """The page's URL and its image links by its JSON; raises ValueError if it is none."""
    envelope = _object(orjson.loads(payload), "Envelope")
    page_url = _object(envelope, "WARC-Header-Metadata").get("WARC-Target-URI")
    html = _object(envelope, "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata")
    if not isinstance(page_url, str) or not html:
        return "", []
    found = _of_head(page_url, _object(html, "Head"))
    for link in _objects(html, "Links"):
        path = link.get("path")
        if path != "A@/href" and isinstance(path, str) and path in _PATHS:
            _add_link(found, path, link)
    return page_url, found.links()


def _of_head(page_url: str, head: dict[str, Any]) -> Collector:
    base = head.get("Base")
    found = Collector(base_of(page_url, base if isinstance(base, str) else None))
    for meta in _objects(head, "Metas"):
        _add_meta(found, meta)
    for link in _objects(head, "Link"):
        if "image_src" in str(link.get("rel")).lower().split():
            found.add(str(link.get("url") or ""), "link@image_src")
    return found


def _add_meta(found: Collector, meta: dict[str, Any]) -> None:
    for key in ("property", "name"):
        name = str(meta.get(key)).strip().lower()
        if name in META_NAMES:
            found.add(str(meta.get("content") or ""), f"meta@{name}")
            return


def _add_link(found: Collector, path: str, link: dict[str, Any]) -> None:
    url, alt = link.get("url"), link.get("alt")
    if not isinstance(url, str):
        return
    alt = alt if isinstance(alt, str) else None
    if path in _SOURCES:
        found.add(url, _SOURCES[path], alt)
    elif path in _LAZY and is_reference(url):
        found.add(url, _LAZY[path], alt)
    elif path in _SETS and (best := largest_candidate(url)):
        found.add(best, _SETS[path], alt)


def _of_response(
    record: Record, links: bool, images: bool
) -> Iterator[ArchiveLink | ArchivedImage]:
    answer = parse_record(record.content)
    if answer.status != 200:
        return
    content_type = answer.header("content-type")
    kind = content_type.partition(";")[0].strip().lower()
    if _is_image(kind, answer.body):
        if images:
            yield _image(record, answer, content_type)
    elif links and (kind in _HTML_TYPES or kind in _UNTOLD_TYPES):
        body = answer.decoded(MAX_PAGE_BYTES)
        if kind in _HTML_TYPES or _HTML_SIGN.match(body, 0, _SNIFFED_BYTES):
            charset = _CHARSET.search(content_type)
            found = image_links(body, answer.url, charset[1] if charset else None)
            yield from _rows(record.offset, answer.url, found)


def _is_image(kind: str, body: bytes) -> bool:
    if kind.startswith("image/"):
        return True
    found = sniff_format(body[:_SNIFFED_BYTES])
    return found is not None and (found != "svg" or kind in _UNTOLD_TYPES)


def _image(record: Record, answer: ArchivedResponse, content_type: str) -> ArchivedImage:
    columns = {
        "http_status": answer.status,
        "content_type": content_type or None,
        "warc_date": answer.warc_date or None,
    }
    return ArchivedImage(record.offset, record.length, answer.url, columns)


def _rows(offset: int, page_url: str, links: list[ImageLink]) -> Iterator[ArchiveLink]:
    for url, attribute, alt in links:
        yield ArchiveLink(offset, url, {"page_url": page_url, "attribute": attribute, "alt": alt})


def _object(value: Any, *names: str) -> dict[str, Any]:
    """The object at a path of names; empty if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _objects(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [one for one in found if type(one) is dict] if isinstance(found, list) else []
