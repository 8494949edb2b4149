"""The program of a resizer process: answers with a smaller copy of an image, by img2dataset.

Its Resizer decodes with OpenCV, which takes no heed of EXIF orientation, turns 16 bits white, and
of alpha makes 24 bytes a channel; so only plain JPEG, PNG and WebP go to it as they are. All else
is decoded by Pillow and handed over as upright pixels of 8 bits, over white, in a PNM file.
"""

import io
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from PIL import Image

from ingest.child_program import serve
from ingest.errors import InspectError
from ingest.inspect.decode import configure_pillow, format_of, open_image
from ingest.inspect.decoder import obey_markers
from ingest.inspect.exif import read_exif
from ingest.inspect.grey import describe, over_white
from schemas.options import ResizeOptions
from schemas.outcome import Outcome

# A file -> the copy, four sides and None, or five times None and what went wrong.
Resizer = Callable[[io.BytesIO], tuple[Any, ...]]

_PNG_DEPTH_OFFSET = 24
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What OpenCV and NumPy say when memory ends; the Resizer makes text of all errors.
_MEMORY_WORDS = ("Insufficient memory", "Unable to allocate")


def main(argv: list[str]) -> None:
    """Serve requests until the other end closes: ResizeOptions as JSON, then as for `serve`."""
    # Else albumentations, a dependency of img2dataset, asks the network for a newer version.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    # They speak of deprecations inside img2dataset.
    warnings.simplefilter("ignore")
    configure_pillow()
    resizer = make_resizer(ResizeOptions.model_validate_json(argv[0]))
    serve(argv[1:], partial(_answer, resizer))


def make_resizer(options: ResizeOptions) -> Resizer:
    """Img2dataset's Resizer. It mutes standard output and error while it works: no threads."""
    # Only here: this takes two seconds, and the package may be missing elsewhere.
    from img2dataset import resizer

    made: Resizer = resizer.Resizer(
        image_size=options.size,
        resize_mode=options.resize_mode,
        resize_only_if_bigger=not options.enlarge,
        upscale_interpolation=options.upscale_interpolation,
        downscale_interpolation=options.downscale_interpolation,
        encode_quality=options.encode_quality,
        encode_format=options.encode_format,
        skip_reencode=options.skip_reencode,
    )
    return made


def resize_image(content: bytes, resizer: Resizer, max_pixels: int) -> bytes:
    """The smaller copy of an image; raises InspectError, or MemoryError."""
    with closing(open_image(content, format_of(content), max_pixels)) as image:
        orientation, _ = read_exif(image, [])
        if _is_plain(content, image, orientation):
            copy, _ = _run(resizer, content)
            if copy is not None:
                return copy
        pixels = _upright_pixels(image, orientation)
    copy, problem = _run(resizer, pixels)
    if copy is None:
        # These pixels are sound: what is left are the largest sides of OpenCV and of formats.
        raise InspectError(Outcome.TOO_MANY_PIXELS, f"img2dataset cannot resize it: {problem}")
    return copy


def _answer(resizer: Resizer, content: bytes, side_px: int, max_pixels: int) -> bytes:
    obey_markers(content)
    return resize_image(content, resizer, max_pixels)


def _run(resizer: Resizer, content: bytes) -> tuple[bytes | None, str]:
    """The copy, or None and what went wrong; raises MemoryError."""
    copy, *_, problem = resizer(io.BytesIO(content))
    # Python's own MemoryError says nothing.
    if problem == "" or any(words in (problem or "") for words in _MEMORY_WORDS):
        raise MemoryError
    return copy, problem or ""


def _is_plain(content: bytes, image: Image.Image, orientation: int | None) -> bool:
    """Whether OpenCV makes of a file what Pillow does: upright, one frame, 8 bits, no alpha."""
    if image.format not in ("JPEG", "MPO", "PNG", "WEBP") or image.mode not in ("L", "RGB"):
        return False
    if orientation not in (None, 1) or "transparency" in image.info:
        return False
    if image.format == "PNG" and content[_PNG_DEPTH_OFFSET] > 8:
        return False
    return image.format == "MPO" or getattr(image, "n_frames", 1) == 1


def _upright_pixels(image: Image.Image, orientation: int | None) -> bytes:
    """The first frame as a PGM or PPM file, which costs OpenCV little more than a copy."""
    try:
        picture = _flatten(image)
    except MemoryError:
        raise
    except Exception as error:
        raise InspectError(Outcome.CORRUPT, describe(error)) from error
    # Pillow turns TIFF by itself.
    turn = None if image.format == "TIFF" else _TURNS.get(orientation or 1)
    if turn is not None:
        picture = picture.transpose(turn)
    if picture is not image:
        # Each copy of the largest pictures takes hundreds of MiB.
        image.close()
    buffer = io.BytesIO()
    picture.save(buffer, "PPM")
    return buffer.getvalue()


def _flatten(image: Image.Image) -> Image.Image:
    """The first frame in mode L or RGB, over white; the image itself if it is in that mode."""
    mode = "L" if Image.getmodebase(image.mode) == "L" else "RGB"
    image.load()
    if image.mode == mode and "transparency" not in image.info:
        return image
    picture = over_white(image)
    return picture if picture.mode == mode else picture.convert(mode)


if __name__ == "__main__":
    main(sys.argv[1:])
