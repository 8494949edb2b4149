"""Several models side by side: their figures, and which differences are more than chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from schemas.figures import Evaluation, Figure
from schemas.page.charts import Table
from schemas.page.section import Section
from train_entry.evaluation.page.entries import Entry, status_of
from train_entry.evaluation.page.groups import apart, half_of_difference
from train_entry.evaluation.page.numbers import (
    Better,
    better,
    figure_text,
    parameters_text,
)

_NOT_RUN = "not run"
_OTHER_PROTOCOL, _OTHER_IMAGES = "other protocol", "other images"


@dataclass(frozen=True)
class Main:
    """A primary figure and what it is of."""

    entry: Entry
    figure: Figure


def letters_of(evaluations: Sequence[Evaluation]) -> list[str]:
    """A short name for each model, for headers and legends."""
    names = list(ascii_uppercase[: len(evaluations)])
    return names + [f"M{place + 1}" for place in range(len(names), len(evaluations))]


def comparison_section(
    evaluations: Sequence[Evaluation], models: Sequence[Sequence[Entry]]
) -> Section:
    """All primary figures of all models; each difference is to the first."""
    letters = letters_of(evaluations)
    by_key = [_by_key(entries) for entries in models]
    keys = list(dict.fromkeys(key for one in by_key for key in one))
    header = ["benchmark", *letters, *(f"{one} less {letters[0]}, points" for one in letters[1:])]
    header.append("their images in the training data")
    rows, sure = [], {letter: [0, 0, 0] for letter in letters[1:]}
    for key in keys:
        found = [one.get(key) for one in by_key]
        differences = [_difference(found[0], other) for other in found[1:]]
        for letter, (_, direction) in zip(letters[1:], differences, strict=True):
            sure[letter][direction] += 1
        name = next(one.entry.name for one in found if one)
        rows.append(
            (
                ", ".join((name, key[1].replace("_", " "), key[2])),
                *(figure_text(one.figure) if one else _NOT_RUN for one in found),
                *(text for text, _ in differences),
                _contamination(letters, found),
            )
        )
    facts = [
        (f"{letter} beside {letters[0]}", f"{up} better, {down} worse, beyond the interval")
        for letter, (_, up, down) in sure.items()
    ]
    intro = (
        "A difference is followed by its 95 % interval, as of independent figures: both models "
        "saw the same test images, which makes true intervals rather narrower. Of many "
        "differences, one in twenty is beyond its interval by chance alone."
    )
    tables = [_legend(letters, evaluations), Table("Side by side", header, rows, frozenset())]
    return Section("comparison", "Models side by side", intro, facts, tables=tables)


def _legend(letters: Sequence[str], evaluations: Sequence[Evaluation]) -> Table:
    rows = [
        (
            letter,
            one.encoder.name,
            parameters_text(one.encoder.num_parameters),
            "" if one.encoder.step is None else f"{one.encoder.step:,}",
            one.encoder.sha256,
            one.encoder.merkle_root or "not known",
        )
        for letter, one in zip(letters, evaluations, strict=True)
    ]
    header = ("", "model", "parameters", "step", "weights, SHA-256", "training data, Merkle root")
    return Table("Models", header, rows, frozenset({2, 3}))


def _by_key(entries: Sequence[Entry]) -> dict[tuple[str, str, str], Main]:
    return {
        (one.id, one.result.protocol, figure.split): Main(one, figure)
        for one in entries
        for figure in one.primaries
    }


def _difference(first: Main | None, other: Main | None) -> tuple[str, int]:
    """The difference as text, and 1 or -1 if the other is surely better or worse."""
    if first is None or other is None:
        return "", 0
    one, two = first.figure, other.figure
    if _identity(one) != _identity(two):
        return _OTHER_PROTOCOL, 0
    if first.entry.result.splits != other.entry.result.splits:
        return _OTHER_IMAGES, 0
    text, interval = apart(two, one)
    difference, half = two.value - one.value, half_of_difference(one, two)
    if half is None or abs(difference) <= half:
        return f"{text} ({interval})", 0
    direction = _direction(one.metric, difference)
    verdict = {1: "better", -1: "worse", 0: "differs"}[direction]
    return f"{text} ({interval}); {verdict}", direction


def _identity(figure: Figure) -> tuple[str, ...]:
    return figure.protocol_sha256, figure.metric, figure.split, figure.group


def _direction(metric: str, difference: float) -> int:
    way = {Better.HIGHER: 1, Better.LOWER: -1, Better.NEITHER: 0}[better(metric)]
    return way if difference > 0 else -way


def _contamination(letters: Sequence[str], found: Sequence[Main | None]) -> str:
    """What is known for all, or for each if it is not the same."""
    told = {
        letter: one.entry.result.contamination
        for letter, one in zip(letters, found, strict=True)
        if one
    }
    if len({one.sentence for one in told.values()}) == 1:
        return next(iter(told.values())).sentence
    return "; ".join(f"{letter}: {status_of(one)}" for letter, one in told.items())


def named_models(
    evaluations: Sequence[Evaluation], models: Sequence[Sequence[Entry]]
) -> Mapping[str, tuple[int, Sequence[Entry]]]:
    """Parameters and entries by a name that no other model has."""
    return dict(_named(evaluations, models))


def _named(
    evaluations: Sequence[Evaluation], models: Sequence[Sequence[Entry]]
) -> Iterator[tuple[str, tuple[int, Sequence[Entry]]]]:
    several = len(evaluations) > 1
    for letter, one, entries in zip(letters_of(evaluations), evaluations, models, strict=True):
        name = f"{letter}: {one.encoder.name}" if several else one.encoder.name
        yield name, (one.encoder.num_parameters, entries)
