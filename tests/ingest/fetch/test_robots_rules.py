import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protego import Protego

from ingest.fetch.robots_rules import RobotsRules

AGENT = "uncurated"


def decide(text, path, agent=AGENT):
    return RobotsRules.parse(text.encode(), agent).decide(path)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    # The examples of RFC 9309, sections 2.2.2 and 5.2, and of Google's robots.txt specification.
    [
        ("/", ["/", "/any"], []),
        ("/fish", ["/fish", "/fish.html", "/fishheads/y", "/fish.php?id=a"], ["/Fish", "/catfish"]),
        ("/fish*", ["/fish", "/fish.html", "/fishheads/y"], ["/Fish.asp", "/catfish", "/?id=fish"]),
        ("/fish/", ["/fish/", "/fish/?id=a", "/fish/salmon"], ["/fish", "/fish.html", "/a/fish/"]),
        ("/*.php", ["/x.php", "/d/x.php?p", "/x.php/d", "/x.php5"], ["/", "/x.PHP", "/d/php"]),
        ("/*.php$", ["/x.php", "/d/x.php"], ["/x.php?p", "/x.php/", "/x.php5", "/xphp"]),
        ("/fish*.php", ["/fish.php", "/fishheads/x.php?p"], ["/Fish.PHP"]),
        ("/a$", ["/a"], ["/a/", "/ab"]),
        ("/a*b*c$", ["/abc", "/aXbYc", "/abcbc"], ["/acb", "/abcd"]),
        ("/%7Ejoe/", ["/~joe/x", "/%7ejoe/x", "/%7Ejoe/x"], ["/joe/"]),
        ("/a%3cd", ["/a%3Cd", "/a%3cd"], ["/a<d"]),
        ("/ツ", ["/%E3%83%84", "/%e3%83%84x"], ["/x"]),
        ("*/x", ["/a/x", "/x"], ["/a"]),
    ],
)
def test_patterns_match_as_the_standard_says(pattern, matching, others):
    rules = RobotsRules.parse(f"User-agent: *\nDisallow: {pattern}\n".encode(), AGENT)
    assert [path for path in matching if rules.decide(path).allowed] == []
    assert [path for path in others if not rules.decide(path).allowed] == []


@pytest.mark.parametrize(
    ("lines", "path", "allowed", "rule"),
    [
        ("Allow: /p\nDisallow: /", "/page", True, "line 2: Allow: /p"),
        ("Allow: /folder\nDisallow: /folder", "/folder/x", True, "line 2: Allow: /folder"),
        ("Disallow: /folder\nAllow: /folder", "/folder/x", True, "line 3: Allow: /folder"),
        ("Allow: /page\nDisallow: /*.htm", "/page.htm", False, "line 3: Disallow: /*.htm"),
        ("Allow: /$\nDisallow: /", "/", True, "line 2: Allow: /$"),
        ("Allow: /$\nDisallow: /", "/x", False, "line 3: Disallow: /"),
        ("Disallow:", "/x", True, ""),
        ("Disallow: /", "/robots.txt", True, ""),
        ("# Disallow: /", "/x", True, ""),
        ("Disallow: /x # private", "/x", False, "line 2: Disallow: /x"),
    ],
)
def test_the_longest_rule_decides_and_is_named(lines, path, allowed, rule):
    found = decide("User-agent: *\n" + lines, path)
    assert (found.allowed, found.rule) == (allowed, rule)


GROUPS = """
User-agent: other
User-agent: Uncurated/2.0
Disallow: /both
Sitemap: https://a.example/map.xml

User-agent: *
Disallow: /any

User-agent: UNCURATED
Disallow: /ours
"""


def test_groups_of_our_token_are_merged_and_others_passed_over():
    blocked = [path for path in ("/both", "/any", "/ours") if not decide(GROUPS, path).allowed]
    assert blocked == ["/both", "/ours"]
    blocked = [path for path in ("/both", "/any", "/ours") if not decide(GROUPS, path, "x").allowed]
    assert blocked == ["/any"]


def test_a_group_of_our_own_without_rules_allows_all():
    assert decide("User-agent: *\nDisallow: /\n\nUser-agent: uncurated\n", "/x").allowed


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n", " \n"])
def test_lines_end_in_any_way(end):
    assert not decide(f"\ufeffUSER-AGENT : *{end} disallow : /x{end}", "/x").allowed


def test_delay_and_usage_of_our_group_are_told():
    text = (
        "User-agent: *\nCrawl-delay: 99\nUser-agent: uncurated\nCrawl-delay: 2.5\n"
        "Content-Usage: train-ai=n\nContent-Usage: /free/ train-ai=y\nDisallow: /x\n"
    )
    rules = RobotsRules.parse(text.encode(), AGENT)
    assert rules.crawl_delay_s == 2.5
    assert (rules.content_usage("/a"), rules.content_usage("/free/a")) == (
        "train-ai=n",
        "train-ai=y",
    )
    other = RobotsRules.parse(b"User-agent: *\nCrawl-delay: nan\nAllow: /\n", AGENT)
    assert (other.crawl_delay_s, other.content_usage("/")) == (None, None)


PATHS = st.text(alphabet="ab/.?", max_size=12).map(lambda text: "/" + text)
PATTERNS = st.tuples(st.text(alphabet="ab/.*?", max_size=8), st.sampled_from(["", "$"]))
LINES = st.tuples(
    st.sampled_from(["Allow", "Disallow"]), PATTERNS.map(lambda one: "/" + "".join(one))
)


@given(st.lists(LINES, max_size=8), PATHS)
@settings(max_examples=500, derandomize=True)
def test_decisions_are_those_of_another_implementation(lines, path):
    text = "User-agent: *\n" + "".join(f"{key}: {pattern}\n" for key, pattern in lines)
    expected = Protego.parse(text).can_fetch("https://a.example" + path, AGENT)
    assert decide(text, path).allowed == expected


@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_bytes_are_read(content, path):
    RobotsRules.parse(content, AGENT).decide("/" + path)
    RobotsRules.parse(b"user-agent:*\ndisallow:" + content, AGENT).decide("/" + path)


def test_hostile_patterns_take_linear_time():
    pattern = "/" + "*a" * 5_000 + "b"
    rules = RobotsRules.parse(f"User-agent: *\nDisallow: {pattern}\n".encode(), AGENT)
    began = time.process_time()
    for _ in range(20):
        assert rules.decide("/" + "a" * 15_000).allowed
    # A matcher that goes back would need longer than the universe is old.
    assert time.process_time() - began < 60
