import pytest

from tests.attacking import NUM_DEAD_URLS, kit, suffer
from tests.building import uncurated

MAX_TREE_MB = 1000
MAX_S = 90

# Attacks that still hurt, and how. Each is expected to fail below, so that whoever mends one is
# told to take it out of here.
OPEN = {
    "status-long": "a status of eleven digits does not fit the ledger: the build fails",
    "status-longest": "a status of 5,000 digits is no int: the transfer never ends",
    "tag-undated": "OverflowError from the date of X-Robots-Tag: the build fails",
    "exif-fraction": "an orientation that is a fraction crashes the decoder of a good picture",
    "svg-comments": "the pattern that finds SVG backtracks without end: decoder_timeout",
    "inward-site-local": "fec0::/10 passes the address guard",
    "direct-site-local": "fec0::/10 passes the address guard",
    "closed-host": "a refused ::1 hides that 127.0.0.1 closed the connection",
    "tls-refused": "a refused ::1 hides that 127.0.0.1 closed the connection",
}
# Their cost is measured apart.
COSTLY = {"robots-agents", "dying-host"}
NEEDS_NAMES = {attack.name for attack in kit().attacks if attack.name.startswith("name-")}


def test_every_attack_ends_in_its_word_within_memory_and_time(tmp_path):
    names = {attack.name for attack in kit().attacks} - NEEDS_NAMES - {*OPEN} - COSTLY
    assert len(names) > 200
    found = suffer(tmp_path, names)
    assert found.wrong() == {}
    assert found.peak_mb < MAX_TREE_MB
    assert found.took_s < MAX_S
    assert [one for one in found.web.requests() if "x-evil" in one.headers] == []
    assert len(found.results["dead-host"]) == NUM_DEAD_URLS
    assert uncurated("audit", tmp_path / "dataset").returncode == 0


def still_open(reason):
    return pytest.mark.xfail(reason=reason, strict=True)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=still_open(reason)) for name, reason in OPEN.items()]
)
def test_an_open_attack_ends_in_its_word(tmp_path, name):
    assert suffer(tmp_path, {name}, timeout_s=12).wrong() == {}


@still_open("each rule is kept once for each agent: 6 s and 360 MB for 60 kB")
def test_a_robots_txt_of_many_agents_costs_little(tmp_path):
    found = suffer(tmp_path, {"robots-agents"})
    assert found.wrong() == {}
    assert found.peak_mb < 400


@still_open("a host that times out again and again is asked for every URL")
def test_a_dying_host_is_left_alone_after_a_few_time_outs(tmp_path):
    found = suffer(tmp_path, {"dying-host"})
    assert len(found.web.requests()) < 30
