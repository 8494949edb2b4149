import io
import json
import tarfile

import pytest

from ingest import storage
from ingest.errors import SetupError
from ingest.stored import read_stored_file
from schemas.candidate import Carrier
from schemas.outcome import Outcome
from tests.reading import read_input


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            found = tarfile.TarInfo(name)
            found.size = len(content)
            tar.addfile(found, io.BytesIO(content))
    return path


def test_each_image_is_a_candidate_with_the_texts_of_its_key(tmp_path):
    path = write_tar(
        tmp_path / "t.tar",
        [
            ("a/0.jpg", b"first"),
            ("a/0.txt", "grüße".encode()),
            ("a/0.json", b'{"url": "http://a.example/0.jpg", "n": 1}'),
            ("a/1.json", b"no json"),
            ("a/1.seg.png", b"second"),
            ("a/1.left.PNG", b"third"),
            ("b/1.jpg", b"fourth"),
            ("b/1.npy", b"\x93NUMPY"),
            ("README", b"may be an image"),
        ],
    )
    found = read_input(path)
    assert [one.row for one in found] == [0, 1, 2, 3, 4]
    assert {one.carrier for one in found} == {Carrier.FILE}
    assert [read_stored_file(one, 100) for one in found] == [
        *(b"first", b"second", b"third", b"fourth", b"may be an image")
    ]
    assert [json.loads(one.columns) for one in found] == [
        {
            "member": "a/0.jpg",
            "txt": "grüße",
            "json": {"url": "http://a.example/0.jpg", "n": 1},
        },
        {"member": "a/1.seg.png", "json": "no json"},
        {"member": "a/1.left.PNG", "json": "no json"},
        {"member": "b/1.jpg"},
        {"member": "README"},
    ]
    assert [one.url for one in found] == [
        "http://a.example/0.jpg",
        *(f"{path}#{name}" for name in ("a/1.seg.png", "a/1.left.PNG", "b/1.jpg", "README")),
    ]


def test_a_tar_may_lie_in_any_store_and_have_long_names(tmp_path):
    name = "folder/" * 40 + "é.jpg"
    path = write_tar(tmp_path / "t.tar", [(name, b"bytes")])
    storage.write_bytes("memory://tars/t.tar", path.read_bytes())
    (found,) = read_input("memory://tars/t.tar")
    assert found.stored_in == "memory://tars/t.tar"
    assert read_stored_file(found, 100) == b"bytes"
    assert json.loads(found.columns) == {"member": name}


def test_folders_links_and_pipes_in_a_tar_are_no_candidates(tmp_path):
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("l", tarfile.SYMTYPE), ("p", tarfile.FIFOTYPE)):
            found = tarfile.TarInfo(name)
            found.type = kind
            tar.addfile(found)
    assert read_input(tmp_path / "t.tar") == []


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"\x1f\x8b\x08" + bytes(600)])
def test_what_is_no_tar_is_refused(tmp_path, content):
    (tmp_path / "t.tar").write_bytes(content)
    with pytest.raises(SetupError, match=r"t\.tar: expected a whole tar, not compressed, got"):
        read_input(tmp_path / "t.tar")


def test_a_tar_that_ends_in_a_header_is_refused_and_in_a_member_costs_that_member(tmp_path):
    path = write_tar(tmp_path / "t.tar", [("a.jpg", b"x" * 700), ("b.jpg", b"y" * 700)])
    whole = path.read_bytes()
    path.write_bytes(whole[: 512 + 1024 + 100])
    with pytest.raises(SetupError, match="expected a whole tar"):
        read_input(path)
    path.write_bytes(whole[: 512 + 1024 + 512 + 100])
    with pytest.raises(SetupError, match="expected a whole tar"):
        read_input(path)


def test_a_stretch_that_is_not_there_any_more_is_unreadable(tmp_path):
    path = write_tar(tmp_path / "t.tar", [("a.jpg", b"x" * 700)])
    (found,) = read_input(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(Exception, match="expected 700 bytes at 512, got 388") as caught:
        read_stored_file(found, 1000)
    assert caught.value.outcome is Outcome.UNREADABLE


def test_a_member_over_the_cap_is_too_large(tmp_path):
    (found,) = read_input(write_tar(tmp_path / "t.tar", [("a.jpg", b"x" * 700)]))
    with pytest.raises(Exception, match="expected at most 699 bytes") as caught:
        read_stored_file(found, 699)
    assert caught.value.outcome is Outcome.TOO_LARGE
