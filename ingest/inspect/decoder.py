"""The program of a decoder process: answers with what an image is.

The answer is a JSON array: the fields of an Inspection or, if `side_px` is not 0, the pixels of the
image with sides of at most so many.
"""

import os
import signal
import sys
from base64 import b64encode
from dataclasses import astuple

import orjson

from ingest.child_program import serve
from ingest.inspect.decode import configure_pillow, inspect_image, small_picture

# For tests of the sandbox: with this variable set, these markers in a file are obeyed.
MARKERS_VARIABLE = "UNCURATED_TEST_DECODER_MARKERS"
ABORT_MARKER = b"uncurated-test: abort the decoder"
HANG_MARKER = b"uncurated-test: hang the decoder"


def main(argv: list[str]) -> None:
    """Serve requests until the other end closes; the arguments are those of `serve`."""
    configure_pillow()
    serve(argv, _decode)


def obey_markers(content: bytes) -> None:
    """Die or hang if a test asks for it."""
    if MARKERS_VARIABLE not in os.environ:
        return
    if ABORT_MARKER in content:
        os.abort()
    while HANG_MARKER in content:
        signal.pause()


def _decode(content: bytes, side_px: int, max_pixels: int) -> bytes:
    obey_markers(content)
    if side_px:
        pixels = small_picture(content, side_px, max_pixels)
        return orjson.dumps([*pixels.shape[:2], pixels.tobytes()], default=_text)
    return orjson.dumps(astuple(inspect_image(content, max_pixels)), default=_text)


def _text(value: bytes) -> str:
    return b64encode(value).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
