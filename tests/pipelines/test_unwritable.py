"""Where nothing can be written, a command says so in a line, and goes on when there is room."""

import subprocess

import pytest

from pipelines.command import main
from tests.building import build_pictures, command, pictures


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    build_pictures(folder / "d", 3)
    return folder / "d"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("report", "DATASET", "--output=FILE/r"), "FILE/r/"),
        (("report", "DATASET", "--only-print", "--json-file=FILE/r"), "FILE/r"),
        (("audit", "DATASET", "--json-file=FILE/a"), "FILE/a"),
        (("query", "DATASET", "SELECT 1", "--output=FILE/q.csv"), "FILE/staged"),
        (("demo", "--output=FILE/demo"), "--output: expected to make a folder"),
        (("plan", "--input=IMAGES", "--output=FILE/d"), "FILE/d/"),
        (("build", "--input=IMAGES", "--output=FILE/d"), "FILE/d/"),
    ],
)
def test_what_cannot_be_written_is_named(sealed, tmp_path, capsys, arguments, expected):
    (tmp_path / "file").touch()
    images = put_images(tmp_path / "images", 1)
    places = {"DATASET": sealed, "FILE": tmp_path / "file", "IMAGES": images}

    def placed(text):
        for name, place in places.items():
            text = text.replace(name, str(place))
        return text

    assert main([placed(one) for one in arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    told = " ".join(lines)
    assert "Traceback" not in told
    assert placed(expected) in told
    assert "Not a directory" in told or "File exists" in told


def test_a_build_that_finds_no_room_says_so_and_goes_on_when_there_is(tmp_path):
    images = put_images(tmp_path / "images", 20)
    arguments = command("build", f"--input={images}", f"--output={tmp_path / 'd'}")
    # KiB that a file may have: room for the plan, not for the shard.
    limited = ["bash", "-c", 'ulimit -f 40; exec "$@"', "-", *arguments]
    first = subprocess.run(limited, capture_output=True, text=True, timeout=200, check=False)
    assert first.returncode == 2, first.stderr
    assert "File too large" in first.stderr
    assert "Traceback" not in first.stderr
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=200, check=False)
    assert again.returncode == 0, again.stderr
    assert main(["audit", str(tmp_path / "d")]) == 0


def put_images(folder, count):
    folder.mkdir()
    for number, picture in enumerate(pictures(count)):
        (folder / f"{number}.jpg").write_bytes(picture.content)
    return folder
