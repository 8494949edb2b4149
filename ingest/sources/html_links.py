"""Links to images in a page, found in one pass over its tags (WHATWG HTML, section 13.2.5).

All expressions are possessive, and what never ends ends the page: the time is linear, whatever the
page is. CSS is not looked at.
"""

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import NamedTuple
from urllib.parse import urljoin


class ImageLink(NamedTuple):
    """The absolute URL of an image, the attribute that named it (`img@src`), and its text."""

    url: str
    attribute: str
    alt: str | None


# Raw text: what looks like a tag in it is none. (`noscript` is not: lazy loading hides there.)
_OPENING = re.compile(
    r"<(?:(?P<comment>!--)|(?P<raw>script|style|textarea|title|xmp|iframe|noembed|noframes)"
    r"|(?P<tag>img|image|source|meta|base|link|input|video))(?=[\s/>!-])",
    re.IGNORECASE,
)
_COMMENT_END = re.compile(r"--!?>")
_RAW_END = re.compile(
    r"</(script|style|textarea|title|xmp|iframe|noembed|noframes)(?=[\s/>])", re.I
)
_VALUE = r"\"[^\"]*+\"|'[^']*+'|[^\s\"'>][^\s>]*+"
_REST_OF_TAG = re.compile(rf"(?>[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:{_VALUE})?+)?+)*+[\s/]*+>")
_ATTRIBUTE = re.compile(rf"[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+({_VALUE})?+)?+")
_SRCSET = re.compile(r"[\s,]*+(\S++)([^,]*+)")
_DESCRIPTOR = re.compile(r"\s(\d++(?:\.\d*+)?)[wx]\b")
_INNER_WHITE = re.compile(r"[\t\n\r]")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_WEB = re.compile(r"https?://|data:", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_META_BYTES = 4096

# Lazy loading has no standard: these are the names that its libraries use.
_SINGLE = ("src", "data-src", "data-original", "data-lazy-src", "data-lazy", "data-srcfull")
SETS = ("srcset", "data-srcset", "data-lazy-srcset", "data-original-set")
# What names an image, by tag.
ATTRIBUTES = {
    "img": (*_SINGLE, *SETS),
    "image": (*_SINGLE, *SETS),
    "source": SETS,
    "video": ("poster", "data-poster"),
    "input": ("src",),
}
META_NAMES = frozenset(
    ("og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src")
)


class LinkCollector:
    """The distinct image links of one page, in order, resolved against its base."""

    def __init__(self, page_url: str) -> None:
        self._base = page_url
        self._found: dict[str, ImageLink] = {}
        self._set_base(page_url)

    def rebase(self, href: str) -> None:
        """Resolve what follows against a `<base href>`."""
        self._set_base(self._absolute(href) or self._base)

    def add(self, tag: str, name: str, value: str, alt: str | None = None) -> None:
        """Add what an attribute names, of a set the largest; what is not of the web is left out."""
        url = largest_of(value) if name in SETS else value
        absolute = self._absolute(url) if url else None
        if absolute is None:
            return
        known = self._found.get(absolute)
        if known is None:
            self._found[absolute] = ImageLink(absolute, f"{tag}@{name}", alt or None)
        elif alt and known.alt is None:
            self._found[absolute] = known._replace(alt=alt)

    def links(self) -> list[ImageLink]:
        """All links so far."""
        return list(self._found.values())

    def _set_base(self, base: str) -> None:
        self._base = base
        scheme, _, rest = base.partition("//")
        self._scheme = scheme
        self._origin = f"{scheme}//{re.split('[/?#]', rest, maxsplit=1)[0]}"
        path = re.split("[?#]", base, maxsplit=1)[0]
        self._folder = path[: path.rfind("/") + 1] if path.count("/") > 2 else self._origin + "/"

    def _absolute(self, url: str) -> str | None:
        """The URL that a browser would ask for; `urljoin` only where it is not plain."""
        url = url.strip(" \t\n\r\f")
        if _INNER_WHITE.search(url):
            url = _INNER_WHITE.sub("", url)
        if _WEB.match(url):
            return url
        if not url or url[0] in "#?" or _SCHEME.match(url):
            return None
        if url.startswith("//"):
            return self._if_web(self._scheme + url)
        if "./" in url or "\\" in url or url.endswith("."):
            try:
                return self._if_web(urljoin(self._base, url.replace("\\", "/")))
            except ValueError:
                return None
        return self._if_web((self._origin if url[0] == "/" else self._folder) + url)

    def _if_web(self, url: str) -> str | None:
        return url if _WEB.match(url) else None


def image_links(page: str, page_url: str) -> list[ImageLink]:
    """The distinct image links of a page in their order; never raises, whatever the page is."""
    found = LinkCollector(page_url)
    has_base = False
    for tag, attributes in _tags(page):
        if tag == "base":
            if not has_base and (href := attributes("href")):
                found.rebase(href)
                has_base = True
        elif tag == "meta":
            name = (attributes("property") or attributes("name") or "").lower()
            if name in META_NAMES:
                found.add(tag, name, attributes("content") or "")
        elif tag == "link":
            if "image_src" in (attributes("rel") or "").lower().split():
                found.add(tag, "image_src", attributes("href") or "")
        elif tag != "input" or (attributes("type") or "").lower() == "image":
            for name in ATTRIBUTES[tag]:
                if value := attributes(name):
                    found.add(tag, name, value, attributes("alt"))
    return found.links()


def decode_page(content: bytes, charset: str | None) -> str:
    """The text of a page: charset of its mark, its header, or its `<meta>`; else UTF-8."""
    for mark, name in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16le"),
        (b"\xfe\xff", "utf-16be"),
    ):
        if content.startswith(mark):
            return content[len(mark) :].decode(name, "replace")
    if charset is None and (named := _CHARSET.search(content[:_META_BYTES])):
        charset = named.group(1).decode("ascii", "replace")
    if charset:
        try:
            return content.decode(charset, "replace")
        except (LookupError, ValueError):
            pass
    return content.decode("utf-8", "replace")


def largest_of(srcset: str) -> str | None:
    """The URL of a `srcset` with the largest width or density; None if it has none."""
    best, best_size, position = None, -1.0, 0
    while found := _SRCSET.match(srcset, position):
        url, descriptor = found.group(1), found.group(2)
        position = found.end()
        if url.endswith(","):
            url, descriptor, position = url.rstrip(","), "", found.end(1)
        size = _DESCRIPTOR.match(descriptor)
        number = float(size.group(1)) if size else 1.0
        if url and number > best_size:
            best, best_size = url, number
    return best


_Attributes = Callable[[str], str | None]


def _tags(page: str) -> Iterator[tuple[str, _Attributes]]:
    """Name of each tag that may matter, and its attributes by name; the first of a name counts."""
    position = 0
    while opening := _OPENING.search(page, position):
        position = opening.end()
        if opening["tag"]:
            rest = _REST_OF_TAG.match(page, position)
            if rest is None:
                return  # A quote that is never closed: the page ends in this tag.
            position = rest.end()
            yield opening["tag"].lower(), _Lookup(rest.group()[:-1]).get
        elif opening["comment"]:
            end = _COMMENT_END.search(page, opening.start() + 2)
            if end is None:
                return
            position = end.end()
        else:
            end = _raw_end(page, position, opening["raw"].lower())
            if end is None:
                return
            position = end.end()


def _raw_end(page: str, position: int, name: str) -> re.Match[str] | None:
    """The closing tag of an element of raw text."""
    while end := _RAW_END.search(page, position):
        if end.group(1).lower() == name:
            return end
        position = end.end()
    return None


class _Lookup:
    """The attributes of one tag, read when the first is asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._values: dict[str, str] | None = None

    def get(self, name: str) -> str | None:
        """The value of an attribute, its character references resolved."""
        if self._values is None:
            pairs = _ATTRIBUTE.findall(self._text)
            self._values = {key.lower(): value for key, value in reversed(pairs)}
        value = self._values.get(name)
        if value and value[0] in "\"'":
            value = value[1:-1]
        return unescape(value) if value and "&" in value else value
