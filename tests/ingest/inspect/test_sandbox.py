import asyncio
from pathlib import Path

import pytest
import sklearn

from ingest.errors import InspectError
from ingest.inspect.decode import Inspection, inspect_image
from ingest.inspect.decoder import ABORT_MARKER, HANG_MARKER, MARKERS_VARIABLE
from ingest.inspect.sandbox import DecoderPool
from ingest.spool import Spool
from schemas.options import InspectOptions
from schemas.outcome import Outcome

CHINA = (Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg").read_bytes()


def inspect_all(contents, **options):
    """What a pool of decoder processes says of each content: an Inspection or an outcome."""

    async def run():
        spool = Spool(0, "")
        pool = DecoderPool(InspectOptions(**options), [spool.descriptor])
        regions = [spool.append(content) for content in contents]
        try:
            return await asyncio.gather(
                *(pool.inspect(region) for region in regions), return_exceptions=True
            )
        finally:
            pool.close()
            spool.close()

    answers = asyncio.run(run())
    return [one.outcome if isinstance(one, InspectError) else one for one in answers]


def test_a_decoder_process_says_what_the_function_says():
    (found,) = inspect_all([CHINA], decoder_processes=1)
    assert found == inspect_image(CHINA, 10**8)


@pytest.mark.parametrize("num_processes", [1, 3])
def test_a_file_that_kills_its_decoder_costs_only_itself(monkeypatch, num_processes):
    monkeypatch.setenv(MARKERS_VARIABLE, "1")
    contents = [CHINA, CHINA + ABORT_MARKER, CHINA, b"text", CHINA + ABORT_MARKER, CHINA] * 3
    found = inspect_all(contents, decoder_processes=num_processes)
    expected = [
        None,
        Outcome.DECODER_CRASH,
        None,
        Outcome.NOT_AN_IMAGE,
        Outcome.DECODER_CRASH,
        None,
    ]
    got = [None if isinstance(one, Inspection) else one for one in found]
    assert got == expected * 3


def test_a_file_that_hangs_its_decoder_costs_only_itself(monkeypatch):
    monkeypatch.setenv(MARKERS_VARIABLE, "1")
    contents = [CHINA + HANG_MARKER, CHINA, CHINA]
    found = inspect_all(contents, decoder_processes=1, decode_timeout_s=3)
    assert found[0] is Outcome.DECODER_TIMEOUT
    assert all(isinstance(one, Inspection) for one in found[1:])


def test_markers_are_harmless_unless_the_decoder_is_told_to_obey():
    (found,) = inspect_all([CHINA + ABORT_MARKER], decoder_processes=1)
    assert isinstance(found, Inspection)


def test_decoding_beyond_the_memory_limit_costs_only_that_image():
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (9000, 9000)).save(buffer, "png")
    found = inspect_all([buffer.getvalue(), CHINA], decoder_processes=1, decoder_memory_mib=64)
    assert found[0] is Outcome.DECODER_MEMORY
    assert isinstance(found[1], Inspection)
