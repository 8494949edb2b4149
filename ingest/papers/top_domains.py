"""The registered domains that gave most bytes, as a table for spreadsheets and regulators."""

import math

from ingest.papers.facts import Facts
from ingest.papers.spreadsheet import write_csv
from schemas.survey import Domain

_HEADER = (
    "rank",
    "domain",
    "kept_bytes",
    "share_of_kept_bytes",
    "num_kept",
    "num_candidates",
    "num_refused",
)
_SMALL_PROVIDER_MOST = 1000


def top_domains_csv(facts: Facts) -> bytes:
    """All domains that the survey lists, falling by kept bytes."""
    total = max(1, facts.survey.kept_bytes)
    return write_csv(
        _HEADER,
        (
            (
                rank,
                one.domain,
                one.kept_bytes,
                round(one.kept_bytes / total, 9),
                one.num_kept,
                one.num_candidates,
                one.num_refused,
            )
            for rank, one in enumerate(facts.survey.domains.top, 1)
        ),
    )


def required_domains(num_domains: int) -> tuple[int, int]:
    """How many of so many domains a provider must list, and how many a small or medium one.

    The top 10 %; of small and medium enterprises the top 5 % or 1,000, whichever is lower. Both
    are rounded up, so that nobody lists too few.
    """
    return math.ceil(num_domains / 10), min(math.ceil(num_domains / 20), _SMALL_PROVIDER_MOST)


def leading_domains(facts: Facts) -> tuple[Domain, ...]:
    """The top 10 % of the domains that gave an image, or as many of these as the survey lists."""
    domains = facts.survey.domains
    num_required, _ = required_domains(domains.num_kept_domains)
    return tuple(one for one in domains.top if one.num_kept)[:num_required]
