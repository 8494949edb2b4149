"""Fuzzes all that reads what strangers wrote: `python -m tests.benchmarks.fuzz --minutes 10`."""

import random
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings

from ingest.inspect.decode import configure_pillow
from tests.fuzzing import TARGETS, Target, inputs

_BATCH = 500


def fuzz(target: Target, number: int) -> tuple[int, list[bytes]]:
    """How many inputs were tried with this seed, and those that escaped."""
    tried, escaped = 0, list[bytes]()

    @seed(number)
    @settings(
        max_examples=_BATCH,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def attempt(content: bytes) -> None:
        nonlocal tried
        tried += 1
        if target.escapes(content):
            escaped.append(content)

    attempt()
    return tried, escaped


def main(argv: Sequence[str] | None = None) -> int:
    """0 if nothing escaped."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, in all")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="the first seed")
    arguments = parser.parse_args(argv)
    configure_pillow()
    num_escaped = 0
    for target in TARGETS:
        tried, number, ends_s = (
            0,
            arguments.seed,
            time.monotonic() + 60 * arguments.minutes / len(TARGETS),
        )
        while time.monotonic() < ends_s:
            more, escaped = fuzz(target, number)
            tried, number, num_escaped = tried + more, number + 1, num_escaped + len(escaped)
            for content in escaped[:3]:
                sys.stdout.write(f"{target.name} escaped, seed {number - 1}: {content!r}\n"[:2000])
        sys.stdout.write(f"{target.name}: {tried:,} inputs from seed {arguments.seed}\n")
        sys.stdout.flush()
    return 1 if num_escaped else 0


if __name__ == "__main__":
    sys.exit(main())
