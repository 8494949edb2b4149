"""How fast links are read from WAT and WARC files, against a plain FastWARC read of the same file.

    python -m tests.benchmarks.links [--mib 50] [--rounds 5]

Pages are made from a seed: 60 to 110 KB of HTML, some 140 links, 30 pictures (half of them loaded
late), scripts, styles and <meta>, as the pages of Common Crawl have in the middle. CPU time of this
process, the two ways in turn, median and spread (lowest to highest) of the rounds.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from pathlib import Path

from fastwarc.warc import ArchiveIterator

from ingest.sources.archive_records import ArchiveProblem
from ingest.sources.common_crawl import ArchiveLink, read_warc, read_wat
from tests.archives import Page, warc_records, wat_records, write_records


class _Writer:
    """Pages from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgk"
        weights = range(len(letters), 0, -1)
        self._words = [
            "".join(self._random.choices(letters, weights, k=self._random.randint(2, 11)))
            for _ in range(4000)
        ]
        self._often = list(accumulate(1 / (rank + 8) for rank in range(len(self._words))))

    def text(self, num_words: int) -> str:
        return " ".join(self._random.choices(self._words, cum_weights=self._often, k=num_words))

    def page(self) -> Page:
        pick = self._random
        host = f"https://www.{self.text(1)}{pick.randrange(10**4)}.com"
        links: list[dict[str, str]] = []
        metas = [
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "description", "content": self.text(20)},
            {"content": f"{host}/media/{self.text(1)}.jpg", "property": "og:image"},
            {"content": self.text(6), "property": "og:title"},
            *({"name": self.text(1), "content": self.text(4)} for _ in range(8)),
        ]
        body = []
        for number in range(pick.randint(100, 180)):
            start = host if pick.random() < 0.4 else ""
            href = f"{start}/{self.text(1)}/{self.text(3)}".replace(" ", "-")
            title = self.text(pick.randint(1, 6))
            links.append({"path": "A@/href", "url": href, "text": title})
            body.append(
                f'<li class="menu-item menu-item-type-post_type menu-item-{number}">'
                f'<a href="{href}" class="nav-link {self.text(1)}"><span>{title}</span></a></li>\n'
            )
        for number in range(pick.randint(20, 40)):
            body.append(self._picture(host, number, links))
            body.append(f"<p class='text'>{self.text(pick.randint(30, 120))}<br>\n</p></div>\n")
        body += [f"<script>{self._script()}</script>\n" for _ in range(10)]
        pick.shuffle(body)
        head = "".join(
            "<meta " + " ".join(f'{key}="{value}"' for key, value in meta.items()) + ">\n"
            for meta in metas
        )
        head += "".join(
            f'<link rel="stylesheet" href="/css/{self.text(1)}.css?ver=6.{number}" media="all">\n'
            for number in range(12)
        )
        head += f"<style>{'.a .b{color:#fff;margin:0 auto}' * 60}</style>"
        html = (
            f"<!DOCTYPE html>\n<html><head>\n{head}</head>\n<body>\n{''.join(body)}</body></html>"
        )
        return Page(f"{host}/{self.text(2)}/".replace(" ", "-"), html.encode(), links, metas)

    def _picture(self, host: str, number: int, links: list[dict[str, str]]) -> str:
        pick = self._random
        start = host if pick.random() < 0.6 else ""
        folder = f"{start}/wp-content/uploads/2024/0{pick.randint(1, 9)}"
        name = self.text(2).replace(" ", "-") + str(pick.randrange(1000))
        alt = self.text(pick.randint(0, 6))
        url = f"{folder}/{name}.jpg"
        size = 'width="300" height="200" decoding="async" class="attachment-medium size-medium"'
        if pick.random() < 0.5:
            shown, late = (
                "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==",
                "",
            )
            late = f' data-src="{url}"'
        else:
            shown, late = url, ""
        if pick.random() < 0.4:
            late += f' srcset="{folder}/{name}-300.jpg 300w, {folder}/{name}-1024.jpg 1024w"'
        links.append({"path": "IMG@/src", "url": shown, "alt": alt})
        return (
            f'<div class="card card-{number}" id="post-{number}"><img {size} src="{shown}"{late} '
            f'alt="{alt}" loading="lazy" sizes="(max-width: 300px) 100vw, 300px" />\n'
        )

    def _script(self) -> str:
        return "".join(
            f'window.{self.text(1)}=function(a){{if(a<{number}){{return "{self.text(3)}"}}}};\n'
            for number in range(self._random.randint(10, 60))
        )


def _write(path: Path, size_bytes: int, records_of: Callable[[list[Page]], list[bytes]]) -> None:
    writer = _Writer(seed=1)

    def records() -> Iterator[bytes]:
        yield from records_of([])
        for _ in count():
            yield from records_of([writer.page()])[1:]
            if written.stat().st_size >= size_bytes:
                return

    written = path
    with path.open("wb") as file:
        for one in records():
            part = path.with_suffix(".part.gz")
            write_records(part, [one])
            file.write(part.read_bytes())
            file.flush()


def _read_plainly(path: Path) -> int:
    with path.open("rb") as file:
        return sum(len(one.reader.read()) for one in ArchiveIterator(file, parse_http=False))


def _read_links(path: Path) -> int:
    read = read_wat if path.name.endswith(".wat.gz") else read_warc
    num_links = 0
    for item in read(str(path), 0, path.stat().st_size):
        if isinstance(item, ArchiveProblem):
            raise TypeError(f"expected whole records, got {item}")
        num_links += isinstance(item, ArchiveLink)
    return num_links


def _timed(function: Callable[[Path], int], path: Path) -> tuple[float, int]:
    begin = time.process_time()
    result = function(path)
    return time.process_time() - begin, result


def _row(path: Path, rounds: int) -> str:
    plain, ours, num_links, num_bytes = [], [], 0, 0
    for _ in range(rounds):
        cpu_s, num_bytes = _timed(_read_plainly, path)
        plain.append(cpu_s)
        cpu_s, num_links = _timed(_read_links, path)
        ours.append(cpu_s)
    ratio = statistics.median(one / other for one, other in zip(plain, ours, strict=True))
    return (
        f"| {path.name} | {path.stat().st_size / 2**20:.0f} MiB | {num_bytes / 2**20:.0f} MiB "
        f"| {_spread(plain)} | {_spread(ours)} | {ratio:.2f} | {num_links:,} "
        f"| {num_links / statistics.median(ours):,.0f} |"
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = [
        "| file | stored | inflated | FastWARC, s | links, s | speed ratio | links | links/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, records_of in (("pages.wat.gz", wat_records), ("pages.warc.gz", warc_records)):
            path = Path(folder) / name
            _write(path, int(options.mib * 2**20), records_of)
            lines.append(_row(path, options.rounds))
            path.unlink()
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
