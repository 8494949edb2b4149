import socket

import orjson
import pytest

from ingest.progress import ProgressSender


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "progress"))
        listener.settimeout(30)
        yield listener


def test_a_candidate_that_changes_is_never_counted_twice(listener, monkeypatch):
    monkeypatch.setattr("ingest.progress._INTERVAL_S", -1.0)
    sender = ProgressSender(listener.getsockname())
    sender.add("kept", num_bytes=10)
    sender.change("kept", "duplicate")
    sender.close()
    messages = [orjson.loads(listener.recv(1000)) for _ in range(3)]
    assert messages == [[{"kept": 1}, 10], [{"kept": -1, "duplicate": 1}, 0], [{}, 0]]


def test_without_a_listener_nothing_is_sent(tmp_path):
    for address in ("", str(tmp_path / "nobody")):
        sender = ProgressSender(address)
        sender.add("kept")
        sender.change("kept", "duplicate")
        sender.close()
