"""Sitemaps with image extensions: `<image:loc>` of each page, with what is said of it.

Source: sitemaps.org, protocol 0.9; Google's image sitemaps 1.1.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, cast
from xml.etree.ElementTree import Element, ParseError, iterparse

from ingest import storage
from ingest.errors import SetupError
from ingest.sources.candidates import in_batches, url_candidate
from ingest.sources.piece import Piece
from schemas.candidate import Candidate
from schemas.options import PlanOptions

KIND = "sitemap"
_PAGES = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
_IMAGES = "{http://www.google.com/schemas/sitemap-image/1.1}"
_TEXTS = ("title", "caption", "license", "geo_location")


def split_sitemap(uri: str, options: PlanOptions) -> list[Piece]:
    """The sitemap as one piece: by its rules it has at most 50 MB."""
    return [Piece(uri, KIND)]


def read_sitemap(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The images of a sitemap in their order; raises SetupError if it is none, or not whole."""
    uri = piece.uri
    return in_batches(
        url_candidate(uri, row, url, columns) for row, (url, columns) in enumerate(_images(uri))
    )


def _images(uri: str) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with ExitStack() as stack:
            file = stack.enter_context(storage.open_input(uri))
            if uri.lower().endswith(".gz"):
                file = cast(IO[bytes], stack.enter_context(gzip.open(file)))
            for page in _pages(file, uri):
                page_url = (page.findtext(f"{_PAGES}loc") or "").strip()
                for image in page.iter(f"{_IMAGES}image"):
                    texts = {name: image.findtext(f"{_IMAGES}{name}") for name in _TEXTS}
                    said = {name: text.strip() for name, text in texts.items() if text}
                    url = (image.findtext(f"{_IMAGES}loc") or "").strip()
                    yield url, {"page_url": page_url, **said}
    except (ParseError, OSError, EOFError, zlib.error) as error:
        raise SetupError(f"{uri}: expected a whole sitemap, got {error}") from error


def _pages(file: IO[bytes], uri: str) -> Iterator[Element]:
    """Each `<url>`, forgotten when the next is asked for; expat itself ends entity bombs."""
    root: Element | None = None
    for event, element in iterparse(file, ("start", "end")):
        if root is None:
            root = element
            _check_root(root, uri)
        if event == "end" and element.tag == f"{_PAGES}url":
            yield element
            root.clear()


def _check_root(root: Element, uri: str) -> None:
    if root.tag == f"{_PAGES}sitemapindex":
        raise SetupError(
            f"{uri}: expected a sitemap, got an index of sitemaps: download those that it names"
        )
    if root.tag != f"{_PAGES}urlset":
        raise SetupError(f"{uri}: expected a <urlset> of {_PAGES}, got <{root.tag}>")
