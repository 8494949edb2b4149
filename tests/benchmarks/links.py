"""Links a second out of WAT and WARC archives, beside a plain FastWARC read of the same file.

    .venv/bin/python -m tests.benchmarks.links

Pages are made up, of the size and mix of Common Crawl's: some 90 kB of HTML, or 25 kB of JSON, with
21 images and 200 other links. CPU time of this process, rounds interleaved, median and spread.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType

from ingest.sources import count_rows, split_input
from ingest.sources.archive import read_records
from ingest.sources.common_crawl import wat_links
from ingest.sources.html_links import image_links
from ingest.sources.http_message import parse_message
from schemas.options import PlanOptions
from tests.archives import Answer, write_warc, write_wat

PAGES, ROUNDS = 1500, 5
WORDS = "the of and to in is that it was for on are with as his they be at one have".split()  # noqa: SIM905  (readable)


def text(random_: random.Random, words: int) -> str:
    return " ".join(random_.choice(WORDS) + str(random_.randrange(999)) for _ in range(words))


def page(number: int) -> Answer:
    """A page as large and as varied as those of the web."""
    random_ = random.Random(number)
    blocks = []
    for block in range(200):
        blocks.append(
            f'<div class="{text(random_, 2)}" id="b{block}"><a href="/{text(random_, 1)}/{block}" '
            f'title="{text(random_, 2)}">{text(random_, 4)}</a><p>{text(random_, 20)}</p></div>'
        )
        if block % 10 == 0:
            blocks.append(
                f'<img class="lazy" width="300" height="200" src="/media/{text(random_, 1)}.jpg" '
                f'alt="{text(random_, 4)}" loading="lazy">'
            )
    script = "".join(f"var {word} = a < {n} && b > 2;" for n, word in enumerate(WORDS * 40))
    body = (
        f'<!doctype html><html><head><title>{text(random_, 5)}</title><meta property="og:image" '
        f'content="https://cdn.example/{number}.jpg"><script>{script}</script></head><body>'
        + "".join(blocks)
    )
    return Answer(f"https://www.site{number % 97}.example/a/{number}.html", body.encode())


def metadata(number: int) -> dict[str, object]:
    """What a WAT file says of such a page."""
    random_ = random.Random(number)
    links: list[dict[str, str]] = []
    for block in range(200):
        link = {"path": "A@/href", "url": f"/{text(random_, 1)}/{block}", "text": text(random_, 8)}
        links.append(link)
        if block % 10 == 0:
            name = f"/media/{text(random_, 1)}.jpg"
            links.append({"path": "IMG@/src", "url": name, "alt": text(random_, 4)})
    metas = [{"property": "og:image", "content": f"https://cdn.example/{number}.jpg"}]
    return {"Head": {"Title": text(random_, 5), "Metas": metas}, "Links": links}


def plain_read(path: Path) -> int:
    """A FastWARC read of all payloads, and nothing else."""
    with path.open("rb") as file:
        return sum(len(one.reader.read()) for one in ArchiveIterator(file))


def links_of_wat(path: Path) -> int:
    """The links of all records, before they are made candidates."""
    records = read_records(str(path), 0, path.stat().st_size, WarcRecordType.metadata)
    return sum(len(wat_links(record.block, record.uri)) for record in records)


def links_of_warc(path: Path) -> int:
    """The links of all pages, before they are made candidates."""
    records = read_records(str(path), 0, path.stat().st_size, WarcRecordType.response)
    found = 0
    for record in records:
        body = parse_message(record.block, 1 << 28).body
        found += len(image_links(body, record.uri, "utf-8"))
    return found


def candidates(path: Path) -> int:
    """All of what `plan` does to read them: candidates with ids and checked URLs."""
    options = PlanOptions(input=(str(path),))
    return sum(count_rows(piece, options) for piece in split_input(str(path), options))


def seconds(work: Callable[[Path], int], path: Path) -> float:
    began = time.process_time()
    work(path)
    return time.process_time() - began


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        wat, warc = Path(folder, "t.warc.wat.gz"), Path(folder, "t.warc.gz")
        write_wat(wat, [(page(n).url, metadata(n)) for n in range(PAGES)])
        write_warc(warc, [page(n) for n in range(PAGES)])
        rows = [
            row
            for path, links in ((wat, links_of_wat), (warc, links_of_warc))
            for row in table(path, links)
        ]
    head = ["| file | work | CPU s | links/s | speed of the plain read |", "|---|---|---|---|---|"]
    sys.stdout.write("\n".join([*head, *rows]) + "\n")


def table(path: Path, links: Callable[[Path], int]) -> list[str]:
    """The rows of one file."""
    works = (plain_read, links, candidates)
    times = [[seconds(work, path) for work in works] for _ in range(ROUNDS)]
    count, size = links(path), path.stat().st_size / 1e6
    rows = []
    for column, work in enumerate(works):
        own = statistics.median(row[column] for row in times)
        shares = [row[0] / row[column] for row in times]
        rows.append(
            f"| {path.name}, {size:.0f} MB, {count:,} links | {work.__name__} | {own:.2f} "
            f"| {count / own:,.0f} "
            f"| {statistics.median(shares):.2f} ({min(shares):.2f}-{max(shares):.2f}) |"
        )
    return rows


if __name__ == "__main__":
    main()
