"""How long the report of a large dataset takes: python -m tests.benchmarks.report_page.

A dataset of made-up ledger rows over real pictures; the real command; then a browser opens the
page, if Chromium is installed. Markdown on standard output.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Command, measure
from tests.browser import browser
from tests.ledgers import make_ledger_dataset

_LOADED = (
    "const told = performance.getEntriesByType('navigation')[0];"
    "return [told.domContentLoadedEventEnd, told.loadEventEnd]"
)


def main() -> None:
    """Make the dataset, then measure."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="report-page-"))
    try:
        make_ledger_dataset(folder / "d", options.rows)
        say("| round | wall, s | CPU, s | memory, MB | page, kB | loaded in the browser, ms |")
        say("|---|---|---|---|---|---|")
        arguments = [sys.executable, "-m", "pipelines.command", "report", str(folder / "d")]
        for number in range(options.rounds):
            found = measure(Command(arguments, folder / "log"))
            page = folder / "d" / "report" / "index.html"
            memory = f"{found.peak_rss_bytes / 1e6:.0f}"
            say(
                f"| {number} | {found.wall_s:.1f} | {found.cpu_s:.1f} | {memory} "
                f"| {page.stat().st_size / 1e3:.0f} | {loaded_ms(page):.0f} |"
            )
    finally:
        shutil.rmtree(folder)


def loaded_ms(page: Path) -> float:
    """Milliseconds from opening the page to the end of its load event."""
    with browser() as driver:
        driver.get(page.as_uri())
        return float(max(driver.execute_script(_LOADED)))


def say(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
