from tests.attacking import NUM_DEAD_URLS, kit, suffer
from tests.building import uncurated

MAX_TREE_MB = 1000
MAX_S = 90

NEEDS_NAMES = {attack.name for attack in kit().attacks if attack.name.startswith("name-")}


def test_every_attack_ends_in_its_word_within_memory_and_time(tmp_path):
    names = {attack.name for attack in kit().attacks} - NEEDS_NAMES
    assert len(names) > 200
    found = suffer(tmp_path, names)
    assert found.wrong() == {}
    assert found.peak_mb < MAX_TREE_MB
    assert found.took_s < MAX_S
    assert [one for one in found.web.requests() if "x-evil" in one.headers] == []
    assert len(found.results["dead-host"]) == NUM_DEAD_URLS
    assert uncurated("audit", tmp_path / "dataset").returncode == 0


def test_a_dying_host_is_left_alone_after_a_few_time_outs(tmp_path):
    found = suffer(tmp_path, {"dying-host"})
    assert found.wrong() == {}
    assert len(found.web.requests()) < 30
