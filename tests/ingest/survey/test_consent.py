import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.survey.consent import ConsentCounts, signal_kind, signal_mode

VERSION = f"(sha256 {'ab' * 32}, fetched 2026-09-21T14:13:20Z)"
MODES = {
    **{"robots_txt": "honour", "x_robots_tag": "record", "tdm_reservation": "ignore"},
    **{"content_usage": "record", "tdm_file": "honour", "ai_txt": "ignore", "c2pa": "record"},
}


@pytest.mark.parametrize(
    ("signal", "kind", "option"),
    [
        (
            f"https://a.example/robots.txt line 3: Disallow: /x {VERSION}",
            "robots.txt: Disallow: /x",
            "robots_txt",
        ),
        (
            f"http://b.example:8080/robots.txt content-usage: train-ai=n {VERSION}",
            "robots.txt: content-usage: train-ai=n",
            "content_usage",
        ),
        (
            "https://a.example/robots.txt: robots_unavailable: status 503",
            "robots.txt: robots_unavailable: status 503",
            "robots_txt",
        ),
        (
            f"https://a.example/.well-known/tdmrep.json {{'location': '/'}} {VERSION}",
            "tdmrep.json: {'location': '/'}",
            "tdm_file",
        ),
        (f"https://a.example/ai.txt Disallow: / {VERSION}", "ai.txt: Disallow: /", "ai_txt"),
        ("x-robots-tag: noai", "x-robots-tag: noai", "x_robots_tag"),
        ("tdm-reservation: 1", "tdm-reservation: 1", "tdm_reservation"),
        ("tdm-policy: https://a.example/p", "tdm-policy: https://a.example/p", "tdm_reservation"),
        ("content-usage: train-ai=n", "content-usage: train-ai=n", "content_usage"),
        ("c2pa: c2pa.ai_training: notAllowed", "c2pa: c2pa.ai_training: notAllowed", "c2pa"),
    ],
)
def test_a_signal_loses_what_is_of_one_host_alone(signal, kind, option):
    assert signal_kind(signal) == kind
    assert signal_mode(kind, MODES) == MODES[option]
    assert signal_mode(kind, {}) == "unknown"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_no_signal_is_too_long_or_has_more_than_one_line(text):
    found = signal_kind(f"x-robots-tag: {text}")
    assert len(found) <= 120
    assert "\n" not in found


def counted(rows, parts=1):
    """The consent of rows of (signals, rule, outcome)."""
    counts = ConsentCounts()
    for part in np.array_split(np.arange(len(rows)), parts):
        own = [rows[place] for place in part]
        table = pa.table(
            {
                "opt_out_signals": pa.array([one[0] for one in own], pa.list_(pa.string())),
                "opt_out_rule": pa.array([one[1] for one in own], pa.string()),
                "robots_sha256": pa.array(["0" * 64 if one[0] else None for one in own], "string"),
            }
        )
        kept = np.array([one[2] == "kept" for one in own], np.bool_)
        counts.add(table, kept, np.array([one[2] == "opt_out" for one in own], np.bool_))
    return counts.result(MODES)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_candidate_counts_once_for_each_kind_that_it_has(parts):
    seen = [f"https://{host}/robots.txt line 1: Disallow: / {VERSION}" for host in ("a.de", "b.de")]
    rows = [
        (seen, None, "kept"),
        ([seen[0], "tdm-reservation: 1"], seen[0], "opt_out"),
        (["tdm-reservation: 1"], None, "http_404"),
        ([], None, "kept"),
        (None, "", "kept"),
    ]
    found = counted(rows, parts)
    assert [
        (one.signal, one.mode, one.num_candidates, one.num_kept, one.num_refused)
        for one in found.signals
    ] == [
        ("robots.txt: Disallow: /", "honour", 2, 1, 1),
        ("tdm-reservation: 1", "ignore", 2, 0, 1),
    ]
    assert found.rules.top == {"robots.txt: Disallow: /": 1}
    assert (found.num_robots_known, found.num_refused) == (3, 1)
    assert found.modes == MODES


def test_kinds_behind_the_first_thousand_are_counted_together():
    rows = [([f"x-robots-tag: {number}"], None, "kept") for number in range(1500)]
    rows.append((["x-robots-tag: 1400", "x-robots-tag: 1401", "x-robots-tag: 0"], None, "kept"))
    found = counted(rows, parts=5)
    by_kind = {one.signal: one for one in found.signals}
    assert len(by_kind) == 1001
    assert by_kind["other"].num_candidates == 501
    assert by_kind["other"].mode == "unknown"
    assert by_kind["x-robots-tag: 0"].num_candidates == 2
