"""The most frequent of many names, in the form of a survey."""

from ingest.host_counts import HostCounts
from schemas.survey import Ranking


def ranking_of(counts: HostCounts, most: int) -> Ranking:
    """The names with the highest counts, at most so many."""
    return Ranking(
        top=dict(counts.heaviest(most)),
        num_names=counts.num_hosts,
        total=counts.total,
        error=counts.error,
    )
