import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.fetch.publisher_files import parse_ai_txt, parse_tdmrep

# The example of the TDMRep report, section 6.1.
TDMREP = [
    {"location": "/directory-a/html/*.jpg", "tdm-reservation": 0},
    {"location": "/directory-b/html/", "tdm-reservation": 1},
    {
        "location": "/directory-b/images/*.jpg",
        "tdm-reservation": 1,
        "tdm-policy": "https://provider.com/policies/policy.json",
    },
]


@pytest.mark.parametrize(
    ("path", "allowed", "evidence"),
    [
        ("/directory-a/html/x.jpg", True, "directory-a"),
        ("/directory-b/html/x.jpg", False, "directory-b/html"),
        ("/directory-b/images/x.jpg", False, "policy.json"),
        ("/directory-c/x.jpg", True, ""),
    ],
)
def test_reservations_are_read_by_location(path, allowed, evidence):
    found = parse_tdmrep(json.dumps(TDMREP).encode()).decide(path)
    assert found.allowed == allowed
    assert evidence in found.rule


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1, null, {}]", b"[" * 100_000, b'[{"location": 5}]', b"\xff", b'[{"location":'],
)
def test_a_malformed_file_reserves_nothing(content):
    assert parse_tdmrep(content).decide("/x").allowed


def test_the_more_specific_location_wins():
    entries = [
        {"location": "/", "tdm-reservation": 1},
        {"location": "/free/", "tdm-reservation": 0},
    ]
    rules = parse_tdmrep(json.dumps(entries).encode())
    assert [rules.decide(path).allowed for path in ("/x", "/free/x")] == [False, True]


AI_TXT = b"# Spawning AI\nUser-Agent: *\nDisallow: *.jpg\nDisallow: /art/\nAllow: *.txt\nAllow: /\n"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/x.jpg", False),
        ("/x.jpg?width=5", False),
        ("/d/x.jpg", False),
        ("/x.jpgs", True),
        ("/art/x.png", False),
        ("/x.png", True),
    ],
)
def test_ai_txt_speaks_of_kinds_of_files(path, allowed):
    assert parse_ai_txt(AI_TXT).decide(path).allowed == allowed


@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_bytes_are_read(content, path):
    parse_tdmrep(content).decide("/" + path)
    parse_ai_txt(content).decide("/" + path)


@given(st.lists(st.dictionaries(st.sampled_from(["location", "tdm-reservation"]), st.text())))
def test_any_entries_are_read(entries):
    parse_tdmrep(json.dumps(entries).encode()).decide("/x")
