"""URLs as browsers read them: percent-encoding, punycode, redirect targets."""

from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from ingest.errors import UrlError
from schemas.outcome import Outcome

# Left as they are; all else is percent-encoded (WHATWG URL, percent-encode sets).
_SAFE_PATH = "/%:@!$&'()*+,;=~-._[]|"
_SAFE_QUERY = _SAFE_PATH + "?{}^`\\"
_MAX_URL_CHARS = 16_384
# With none of these a printable ASCII URL goes over the wire as it is; "@" may be credentials,
# which are never sent.
_UNUSUAL = " #\\@"


def canonical_url(url: str) -> str:
    """The URL that goes over the wire: ASCII, no fragment; raises UrlError if it is not valid."""
    text = url.strip()
    if len(text) > _MAX_URL_CHARS:
        raise UrlError(
            Outcome.INVALID_URL, f"expected at most {_MAX_URL_CHARS} characters, got {len(text)}"
        )
    if text.isascii() and text.isprintable() and not any(sign in text for sign in _UNUSUAL):
        parts = _split(text)
        return text if parts.path else _encode(parts)
    return _encode(_split(text.replace("\n", "").replace("\r", "").replace("\t", "")))


def redirect_target(url: str, location: str) -> str:
    """The canonical URL that a Location header leads to; raises UrlError (bad_redirect)."""
    try:
        return canonical_url(urljoin(url, location.strip()))
    except (UrlError, ValueError) as error:
        detail = f"expected an http or https URL in Location, got {location[:200]!r}"
        raise UrlError(Outcome.BAD_REDIRECT, detail) from error


def origin_of(url: str) -> str:
    """Scheme, host and port of a canonical URL: what robots.txt and politeness are about."""
    return url[: url.index("/", url.index("//") + 2)]


def host_of(url: str) -> str:
    """Host of a canonical URL, without its port, in lower case: whom politeness is owed."""
    host = origin_of(url).partition("//")[2].rpartition("@")[2].lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UrlError(Outcome.INVALID_URL, f"{error}: {text[:200]!r}") from error
    if parts.scheme not in ("http", "https"):
        found = parts.scheme[:20] or "none"
        raise UrlError(Outcome.INVALID_URL, f"expected scheme http or https, got {found}")
    if not host:
        raise UrlError(Outcome.INVALID_URL, f"expected a host, got {text[:200]!r}")
    return parts


def _encode(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise UrlError(Outcome.INVALID_URL, f"host {host[:100]!r}: {error}") from error
    if ":" in host:
        host = f"[{host}]"
    port = f":{parts.port}" if parts.port is not None else ""
    path = quote(parts.path.replace("\\", "/"), safe=_SAFE_PATH) or "/"
    return urlunsplit((parts.scheme, host + port, path, quote(parts.query, safe=_SAFE_QUERY), ""))
