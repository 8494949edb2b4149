"""Opt-out signals by kind, and what became of the candidates that had one."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingest.host_counts import HostCounts
from ingest.survey.ranking import ranking_of
from schemas.outcome import Outcome
from schemas.survey import Consent, ConsentSignal

REFUSALS = (Outcome.ROBOTS.value, Outcome.OPT_OUT.value)
OTHER = "other"
_MAX_KINDS = 1000
_MAX_CHARS = 120
_MAX_RULES = 100_000
_LISTED_RULES = 1000
_UNKNOWN = "unknown"

# What `ingest.fetch.publisher` writes: file, rule, and in which version of the file it stood.
_IN_FILE = re.compile(r"https?://[^/\s]*/(?:\.well-known/)?(?P<file>[a-z_.]+):? (?P<rule>.*)")
_VERSION = re.compile(r" \(sha256 [0-9a-f]{64}, fetched [^()]*\)$")
_LINE = re.compile(r"^line [0-9]+: ")
# The option that decides on a signal, by how its kind begins; the first that fits.
_OPTIONS = (
    ("robots.txt: content-usage:", "content_usage"),
    ("robots.txt:", "robots_txt"),
    ("x-robots-tag:", "x_robots_tag"),
    ("tdm-reservation:", "tdm_reservation"),
    ("tdm-policy:", "tdm_reservation"),
    ("content-usage:", "content_usage"),
    ("tdmrep.json:", "tdm_file"),
    ("ai.txt:", "ai_txt"),
    ("c2pa:", "c2pa"),
)


@lru_cache(maxsize=1 << 16)
def signal_kind(signal: str) -> str:
    """What many signals have in common: without host, line, digest and time; 120 characters.

    `https://example.org/robots.txt line 3: Disallow: / (sha256 ...)` is `robots.txt: Disallow: /`.
    """
    text = _VERSION.sub("", " ".join(signal.split()))
    found = _IN_FILE.fullmatch(text)
    if found:
        text = f"{found['file']}: {_LINE.sub('', found['rule'])}"
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"


def signal_mode(kind: str, modes: Mapping[str, str]) -> str:
    """How the build was told to act on a kind of signal; `unknown` if its options do not tell."""
    lowered = kind.lower()
    option = next((name for start, name in _OPTIONS if lowered.startswith(start)), "")
    return modes.get(option, _UNKNOWN)


class ConsentCounts:
    """Counts of candidates by kind of signal: the first thousand kinds, all later ones as `other`.

    Candidates lie in random order, so a kind that many have is among the first.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}
        # Candidates, kept, refused; the last row is that of `other`.
        self._counts = np.zeros((_MAX_KINDS + 1, 3), np.int64)
        self._rules = HostCounts(_MAX_RULES)
        self._num_robots_known = 0
        self._num_refused = 0

    def add(self, table: pa.Table, kept: NDArray[np.bool_], refused: NDArray[np.bool_]) -> None:
        """Count the rows of a ledger part; bool [R]: which are kept, and which were refused."""
        robots = table["robots_sha256"]
        self._num_robots_known += len(robots) - robots.null_count
        self._num_refused += int(np.count_nonzero(refused))
        self._add_signals(table["opt_out_signals"].combine_chunks(), kept, refused)
        # An empty rule decided nothing.
        rules = pc.value_counts(pc.drop_null(table["opt_out_rule"]))
        for rule, count in zip(*_columns(rules), strict=True):
            if rule:
                self._rules.add({signal_kind(rule): count})

    def result(self, modes: Mapping[str, str]) -> Consent:
        """What was counted; `modes`: the consent options of the build."""
        places = [*self._kinds.items(), (OTHER, _MAX_KINDS)]
        signals = [
            ConsentSignal(
                signal=kind,
                mode=_UNKNOWN if place == _MAX_KINDS else signal_mode(kind, modes),
                num_candidates=num_candidates,
                num_kept=num_kept,
                num_refused=num_refused,
            )
            for kind, place in places
            for num_candidates, num_kept, num_refused in [self._counts[place].tolist()]
            if num_candidates
        ]
        return Consent(
            signals=tuple(sorted(signals, key=lambda one: (-one.num_candidates, one.signal))),
            rules=ranking_of(self._rules, _LISTED_RULES),
            num_robots_known=self._num_robots_known,
            num_refused=self._num_refused,
            modes=dict(modes),
        )

    def _add_signals(
        self, signals: pa.ListArray, kept: NDArray[np.bool_], refused: NDArray[np.bool_]
    ) -> None:
        rows = pc.list_parent_indices(signals).to_numpy(zero_copy_only=False).astype(np.int64)
        if not len(rows):
            return
        encoded = pc.dictionary_encode(pc.list_flatten(signals), null_encoding="encode")
        place_of = np.array([self._place(one) for one in encoded.dictionary.to_pylist()])
        places = place_of[encoded.indices.to_numpy(zero_copy_only=False)]
        # A candidate counts once for a kind, however often it had it.
        pairs = np.unique(rows * (_MAX_KINDS + 1) + places)
        rows, places = np.divmod(pairs, _MAX_KINDS + 1)
        ones = np.ones(len(rows), np.int64)
        np.add.at(self._counts, places, np.stack([ones, kept[rows], refused[rows]], axis=1))

    def _place(self, signal: str | None) -> int:
        kind = signal_kind(signal or "")
        if kind not in self._kinds and len(self._kinds) == _MAX_KINDS:
            return _MAX_KINDS
        return self._kinds.setdefault(kind, len(self._kinds))


def _columns(counted: pa.StructArray) -> tuple[list[Any], list[int]]:
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()
