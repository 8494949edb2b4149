"""s3:// by s3fs: conditional puts, MD5 of all that is sent, large files in parallel parts."""

import base64
import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
from botocore.exceptions import (
    ChecksumError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)
from botocore.parsers import ResponseParserError
from s3fs import S3FileSystem

from ingest.errors import StorageError
from ingest.storage import objects
from ingest.storage.objects import WRITER, Facts, ObjectStore, Page, at_once, read_span
from ingest.storage.retry import PASSING_STATUS, DigestMismatch, Passing, Refused

_log = logging.getLogger(__name__)
_CONFIG = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 64,
    "retries": {"total_max_attempts": 1, "mode": "standard"},
}
_PASSING_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
    }
)
_PASSING_ERRORS = (
    aiohttp.ClientError,
    ChecksumError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoConnectionError,
    ResponseParserError,
    TimeoutError,
)


class _OneAttempt(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """s3fs without its own retries.

    s3fs 2026.9 makes each request 5 times, 0.1 to 0.8 s apart, and botocore (mode "legacy") 5 times
    for each of these; under our own retries, attempts would multiply. botocore is told by its
    configuration. What is left is aiohttp: it sends a PUT once more, unasked, if a connection that
    it had kept open turns out to be closed; see `ObjectStore.create` on what that can hide.
    """

    retries = 1


@cache
def open_store() -> "S3Store":
    """The store for s3://, with the credentials and endpoint that Amazon's own tools find.

    One for all threads of a process: fsspec would make one for each, with its own connections.
    """
    # One request a read: s3fs would ask for the size first, to read a large object in pieces.
    return S3Store(
        _OneAttempt(
            use_listings_cache=False,
            skip_instance_cache=True,
            max_concurrency=1,
            config_kwargs=_CONFIG,
        )
    )


class S3Store(ObjectStore):
    """Amazon S3, and what speaks its protocol."""

    scheme = "s3://"

    def put(self, path: str, content: bytes, writer: str | None = None) -> None:
        md5 = hashlib.md5(content, usedforsecurity=False)
        condition: dict[str, Any] = {}
        if writer is not None:
            condition = {"IfNoneMatch": "*", "Metadata": {WRITER: writer}}
        # By Content-MD5, the store refuses other bytes before they are visible.
        answer = self._call("put_object", path, Body=content, ContentMD5=_text(md5), **condition)
        try:
            self._check(path, md5.hexdigest(), answer)
        except DigestMismatch:
            # A store that ignores Content-MD5; of a created object we know that it is ours.
            if writer is not None:
                self._call("delete_object", path)
            raise

    def put_parts(self, path: str, file: Path, spans: list[tuple[int, int]]) -> None:
        upload = self.ask(
            "begin", path, lambda: self._call("create_multipart_upload", path)["UploadId"]
        )

        def send(number: int) -> tuple[str, bytes]:
            content = read_span(file, spans[number])
            return self.ask(
                f"write part {number + 1} of",
                path,
                lambda: self._put_part(path, upload, number + 1, content),
            )

        try:
            sent = at_once(send, len(spans))
            self.ask("complete", path, lambda: self._complete(path, upload, sent))
        except BaseException:
            self._abort(path, upload)
            raise

    def look(self, path: str) -> Facts:
        found = self._call("head_object", path)
        return Facts(found["ContentLength"], found.get("Metadata", {}).get(WRITER))

    def page(self, path: str, flat: bool, after: str | None) -> Page:
        bucket, _, prefix = path.partition("/")
        chosen = {"Delimiter": None if flat else "/", "ContinuationToken": after}
        found = self.fs.call_s3(
            "list_objects_v2",
            Bucket=bucket,
            Prefix=prefix,
            MaxKeys=objects.PAGE_NAMES,
            **{name: value for name, value in chosen.items() if value is not None},
        )
        sizes = {one["Key"]: one["Size"] for one in found.get("Contents", [])}
        folders = [one["Prefix"] for one in found.get("CommonPrefixes", [])]
        return Page(sizes, folders, found.get("NextContinuationToken"))

    def meaning(self, error: Exception) -> Exception:
        answer = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
        if isinstance(answer, dict) and "Error" in answer:
            return _meaning_of_answer(error, answer)
        if isinstance(error, _PASSING_ERRORS):
            return Passing(f"{type(error).__name__}: {error}")
        if isinstance(error, NoCredentialsError):
            return Refused(str(error))
        return error

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        bucket, _, key = path.partition("/")
        answer: dict[str, Any] = self.fs.call_s3(method, Bucket=bucket, Key=key, **arguments)
        return answer

    def _put_part(self, path: str, upload: str, number: int, content: bytes) -> tuple[str, bytes]:
        """The ETag of a part that was sent, and the MD5 of its content."""
        md5 = hashlib.md5(content, usedforsecurity=False)
        answer = self._call(
            "upload_part",
            path,
            UploadId=upload,
            PartNumber=number,
            Body=content,
            ContentMD5=_text(md5),
        )
        self._check(path, md5.hexdigest(), answer)
        return answer["ETag"], md5.digest()

    def _complete(self, path: str, upload: str, sent: list[tuple[str, bytes]]) -> None:
        parts = [{"PartNumber": one, "ETag": etag} for one, (etag, _) in enumerate(sent, 1)]
        digests = b"".join(digest for _, digest in sent)
        expected = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(sent)}"
        try:
            answer = self._call(
                "complete_multipart_upload",
                path,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except FileNotFoundError:
            # The upload is gone: completed by an attempt whose answer was lost, or else not ours.
            answer = self._call("head_object", path)
        self._check(path, expected, answer)

    def _abort(self, path: str, upload: str) -> None:
        try:
            self.ask(
                "abort", path, lambda: self._call("abort_multipart_upload", path, UploadId=upload)
            )
        except (FileNotFoundError, StorageError) as error:
            _log.warning("parts of an upload are left over: %s", error)

    def _check(self, path: str, sent: str, answer: dict[str, Any]) -> None:
        """Raise DigestMismatch if the store reports another MD5 (with keys of KMS, it has none)."""
        found = answer.get("ETag", "").strip('"')
        encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256"
        if found != sent and not encrypted and "SSECustomerAlgorithm" not in answer:
            raise DigestMismatch(f"expected MD5 {sent} of {self.uri(path)}, got {found}")


def _meaning_of_answer(error: Exception, answer: dict[str, Any]) -> Exception:
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = answer["Error"].get("Code")
    text = f"status {status}, {code}: {error}"
    if isinstance(error, (FileNotFoundError, FileExistsError)):
        return error
    if code in ("BadDigest", "XAmzContentSHA256Mismatch"):
        return DigestMismatch(str(answer["Error"]))
    if status in PASSING_STATUS or code in _PASSING_CODES:
        return Passing(text)
    if status == 412:
        return FileExistsError(text)
    return EOFError(text) if status == 416 else Refused(text)


def _text(md5: Any) -> str:
    return base64.b64encode(md5.digest()).decode()
