import csv
import io
import json
import re
from pathlib import Path

import pytest

from ingest.errors import SetupError
from ingest.papers.eu_summary import size_band
from ingest.papers.write import make_papers, paper_uri
from ingest.removal.remove import forget_report
from schemas.manifest import InputRecord
from schemas.removal import CROISSANT_FILE
from tests.building import record_of
from tests.ingest.papers.examples import HOSTILE, consent, report_of, survey_of, told_options
from tests.train_entry.datasets import make_dataset, pictures, seal

NAMES = {"croissant.json", "DATASHEET.md", "eu-summary.md", "opt-outs.csv", "top-domains.csv"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers") / "made-up"
    images = pictures(12)
    make_dataset(folder, [images[:7], images[7:]])
    return folder


def papers_of(dataset, survey=None, options=None, record=None, **changes):
    record = record or record_of(dataset)
    survey = survey or survey_of(record, **changes)
    options = options or told_options(dataset)
    return make_papers(str(dataset), record, survey, report_of(record), options)


def test_the_same_inputs_give_the_same_bytes(dataset):
    assert papers_of(dataset) == papers_of(dataset)
    assert set(papers_of(dataset)) == NAMES


def test_every_paper_states_the_figures_of_the_seal(dataset):
    record, papers = record_of(dataset), papers_of(dataset)
    for name in ("croissant.json", "DATASHEET.md", "eu-summary.md"):
        text = papers[name].decode()
        assert record.merkle_root in text
        assert f"{record.num_kept:,}" in text
        assert f"{record.image_bytes:,}" in text
    told = dict(
        re.findall(r"^\| (\w+\\?_?\w*) \| ([\d,]+) \|", papers["DATASHEET.md"].decode(), re.M)
    )
    counts = {name.replace("\\", ""): int(text.replace(",", "")) for name, text in told.items()}
    assert {word: counts[word] for word in record.outcomes} == record.outcomes


def test_a_survey_of_other_samples_is_refused_with_both_sides(dataset):
    with pytest.raises(SetupError, match="num_kept 12, got 11"):
        papers_of(dataset, num_kept=11)
    with pytest.raises(SetupError, match="merkle_root"):
        papers_of(dataset, merkle_root="ab" * 32)


def test_an_empty_dataset_has_papers_too(tmp_path):
    record = seal(tmp_path, [])
    papers = papers_of(
        tmp_path,
        survey=survey_of(
            record, num_sampled=0, geography=(), exif_fields={}, consent=consent(), carriers={}
        ),
    )
    assert "0 images" in papers["DATASHEET.md"].decode()
    assert "less than 1 million images" in papers["eu-summary.md"].decode()
    assert json.loads(papers["croissant.json"])["version"] == "1.0.0"


def test_what_the_publisher_has_not_told_is_said_to_be_missing(dataset):
    papers = papers_of(dataset, options=told_options(dataset, creator="", contact="", license=""))
    sheet = papers["DATASHEET.md"].decode()
    assert "--creator" in sheet
    assert "--contact" in sheet
    assert "--license" in sheet
    assert not json.loads(papers["croissant.json"]).keys() & {"license", "creator"}


def test_hostile_texts_are_only_texts(dataset):
    record = record_of(dataset)
    inputs = (InputRecord(uri=HOSTILE, num_rows=14),)
    record = record.model_copy(update={"plan": record.plan.model_copy(update={"inputs": inputs})})
    options = told_options(dataset, title=HOSTILE, creator=HOSTILE, contact=HOSTILE)
    survey = survey_of(record, consent=consent(HOSTILE, "=HYPERLINK(1)"))
    papers = papers_of(dataset, survey, options, record)
    for name in ("DATASHEET.md", "eu-summary.md"):
        text = papers[name].decode()
        assert "<script" not in text
        assert "[l](javascript" not in text
        assert "\u202e" not in text
    rows = list(csv.reader(io.StringIO(papers["opt-outs.csv"].decode(), newline="")))
    assert [row[1] for row in rows[1:]] == [
        HOSTILE,
        "'=HYPERLINK(1)",
        "robots.txt line 3: Disallow: /x",
    ]


def test_estimates_of_the_sample_have_their_interval(dataset):
    sheet = papers_of(dataset)["DATASHEET.md"].decode()
    assert "gps: 3 of 50 (6.0%) of the random sample, 95 % interval 2.1% to 16.2%" in sheet
    assert "DE 10 of 20 (50.0%), 95 % interval 30.0% to 70.0%" in sheet


def test_removals_are_told_in_every_text(dataset):
    record = record_of(dataset)
    papers = papers_of(dataset, survey_of(record, num_kept=10, num_tombstones=2))
    assert "2 images were removed later" not in papers["DATASHEET.md"].decode()
    for name in ("croissant.json", "DATASHEET.md", "eu-summary.md"):
        assert "2 images are named by tombstones" in papers[name].decode()


@pytest.mark.parametrize(
    ("count", "band"),
    [
        (999_999, "less than 1 million images"),
        (1_000_000, "1 million to 1 billion images"),
        (10**9, "more than 1 billion images"),
    ],
)
def test_the_band_of_the_template_is_that_of_the_count(count, band):
    assert size_band(count) == band


def test_the_croissant_record_lies_at_the_root_of_the_dataset_and_the_others_below():
    beside = told_options("gs://b/d")
    assert paper_uri(beside, CROISSANT_FILE) == "gs://b/d/croissant.json"
    assert paper_uri(beside, "DATASHEET.md") == "gs://b/d/report/DATASHEET.md"
    elsewhere = told_options("gs://b/d", output="/x")
    assert paper_uri(elsewhere, CROISSANT_FILE) == "/x/croissant.json"


def test_a_removal_forgets_every_paper(tmp_path):
    options = told_options(tmp_path)
    for name in NAMES:
        path = Path(paper_uri(options, name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"old")
    forget_report(str(tmp_path))
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []
