import pytest

from tests.attacking import kit, suffer

OPTIONS = ("--nameserver=127.0.0.1:{port}", "--ca-file={ca_file}")


NAMES = {attack.name for attack in kit().attacks if attack.name.startswith("name-")}
# A resolver may share one socket among its queries, and drop them all when one answer is spoilt.
SPOILERS = {f"name-{name}" for name in ("garbage", "short", "pointer-loop", "silent-tcp")}


@pytest.mark.parametrize("names", [NAMES - SPOILERS, SPOILERS], ids=["odd", "spoilt"])
def test_no_trick_of_a_name_server_gets_further_than_its_word(tmp_path, names):
    found = suffer(tmp_path, names, *OPTIONS)
    assert found.wrong() == {}
    assert found.web.nameserver.queries() != []


@pytest.mark.parametrize("scheme", ["", "file://"], ids=["path", "URI"])
def test_the_given_authority_is_trusted_and_no_other(tmp_path, scheme):
    names = {attack.name for attack in kit().attacks if attack.name.startswith("certificate-")}
    found = suffer(tmp_path, names, OPTIONS[0], f"--ca-file={scheme}{{ca_file}}")
    assert found.wrong() == {}
    assert [outcome for outcome, _ in found.results["certificate-good"]] == ["kept"]
