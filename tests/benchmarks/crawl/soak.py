"""Memory of a long crawl, second by second, as figures and as a drawing."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no annotations

DRAWING = Path(__file__).with_name("soak.svg")
_SAMPLE_S = 2.0
_WIDTH, _HEIGHT, _MARGIN = 720, 260, 50


def soak(command: Sequence[str], log: Path, num_urls: int) -> dict[str, Any]:
    """Run a crawl to its end; its memory over time, drawn into `soak.svg`."""
    samples: list[tuple[float, float, float]] = []
    began = time.monotonic()
    with log.open("wb") as file:
        crawl = psutil.Popen(command, stdout=file, stderr=file)
        while crawl.poll() is None:
            rss_mb, pss_mb = _memory_mb(crawl)
            samples.append((time.monotonic() - began, rss_mb, pss_mb))
            time.sleep(_SAMPLE_S)
    if crawl.returncode:
        raise RuntimeError(f"the crawl ended with {crawl.returncode}: {log.read_text()[-2000:]}")
    draw(samples, num_urls)
    settled = samples[len(samples) // 5 : -1]
    half = len(settled) // 2
    return {
        "URLs": num_urls,
        "wall s": samples[-1][0],
        "peak RSS MB": max(one[1] for one in samples),
        "peak PSS MB": max(one[2] for one in samples),
        "mean PSS MB, 20 to 60 %": _mean([one[2] for one in settled[:half]]),
        "mean PSS MB, 60 to 100 %": _mean([one[2] for one in settled[half:]]),
    }


def draw(samples: Sequence[tuple[float, float, float]], num_urls: int) -> None:
    """RSS and PSS of the process tree over time, as SVG."""
    longest_s, most_mb = samples[-1][0], 100 * (1 + max(one[1] for one in samples) // 100)
    across, down = (_WIDTH - 2 * _MARGIN) / longest_s, (_HEIGHT - 2 * _MARGIN) / most_mb

    def line(number: int, colour: str) -> str:
        places = " ".join(
            f"{_MARGIN + one[0] * across:.1f},{_HEIGHT - _MARGIN - one[number] * down:.1f}"
            for one in samples
        )
        return f'<polyline fill="none" stroke="{colour}" points="{places}"/>'

    def text(x: float, y: float, words: str) -> str:
        return (
            f'<text x="{x:.0f}" y="{y:.0f}" font-size="12" font-family="sans-serif">{words}</text>'
        )

    bottom = _HEIGHT - _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{_MARGIN} {_MARGIN}V{bottom}H{_WIDTH - _MARGIN}" fill="none" stroke="black"/>',
        line(1, "#999"),
        line(2, "#06c"),
        text(_MARGIN, 30, f"MB of the process tree over {num_urls:,} requests: RSS grey, PSS blue"),
        text(5, _MARGIN + 5, f"{most_mb:.0f}"),
        text(5, bottom, "0"),
        text(_WIDTH - _MARGIN - 40, bottom + 20, f"{longest_s:.0f} s"),
        "</svg>",
    ]
    DRAWING.write_text("\n".join(parts) + "\n")


def _memory_mb(crawl: psutil.Process) -> tuple[float, float]:
    rss = pss = 0
    try:
        processes = [crawl, *crawl.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    for process in processes:
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        rss, pss = rss + memory.rss, pss + memory.pss
    return rss / 1e6, pss / 1e6


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
