import json
import os
from pathlib import Path

import pytest

from ingest import storage
from ingest.sampling import sample_id
from schemas.candidate import Carrier
from schemas.outcome import Outcome
from tests.reading import read_input


def test_a_folder_gives_every_visible_file_in_order(tmp_path):
    for name in ("b.jpg", "a", "sub/c.png", ".hidden", ".git/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = read_input(tmp_path)
    assert [one.url for one in found] == [
        f"{tmp_path}/{name}" for name in ("a", "b.jpg", "sub/c.png")
    ]
    assert [one.row for one in found] == [0, 1, 2]
    assert {one.carrier for one in found} == {Carrier.FILE}
    assert json.loads(found[2].columns) == {"path": "sub/c.png"}


def test_a_folder_may_lie_in_any_store():
    storage.write_bytes("memory://pictures/sub/a.jpg", b"x")
    (found,) = read_input("memory://pictures")
    url = "memory://pictures/sub/a.jpg"
    assert (found.url, found.id) == (url, sample_id("memory://pictures", 0, url))
    assert storage.read_bytes(found.url) == b"x"


def test_pipes_are_left_out_and_broken_links_stay_visible(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/nowhere")
    assert [Path(one.url).name for one in read_input(tmp_path)] == ["link"]


def test_a_name_that_is_no_utf8_is_a_malformed_row(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (found,) = read_input(tmp_path)
    assert found.problem == Outcome.MALFORMED_ROW
    assert found.problem_detail == "expected a file name in UTF-8, got '\\udcff.jpg'"
