import pytest

from ingest.errors import SetupError
from ingest.fetch.host_limits import HostLimit, HostLimits
from ingest.fetch.politeness import HostGate
from schemas.options import PolitenessOptions

FILE = """
["cdn.example"]
requests_per_s = 50
connections = 64

["*.example.org"]
requests_per_s = 0.5

["*.b.example.org"]
requests_per_s = 0
"""


def limits(tmp_path, text):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return PolitenessOptions(
        host_requests_per_s=2.0, host_connections=8, host_limits=str(path), host_wait_s=1000.0
    )


@pytest.mark.parametrize(
    ("host", "limit"),
    [
        ("a.example", HostLimit(2.0, 8)),
        ("cdn.example", HostLimit(50.0, 64)),
        ("x.cdn.example", HostLimit(2.0, 8)),
        ("example.org", HostLimit(0.5, 8)),
        ("a.example.org", HostLimit(0.5, 8)),
        ("x.b.example.org", HostLimit(0.0, 8)),
        ("notexample.org", HostLimit(2.0, 8)),
    ],
)
def test_the_closest_name_gives_the_limits(tmp_path, host, limit):
    assert HostLimits(limits(tmp_path, FILE)).find(host) == limit


def test_the_gate_keeps_to_them(tmp_path):
    gate = HostGate(limits(tmp_path, FILE), clock=lambda: 0.0)
    assert [gate.reserve_s("a.example.org", "192.0.2.1") for _ in range(3)] == [0.0, 2.0, 4.0]
    assert [gate.reserve_s("b.example.org", "192.0.2.1") for _ in range(3)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "text", ["[a", "a = 1", "[a]\nrate = 1", "[a]\nrequests_per_s = -1", "[a]\nconnections = 0"]
)
def test_a_broken_file_is_told_before_anything_is_fetched(tmp_path, text):
    with pytest.raises(SetupError, match="--host-limits: expected"):
        HostLimits(limits(tmp_path, text))
    with pytest.raises(SetupError, match="nowhere"):
        HostLimits(PolitenessOptions(host_limits=str(tmp_path / "nowhere.toml")))
