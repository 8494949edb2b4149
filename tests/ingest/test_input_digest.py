from hashlib import sha256

import pytest

from ingest.input_digest import digest_input


def test_a_file_has_its_size_and_digest(tmp_path):
    path = tmp_path / "urls.csv"
    path.write_bytes(b"url\n" * 700_000)
    expected = sha256(path.read_bytes()).hexdigest()
    assert digest_input(str(path), "table") == (str(path), "table", 2_800_000, expected)
    assert digest_input(str(path), "table", "size") == (str(path), "table", 2_800_000, "")


def test_a_folder_has_the_digest_of_its_listing(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.jpg").write_bytes(b"22")
    (tmp_path / "1.jpg").write_bytes(b"1")
    expected = sha256(b"1.jpg\t1\nb/2.jpg\t2\n").hexdigest()
    assert digest_input(str(tmp_path), "folder")[2:] == (3, expected)


def test_a_dataset_has_its_merkle_root_instead(tmp_path):
    assert digest_input(str(tmp_path), "dataset")[2:] == (-1, "")


def test_a_file_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest_input(str(tmp_path / "gone"), "table")
