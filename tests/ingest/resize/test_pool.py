import asyncio
import io
import os
from pathlib import Path

import pytest
import sklearn
from PIL import Image

from ingest.errors import InspectError, SetupError
from ingest.inspect.decoder import ABORT_MARKER, HANG_MARKER, MARKERS_VARIABLE
from ingest.resize import pool as pool_module
from ingest.resize.pool import ResizerPool
from ingest.spool import Spool
from schemas.options import InspectOptions, ResizeOptions
from schemas.outcome import Outcome

CHINA = (Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg").read_bytes()
# Found by a child through PYTHONPATH: it writes down whatever would use the network.
GUARD = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        os.write(guard, f"{event} {arguments}\\n".encode())
guard = os.open(os.environ["GUARD_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(guard, b"on guard\\n")
sys.addaudithook(watch)
"""


def resize_all(contents, resize=None, **limits):
    """What a pool of resizer processes makes of each content: bytes or an outcome."""

    async def run():
        spool = Spool(0, "")
        options = InspectOptions(**{"decoder_processes": 1, **limits})
        pool = ResizerPool(resize or ResizeOptions(), options, [spool.descriptor])
        regions = [spool.append(content) for content in contents]
        try:
            return await asyncio.gather(
                *(pool.resize(region) for region in regions), return_exceptions=True
            )
        finally:
            pool.close()
            spool.close()

    answers = asyncio.run(run())
    return [one.outcome if isinstance(one, InspectError) else one for one in answers]


def png_of(side_px):
    buffer = io.BytesIO()
    Image.new("RGBA", (side_px, side_px), (200, 10, 10, 100)).save(buffer, "PNG")
    return buffer.getvalue()


def test_two_runs_with_other_processes_give_the_same_bytes_and_need_no_network(
    monkeypatch, tmp_path, capfd
):
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("GUARD_FILE", str(tmp_path / "guard"))
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    contents = [CHINA, png_of(300), CHINA, b"text"]
    first = resize_all(contents)
    assert Image.open(io.BytesIO(first[0])).size == (384, 256)
    assert first[0] == first[2]
    assert first[3] is Outcome.NOT_AN_IMAGE
    assert resize_all(contents, decoder_processes=2) == first
    assert set((tmp_path / "guard").read_text().splitlines()) == {"on guard"}
    assert capfd.readouterr() == ("", "")


def test_a_file_that_kills_its_resizer_costs_only_itself(monkeypatch):
    monkeypatch.setenv(MARKERS_VARIABLE, "1")
    first, crash, last = resize_all([CHINA, CHINA + ABORT_MARKER, CHINA])
    assert crash is Outcome.DECODER_CRASH
    assert first == last


def test_a_file_that_hangs_its_resizer_costs_only_itself(monkeypatch):
    monkeypatch.setenv(MARKERS_VARIABLE, "1")
    hang, last = resize_all([CHINA + HANG_MARKER, CHINA], decode_timeout_s=2)
    assert hang is Outcome.DECODER_TIMEOUT
    assert last.startswith(b"\xff\xd8\xff")


def test_memory_beyond_the_limit_costs_only_that_image():
    hog, last = resize_all([png_of(5000), CHINA], decoder_memory_mib=96)
    assert hog is Outcome.DECODER_MEMORY
    assert last.startswith(b"\xff\xd8\xff")


def test_standard_output_and_error_of_the_parent_stay_where_they_are(capfd):
    before = [os.fstat(descriptor) for descriptor in (1, 2)]
    resize_all([CHINA], ResizeOptions(resize_mode="border", size=200))
    after = [os.fstat(descriptor) for descriptor in (1, 2)]
    assert [one.st_ino for one in after] == [one.st_ino for one in before]
    assert capfd.readouterr() == ("", "")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(pool_module, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"pip install 'uncurated\[img2dataset\]'"):
        ResizerPool(ResizeOptions(), InspectOptions(), [])
