"""What each URL of a small web does, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

Headers = tuple[tuple[str, str], ...]


class Delivery(Enum):
    """How the body of a page comes."""

    WHOLE = "with its length, at once"
    CUT = "with its length, but the connection closes in the middle"
    ENDLESS = "noise of no declared length, for as long as the client reads"
    LONG = "200 MB of noise, with its length"
    DRIP = "a byte now and then, for ever"
    NEVER = "no answer at all"
    GARBAGE = "bytes that are no HTTP"


class Flaw(Enum):
    """What is wrong with a host's certificate."""

    NONE = "nothing"
    EXPIRED = "ran out yesterday"
    EARLY = "is not valid before tomorrow"
    SELF_SIGNED = "is signed by itself"
    STRANGER = "is signed by an authority that nobody knows"
    OTHER_NAME = "is for another host"
    NO_NAME = "names no host that counts, only a subject"


@dataclass(frozen=True)
class Send:
    """These bytes, at once."""

    content: bytes


@dataclass(frozen=True)
class Repeat:
    """This block `times` times, None: for as long as the client reads; `slow`: with pauses."""

    block: bytes
    slow: bool = False
    times: int | None = None


@dataclass(frozen=True)
class Wait:
    """Nothing more, while the connection stays open."""


@dataclass(frozen=True)
class Reset:
    """An abrupt end: RST instead of FIN."""


Step = Send | Repeat | Wait | Reset


@dataclass(frozen=True)
class Page:
    """The answer to a GET of one path."""

    body: bytes = b""
    status: int = 200
    headers: Headers = ()
    delivery: Delivery = Delivery.WHOLE
    delay_s: float = 0.0
    # So many requests are answered by `failure_status` first.
    num_failures: int = 0
    failure_status: int = 503
    failure_headers: Headers = ()
    # What goes over the wire instead of all that, head included; then the connection closes.
    steps: tuple[Step, ...] = ()


@dataclass
class Site:
    """Pages by host and path; an unknown path is a 404, and so is robots.txt unless given."""

    pages: dict[tuple[str, str], Page] = field(default_factory=dict)

    def add(self, host: str, path: str, page: Page) -> None:
        """Put a page on the web; ValueError if there is one already."""
        if (host, path) in self.pages:
            raise ValueError(f"expected a new page, got a second one at {host}{path}")
        self.pages[host, path] = page

    def find(self, host: str, path: str) -> Page:
        """The page at a path, else that of the whole host (path "*"), else the 404 page."""
        return self.pages.get((host, path)) or self.pages.get((host, "*"), NOT_FOUND)


NOT_FOUND = Page(b"<html>not found</html>", 404, (("Content-Type", "text/html"),))


def image_page(content: bytes, media_type: str, **headers: str) -> Page:
    """A picture with usual headers; `x_robots_tag="noai"` adds X-Robots-Tag: noai."""
    named: Mapping[str, str] = {
        "Content-Type": media_type,
        "ETag": f'"{len(content):x}"',
        "Last-Modified": "Tue, 01 Jun 2021 12:00:00 GMT",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return Page(content, headers=tuple(named.items()))


def redirect(location: str, status: int = 302) -> Page:
    """A redirect."""
    return Page(b"", status, (("Location", location),))
