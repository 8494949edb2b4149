"""The links to images of an HTML page, in one pass over the tags that can hold one.

The tags are told as browsers tell them (HTML, section 13.2.5): nothing in comments, scripts,
styles, templates, titles, text areas and attribute values is a tag; <noscript> holds ordinary ones,
for there pages keep the fallbacks of pictures that are loaded late. No CSS is read. One difference:
a tag inside another that lacks its `>` counts.
"""

import codecs
import re
from collections.abc import Callable
from html import unescape
from html.entities import html5

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

# The first three letters of each tag below, class by class: a fifth of the time of an alternation.
_TAG = re.compile(
    rb"<[!bilmstvBILMSTV][-aceimnotACEIMNOT][-dgmnprstuxyDGMNPRSTUXY](?:(?<=!--)|[A-Za-z]*+)"
)
_VALUE = rb"\s*+=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|(?![\"'])[^\s>]*+)"
_TAG_END = re.compile(rb"(?:[\s/]*+[^\s/>][^\s/>=]*+(?:" + _VALUE + rb")?+)*+[\s/]*+>")
_ATTRIBUTE = re.compile(
    rb"([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>]*+)))?+"
)
_ANY_TAG = re.compile(rb"</?[A-Za-z][^\s/>]*+")
_COMMENT_END = re.compile(rb"--!?>")
_RAW_ENDS = {
    name: re.compile(
        b"</" + b"".join(b"[%c%c]" % (one, one - 32) for one in name) + rb"(?=[\s/>]|\Z)"
    )
    for name in (b"script", b"style", b"template", b"textarea", b"title")
}
_LAZY = {name.encode(): f"img@{name}" for name in LAZY_SOURCES}
_SETS = {name.encode(): f"img@{name}" for name in ("srcset", *LAZY_SETS)}
_BEFORE_VALUE = b"= \t\n\r\f"
_AFTER_NAME = b" \t\n\f\r/>"
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]*;?(?!=))")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META_CHARSET = re.compile(
    rb"<[mM][eE][tT][aA][^<>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.ASCII
)
_CHARSET_BYTES = 1024
# Labels that browsers read as another charset (WHATWG Encoding, section 4.2).
_LABELS = {"iso8859-1": "cp1252", "ascii": "cp1252", "shift_jis": "cp932", "gb2312": "gb18030"}
# Charsets in which the bytes of markup may stand for something else.
_NOT_ASCII = ("utf-16", "utf-32", "utf-7", "iso2022", "hz", "cp037", "cp500", "cp1026", "cp1140")


def image_links(page: bytes | str, page_url: str, charset: str | None = None) -> list[ImageLink]:
    """The links to images of a page, each URL once; bytes of any kind give some answer.

    charset: what the answer's Content-Type said, if anything. Time is linear in the page's size.
    """
    if isinstance(page, str):
        content, name = page.encode("utf-8", "replace"), "utf-8"
    else:
        content, name = _ascii_compatible(page, charset)
    return _Page(content, name, page_url).links()


def _ascii_compatible(page: bytes, declared: str | None) -> tuple[bytes, str]:
    """The page in a charset in which ASCII bytes are ASCII, and the name of that charset."""
    name = page_charset(page, declared)
    if name.startswith(_NOT_ASCII):
        return page.decode(name, "replace").encode("utf-8", "replace"), "utf-8"
    return page, name


def page_charset(page: bytes, declared: str | None = None) -> str:
    """The charset of a page by its byte order mark, the HTTP header or <meta>; else UTF-8."""
    for mark, name in _MARKS:
        if page.startswith(mark):
            return name
    found = _codec(declared) if declared else None
    if found is None and (match := _META_CHARSET.search(page, 0, _CHARSET_BYTES)):
        found = _codec(match[1].decode("ascii"))
        # Where <meta> could be read, the page cannot be UTF-16 (HTML, section 13.2.3.2).
        found = "utf-8" if found and found.startswith(("utf-16", "utf-32")) else found
    return found or "utf-8"


def _codec(label: str) -> str | None:
    try:
        info = codecs.lookup(label.strip(" \t\"'"))
    except (LookupError, ValueError):
        return None
    return _LABELS.get(info.name, info.name) if info._is_text_encoding else None


class _Page:
    """One page; `_at` is where the next tag is looked for."""

    def __init__(self, content: bytes, charset: str, page_url: str) -> None:
        self._content = content
        self._charset = charset
        self._page_url = page_url
        self._found = Collector(base_of(page_url))
        self._has_base = False

    def links(self) -> list[ImageLink]:
        """What the page links to; it is to be asked once."""
        content, at, since = self._content, 0, 0
        while at >= 0 and (match := _TAG.search(content, at)):
            begin, at = match.span()
            name = match[0][1:].lower()
            if name not in _NAMES or (name != b"!--" and content[at : at + 1] not in _AFTER_NAME):
                continue
            inside = self._value_end(since, begin)
            at = since = self._read(name, begin, at) if inside is None else inside
        return self._found.links()

    def _value_end(self, since: int, begin: int) -> int | None:
        """Where the tag ends that has the `<` at `begin` in a value; None if it is in none.

        The nearest quote before a `<` in a quoted value is the one that opens it, after a `=`.
        """
        content = self._content
        double, single = content.rfind(b'"', since, begin), content.rfind(b"'", since, begin)
        if not (
            content[begin - 1 : begin] == b"="
            or (double > 0 and content[double - 1] in _BEFORE_VALUE)
            or (single > 0 and content[single - 1] in _BEFORE_VALUE)
        ):
            return None
        while (opening := _ANY_TAG.search(content, since, begin)) and since < begin:
            closing = _TAG_END.match(content, opening.end())
            if closing is None or closing.end() > begin:
                return _end(closing)
            since = closing.end()
        return None

    def _read(self, name: bytes, begin: int, at: int) -> int:
        """Take the links of a tag whose name ends at `at`; where to go on, -1 if nowhere."""
        if name == b"!--":
            return _end(_COMMENT_END.search(self._content, begin + 2))
        if name in _RAW_ENDS:
            return _end(_RAW_ENDS[name].search(self._content, at))
        closing = _TAG_END.match(self._content, at)
        if closing:
            _HANDLERS[name](self, self._content[at : closing.end() - 1])
        return _end(closing)

    def _attributes(self, tag: bytes) -> dict[bytes, bytes]:
        """The attributes of a tag; of those with one name the first."""
        found: dict[bytes, bytes] = {}
        for name, double, single, bare in _ATTRIBUTE.findall(tag):
            found.setdefault(name.lower(), double or single or bare)
        return found

    def _text(self, value: bytes | None) -> str:
        if not value:
            return ""
        text = value.decode(self._charset, "replace")
        return _REFERENCE.sub(_decode_reference, text) if "&" in text else text

    def _read_image(self, tag: bytes) -> None:
        attributes = self._attributes(tag)
        alt = self._text(attributes.get(b"alt"))
        for name, value in attributes.items():
            if name == b"src" or name in _LAZY:
                reference = self._text(value)
                if name == b"src" or is_reference(reference):
                    self._found.add(reference, _LAZY.get(name, "img@src"), alt)
            elif name in _SETS and (best := largest_candidate(self._text(value))):
                self._found.add(best, _SETS[name], alt)

    def _read_source(self, tag: bytes) -> None:
        if b"srcset" not in tag.lower():
            return
        attributes = self._attributes(tag)
        for name in ("srcset", *LAZY_SETS):
            self._add_set(attributes, name.encode(), f"source@{name}", "")

    def _read_meta(self, tag: bytes) -> None:
        if b":image" not in tag.lower():
            return
        attributes = self._attributes(tag)
        for key in (b"property", b"name"):
            name = self._text(attributes.get(key)).strip().lower()
            if name in META_NAMES:
                self._add(attributes, b"content", f"meta@{name}", "")
                return

    def _read_link(self, tag: bytes) -> None:
        if b"image_src" not in tag.lower():
            return
        attributes = self._attributes(tag)
        if b"image_src" in attributes.get(b"rel", b"").lower().split():
            self._add(attributes, b"href", "link@image_src", "")

    def _read_input(self, tag: bytes) -> None:
        if b"image" not in tag.lower():
            return
        attributes = self._attributes(tag)
        if attributes.get(b"type", b"").lower() == b"image":
            self._add(attributes, b"src", "input@src", self._text(attributes.get(b"alt")))

    def _read_video(self, tag: bytes) -> None:
        if b"poster" in tag.lower():
            self._add(self._attributes(tag), b"poster", "video@poster", "")

    def _read_base(self, tag: bytes) -> None:
        href = self._text(self._attributes(tag).get(b"href"))
        if href and not self._has_base:
            self._has_base = True
            self._found.rebase(base_of(self._page_url, href))

    def _add(self, attributes: dict[bytes, bytes], key: bytes, where: str, alt: str) -> None:
        if value := attributes.get(key):
            self._found.add(self._text(value), where, alt)

    def _add_set(self, attributes: dict[bytes, bytes], key: bytes, where: str, alt: str) -> None:
        if (value := attributes.get(key)) and (best := largest_candidate(self._text(value))):
            self._found.add(best, where, alt)


def _end(match: re.Match[bytes] | None) -> int:
    return match.end() if match else -1


def _decode_reference(match: re.Match[str]) -> str:
    """A character reference in an attribute, which needs its semicolon before a letter or `=`."""
    name = match[0][1:]
    return unescape(match[0]) if name[0] == "#" else html5.get(name, match[0])


_HANDLERS: dict[bytes, Callable[[_Page, bytes], None]] = {
    b"img": _Page._read_image,
    b"source": _Page._read_source,
    b"meta": _Page._read_meta,
    b"link": _Page._read_link,
    b"input": _Page._read_input,
    b"video": _Page._read_video,
    b"base": _Page._read_base,
}
_NAMES = frozenset({*_HANDLERS, *_RAW_ENDS, b"!--"})
