"""The standard web: hundreds of good pictures, copies of an evaluation set, and every trap."""

import random
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ingest.miniweb.compression import gzip_bomb
from ingest.miniweb.image_bombs import gif_bomb, png_bomb
from ingest.miniweb.pictures import Picture, encode, evaluation_tiles, web_pictures
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Delivery, Page, Site, image_page, redirect
from ingest.miniweb.traps import with_marker
from schemas.outcome import Outcome

NUM_EVALUATION_IMAGES = 30
_HOSTS = ("photos.localhost", "archive.localhost", "cdn.localhost")
_LICENCES = ("CC0-1.0", "CC-BY-4.0", "unknown")
ABORT_MARKER = b"uncurated-test: abort the decoder"
HANG_MARKER = b"uncurated-test: hang the decoder"
_PORT, _CLOSED_PORT = "{port}", "{closed_port}"


@dataclass(frozen=True)
class Link:
    """A row of the URL table, and the outcome that a careful crawler reaches."""

    url: str
    caption: str
    expectation: Outcome


@dataclass
class World:
    """A site, the links to it, and the evaluation set that it holds copies of."""

    site: Site = field(default_factory=Site)
    links: list[Link] = field(default_factory=list)
    evaluation_set: dict[str, bytes] = field(default_factory=dict)

    def link(self, url: str, caption: str, expectation: Outcome) -> None:
        """Add a link; {port} and its like are filled in when the web is served."""
        self.links.append(Link(url, caption, expectation))

    def page(self, where: str, page: Page, caption: str, expectation: Outcome) -> None:
        """Add a page at HOST/PATH, and a link to it."""
        host, slash, path = where.partition("/")
        self.site.add(host, slash + path, page)
        self.link(f"http://{host}:{_PORT}{slash}{path}", caption, expectation)

    def rows(self, web: MiniWeb) -> list[dict[str, str]]:
        """The URL table of a served world: url, caption, licence, expectation."""
        rows = []
        for number, link in enumerate(self.links):
            licence = _LICENCES[number % len(_LICENCES)]
            expectation = link.expectation.value
            row = {"url": web.fill(link.url), "caption": link.caption, "licence": licence}
            rows.append({**row, "expectation": expectation})
        return rows

    def write_urls(self, path: Path, web: MiniWeb) -> None:
        """Write the URL table as parquet."""
        pq.write_table(pa.Table.from_pylist(self.rows(web)), path)

    def write_evaluation_set(self, folder: Path) -> None:
        """Write the evaluation images into a new folder."""
        folder.mkdir(parents=True)
        for name, content in self.evaluation_set.items():
            (folder / name).write_bytes(content)


def build_world(seed: int, num_pictures: int = 330) -> World:
    """The standard world; the same for the same seed."""
    world = World()
    pictures = web_pictures(seed, num_pictures)
    for number, picture in enumerate(pictures):
        host, suffix = _HOSTS[number % len(_HOSTS)], picture.media_type.partition("/")[2]
        page = image_page(picture.content, picture.media_type)
        where = f"{host}/{picture.name}.{suffix}"
        world.page(where, page, f"a picture, {picture.encoding}", Outcome.KEPT)
    jpeg = next(one for one in pictures if one.encoding == "jpeg baseline")
    _plant_copies(world, seed)
    _add_odd_but_good(world, jpeg)
    _add_dead_links(world)
    _add_refusals(world, jpeg)
    _add_no_images(world, jpeg)
    _add_endless(world, jpeg)
    _add_bad_addresses(world, jpeg)
    return world


def _plant_copies(world: World, seed: int) -> None:
    """Each evaluation image stands on the web in one or two other shapes."""
    generator = random.Random(seed)
    for number, tile in enumerate(evaluation_tiles(seed, NUM_EVALUATION_IMAGES)):
        picture = encode(tile, "png", f"eval-{number:02d}", generator)
        world.evaluation_set[f"{picture.name}.png"] = picture.content
        copies = list(_copies(tile, picture, generator))
        for choice in (number, number + 3)[: 1 + number % 2]:
            edit, media_type, content = copies[choice % len(copies)]
            exact = content == picture.content
            outcome = Outcome.DUPLICATE_EXACT if exact else Outcome.DUPLICATE_NEAR
            where = f"stock.localhost/{picture.name}-{edit.replace(' ', '-')}"
            caption = f"an evaluation image, {edit}"
            world.page(where, image_page(content, media_type), caption, outcome)


def _copies(
    tile: Image.Image, picture: Picture, generator: random.Random
) -> Iterator[tuple[str, str, bytes]]:
    """(edit, media type, bytes) of the copies of an evaluation image."""
    width, height = tile.size
    yield "same bytes", picture.media_type, picture.content
    half = tile.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    cut_x, cut_y = width * 15 // 200, height * 15 // 200
    cropped = tile.crop((cut_x, cut_y, width - cut_x, height - cut_y))
    for edit, image, encoding in (
        ("as jpeg", tile, "jpeg baseline"),
        ("half size", half, "jpeg baseline"),
        ("as webp", tile, "webp"),
        ("in grey", tile.convert("L"), "jpeg progressive"),
        ("mirrored", tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "jpeg baseline"),
        ("cropped", cropped, "png"),
    ):
        copy = encode(image, encoding, "", generator)
        yield edit, copy.media_type, copy.content


def _add_odd_but_good(world: World, jpeg: Picture) -> None:
    good, kept = image_page(jpeg.content, jpeg.media_type), Outcome.KEPT
    odd = "odd.localhost"
    for number, status in enumerate((301, 302, 303, 307, 308)):
        world.site.add(odd, f"/target-{number}.jpg", good)
        page = redirect(f"/target-{number}.jpg", status)
        world.page(f"{odd}/moved-{status}", page, f"a redirect, {status}", kept)
    away = redirect("/moved-301?again")
    world.site.add(odd, "/moved-301?again", redirect("/target-0.jpg"))
    world.page(f"{odd}/moved-twice", away, "two redirects", kept)
    as_html = image_page(jpeg.content, "text/html")
    world.page(f"{odd}/picture.html", as_html, "a picture served as HTML", kept)
    as_png = image_page(jpeg.content, "image/png")
    world.page(f"{odd}/picture.png", as_png, "a JPEG served as PNG", kept)
    world.page(f"{odd}/a%20b%C3%A9.jpg", good, "an encoded name", kept)
    world.link(f"http://{odd}:{_PORT}/a bé.jpg", "a name with a space and an accent", kept)
    for name, marker in (("abort", ABORT_MARKER), ("hang", HANG_MARKER)):
        marked = image_page(with_marker(jpeg.content, marker), jpeg.media_type)
        world.page(
            f"{odd}/{name}.jpg", marked, f"a comment that tells test decoders to {name}", kept
        )
    once = Page(jpeg.content, headers=good.headers, num_failures=1)
    world.page(f"{odd}/second-try.jpg", once, "503 the first time", kept)
    wait = (("Retry-After", "1"),)
    busy = Page(
        jpeg.content, headers=good.headers, num_failures=1, failure_status=429, failure_headers=wait
    )
    world.page(f"{odd}/busy.jpg", busy, "429 with Retry-After the first time", kept)
    slow = Page(jpeg.content, headers=good.headers, delay_s=1.0)
    world.page(f"{odd}/slow.jpg", slow, "a slow host", kept)


def _add_dead_links(world: World) -> None:
    host = "gone.localhost"
    statuses = {
        404: Outcome.HTTP_404,
        410: Outcome.HTTP_410,
        403: Outcome.HTTP_403,
        401: Outcome.HTTP_401,
        418: Outcome.HTTP_4XX,
        500: Outcome.HTTP_5XX,
        503: Outcome.HTTP_5XX,
        204: Outcome.HTTP_OTHER,
    }
    for status, outcome in statuses.items():
        page = Page(b"" if status == 204 else b"<html>no</html>", status)
        world.page(f"{host}/{status}.jpg", page, f"status {status}", outcome)
    for number in range(10):
        world.page(f"{host}/dead-{number}.jpg", Page(b"", 404), "a dead link", Outcome.HTTP_404)
    wait = Page(b"", 429, (("Retry-After", "3600"),))
    # At a host of its own: the whole host is to be left alone for that hour.
    world.page("busy.localhost/429.jpg", wait, "429 for an hour", Outcome.HTTP_429)
    loops = Outcome.TOO_MANY_REDIRECTS
    world.page(f"{host}/loop", redirect("/loop"), "a redirect to itself", loops)
    world.page(f"{host}/ping", redirect("/pong"), "a redirect loop", loops)
    world.site.add(host, "/pong", redirect("/ping"))
    for number in range(8):
        world.site.add(host, f"/hop-{number}", redirect(f"/hop-{number + 1}"))
    world.link(f"http://{host}:{_PORT}/hop-0", "eight redirects", loops)
    inward = Outcome.FORBIDDEN_ADDRESS
    for number, address in enumerate(
        ("169.254.169.254/latest/meta-data", "10.0.0.1/", "[fd00::1]/")
    ):
        world.page(
            f"{host}/in-{number}", redirect(f"http://{address}"), "a redirect inwards", inward
        )
    to_file = redirect("file:///etc/passwd")
    world.page(f"{host}/to-file", to_file, "a redirect to a file", Outcome.BAD_REDIRECT)


def _add_refusals(world: World, jpeg: Picture) -> None:
    rules = Page(b"User-agent: *\nDisallow: /private/\n", headers=(("Content-Type", "text/plain"),))
    world.site.add("shop.localhost", "/robots.txt", rules)
    good = image_page(jpeg.content, jpeg.media_type)
    for number in range(4):
        where = f"shop.localhost/private/{number}.jpg"
        world.page(where, good, "disallowed by robots.txt", Outcome.ROBOTS)
    world.page("shop.localhost/public.jpg", good, "allowed by robots.txt", Outcome.KEPT)
    unavailable = Outcome.ROBOTS_UNAVAILABLE
    for host, page in (
        ("broken-robots.localhost", Page(b"", 500)),
        ("silent-robots.localhost", Page(delivery=Delivery.NEVER)),
    ):
        world.site.add(host, "/robots.txt", page)
        world.page(f"{host}/x.jpg", good, "robots.txt cannot be had", unavailable)
    for number, value in enumerate(("noai", "noindex, nofollow", "noimageai", "uncurated: noai")):
        refused = image_page(jpeg.content, jpeg.media_type, X_Robots_Tag=value)
        where = f"artist.localhost/{number}.jpg"
        world.page(where, refused, f"X-Robots-Tag: {value}", Outcome.OPT_OUT)
    expired = "unavailable_after: 25 Jun 2010 15:00:00 GMT"
    page = image_page(jpeg.content, jpeg.media_type, X_Robots_Tag=expired)
    world.page("artist.localhost/expired.jpg", page, expired, Outcome.OPT_OUT)
    other = image_page(jpeg.content, jpeg.media_type, X_Robots_Tag="otherbot: noai")
    world.page("artist.localhost/other.jpg", other, "an opt-out for another agent", Outcome.KEPT)
    for name, value in (("tdm-reservation", "1"), ("Content-Usage", "train-ai=n")):
        page = image_page(jpeg.content, jpeg.media_type, **{name.replace("-", "_"): value})
        where = f"artist.localhost/{name}.jpg"
        world.page(where, page, f"{name}: {value}, recorded by default", Outcome.KEPT)


def _add_no_images(world: World, jpeg: Picture) -> None:
    host = "junk.localhost"
    html = Page(b"<!DOCTYPE html><html>hello</html>", headers=(("Content-Type", "image/jpeg"),))
    world.page(f"{host}/page.jpg", html, "HTML served as JPEG", Outcome.NOT_AN_IMAGE)
    svg = image_page(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml")
    world.page(f"{host}/drawing.svg", svg, "a vector drawing", Outcome.UNSUPPORTED_FORMAT)
    world.page(f"{host}/empty.jpg", image_page(b"", "image/jpeg"), "no bytes", Outcome.EMPTY)
    for number, share in enumerate((10, 50, 90)):
        cut = image_page(jpeg.content[: len(jpeg.content) * share // 100], jpeg.media_type)
        world.page(f"{host}/cut-{number}.jpg", cut, "a file cut short", Outcome.CORRUPT)
    too_many = Outcome.TOO_MANY_PIXELS
    world.page(
        f"{host}/bomb.png", image_page(png_bomb(50_000), "image/png"), "2.5 Gpx PNG", too_many
    )
    world.page(f"{host}/bomb.gif", image_page(gif_bomb(), "image/gif"), "4.3 Gpx GIF", too_many)
    zeros = image_page(gzip_bomb(64 << 20), "image/jpeg", Content_Encoding="gzip")
    world.page(f"{host}/zeros.jpg", zeros, "64 MiB of zeros in 64 kB of gzip", Outcome.TOO_LARGE)


def _add_endless(world: World, jpeg: Picture) -> None:
    host, headers = "swamp.localhost", (("Content-Type", "image/jpeg"),)
    for delivery, outcome in (
        (Delivery.ENDLESS, Outcome.TOO_LARGE),
        (Delivery.LONG, Outcome.TOO_LARGE),
        (Delivery.DRIP, Outcome.LOW_SPEED),
        (Delivery.NEVER, Outcome.TIMEOUT),
        (Delivery.CUT, Outcome.CONNECTION_LOST),
        (Delivery.GARBAGE, Outcome.PROTOCOL),
    ):
        page = Page(jpeg.content, headers=headers, delivery=delivery)
        world.page(f"{host}/{delivery.name.lower()}.jpg", page, delivery.value, outcome)


def _add_bad_addresses(world: World, jpeg: Picture) -> None:
    invalid = Outcome.INVALID_URL
    world.link("ftp://files.localhost/x.jpg", "another scheme", invalid)
    inline = b64encode(jpeg.content).decode()
    world.link(f"data:image/jpeg;base64,{inline}", "a picture in its URL", Outcome.KEPT)
    world.link("data:image/png;base64,iVBORw0KGgo=", "half a header", Outcome.CORRUPT)
    world.link("data:image/png;base64,???", "broken base64", invalid)
    world.link("file:///etc/passwd", "a local file", invalid)
    world.link("http://[::1/x.jpg", "a broken address", invalid)
    world.link("not a url", "no URL", invalid)
    world.link("", "an empty cell", Outcome.MALFORMED_ROW)
    world.link(f"http://127.0.0.1:{_CLOSED_PORT}/x.jpg", "a closed port", Outcome.CONNECT)
    # Too long for any name server, so nobody is asked.
    world.link(f"http://{'x' * 64}.invalid/x.jpg", "a host without address", Outcome.DNS)
    for address in (
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[::ffff:10.0.0.1]",
        "0x0a000001",
    ):
        world.link(f"http://{address}/x.jpg", "a private address", Outcome.FORBIDDEN_ADDRESS)
    good = image_page(jpeg.content, jpeg.media_type)
    world.page("127.0.0.1/numeric.jpg", good, "a host given by its address", Outcome.KEPT)
