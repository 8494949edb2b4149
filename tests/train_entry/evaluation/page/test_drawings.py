"""Drawings and comparisons of a report, against plain recomputation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.benchmarks import load_benchmarks
from schemas.figures import Figure
from tests.evaluations import FEW, evaluation, sha
from tests.pages import assert_harmless
from train_entry.evaluation.page.comparison import comparison_section
from train_entry.evaluation.page.drawings import category_means, differences, radar, score_of
from train_entry.evaluation.page.entries import entries_of
from train_entry.evaluation.page.groups import (
    half_of_difference,
)
from train_entry.evaluation.page.numbers import (
    difference_text,
    value_text,
)
from train_entry.evaluation.page.published import beside
from train_entry.evaluation.page.remarks import contamination_section
from train_entry.evaluation.page.scaling import FAMILY_PARAMETERS, member, scaling_charts
from train_entry.family import FAMILY
from train_entry.regnet import RegNet

REGISTRY = load_benchmarks()


def entry(name, protocol=None, of=None):
    found = entries_of(of or evaluation(), REGISTRY)
    return next(one for one in found if one.id == name and protocol in (None, one.result.protocol))


values = st.floats(0, 1)


@given(values, values, st.floats(0, 0.2), st.floats(0, 0.2))
def test_the_interval_of_a_difference_is_that_of_independent_figures(one, two, half, other):
    figures = [
        Figure(
            benchmark="b", protocol="p", split="s", metric="top1", group="", setting="",
            primary=True, value=value, low=value - h, high=value + h, num_images=1,
            protocol_sha256="", contamination="",
        )
        for value, h in ((one, half), (two, other))
    ]  # fmt: skip
    expected = np.sqrt(np.square([half, other]).sum())
    assert half_of_difference(*figures) == pytest.approx(expected, abs=1e-9)
    unknown = figures[0].model_copy(update={"low": None})
    assert half_of_difference(unknown, figures[1]) is None


@given(st.floats(-2, 2), st.sampled_from(["top1", "roc_auc", "rmse"]))
def test_texts_of_values_are_the_values_and_no_zero_has_a_sign(value, metric):
    text = value_text(metric, value)
    scale = 100 if text.endswith("%") else 1
    assert float(text.rstrip("%")) == pytest.approx(scale * value, abs=0.0501, rel=1e-3)
    assert text not in ("-0.0%", "-0")
    assert not math.copysign(1, float(difference_text(metric, -1e-9))) < 0


def test_models_are_compared_only_by_the_same_protocol_on_the_same_images():
    first, better, other = (evaluation(benchmarks=("dtd", "gtsrb")) for _ in range(3))

    def changed(one, update, **figure):
        results = []
        for result in one.results:
            figures = tuple(each.model_copy(update=figure) for each in result.figures)
            results.append(result.model_copy(update={"figures": figures, **update}))
        return one.model_copy(update={"results": tuple(results)})

    better = changed(better, {}, value=0.99, low=0.98, high=1.0)
    images = changed(other, {"splits": {"test": sha("else")}})
    protocol = changed(other, {}, protocol_sha256=sha("else"))
    found = [first, better, images, protocol]
    section = comparison_section(found, [entries_of(one, REGISTRY) for one in found])
    for row in section.tables[1].rows:
        assert row[5].endswith("; better")
        assert row[6:8] == ("other images", "other protocol")
    counts = dict(section.facts)
    assert counts["B beside A"].startswith(f"{len(section.tables[1].rows)} better, 0 worse")
    assert counts["C beside A"].startswith("0 better, 0 worse")


def test_a_difference_without_an_interval_decides_nothing():
    found = [evaluation(benchmarks=("gtsrb",)) for _ in range(2)]
    results = [
        result.model_copy(
            update={
                "figures": tuple(
                    one.model_copy(update={"value": 0.99, "low": None, "high": None})
                    for one in result.figures
                )
            }
        )
        for result in found[1].results
    ]
    found[1] = found[1].model_copy(update={"results": tuple(results)})
    section = comparison_section(found, [entries_of(one, REGISTRY) for one in found])
    assert all(row[3].endswith(" (no interval)") for row in section.tables[1].rows)
    assert dict(section.facts)["B beside A"].startswith("0 better, 0 worse")


def test_differences_name_protocols_as_people_do():
    found = [(one, beside(one, one.primary)) for one in entries_of(evaluation(), REGISTRY)]
    rows = differences(found).table.rows
    assert "ImageNet-V2, shift" in [row[0] for row in rows]
    assert not any("_" in row[0] for row in rows)


def test_means_by_category_are_over_what_all_models_were_scored_on():
    models = {
        "a": entries_of(evaluation(), REGISTRY),
        "b": entries_of(evaluation(quality=0.05, benchmarks=FEW[:15], seed=4), REGISTRY),
    }
    means = category_means(models)
    for word, by_model in means.items():
        for model, mean in by_model.items():
            members = [
                one
                for one in models[model]
                if one.category == word and one.id in FEW[:15] and score_of(one)
            ]
            values = np.array([one.primary.value for one in members])
            halves = np.array([(one.primary.high - one.primary.low) / 2 for one in members])
            assert mean.value == pytest.approx(values.mean())
            assert mean.num == len(values)
            assert mean.high - mean.low == pytest.approx(
                2 * np.sqrt((halves**2).sum()) / len(values)
            )
    chart = radar(means)
    assert len(chart.table.rows) == 2 * len(means)
    assert_harmless(str(chart.svg))
    assert radar(dict(list(means.items())[:2])) is None
    assert category_means({"a": [], "b": models["a"]}) == {}


def test_parameters_of_the_family_are_those_of_its_networks():
    for name, config in FAMILY.items():
        with torch.device("meta"):
            network = RegNet(config)
        num = sum(one.numel() for one in network.parameters())
        assert FAMILY_PARAMETERS[name.removeprefix("rg_").upper()] == num
    assert member("supervised ImageNet-1k RG-128GF") == ("supervised ImageNet-1k", 637_419_894)
    assert member("SEER RG-10B") == ("SEER", 9_323_934_872)
    assert member("DINOv2 ViT-g") is None


def test_scaling_is_drawn_of_what_is_known_of_several_sizes():
    models = {"a": (100_000_000, entries_of(evaluation(), REGISTRY))}
    charts = scaling_charts(models)
    assert 1 < len(charts) <= 12
    by_title = {chart.title: chart for chart in charts}
    rows = by_title["Places205, fine tune"].table.rows
    assert ("SEER RG-10B", "9.32 B", "69.0%", "no interval") in [row[:4] for row in rows]
    assert [row[0] for row in rows if "no interval" not in row] == ["a"]
    for chart in charts:
        assert_harmless(str(chart.svg))
    assert scaling_charts({"a": (1, entries_of(evaluation(benchmarks=("dtd",)), REGISTRY))}) == []


def test_contamination_tells_what_share_of_the_test_images_may_be_touched():
    one = evaluation()
    entries = entries_of(one, REGISTRY)
    (table,) = contamination_section([one], [entries]).tables
    assert len(table.rows) == len({each.id for each in entries})
    by_name = {row[0]: row for row in table.rows}
    for each in entries:
        told, row = each.result.contamination, by_name[each.name]
        if row[1] != "contaminated" or each is not next(
            one for one in entries if one.id == each.id
        ):
            continue
        touched = (told.exact_left + told.near_left + told.residual[1]) / each.primary.num_images
        assert row[6] == f"{touched:.2%}"
    statuses = {row[1] for row in table.rows}
    assert statuses == {
        "training data not known",
        "not looked for",
        "contaminated",
        "cleaned against",
    }
    # Models of the same data share a table.
    assert len(contamination_section([one, one], [entries, entries]).tables) == 1
