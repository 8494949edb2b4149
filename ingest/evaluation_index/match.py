"""What is asked of an evaluation index, what it answers, and when that makes a copy."""

import math
from dataclasses import dataclass

from ingest.fingerprint import View
from schemas.benchmarks.model import MatchRule
from schemas.evaluation import least_correlation
from schemas.outcome import Outcome


@dataclass(frozen=True)
class Query:
    """What is known of a crawled image: digests as 32 bytes each, and its views, plain first.

    Views out of a ledger lack certainty and thumbnail: they are empty.
    """

    sha256: bytes
    pixels_sha256: bytes
    views: tuple[View, ...]


@dataclass(frozen=True)
class Match:
    """An evaluation image like a crawled one; `outcome` is set if the crawled one is a copy of it.

    correlation: None if there was no thumbnail to compare.
    """

    name: str
    variant: str
    view: str
    distance: int
    correlation: float | None
    outcome: Outcome | None
    place: int = -1
    # Not a copy by hash and thumbnail, but not far from it; a learned descriptor may decide.
    borderline: bool = False
    cosine: float | None = None


def correlation_surplus(
    distance: int, correlation: float, rule: MatchRule, radius: int, base: float
) -> float:
    """By how much a candidate correlates more than a copy must; negative: it is none.

    radius, base: what holds where the rule of the evaluation set says nothing else.
    """
    radius = radius if rule.max_distance is None else rule.max_distance
    base = base if rule.min_correlation is None else rule.min_correlation
    if not rule.perceptual or distance > radius:
        return -math.inf
    return correlation - least_correlation(distance, base)


def describe_match(match: Match) -> str:
    """Why a candidate is a copy, in words."""
    if match.outcome is Outcome.DUPLICATE_EXACT:
        return f"{match.name}: equal {match.variant}"
    return (
        f"{match.name} ({match.variant}; {match.view} view): {match.distance} bits away, "
        f"correlation {match.correlation:.2f}"
    )
