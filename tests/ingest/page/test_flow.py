from hypothesis import given
from hypothesis import strategies as st

from ingest.page.flow import flow_chart, losses
from schemas.outcome import Outcome
from tests.pages import assert_harmless


@given(st.dictionaries(st.sampled_from([word.value for word in Outcome]), st.integers(0, 10**9)))
def test_losses_and_what_is_kept_add_up_to_what_went_in(outcomes):
    lost = sum(loss.count for loss in losses(outcomes))
    assert lost + outcomes.get("kept", 0) == sum(outcomes.values())


def test_the_flow_tells_how_many_went_in_and_are_kept():
    chart = flow_chart({"kept": 60, "http_404": 30, "robots": 10}, num_tombstones=5)
    assert "100 candidates went in; 55 images (55.0%) are kept." in chart.note
    assert ("removed on request", "5", "5.00%") in chart.table.rows
    assert_harmless(str(chart.svg))
    assert flow_chart({}).svg
    assert flow_chart({"kept": 1}).svg
