"""Counts of a shard's outcomes and copies, as its commit has them."""

from collections import Counter
from collections.abc import Iterable

from schemas.certificate import set_of
from schemas.outcome import Outcome


def count_outcomes(words: Iterable[str]) -> dict[str, int]:
    """Candidates by outcome in the order of the vocabulary, foreign words last."""
    counted = Counter(words)
    known = [word.value for word in Outcome if word.value in counted]
    foreign = sorted(word for word in counted if word not in known)
    return {word: counted[word] for word in (*known, *foreign)}


def count_copies(rows: Iterable[tuple[str, str | None]], outcome: Outcome) -> dict[str, int]:
    """Copies of a kind by evaluation set, out of (outcome, nearest evaluation image)."""
    sets = (set_of(nearest or "") for word, nearest in rows if word == outcome.value)
    return dict(sorted(Counter(sets).items()))
