import pytest

from schemas.options import FetchOptions
from tests.attacking import kit, suffer

pytestmark = pytest.mark.skipif(
    not {"nameserver", "ca_file"} <= FetchOptions.model_fields.keys(),
    reason="needs --nameserver and --ca-file",
)
OPTIONS = ("--nameserver=127.0.0.1:{port}", "--ca-file={ca_file}")


def test_no_trick_of_a_name_server_gets_further_than_its_word(tmp_path):
    names = {attack.name for attack in kit().attacks if attack.name.startswith("name-")}
    assert len(names) > 30
    found = suffer(tmp_path, names, *OPTIONS)
    assert found.wrong() == {}
    assert found.web.nameserver.queries() != []


def test_the_given_authority_is_trusted_and_no_other(tmp_path):
    names = {attack.name for attack in kit().attacks if attack.name.startswith("certificate-")}
    found = suffer(tmp_path, names, *OPTIONS)
    assert found.wrong() == {}
    assert [outcome for outcome, _ in found.results["certificate-good"]] == ["kept"]
