"""How many copies of evaluation images are found, and how many strangers: `make bench-recall`.

The originals are none of those that variants, thresholds and tables were tuned by.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ingest.copies.kinds import KINDS, open_original
from ingest.errors import InspectError
from ingest.evaluation_index.match import Query
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.decode import configure_pillow, inspect_image
from pipelines.index import index
from schemas.certificate import wilson_interval
from schemas.command_options import IndexOptions
from schemas.options import MatchOptions
from schemas.outcome import Outcome
from tests.benchmarks.recall.originals import Half, Original, originals

COUNTS: dict[Half, dict[str, int]] = {
    "tuning": {"photo": 200, "stamp": 60, "clipart": 60, "figure": 40, "map": 20, "sky": 20},
    "published": {
        "photo": 340,
        "stamp": 250,
        "clipart": 250,
        "figure": 120,
        "map": 90,
        "sky": 90,
    },
}
# Strangers: what is left of each kind in the same half.
STRANGERS = {"stamp": 400, "clipart": 4000, "figure": 450, "map": 320, "sky": 700}
MAX_PIXELS = 10**9


@dataclass(frozen=True)
class Trial:
    """One copy and what became of it."""

    kind: str
    original_kind: str
    protected: bool
    found: bool
    right: bool
    distance: int | None
    correlation: float | None


def main(argv: Sequence[str] | None = None) -> None:
    """Write tables of recall and of strangers to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=["tuning", "published"], default="published")
    parser.add_argument("--profile", default="standard")
    parser.add_argument("--every", type=int, default=1, help="copies of each n-th original only")
    parser.add_argument("--calibrate", action="store_true", help="demote hubs of the other half")
    parser.add_argument("--json", type=Path, help="where all trials go")
    arguments = parser.parse_args(argv)
    half: Half = arguments.half
    protected = originals(half, COUNTS[half])
    with tempfile.TemporaryDirectory() as folder:
        uri = make_index(protected, Path(folder), arguments.profile, calibrate=arguments.calibrate)
        trials = list(run_trials(protected[:: arguments.every], uri))
        sys.stdout.write(f"{len(protected)} originals, {len(trials)} copies, {arguments.profile}\n")
        sys.stdout.write(recall_table(trials))
        sys.stdout.write(kinds_table(trials))
        sys.stdout.write(strangers_table(half, uri, {one.name for one in protected}))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in trials]))


def make_index(
    protected: Sequence[Original], folder: Path, profile: str, *, calibrate: bool
) -> str:
    """An index of these originals, one evaluation set."""
    write_images(protected, folder / "originals")
    background: tuple[str, ...] = ()
    if calibrate:
        strangers = originals("tuning", STRANGERS)
        write_images(strangers, folder / "background")
        background = (str(folder / "background"),)
    uri = str(folder / "eval.index")
    options = IndexOptions(
        eval_set=(f"eval={folder / 'originals'}",),
        background=background,
        output=uri,
        profile=profile,
        canaries=0,
    )
    index(options, ["--runner=FnApiRunner"])
    return uri


def write_images(images: Sequence[Original], folder: Path) -> None:
    """A file for each image, named after it."""
    folder.mkdir()
    for one in images:
        (folder / one.name).write_bytes(one.content)


def run_trials(protected: Sequence[Original], uri: str) -> Iterator[Trial]:
    """Every kind of copy of every original."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(partial(_try_original, uri=uri), protected, chunksize=4):
            yield from found


_opened: dict[str, EvaluationIndex] = {}


def _open(uri: str) -> EvaluationIndex:
    configure_pillow()
    if uri not in _opened:
        _opened[uri] = EvaluationIndex.open(uri)
    return _opened[uri]


def _try_original(original: Original, uri: str) -> list[Trial]:
    opened = _open(uri)
    name = f"eval/{original.name}"
    picture = open_original(original.content)
    copies = [kind.make(picture, original.name) for kind in KINDS.values()]
    matches = opened.match([_query(copy.content) for copy in copies], MatchOptions())
    protected = opened.num_codes_of(name) > 0
    return [
        Trial(
            copy.kind,
            original.kind,
            protected,
            match is not None and match.outcome is not None,
            match is not None and match.outcome is not None and match.name == name,
            match.distance if match else None,
            match.correlation if match else None,
        )
        for copy, match in zip(copies, matches, strict=True)
    ]


def _query(content: bytes) -> Query:
    found = inspect_image(content, MAX_PIXELS)
    return Query(bytes.fromhex(found.sha256), bytes.fromhex(found.pixels_sha256), found.views)


def recall_table(trials: Sequence[Trial]) -> str:
    """Recall by group and by kind of copy, of originals that have codes."""
    lines = [
        "",
        "| copy | trials | found % | 95 % interval | by kind of copy |",
        "|---|---:|---:|---|---|",
    ]
    groups: dict[str, list[str]] = defaultdict(list)
    for kind in KINDS.values():
        groups[kind.group].append(kind.name)
    guarded = [one for one in trials if one.protected]
    for group, names in groups.items():
        of_group = [one for one in guarded if one.kind in names]
        parts = []
        for name in names:
            of_kind = [one.found for one in of_group if one.kind == name]
            parts.append(f"{name} {100 * sum(of_kind) / max(1, len(of_kind)):.1f}")
        lines.append(_row(group, [one.found for one in of_group], ", ".join(parts)))
    lines.append(_row("all", [one.found for one in guarded], ""))
    return "\n".join(lines) + "\n"


def kinds_table(trials: Sequence[Trial]) -> str:
    """Recall by kind of original."""
    lines = [
        "",
        "| original | trials | found % | 95 % interval | without codes |",
        "|---|---:|---:|---|---|",
    ]
    for kind in dict.fromkeys(one.original_kind for one in trials):
        mine = [one for one in trials if one.original_kind == kind]
        guarded = [one.found for one in mine if one.protected]
        unprotected = 1 - len(guarded) / len(mine)
        lines.append(_row(kind, guarded, f"{unprotected:.1%}"))
    return "\n".join(lines) + "\n"


def strangers_table(half: Half, uri: str, protected: set[str]) -> str:
    """How many images that are no copies were called one, by kind."""
    lines = [
        "",
        "| strangers | images | called copies | share % | of what |",
        "|---|---:|---:|---:|---|",
    ]
    named: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        others: Half = "published" if half == "tuning" else "tuning"
        strangers = [one for one in originals(half, STRANGERS) if one.name not in protected]
        # Photographs of the other packages: those of one package show the same places.
        strangers += originals(others, {"photo": 400})
        for one, found in zip(
            strangers,
            pool.map(partial(_try_stranger, uri=uri), strangers, chunksize=32),
            strict=True,
        ):
            counts[one.kind]["all"] += 1
            if found:
                counts[one.kind]["hit"] += 1
                counts[one.kind]["of " + found.split("/")[1].split("-")[0]] += 1
                named.append(f"- {one.name}: {found}")
    for kind, count in counts.items():
        share = 100 * count["hit"] / count["all"]
        of = ", ".join(f"{name[3:]} {n}" for name, n in sorted(count.items()) if name[:3] == "of ")
        lines.append(f"| {kind} | {count['all']} | {count['hit']} | {share:.2f} | {of} |")
    return "\n".join([*lines, "", *named]) + "\n"


def _try_stranger(original: Original, uri: str) -> str | None:
    opened = _open(uri)
    try:
        query = _query(original.content)
    except InspectError:
        return None
    match = opened.match([query], MatchOptions())[0]
    if match is None or match.outcome is not Outcome.DUPLICATE_NEAR:
        return None
    return f"{match.name} {match.variant} {match.distance} {match.correlation:.2f}"


def _row(name: str, found: Sequence[bool], rest: str) -> str:
    low, high = wilson_interval(sum(found), len(found))
    share = 100 * sum(found) / max(1, len(found))
    return f"| {name} | {len(found)} | {share:.2f} | {100 * low:.1f}-{100 * high:.1f} | {rest} |"


if __name__ == "__main__":
    main()
