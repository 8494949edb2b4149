import csv
import io
import math

from hypothesis import given
from hypothesis import strategies as st

from ingest.papers.facts import Facts
from ingest.papers.top_domains import leading_domains, required_domains, top_domains_csv
from schemas.manifest import DatasetRecord
from tests.ingest.papers.examples import domains, report_of, survey_of, told_options
from tests.train_entry.datasets import seal


@given(st.integers(0, 10**9))
def test_a_tenth_is_required_and_a_twentieth_or_a_thousand_of_small_providers(count):
    everyone, small = required_domains(count)
    assert 10 * (everyone - 1) < count <= 10 * everyone or count == everyone == 0
    assert small == min(1000, math.ceil(count / 20))


def facts_of(tmp_path, listed, known):
    record = seal(tmp_path, [])
    assert isinstance(record, DatasetRecord)
    survey = survey_of(record, domains=domains(listed, known), kept_bytes=10_000)
    return Facts("d", record, survey, report_of(record), told_options("d"))


def test_the_leading_domains_are_the_first_tenth(tmp_path):
    facts = facts_of(tmp_path, 25, 25)
    assert [one.domain for one in leading_domains(facts)] == [
        "site0.example",
        "site1.example",
        "site2.example",
    ]


def test_no_more_leading_domains_are_named_than_are_listed(tmp_path):
    assert len(leading_domains(facts_of(tmp_path, 4, 1000))) == 4


def test_the_csv_has_every_listed_domain_with_its_share(tmp_path):
    content = top_domains_csv(facts_of(tmp_path, 4, 4)).decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [int(row["kept_bytes"]) for row in rows] == [4000, 3000, 2000, 1000]
    assert [float(row["share_of_kept_bytes"]) for row in rows] == [0.4, 0.3, 0.2, 0.1]
