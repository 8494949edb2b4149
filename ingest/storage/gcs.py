"""gs:// by gcsfs: conditional puts, CRC32C of all that is sent, large files composed of parts."""

import base64
import io
import json
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import google_crc32c
import requests
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError
from google.auth.exceptions import GoogleAuthError

from ingest.errors import StorageError
from ingest.storage import objects
from ingest.storage.objects import WRITER, Facts, ObjectStore, Page, at_once, read_span
from ingest.storage.retry import PASSING_STATUS, DigestMismatch, Passing, Refused

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
_PASSING_ERRORS = (
    aiohttp.ClientError,
    ConnectionError,
    requests.RequestException,
    TimeoutError,
)
_PARTS = ".parts"
_log = logging.getLogger(__name__)


class _OneAttempt(GCSFileSystem):  # type: ignore[misc]  # gcsfs has no types
    """gcsfs without its own retries.

    gcsfs 2026.10 makes each request up to 6 times, 1, 2, 4, 8 and 16 s apart, and this cannot be
    configured; under our own retries, attempts would multiply. This is also the plain class:
    the one of `gcsfs` asks for the kind of a bucket by gRPC before its first request.
    """

    _request = GCSFileSystem._request.__wrapped__


@cache
def open_store() -> "GcsStore":
    """The store for gs://, with the credentials that Google's own tools find.

    One for all threads of a process: fsspec would make one for each, with its own connections.
    """
    # Google's clients, too, show an emulator no credentials.
    token = "anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None
    return GcsStore(
        _OneAttempt(
            token=token,
            use_listings_cache=False,
            skip_instance_cache=True,
            requests_timeout=_TIMEOUT,
        )
    )


class GcsStore(ObjectStore):
    """Google Cloud Storage by its JSON API."""

    scheme = "gs://"

    def put(self, path: str, content: bytes, writer: str | None = None) -> None:
        # Not `fs.pipe_file`: for mode="create" its source has ifGenerationMatch=0 in single and
        # resumable uploads, but it sends no checksum, and it parts metadata from content by a
        # fixed boundary that content may hold. With `crc32c` in the metadata, the store refuses
        # other bytes before they are visible.
        bucket, _, key = path.partition("/")
        sent = _text(google_crc32c.value(content))
        metadata: dict[str, Any] = {"name": key, "crc32c": sent}
        condition = {}
        if writer is not None:
            metadata["metadata"] = {WRITER: writer}
            condition = {"ifGenerationMatch": "0"}
        boundary = uuid4().hex
        answer = self.fs.call(
            "POST",
            f"{self.fs.base.replace('/storage/', '/upload/storage/')}b/{{}}/o",
            bucket,
            uploadType="multipart",
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
            data=io.BytesIO(_related(metadata, content, boundary)),
            json_out=True,
            **condition,
        )
        self._check(path, sent, answer)

    def put_parts(self, path: str, file: Path, spans: list[tuple[int, int]]) -> None:
        # A resumable upload is one stream; parts use several connections, and only a part is sent
        # again when one breaks. They lie in a folder that no commit names.
        bucket, _, key = path.partition("/")
        folder = f"{path.rpartition('/')[0]}/{_PARTS}/{uuid4().hex}"
        parts = [f"{folder}/{number:02d}" for number in range(len(spans))]
        try:
            at_once(lambda one: self.write(parts[one], read_span(file, spans[one])), len(parts))
            sources = [{"name": part.partition("/")[2]} for part in parts]
            answer = self.ask(
                "compose",
                path,
                lambda: self.fs.call(
                    "POST",
                    "b/{}/o/{}/compose",
                    bucket,
                    key,
                    json={"sourceObjects": sources, "destination": {}},
                    json_out=True,
                ),
            )
        finally:
            self._discard(parts)
        self._check(path, _text(_file_crc32c(file)), answer)

    def look(self, path: str) -> Facts:
        # Not `fs.info`: it lists the object's name as a folder, too, at ten times the price.
        bucket, _, key = path.partition("/")
        found = self.fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True)
        return Facts(int(found["size"]), found.get("metadata", {}).get(WRITER))

    def page(self, path: str, flat: bool, after: str | None) -> Page:
        bucket, _, prefix = path.partition("/")
        found = self.fs.call(
            "GET",
            "b/{}/o",
            bucket,
            prefix=prefix,
            delimiter=None if flat else "/",
            pageToken=after,
            maxResults=objects.PAGE_NAMES,
            fields="items(name,size),prefixes,nextPageToken",
            json_out=True,
        )
        sizes = {one["name"]: int(one["size"]) for one in found.get("items", [])}
        return Page(sizes, found.get("prefixes", []), found.get("nextPageToken"))

    def meaning(self, error: Exception) -> Exception:
        if isinstance(error, (FileNotFoundError, FileExistsError)):
            return error
        text = str(error)
        if "doesn't match calculated" in text:
            return DigestMismatch(text)
        if isinstance(error, HttpError):
            code = int(error.code or 0)
            if code in PASSING_STATUS:
                return Passing(f"status {code}: {text}")
            return EOFError(text) if code == 416 else Refused(f"status {code}: {text}")
        # gcsfs makes a ProxyError of status 502, a bare OSError of 403, a ValueError of some 400s.
        if isinstance(error, _PASSING_ERRORS):
            return Passing(f"{type(error).__name__}: {text}")
        if isinstance(error, GoogleAuthError):
            return Passing(text) if error.retryable else Refused(text)
        if text.startswith(("Forbidden", "Bad Request")):
            return Refused(text)
        return error

    def _check(self, path: str, sent: str, answer: dict[str, Any]) -> None:
        if answer.get("crc32c") != sent:
            raise DigestMismatch(
                f"expected crc32c {sent} of {self.uri(path)}, got {answer.get('crc32c')}"
            )

    def _discard(self, parts: list[str]) -> None:
        try:
            at_once(lambda one: self.remove(parts[one]), len(parts))
        except StorageError as error:
            _log.warning("parts of an upload are left over: %s", error)


def _related(metadata: dict[str, Any], content: bytes, boundary: str) -> bytes:
    """The body of a multipart/related upload (RFC 2387): the metadata, then the content."""
    begin = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps(metadata)}\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    return b"".join([begin.encode(), content, f"\r\n--{boundary}--\r\n".encode()])


def _file_crc32c(file: Path) -> int:
    checksum = google_crc32c.Checksum()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            checksum.update(block)
    return int.from_bytes(checksum.digest(), "big")


def _text(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()
