"""WARC, WAT files as Common Crawl writes them: a gzip member for each record."""

import gzip
import hashlib
import uuid
from base64 import b32encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

WARC_DATE = "2024-05-18T01:58:10Z"
SEGMENT = "CC-MAIN-20240517233122-20240518023122-00000"
_INFO = (
    b"isPartOf: CC-MAIN-2024-22\r\npublisher: Common Crawl\r\n"
    b"software: Apache Nutch 1.19 (modified, https://github.com/commoncrawl/nutch/)\r\n"
    b"format: WARC File Format 1.1\r\n"
)


class Page(NamedTuple):
    """A page: its URL, its HTML, and what WAT tells of it."""

    url: str
    html: bytes = b""
    links: Sequence[Mapping[str, str]] = ()
    metas: Sequence[Mapping[str, str]] = ()
    base: str | None = None
    content_type: str = "text/html; charset=UTF-8"


class Image(NamedTuple):
    url: str
    content: bytes
    content_type: str = "image/jpeg"
    status: int = 200


def record(kind: str, block: bytes, url: str | None = None, content_type: str = "") -> bytes:
    """A WARC record with the headers of Common Crawl."""
    named = uuid.UUID(bytes=hashlib.sha256(f"{kind} {url}".encode() + block).digest()[:16])
    headers = {
        "WARC-Type": kind,
        "WARC-Date": WARC_DATE,
        "WARC-Record-ID": f"<urn:uuid:{named}>",
        "Content-Length": str(len(block)),
        "Content-Type": content_type or f"application/http; msgtype={kind}",
    }
    if kind == "warcinfo":
        headers["WARC-Filename"] = f"{SEGMENT}.warc.gz"
    else:
        headers |= {
            "WARC-Warcinfo-ID": "<urn:uuid:668d88fc-4208-41fc-b327-1aa6cb783331>",
            "WARC-IP-Address": "208.80.154.224",
            "WARC-Target-URI": str(url),
            "WARC-Block-Digest": f"sha1:{b32encode(hashlib.sha1(block).digest()).decode()}",
        }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def response(
    url: str, body: bytes, content_type: str, status: int = 200, headers: Iterable[str] = ()
) -> bytes:
    """A `response` record."""
    lines = [
        f"HTTP/1.1 {status} OK",
        "Date: Sat, 18 May 2024 01:58:10 GMT",
        "Server: nginx",
        f"Content-Type: {content_type}",
        "X-Crawler-Content-Encoding: gzip",
        *headers,
        f"X-Crawler-Content-Length: {len(body) // 4}",
        f"Content-Length: {len(body)}",
    ]
    return record("response", "\r\n".join(lines).encode() + b"\r\n\r\n" + body, url)


def request(url: str) -> bytes:
    """A `request` record, which stands before each answer."""
    block = f"GET /{url.split('/', 3)[-1]} HTTP/1.1\r\nUser-Agent: CCBot/2.0\r\n\r\n".encode()
    return record("request", block, url)


def warc_records(pages: Iterable[Page], images: Iterable[Image] = ()) -> list[bytes]:
    """The records of a WARC file: its info, then request, response and metadata of each."""
    records = [record("warcinfo", _INFO, content_type="application/warc-fields")]
    fetched = b"fetchTimeMs: 236\r\ncharset-detected: UTF-8\r\n"
    for page in pages:
        answer = response(page.url, page.html, page.content_type)
        about = record("metadata", fetched, page.url, "application/warc-fields")
        records += [request(page.url), answer, about]
    for image in images:
        answer = response(image.url, image.content, image.content_type, image.status)
        records += [request(image.url), answer]
    return records


def wat_records(pages: Iterable[Page]) -> list[bytes]:
    """The records of a WAT file: its info, then a JSON for each record of the WARC file."""
    info = b"Software-Info: ia-web-commons.1.1.10-SNAPSHOT-20240513074037\r\n"
    records = [record("warcinfo", info, content_type="application/warc-fields")]
    for page in pages:
        for payload in (_request_envelope(page), _response_envelope(page)):
            block = orjson.dumps(payload)
            records.append(record("metadata", block, page.url, "application/json"))
    return records


def write_records(path: Path, records: Iterable[bytes]) -> list[int]:
    """Write an archive, a gzip member for each record if it ends in .gz; where each begins."""
    offsets, content = [], bytearray()
    for one in records:
        offsets.append(len(content))
        content += gzip.compress(one, mtime=0) if path.suffix == ".gz" else one
    path.write_bytes(content)
    return offsets


def write_warc(path: Path, pages: Iterable[Page], images: Iterable[Image] = ()) -> list[int]:
    """Write a WARC file; where each record begins."""
    return write_records(path, warc_records(pages, images))


def write_wat(path: Path, pages: Iterable[Page]) -> list[int]:
    """Write a WAT file; where each record begins."""
    return write_records(path, wat_records(pages))


def _envelope(page: Page, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "Container": {
            "Filename": f"{SEGMENT}.warc.gz",
            "Compressed": True,
            "Offset": "80610308",
            "Gzip-Metadata": {"Deflate-Length": "423", "Header-Length": "10"},
        },
        "Envelope": {
            "Payload-Metadata": {
                "Actual-Content-Type": f"application/http; msgtype={kind}",
                **payload,
                "Actual-Content-Length": "265",
                "Trailing-Slop-Length": "4",
                "Block-Digest": "sha1:IE7NEN3QEJHUCYRRGVMHDDW3BEHFRQ6V",
            },
            "Format": "WARC/1.0",
            "WARC-Header-Length": "357",
            "WARC-Header-Metadata": {
                "WARC-Type": kind,
                "WARC-Date": WARC_DATE,
                "WARC-Record-ID": "<urn:uuid:292f457d-203c-42f2-a1b5-69a4dabefd4f>",
                "Content-Length": "265",
                "Content-Type": f"application/http; msgtype={kind}",
                "WARC-Target-URI": page.url,
            },
        },
    }


def _request_envelope(page: Page) -> dict[str, Any]:
    message = {"Method": "GET", "Path": "/", "Version": "HTTP/1.1"}
    headers = {"User-Agent": "CCBot/2.0 (https://commoncrawl.org/faq/)", "Accept": "text/html"}
    payload = {"Request-Message": message, "Headers-Length": "263", "Headers": headers}
    return _envelope(page, "request", {"HTTP-Request-Metadata": payload})


def _response_envelope(page: Page) -> dict[str, Any]:
    head: dict[str, Any] = {} if page.base is None else {"Base": page.base}
    head |= {"Metas": list(page.metas), "Title": "A page"}
    payload = {
        "Response-Message": {"Status": "200", "Version": "HTTP/1.1", "Reason": "OK"},
        "Headers-Length": "571",
        "Headers": {"Content-Type": page.content_type, "Server": "nginx"},
        "HTML-Metadata": {"Head": head, "Links": list(page.links)},
    }
    return _envelope(page, "response", {"HTTP-Response-Metadata": payload})
