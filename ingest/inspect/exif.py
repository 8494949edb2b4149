"""Orientation and date from EXIF: a bad tag is a warning, never a bad image."""

from PIL import Image

_ORIENTATION, _DATE, _EXIF_IFD, _DATE_ORIGINAL = 0x0112, 0x0132, 0x8769, 0x9003
_MAX_DATE_CHARS = 32


def read_exif(image: Image.Image, warnings: list[str]) -> tuple[int | None, str | None]:
    """Orientation (1 to 8) and date as written, each None if absent; problems go to `warnings`."""
    try:
        # Pillow's own getexif of a PNG would decode all of it to look for a late chunk.
        tags = Image.Image.getexif(image)
        if not tags:
            return None, None
        orientation = tags.get(_ORIENTATION)
        date = tags.get_ifd(_EXIF_IFD).get(_DATE_ORIGINAL) or tags.get(_DATE)
    except Exception as error:
        warnings.append(f"exif: {type(error).__name__}: {error}"[:200])
        return None, None
    valid = isinstance(orientation, int) and orientation in range(1, 9)
    if orientation is not None and not valid:
        warnings.append(f"exif: expected an orientation from 1 to 8, got {orientation!r}"[:200])
        orientation = None
    return orientation, _printable(date) if isinstance(date, str) else None


def _printable(text: str) -> str | None:
    kept = "".join(sign for sign in text[:_MAX_DATE_CHARS] if sign.isprintable()).strip()
    return kept or None
