"""What a link to an image is: its absolute URL as a browser reads it, and each one only once."""

import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

# Attributes of <img> that scripts copy into src or srcset when the picture scrolls into view.
LAZY_SOURCES = (
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-lazy",
    "data-lazyload",
    "data-original-src",
    "data-actualsrc",
    "data-img-src",
    "data-image-src",
    "data-image",
    "data-echo",
    "data-hi-res-src",
    "data-orig-file",
    "data-large-file",
    "data-full-src",
)
LAZY_SETS = ("data-srcset", "data-lazy-srcset", "data-original-set")
# What <meta property> or <meta name> says about a picture of the page.
META_NAMES = frozenset(
    {"og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src"}
)

_CONTROLS = "".join(map(chr, range(0x21)))
_LINE_ENDS = re.compile(r"[\t\n\r]")
_BEFORE_QUERY = re.compile(r"[^?#]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# A dot segment, which a join takes away.
_DOTS = re.compile(r"(?:^|/)\.\.?(?:[/?#]|$)")
_CANDIDATE = re.compile(
    r"[\s,]*+(\S*[^\s,])(?:,+|\s++([^,(]*+(?:\([^)]*+(?:\)|$)[^,(]*+)*+))?", re.ASCII
)
_DESCRIPTOR = re.compile(r"(\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?)[wx](?:\s+\d+h)?", re.ASCII)


class ImageLink(NamedTuple):
    """A link to an image: its absolute URL, where it stood (`img@src`), and its text."""

    url: str
    attribute: str
    alt: str | None


class Base(NamedTuple):
    """What relative URLs of a page are joined to, taken apart once."""

    url: str
    scheme: str
    origin: str
    folder: str


def base_of(page_url: str, href: str | None = None) -> Base:
    """The base of a page, and of its first <base href> if it has one that is http or https."""
    url = page_url.strip(_CONTROLS)
    if href:
        joined = absolute_url(href, _take_apart(url))
        url = joined if joined and not _is_data(joined) else url
    return _take_apart(url)


def absolute_url(reference: str, base: Base) -> str | None:
    """The absolute URL of a reference; None if it is empty or neither http, https nor data.

    Source: WHATWG URL, sections 4.4 and 4.5; what is already absolute is not normalised further.
    """
    # Nearly all references are as plain as these: no white space, backslash or dot segment.
    if reference.isprintable() and " " not in reference and "\\" not in reference:
        if reference.startswith(("https://", "http://")):
            return reference
        if reference[:1] == "/" != reference[1:2] and "/." not in reference and base.origin:
            return base.origin + reference
    url = reference.strip(_CONTROLS)
    if url.startswith(("https://", "http://")) and "\\" not in url and "\n" not in url:
        return _LINE_ENDS.sub("", url) if "\t" in url or "\r" in url else url
    if _is_data(url):
        return url
    return _join(_LINE_ENDS.sub("", url), base)


def largest_candidate(srcset: str) -> str | None:
    """The reference of a srcset with the largest width or density; None if it has none.

    Source: HTML, section 4.8.4.3.10 (parsing a srcset attribute).
    """
    largest, best = -1.0, None
    for reference, descriptor in _CANDIDATE.findall(srcset.strip(_CONTROLS + ",")):
        text = descriptor.strip()
        match = _DESCRIPTOR.fullmatch(text) if text else None
        if text and not match:
            continue
        size = float(match[1]) if match else 1.0
        if size > largest:
            largest, best = size, reference
    return best


def is_reference(value: str) -> bool:
    """Whether the value of a lazy-load attribute is a reference, not a switch or JSON."""
    return ("/" in value or "." in value) and value.lstrip()[:1] not in ("{", "[")


class Collector:
    """The image links of one page in their order, each URL once with the first alt it has."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._links: dict[str, tuple[str, str | None]] = {}
        self._known: dict[str, str | None] = {}

    def add(self, reference: str, attribute: str, alt: str | None = None) -> None:
        """Add a reference, unless it is of no image that can be fetched."""
        if reference in self._known:
            url = self._known[reference]
        else:
            url = self._known[reference] = absolute_url(reference, self._base)
        if url is None:
            return
        known = self._links.get(url)
        if known is None:
            self._links[url] = attribute, alt
        elif alt and not known[1]:
            self._links[url] = known[0], alt

    def rebase(self, base: Base) -> None:
        """Join what is added from now on to another base."""
        self._base = base
        self._known = {}

    def links(self) -> list[ImageLink]:
        """What was added; an empty alt is none."""
        return [ImageLink(url, where, alt or None) for url, (where, alt) in self._links.items()]


def _take_apart(url: str) -> Base:
    try:
        parts = urlsplit(url)
    except ValueError:
        return Base(url, "", "", "")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return Base(url, "", "", "")
    origin = f"{parts.scheme}://{parts.netloc}"
    folder = "" if _DOTS.search(parts.path) else parts.path.rpartition("/")[0] + "/"
    return Base(url, parts.scheme, origin, folder and origin + folder)


def _join(url: str, base: Base) -> str | None:
    if "\\" in url:
        url = _BEFORE_QUERY.sub(lambda head: head[0].replace("\\", "/"), url, count=1)
    if not url or url.startswith("#"):
        return None
    if not base.folder or url[0] == "?" or _SCHEME.match(url) or _DOTS.search(url):
        return _slow_join(url, base)
    if url.startswith("//"):
        return f"{base.scheme}:{url}" if len(url) > 2 else None
    return (base.origin if url[0] == "/" else base.folder) + url


def _slow_join(url: str, base: Base) -> str | None:
    try:
        joined = urljoin(base.url, url)
        parts = urlsplit(joined)
    except ValueError:
        return None
    return joined if parts.scheme in ("http", "https") and parts.netloc else None


def _is_data(url: str) -> bool:
    return url[:5].lower() == "data:"
