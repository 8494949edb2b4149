"""Tables of a report: figures beside published ones, groups, distances, drops."""

import pytest

from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.model import PublishedFigure
from tests.evaluations import evaluation
from train_entry.evaluation.page.entries import entries_of
from train_entry.evaluation.page.groups import (
    disparity_table,
    figure_tables,
    reported_tables,
)
from train_entry.evaluation.page.kinds import distance_table, drop_table
from train_entry.evaluation.page.numbers import (
    figure_text,
    value_text,
)
from train_entry.evaluation.page.published import beside

REGISTRY = load_benchmarks()


def entry(name, protocol=None, of=None):
    found = entries_of(of or evaluation(), REGISTRY)
    return next(one for one in found if one.id == name and protocol in (None, one.result.protocol))


def with_published(one, *published):
    result = one.result.model_copy(update={"published": published})
    return type(one)(result, one.benchmark)


def test_the_published_figure_is_that_of_the_same_model_or_else_of_the_flagship():
    one = with_published(
        entry("dtd"),
        *(
            PublishedFigure(model=model, value=value, source="s")
            for model, value in (("A", 0.1), ("SEER RG-10B", 0.2), ("mine", 0.3))
        ),
        PublishedFigure(model="mine", value=0.4, source="s", group="left"),
        PublishedFigure(model="mine", value=0.5, source="s", split="other"),
        PublishedFigure(model="mine", value=0.6, source="s", metric="map"),
        PublishedFigure(model="mine", value=0.7, source="s", setting="10,000 distractors"),
        PublishedFigure(model="mine", value=0.8, source="s", protocol="low_shot"),
    )
    assert beside(one, one.primary, "mine").published.value == 0.3
    assert beside(one, one.primary).published.value == 0.2
    # A tap that was not chosen is nothing that was published.
    rest = [figure for figure in one.result.figures if not figure.primary]
    assert [beside(one, figure) for figure in rest] == [None] * len(rest)


def test_published_groups_and_settings_stand_beside_ours():
    conversations = entry("casual-conversations", "fairness_labels")
    found = [
        (figure.group, beside(conversations, figure))
        for figure in conversations.result.figures
        if figure.setting == "human, threshold 0.1" and figure.metric == "label_rate"
    ]
    assert {group: other.published.value for group, other in found} == {
        "female darker": 0.949, "female lighter": 0.958,
        "male darker": 0.866, "male lighter": 0.790,
    }  # fmt: skip
    table = distance_table([entry("im2gps")])
    assert ("Im2GPS", "SEER RG-256GF", "15.2%", "43.9%", "58.3%", "73.0%", "83.5%") in table.rows


def test_a_split_of_several_that_are_tested_as_one_is_that_of_its_first():
    one = with_published(
        entry("copydays"),
        PublishedFigure(model="A", value=0.1, source="s", split="original"),
        PublishedFigure(model="B", value=0.2, source="s", split="strong"),
    )
    figures = [
        figure.model_copy(update={"split": "strong+original"}) for figure in one.result.figures
    ]
    joined = type(one)(one.result.model_copy(update={"figures": tuple(figures)}), one.benchmark)
    assert beside(joined, joined.primary).published.value == 0.2


def test_a_published_subset_is_a_setting_of_ours():
    one = entry("copydays")
    figures = [figure.model_copy(update={"setting": "strong"}) for figure in one.result.figures]
    strong = type(one)(one.result.model_copy(update={"figures": tuple(figures)}), one.benchmark)
    assert beside(strong, strong.primary).published.value == 0.906


def test_all_figures_of_a_benchmark_are_in_its_tables():
    for one in entries_of(evaluation(), REGISTRY):
        cells = [cell for table in figure_tables(one) for row in table.rows for cell in row]
        for figure in one.result.figures:
            if figure is not one.primary:
                value = value_text(figure.metric, figure.value)
                assert value in cells or figure_text(figure) in cells
        reported = [row for table in reported_tables(one) for row in table.rows]
        assert len(reported) == len(one.result.published)


def test_groups_by_a_few_settings_are_a_table_with_both():
    one = entry("casual-conversations", "fairness_labels")
    figures = [figure for figure in one.result.figures if figure.setting.startswith("human")]
    rates = tuple(figure for figure in figures if figure.metric == "label_rate")
    some = type(one)(one.result.model_copy(update={"figures": rates}), one.benchmark)
    (table,) = figure_tables(some)
    assert table.header == (
        "group",
        "images",
        *(f"human, threshold {t}" for t in ("0", "0.1", "0.3")),
    )
    assert [row[0] for row in table.rows] == [figure.group for figure in rates[:4]]
    assert table.rows[1][3] == figure_text(rates[5])


def test_how_far_groups_are_apart_is_told_with_the_extremes():
    table = disparity_table(
        [entry("casual-conversations", "fairness_labels"), entry("dollar-street")]
    )
    told = [row for row in table.rows if row[1].startswith("disparity")]
    assert len(told) == 6
    for row in told:
        most, least = (float(cell.rpartition(" ")[2].rstrip("%")) for cell in row[2:4])
        assert float(row[4].rstrip("%")) == pytest.approx(most - least, abs=0.11)
    (households,) = [row for row in table.rows if row[0].startswith("Dollar")]
    assert households[4][0] == "+"
    assert disparity_table([entry("dtd")]) is None


def test_a_drop_is_what_the_protocol_says_or_the_difference_to_imagenet():
    found = entries_of(evaluation(), REGISTRY)
    shifted = [one for one in found if one.category == "shift"]
    rows = {row[0]: row for row in drop_table(shifted, found).rows}
    assert rows["ImageNet-Sketch"][3] == "21.0%"
    there = entry("imagenet-1k", "linear_probe").primary
    lost = there.value - entry("imagenet-v2").primary.value
    assert rows["ImageNet-V2"][3] == f"{100 * lost:+.1f}"
    assert drop_table([entry("imagenet-v2")], []) is None
