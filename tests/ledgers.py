"""Large sealed datasets made up for tests: real pictures and shards, and a ledger of a busy crawl.

Nothing is fetched, but everything is written by the functions that a build writes with, so that
such a dataset passes an audit.
"""

import io
import random
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path

from PIL import Image

from ingest.fetch.transfer import Answer
from ingest.fetch.visit import Visit
from ingest.inspect.decode import inspect_image
from ingest.miniweb.pictures import web_pictures
from ingest.pack.commit import ShardContent, pack_shard
from ingest.pack.ledger import Item
from ingest.pack.seal import begin_build, seal_dataset
from ingest.plan_part import by_shard, num_shards, read_plan_part, seal_plan, to_row
from ingest.plan_part import write_plan_part as write_part
from ingest.sampling import draw, sample_id
from ingest.spool import Spool
from schemas.candidate import Candidate
from schemas.manifest import plan_part_path
from schemas.options import BuildOptions, PlanOptions
from schemas.outcome import Outcome

_SOURCE = "urls.parquet"
_BEGIN_US = 1_790_000_000_000_000  # September 2026
_HOUR_US = 3_600_000_000
_CITIES = (
    *((48.8566, 2.3522), (40.7128, -74.006), (35.6762, 139.6503), (-33.8688, 151.2093)),
    *((-23.5505, -46.6333), (30.0444, 31.2357), (19.076, 72.8777), (-1.2921, 36.8219)),
    *((52.52, 13.405), (55.7558, 37.6173), (19.4326, -99.1332), (6.5244, 3.3792)),
)
_SUFFIXES = {
    **{"com": 48, "org": 9, "net": 6, "de": 6, "co.uk": 5, "fr": 4, "jp": 4, "ru": 4, "com.br": 3},
    **{"it": 2, "pl": 2, "in": 2, "com.au": 1, "io": 1, "ke": 1, "ng": 1, "xn--p1ai": 1},
}
_FATES = {
    **{"kept": 620, "http_404": 150, "dns": 60, "http_403": 40, "timeout": 30, "connect": 25},
    **{"robots": 20, "not_an_image": 15, "opt_out": 8, "http_410": 8, "tls": 6, "http_5xx": 6},
    **{"corrupt": 4, "too_many_redirects": 3, "http_429": 3, "invalid_url": 2},
}
_STATUSES = {"http_404": 404, "http_403": 403, "http_410": 410, "http_5xx": 503, "http_429": 429}
_REFUSALS = ("x-robots-tag: noai", "x-robots-tag: noindex", "x-robots-tag: noai, noimageai")
# What a build records and does not honour, if it is not told otherwise.
_SIGNALS = (
    *("x-robots-tag: max-image-preview:large", "tdm-reservation: 1", "content-usage: train-ai=n"),
    *("tdm-policy: https://example.org/policy.json", "c2pa: c2pa.ai_training: notAllowed"),
)


def make_ledger_dataset(folder, num_rows, seed=0, shard_candidates=10_000, num_pictures=240):
    """Seal a dataset of so many candidates in `folder`; its record. The same for the same seed."""
    plan = PlanOptions(input=(_SOURCE,), shard_candidates=shard_candidates, seed=seed)
    build = BuildOptions(output=str(folder))
    Path(folder).mkdir(parents=True, exist_ok=True)
    rows = _planned(num_rows, plan)
    parts = [
        write_part(build.output, shard, rows.get(str(shard), []))
        for shard in range(num_shards(num_rows, plan))
    ]
    seal_plan(build.output, plan, [(_SOURCE, "table", num_rows, num_rows)], parts)
    build_sha256 = begin_build(build, None)
    spool = Spool(0, "")
    web = _Web(seed, spool, num_pictures)
    commits = []
    for shard, _, _ in parts:
        candidates, digest = read_plan_part(build.output, plan_part_path(shard))
        items = [web.visit(candidate) for candidate in candidates]
        content = ShardContent(shard, len(items), digest, build_sha256, items)
        commits.append(pack_shard(content, spool, build.output, build.pack))
    spool.close()
    return seal_dataset(build.output, commits)


def _planned(num_rows, plan):
    """Plan rows by shard."""
    generator = random.Random(plan.seed)
    hosts = _hosts(plan.seed, max(10, num_rows // 20))
    # As on the web, few hosts have most of the pictures.
    weights = [1 / (place + 3) for place in range(len(hosts))]
    placed = []
    for row, host in enumerate(generator.choices(hosts, weights, k=num_rows)):
        url = f"https://{host}/media/{generator.randrange(10**6):06d}/photo-{row}.jpg"
        if generator.random() < 0.002:
            url = f"http://[{host}/broken {row}"
        one = sample_id(_SOURCE, row, url)
        order = draw(one, plan.seed)[1]
        candidate = Candidate(
            id=one,
            source=_SOURCE,
            row=row,
            url=url,
            carrier="url",
            stored_in=None,
            stored_at=None,
            columns=f'{{"caption":"picture {row}"}}',
        )
        placed.append((f"{order:016x}", to_row(order, candidate)))
    return by_shard(placed, num_shards(num_rows, plan))


def _hosts(seed, count):
    """Names of hosts, some of which share a registered domain."""
    generator = random.Random(f"hosts {seed}")
    suffixes, weights = list(_SUFFIXES), list(_SUFFIXES.values())
    found = ["images.кирилли-ца.example", "203.0.113.7", "localhost"]
    for number in range(count):
        suffix = generator.choices(suffixes, weights)[0]
        domain = f"site{generator.randrange(count * 2 // 3 + 1)}.{suffix}"
        found.append(generator.choice(("www", "cdn", "img", f"media{number % 7}")) + f".{domain}")
    return found


class _Web:
    """What a crawl sees: an answer for each candidate, drawn by its id alone."""

    def __init__(self, seed, spool, num_pictures):
        self._seed = seed
        # Shards repeat these, so that a hundred thousand of them need little time and disk.
        self._pictures = [
            (spool.append(content), inspection)
            for content, inspection in small_pictures(num_pictures)
        ]

    def visit(self, candidate):
        """The finished item of a candidate."""
        generator = random.Random(f"{self._seed} {candidate.id}")
        word = generator.choices(list(_FATES), _FATES.values())[0]
        if "[" in candidate.url:
            word = "invalid_url"
        if word == "invalid_url":
            return Item(candidate, Outcome.INVALID_URL, "expected a host, got none", Visit())
        visit = _asked(candidate.url, generator)
        if word in ("dns", "connect", "timeout", "tls"):
            return Item(candidate, Outcome(word), f"{word} of a made-up host", visit)
        if word == "robots":
            origin = candidate.url.partition("/media/")[0]
            when = f"(sha256 {visit.robots_sha256}, fetched 2026-09-21T14:13:20Z)"
            visit.rule = f"{origin}/robots.txt line {generator.randrange(9)}: Disallow: /media "
            visit.rule += when
            visit.signals = (visit.rule,)
            return Item(candidate, Outcome.ROBOTS, visit.rule, visit)
        return self._answered(candidate, visit, word, generator)

    def _answered(self, candidate, visit, word, generator):
        visit.answer = _answer(candidate.url, _STATUSES.get(word, 200), generator)
        if generator.random() < 0.03:
            visit.signals = tuple(generator.sample(_SIGNALS, generator.randrange(1, 3)))
        if word == "opt_out":
            visit.rule = generator.choice(_REFUSALS)
            visit.signals = (visit.rule,)
        if word != "kept":
            return Item(candidate, Outcome(word), f"{word}, made up", visit)
        region, inspection = generator.choice(self._pictures)
        visit.body = region
        return Item(candidate, Outcome.KEPT, None, visit, inspection)


def _asked(url, generator):
    """A visit whose request was made, and the robots.txt before it."""
    host = url.split("/")[2]
    visit = Visit(final_url=url, attempts=1, fetch_ms=generator.randrange(20, 2000))
    visit.fetched_at_us = _BEGIN_US + generator.randrange(120 * _HOUR_US)
    visit.robots_sha256 = _robots_digest(host)
    visit.robots_fetched_at_us = visit.fetched_at_us - 50_000
    visit.requests = [{"host": host, "at": visit.fetched_at_us}]
    if generator.random() < 0.1:
        visit.final_url = url.replace("/media/", "/cdn/")
        visit.redirects = [visit.final_url]
    return visit


def _answer(url, status, generator):
    headers = {"content-type": ["image/jpeg"], "etag": [f'"{generator.randrange(10**9):x}"']}
    if generator.random() < 0.5:
        year = generator.randrange(2005, 2027)
        headers["last-modified"] = [f"Mon, 01 Jun {year} 12:00:00 GMT"]
    return Answer(status, headers, _address(url.split("/")[2]))


@lru_cache(maxsize=100_000)
def _address(host):
    """One address for each host, of ranges that are kept for documents."""
    number = sha256(host.encode()).digest()
    return f"{(192, 198, 203)[number[0] % 3]}.{(0, 51, 0)[number[0] % 3]}.{number[1]}.{number[2]}"


@lru_cache(maxsize=100_000)
def _robots_digest(host):
    return sha256(f"robots of {host}".encode()).hexdigest()


@cache
def small_pictures(count):
    """Small real pictures in the formats of the web, and what is told of each; some say where."""
    generator = random.Random(5)
    originals = web_pictures(5, count)
    found = []
    for number, picture in enumerate(originals):
        with Image.open(io.BytesIO(picture.content)) as image:
            image_format = image.format
            small = image.convert("RGB") if image.mode not in ("L", "P") else image.copy()
        small.thumbnail((64, 64))
        exif = picture_exif(generator) if number % 3 == 0 else Image.Exif()
        content = saved(small, image_format, exif=exif)
        found.append((content, inspect_image(content, 10**6)))
    return found


def picture_exif(generator):
    """EXIF of a camera, with the position of a city now and then."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", f"Model {generator.randrange(9)}"
    exif.get_ifd(0x8769)[0x9003] = f"{generator.randrange(1999, 2027)}:06:01 12:00:00"
    if generator.random() < 0.5:
        exif.get_ifd(0x8825).update(gps_of(*generator.choice(_CITIES)))
    if generator.random() < 0.3:
        exif[0x013B], exif[0x8298] = "A. Photographer", "(c) A. Photographer"
    return exif


def gps_of(latitude, longitude):
    """The GPS directory of a position in degrees."""
    return {
        1: "N" if latitude >= 0 else "S",
        2: _sexagesimal(abs(latitude)),
        3: "E" if longitude >= 0 else "W",
        4: _sexagesimal(abs(longitude)),
    }


def saved(image, image_format, **options):
    """The bytes of a picture in a format."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _sexagesimal(degrees):
    minutes = degrees % 1 * 60
    return float(int(degrees)), float(int(minutes)), minutes % 1 * 60
