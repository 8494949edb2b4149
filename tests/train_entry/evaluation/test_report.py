"""The report of an evaluation, read back from its files and its page."""

import re
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest

from schemas.benchmarks import load_benchmarks
from schemas.figures import Evaluation, Figure
from schemas.manifest import decode
from tests.evaluations import FEW, evaluation
from tests.pages import assert_harmless
from train_entry.errors import ConfigError
from train_entry.evaluation.page.entries import entries_of
from train_entry.evaluation.page.numbers import (
    interval_text,
    value_text,
)
from train_entry.evaluation.page.published import beside
from train_entry.evaluation.report import report_page, write_report

REGISTRY = load_benchmarks()


class _Rows(HTMLParser):
    """The texts of all table rows."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data):
        if self.rows:
            self.rows[-1] += f" {data.strip()}"


def rows_of(page):
    reader = _Rows()
    reader.feed(page)
    return [" ".join(row.split()) for row in reader.rows]


def three():
    return [
        evaluation(hostile=True),
        evaluation("run-1, step 60000", -0.1, FEW, seed=2, size=637_419_894),
        evaluation("other:model", 0.0, FEW[:15], seed=3, size=1_100_000_000),
    ]


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A report on three models, one of them with texts that attack, and its folder."""
    folder = tmp_path_factory.mktemp("evaluation") / "report"
    evaluations = three()
    paths = write_report(evaluations, folder)
    assert sorted(path.name for path in paths) == sorted(path.name for path in folder.iterdir())
    return evaluations, folder, (folder / "index.html").read_text()


def test_the_files_hold_what_was_found(reported):
    evaluations, folder, _ = reported
    assert decode(Evaluation, (folder / "evaluation.json").read_bytes()) == evaluations[0]
    figures = Figure.from_table(pq.read_table(folder / "figures.parquet"))
    assert figures == [one for result in evaluations[0].results for one in result.figures]


def test_the_same_evaluations_make_the_same_bytes(reported, tmp_path):
    write_report(three(), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (reported[1] / path.name).read_bytes()


def test_each_main_figure_has_its_interval_the_published_one_and_the_contamination_in_its_row(
    reported,
):
    evaluations, _, page = reported
    rows = rows_of(page[page.index('class="overview"') :].partition("</table>")[0])
    num = 0
    for one in entries_of(evaluations[0], REGISTRY):
        for figure in one.primaries:
            other = beside(one, figure)
            wanted = [
                value_text(figure.metric, figure.value),
                interval_text(figure.metric, figure.low, figure.high),
                f"{value_text(figure.metric, other.published.value)} {other.published.model}"
                if other
                else "none known",
                one.result.contamination.sentence.rstrip("."),
                figure.protocol_sha256[:8],
            ]
            wanted = [" ".join(text.split()) for text in wanted]
            assert any(all(text in row for text in wanted) for row in rows), wanted
            num += 1
    categories = {one.category for one in entries_of(evaluations[0], REGISTRY)}
    assert len(rows) == 1 + num + len(categories)
    assert len(categories) >= 16
    assert sum("none known" not in row for row in rows) > 10


def test_names_that_attack_are_only_shown(reported):
    page = reported[2]
    assert_harmless(page)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<h1>") == 1


def test_anchors_are_there_once(reported):
    page = reported[2]
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


def test_without_others_there_is_nothing_to_compare_and_with_no_results_still_a_page():
    page = report_page([evaluation(benchmarks=FEW[:3])], REGISTRY)
    assert 'id="comparison"' not in page
    empty = evaluation(benchmarks=()).model_copy(update={"missing": {"x": "no such folder"}})
    page = report_page([empty], {})
    assert_harmless(page)
    assert "no such folder" in page


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="expected at least one"):
        write_report([], tmp_path)


def test_a_benchmark_without_figures_is_said_to_be_not_measured():
    one = evaluation(benchmarks=("dtd",))
    result = one.results[0].model_copy(update={"figures": ()})
    page = report_page([one.model_copy(update={"results": (result,)})], REGISTRY)
    assert "not measured" in page
