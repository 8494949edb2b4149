"""Shared by tests: archives as Common Crawl writes them, a gzip member for each record."""

import gzip
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType

DATE = datetime(2026, 10, 3, 4, 5, 6, tzinfo=UTC)


class Answer(NamedTuple):
    """An answer to archive: its URL, body, type, and what else its head says."""

    url: str
    body: bytes
    content_type: str = "text/html; charset=UTF-8"
    status: str = "200 OK"
    headers: tuple[str, ...] = ()

    def message(self):
        lines = [f"HTTP/1.1 {self.status}", f"Content-Type: {self.content_type}", *self.headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def write_warc(path, answers):
    """A WARC file: warcinfo, then request, response and metadata of each answer; the offsets."""
    with path.open("wb") as file:
        packed = path.suffix == ".gz"
        _write(file, packed, WarcRecordType.warcinfo, "", b"isPartOf: CC-MAIN-2026-40\r\n")
        offsets = []
        for one in answers:
            request = f"GET {one.url} HTTP/1.1\r\nUser-Agent: CCBot/2.0\r\n\r\n".encode()
            _write(file, packed, WarcRecordType.request, one.url, request)
            offsets.append(file.tell())
            _write(file, packed, WarcRecordType.response, one.url, one.message())
            _write(file, packed, WarcRecordType.metadata, one.url, b"fetchTimeMs: 190\r\n")
    return offsets


def write_wat(path, pages):
    """A WAT file of (page URL, HTML-Metadata); the offset of each record."""
    with path.open("wb") as file:
        packed = path.suffix == ".gz"
        _write(file, packed, WarcRecordType.warcinfo, "", b"Software-Info: ia-web-commons\r\n")
        offsets = []
        for url, metadata in pages:
            offsets.append(file.tell())
            _write(
                file, packed, WarcRecordType.metadata, url, orjson.dumps(envelope(url, metadata))
            )
    return offsets


def envelope(url, html_metadata):
    """The JSON of a WAT record about an answer."""
    return {
        "Container": {"Filename": "CC-MAIN.warc.gz", "Compressed": True, "Offset": "577"},
        "Envelope": {
            "Format": "WARC",
            "WARC-Header-Length": "620",
            "WARC-Header-Metadata": {"WARC-Type": "response", "WARC-Target-URI": url},
            "Payload-Metadata": {
                "Actual-Content-Type": "application/http; msgtype=response",
                "HTTP-Response-Metadata": {
                    "Headers": {"Content-Type": "text/html; charset=UTF-8"},
                    "HTML-Metadata": html_metadata,
                },
            },
        },
    }


def _write(file, packed, kind, url, block):
    record = WarcRecord()
    record.init_headers(kind, b"urn:uuid:00000000-0000-0000-0000-000000000000", content_length=0)
    record.record_date = DATE
    if url:
        record.headers["WARC-Target-URI"] = url
    if kind in (WarcRecordType.request, WarcRecordType.response):
        name = "request" if kind == WarcRecordType.request else "response"
        record.headers["Content-Type"] = f"application/http; msgtype={name}"
    else:
        record.headers["Content-Type"] = "application/json"
    record.set_bytes_content(block)
    if not packed:
        record.write(file)
        return
    writer = GzipWriter(file)
    record.write(writer)
    writer.finish()


def gzipped(body):
    """A body as a server packs it."""
    return gzip.compress(body, mtime=0)
