"""`data:` URLs: the bytes are in the URL itself (RFC 2397; WHATWG fetch, section 6)."""

import binascii
from base64 import b64decode
from urllib.parse import unquote_to_bytes

from ingest.errors import UrlError
from ingest.fetch.url import canonical_url
from schemas.outcome import Outcome

_SCHEME = "data:"
_WHITE_SPACE = bytes.maketrans(b"", b""), b"\t\n\f\r "


def is_inline(url: str) -> bool:
    """Whether a URL holds its own bytes."""
    return url[: len(_SCHEME)].lower() == _SCHEME


def check_url(url: str) -> None:
    """Raise UrlError unless this may be a candidate: http, https, or a well-formed data: URL."""
    if not is_inline(url):
        canonical_url(url)
    elif "," not in url:
        raise UrlError(Outcome.INVALID_URL, f"expected a comma in a data: URL, got {url[:100]!r}")


def inline_bytes(url: str) -> bytes:
    """The bytes of a data: URL; raises UrlError if its base64 is broken."""
    check_url(url)
    head, _, data = url.partition(",")
    content = unquote_to_bytes(data)
    if not head.replace(" ", "").lower().endswith(";base64"):
        return content
    content = content.translate(*_WHITE_SPACE).rstrip(b"=")
    try:
        return b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except binascii.Error as error:
        raise UrlError(Outcome.INVALID_URL, f"data: URL with broken base64: {error}") from error
