"""Tables that some categories have of their own: distances, drops under shift."""

from collections.abc import Iterator, Sequence

from schemas.benchmarks.vocabulary import Category, Metric, Protocol
from schemas.figures import Figure
from schemas.page.charts import Table
from train_entry.evaluation.page.entries import Entry
from train_entry.evaluation.page.groups import apart, disparity_table
from train_entry.evaluation.page.numbers import figure_text, interval_text, value_text

_TOP1 = (Metric.TOP1, Metric.TOP1_MULTI_LABEL)
_UNSHIFTED = "imagenet-1k"
_DROP, _REFERENCE = "drop", "reference_top1"
_TOLD = (_DROP, _REFERENCE)
_COMPUTED = (
    "Where a protocol says nothing of a drop itself, it is the figure on ImageNet-1k by a linear "
    "probe, or else by fine-tuning, less that on the set, as of independent images. With a class "
    "mask there are fewer classes to mistake, so that more is lost than it looks."
)


def own_tables(
    category: str, entries: Sequence[Entry], all_entries: Sequence[Entry]
) -> list[Table]:
    """The tables that a category begins with, before its benchmarks."""
    if category == Category.FAIRNESS:
        table = disparity_table(entries)
    elif category == Category.GEOGRAPHY:
        table = distance_table(entries)
    elif category == Category.SHIFT:
        table = drop_table(entries, all_entries)
    else:
        table = None
    return [table] if table else []


def distance_table(entries: Sequence[Entry]) -> Table | None:
    """Shares within each distance: ours, and those that others reported."""
    ours = [(entry, figures) for entry in entries if (figures := _by_distance(entry))]
    columns = list(dict.fromkeys(name for _, figures in ours for name in figures))
    rows = []
    for entry, figures in ours:
        rows.append((entry.name, "evaluated here", *(figures.get(name, "") for name in columns)))
        by_model: dict[str, dict[str, str]] = {}
        for one in entry.result.published:
            if one.setting in columns and one.metric in ("", Metric.WITHIN_KM):
                told = value_text(Metric.WITHIN_KM, one.value)
                by_model.setdefault(one.model, {})[one.setting] = told
        for model, told_by in by_model.items():
            rows.append((entry.name, model, *(told_by.get(name, "") for name in columns)))
    if not rows:
        return None
    header = ("benchmark", "model", *columns)
    title = "Share of photographs placed within a distance"
    return Table(title, header, rows, frozenset())


def _by_distance(entry: Entry) -> dict[str, str]:
    return {
        one.setting: figure_text(one)
        for one in entry.result.figures
        if one.metric == Metric.WITHIN_KM and not one.group
    }


def drop_table(entries: Sequence[Entry], all_entries: Sequence[Entry]) -> Table | None:
    """How much is lost on each shifted set: as its protocol says, else of ImageNet-1k's figure."""
    unshifted = _unshifted(all_entries)
    rows, computed = [], False
    for entry in entries:
        figure = entry.primary
        if entry.result.protocol != Protocol.SHIFT or figure is None:
            continue
        told = {one.metric: one for one in entry.result.figures if one.metric in _TOLD}
        if len(told) == len(_TOLD):
            there, drop = told[_REFERENCE], told[_DROP]
            lost = (value_text(_DROP, drop.value), interval_text(_DROP, drop.low, drop.high))
            rows.append((entry.name, figure_text(figure), _on(there), *lost))
        elif unshifted and unshifted.primary and figure.metric in _TOP1:
            computed, there = True, unshifted.primary
            on = f"{figure_text(there)}, {unshifted.id}"
            rows.append((entry.name, figure_text(figure), on, *apart(there, figure)))
    if not rows:
        return None
    header = ("benchmark", "on it", "on what it is held against", "lost", "95 % interval")
    note = _COMPUTED if computed else ""
    return Table("Accuracy that is lost", header, rows, frozenset({1, 3, 4}), note)


def _on(figure: Figure) -> str:
    return f"{figure_text(figure)}, {figure.setting}"


def _unshifted(entries: Sequence[Entry]) -> Entry | None:
    found: Iterator[Entry] = (
        entry
        for protocol in (Protocol.LINEAR_PROBE, Protocol.FINE_TUNE)
        for entry in entries
        if entry.id == _UNSHIFTED
        and entry.result.protocol == protocol
        and entry.primary
        and entry.primary.metric in _TOP1
    )
    return next(found, None)
