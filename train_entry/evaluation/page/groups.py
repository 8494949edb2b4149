"""All figures of a benchmark as tables: by group, by setting, and how far groups are apart."""

import math
import re
from collections.abc import Iterator, Sequence

from schemas.figures import Figure
from schemas.page.charts import Table
from train_entry.evaluation.page.entries import Entry
from train_entry.evaluation.page.numbers import (
    NO_INTERVAL,
    difference_text,
    figure_text,
    half_interval,
    interval_text,
    value_text,
)
from train_entry.evaluation.page.published import beside

Cells = tuple[str, ...]

_MOST_COLUMNS = 6
# Metrics that are of several groups at once.
_OF_GROUPS = ("disparity", "worst_to_best")
ALL = "all"
# What a group is told by, as in `gender=female, age=18-30`.
_FIELD = re.compile(r"([\w -]+?)\s*[=:]")


def figure_tables(entry: Entry) -> Iterator[Table]:
    """A table for each metric and split; settings are columns if there are a few of them."""
    kinds = dict.fromkeys((one.metric, one.split) for one in entry.result.figures)
    for metric, split in kinds:
        figures = [
            one for one in entry.result.figures if (one.metric, one.split) == (metric, split)
        ]
        if figures == [entry.primary]:
            continue
        yield _table(entry, f"{_word(metric)}, split {split}", figures)


def _table(entry: Entry, caption: str, figures: Sequence[Figure]) -> Table:
    settings = list(dict.fromkeys(one.setting for one in figures))
    groups = list(dict.fromkeys(one.group for one in figures))
    full = len(settings) * len(groups) == len(figures)
    if 1 < len(settings) <= _MOST_COLUMNS and len(groups) > 1 and full:
        return _pivot(caption, figures, groups, settings)
    return _list(entry, caption, figures)


def _pivot(
    caption: str, figures: Sequence[Figure], groups: Sequence[str], settings: Sequence[str]
) -> Table:
    """Groups by settings; each cell a value with its interval."""
    cells = {(one.group, one.setting): figure_text(one) for one in figures}
    nums = {one.group: f"{one.num_images:,}" for one in figures}
    rows = [
        (group or ALL, nums[group], *(cells[group, setting] for setting in settings))
        for group in groups
    ]
    header = ("group", "images", *(setting or "no setting" for setting in settings))
    return Table(caption, header, rows, frozenset(range(1, len(header))))


def _list(entry: Entry, caption: str, figures: Sequence[Figure]) -> Table:
    """One figure a row, with what was published of the same where anything was."""
    columns = [("group", [one.group or ALL for one in figures])]
    columns += [("setting", [one.setting for one in figures])]
    columns = [column for column in columns if len(set(column[1])) > 1] or columns[:1]
    others = [beside(entry, one) for one in figures]
    rows = []
    for place, figure in enumerate(figures):
        row = [values[place] for _, values in columns]
        row += [
            value_text(figure.metric, figure.value),
            interval_text(figure.metric, figure.low, figure.high),
            f"{figure.num_images:,}",
        ]
        if any(others):
            other = others[place]
            row += [
                other.told if other else "",
                other.text if other else "",
            ]
        rows.append(row)
    names = [name for name, _ in columns]
    header = [*names, "value", "95 % interval", "images"]
    numeric = frozenset(range(len(names), len(header)))
    if any(others):
        header += ["published", "difference"]
    return Table(caption, header, rows, numeric)


def reported_tables(entry: Entry) -> Iterator[Table]:
    """All that others reported, a table for each metric and split."""
    kinds = dict.fromkeys((one.metric, one.split) for one in entry.result.published)
    for metric, split in kinds:
        known_by = entry.primary.metric if entry.primary else ""
        rows = [
            (
                one.model,
                one.group,
                ", ".join(filter(None, (one.protocol, one.setting))),
                value_text(metric or known_by, one.value),
                one.source,
            )
            for one in entry.result.published
            if (one.metric, one.split) == (metric, split)
        ]
        caption = ", ".join(filter(None, ("What others reported", _word(metric), split)))
        header = ("model", "group", "protocol and setting", "value", "source")
        told = [place for place in range(len(header)) if any(row[place] for row in rows)]
        shown = [tuple(row[place] for place in told) for row in rows]
        numeric = frozenset({told.index(3)})
        yield Table(caption, [header[place] for place in told], shown, numeric)


def disparity_table(entries: Sequence[Entry]) -> Table | None:
    """How far the groups of each benchmark are apart, for each kind of group and setting."""
    rows = [row for entry in entries for row in (list(_told(entry)) or list(_found(entry)))]
    if not rows:
        return None
    header = ("benchmark", "figure", "highest", "lowest", "apart", "95 % interval")
    note = (
        "Disparity: the highest group less the lowest; the extremes of many groups are apart by "
        "chance alone. Where a protocol has no such figure itself, the difference is of disjoint "
        "images, the squares of half intervals add up, and its interval knows nothing of that."
    )
    title = "How far apart groups are"
    return Table(title, header, rows, frozenset({4, 5}), note)


def _told(entry: Entry) -> Iterator[Cells]:
    """What the protocol itself says; each such figure stands after those of its groups."""
    groups: list[Figure] = []
    members: list[Figure] = []
    for one in entry.result.figures:
        if one.metric in _OF_GROUPS:
            members, groups = groups or members, []
            value = value_text(one.metric, one.value)
            interval = interval_text(one.metric, one.low, one.high)
            what = ", ".join(filter(None, (_word(one.metric), one.setting, _word(one.group))))
            yield (entry.title, what, *_extremes(members), value, interval)
        elif one.group and not (groups and _kind(groups[0]) != _kind(one)):
            groups.append(one)
        else:
            groups = [one] if one.group else []


def _found(entry: Entry) -> Iterator[Cells]:
    kinds: dict[tuple[str, ...], list[Figure]] = {}
    for one in entry.result.figures:
        # A figure that is a difference itself is none of a group's.
        if one.group and "difference" not in one.metric:
            kinds.setdefault((*_kind(one), *_fields(one.group)), []).append(one)
    for (metric, setting, _, *fields), figures in kinds.items():
        if len(figures) > 1:
            what = ", ".join(filter(None, (_word(metric), setting, " and ".join(fields))))
            most, least = max(figures, key=_value), min(figures, key=_value)
            yield (entry.title, what, *_extremes(figures), *apart(most, least))


def _extremes(figures: Sequence[Figure]) -> tuple[str, str]:
    if not figures:
        return "", ""
    ends = (max(figures, key=_value), min(figures, key=_value))
    most, least = (f"{one.group}: {value_text(one.metric, one.value)}" for one in ends)
    return most, least


def _value(figure: Figure) -> float:
    return figure.value


def _kind(figure: Figure) -> tuple[str, str, str]:
    return figure.metric, figure.setting, figure.split


def _word(text: str) -> str:
    return text.replace("_", " ")


def _fields(group: str) -> tuple[str, ...]:
    return tuple(found.strip() for found in _FIELD.findall(group))


def apart(one: Figure, other: Figure) -> tuple[str, str]:
    """The difference of two figures of independent images, and its 95 % interval."""
    difference = one.value - other.value
    half = half_of_difference(one, other)
    text = difference_text(one.metric, difference)
    if half is None:
        return text, NO_INTERVAL
    ends = [difference_text(one.metric, end) for end in (difference - half, difference + half)]
    return text, " to ".join(ends)


def half_of_difference(one: Figure, other: Figure) -> float | None:
    """Half the interval of a difference of independent figures; None if either has none."""
    first, second = half_interval(one), half_interval(other)
    return None if first is None or second is None else math.hypot(first, second)
