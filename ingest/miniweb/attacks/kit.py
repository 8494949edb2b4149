"""Attacks as records, and the kit that collects them with what serves them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from ingest.miniweb.nameserver import Reply
from ingest.miniweb.pictures import drawn_jpeg
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Flaw, Page, Send, Site, Step, image_page
from schemas.outcome import Outcome

DOMAIN = "attack.localhost"
PORT = "{port}"


@dataclass(frozen=True)
class Attack:
    """One attack: what it does, where, the word that it should end in, and the limit that ends it.

    `url` may hold {port} and its like (`MiniWeb.fill`), and {number}, which counts `num_urls`.
    `outcomes`: the first is the word that is expected here; the others are as good.
    """

    name: str
    what: str
    url: str
    outcomes: tuple[Outcome, ...]
    limit: str
    num_urls: int = 1

    def urls(self, web: MiniWeb) -> Iterator[str]:
        """The URLs of the attack on a served web."""
        for number in range(self.num_urls):
            yield web.fill(self.url).replace("{number}", str(number))


@dataclass
class Kit:
    """Attacks, and the pages, names and certificates that they need."""

    site: Site = field(default_factory=Site)
    attacks: list[Attack] = field(default_factory=list)
    names: dict[str, tuple[Reply, ...]] = field(default_factory=dict)
    flaws: dict[str, Flaw] = field(default_factory=dict)

    def page(self, name: str, page: Page, what: str, limit: str, *outcomes: Outcome) -> str:
        """Add an attack by one page at a host of its own; its host."""
        host = f"{name}.{DOMAIN}"
        self.site.add(host, "/x.jpg", page)
        self.attacks.append(Attack(name, what, f"http://{host}:{PORT}/x.jpg", outcomes, limit))
        return host

    def wire(
        self, name: str, steps: tuple[Step, ...], what: str, limit: str, *outcomes: Outcome
    ) -> None:
        """Add an attack by an answer that is given byte for byte."""
        self.page(name, Page(steps=steps), what, limit, *outcomes)

    def rows(self, web: MiniWeb) -> Iterator[dict[str, str]]:
        """The URL table of the served attacks."""
        for attack in self.attacks:
            row = {"caption": attack.what, "attack": attack.name, "limit": attack.limit}
            expectation = " or ".join(attack.outcomes)
            for url in attack.urls(web):
                yield {"url": url, **row, "expectation": expectation}

    def markdown(self) -> str:
        """The table of attacks, outcomes and limits."""
        head = ["| attack | what it does | ends as | ended by |", "|---|---|---|---|"]
        return "\n".join([*head, *map(_row, self.attacks)])


def _row(attack: Attack) -> str:
    words = " or ".join(f"`{outcome}`" for outcome in attack.outcomes)
    return f"| `{attack.name}` | {attack.what} | {words} | {attack.limit} |"


@cache
def jpeg() -> bytes:
    """A small good picture: what a patient client gets in the end."""
    return drawn_jpeg(96)


def good_page(**headers: str) -> Page:
    """A page with that picture."""
    return image_page(jpeg(), "image/jpeg", **headers)


def head(*lines: str, status: str = "200 OK") -> Send:
    """Status line and headers of a picture, as a step."""
    start = (f"HTTP/1.1 {status}", "Content-Type: image/jpeg", *lines)
    return Send(("\r\n".join(start) + "\r\n\r\n").encode("latin-1"))


def raw_redirect(location: bytes) -> Page:
    """A redirect whose Location goes over the wire as it is."""
    start = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
    return Page(steps=(Send(start + location + b"\r\n\r\n"),))
