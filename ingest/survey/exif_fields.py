"""What the EXIF of an image gives away: where it was taken, by whom and with which device."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ingest.errors import InspectError
from ingest.inspect.decode import format_of, open_image

FIELDS = ("gps", "camera", "serial", "author", "copyright", "date")
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
# Tags of the Exif specification (CIPA DC-008, sections 4.6.4 to 4.6.6), of Windows and of DNG.
_MAKE, _MODEL, _DATE, _ARTIST, _COPYRIGHT, _XP_AUTHOR = 0x10F, 0x110, 0x132, 0x13B, 0x8298, 0x9C9D
_DNG_SERIAL = 0xC62F
_DATE_ORIGINAL, _DATE_DIGITIZED, _OWNER, _BODY_SERIAL = 0x9003, 0x9004, 0xA430, 0xA431
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4
_MAX_PIXELS = 1_000_000_000


@dataclass(frozen=True)
class ExifFields:
    """Which of `FIELDS` an image has, and its position: degrees of latitude, of longitude."""

    names: frozenset[str] = frozenset()
    position: tuple[float, float] | None = None


def read_exif_fields(content: bytes) -> ExifFields:
    """What the EXIF of an image tells; nothing if there is none that can be read.

    Only headers are parsed, no pixels. Not for several threads at once: it silences warnings.
    """
    with warnings.catch_warnings():
        # Of broken tags, which the ledger has told of.
        warnings.simplefilter("ignore")
        try:
            with open_image(content, format_of(content), _MAX_PIXELS) as image:
                # Pillow's own getexif of a PNG would decode all of it to look for a late chunk.
                return _fields(Image.Image.getexif(image))
        except InspectError:
            return ExifFields()
        except MemoryError:
            raise
        except Exception:
            # Whatever Pillow raises over tags that lie: the image is one without EXIF.
            return ExifFields()


def _fields(tags: Image.Exif) -> ExifFields:
    main, exif = dict(tags), _directory(tags, _EXIF_IFD)
    position = read_position(_directory(tags, _GPS_IFD))
    has = {
        "gps": position is not None,
        "camera": _any(main, (_MAKE, _MODEL)),
        "serial": _any(exif, (_BODY_SERIAL,)) or _any(main, (_DNG_SERIAL,)),
        "author": _any(main, (_ARTIST, _XP_AUTHOR)) or _any(exif, (_OWNER,)),
        "copyright": _any(main, (_COPYRIGHT,)),
        "date": _any(exif, (_DATE_ORIGINAL, _DATE_DIGITIZED)) or _any(main, (_DATE,)),
    }
    return ExifFields(frozenset(name for name in FIELDS if has[name]), position)


def read_position(gps: Mapping[int, Any]) -> tuple[float, float] | None:
    """Latitude -90 to 90 and longitude -180 to 180 of a GPS directory; None if not valid.

    Zero and zero is what devices write that do not know, so it is no position.
    """
    latitude = _degrees(gps.get(_LATITUDE), _letter(gps.get(_LATITUDE_REF)), "NS", 90)
    longitude = _degrees(gps.get(_LONGITUDE), _letter(gps.get(_LONGITUDE_REF)), "EW", 180)
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    return latitude, longitude


def _degrees(value: Any, letter: str, letters: str, most: float) -> float | None:
    """Degrees of a tag of one to three rationals: degrees, minutes, seconds."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    if isinstance(value, (str, bytes)) or letter not in tuple(letters) or not 1 <= len(parts) <= 3:
        return None
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    # Not a number compares as false.
    if not all(
        0 <= number <= limit for number, limit in zip(numbers, (most, 60, 60), strict=False)
    ):
        return None
    found = math.fsum(number / 60**place for place, number in enumerate(numbers))
    return None if found > most else found if letter == letters[0] else -found


def _letter(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text.strip("\0 ").upper() if isinstance(text, str) else ""


def _directory(tags: Image.Exif, tag: int) -> dict[int, Any]:
    """A directory that a tag points at; an unreadable one leaves what else there is."""
    try:
        return dict(tags.get_ifd(tag))
    except MemoryError:
        raise
    except Exception:
        return {}


def _any(tags: Mapping[int, Any], wanted: Sequence[int]) -> bool:
    """Whether one of the tags says anything: a text of more than blanks and zeros."""
    return any(_tells(tags.get(tag)) for tag in wanted)


def _tells(value: Any) -> bool:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, (tuple, list)):
        return any(_tells(one) for one in value)
    return bool(str(value).strip("\0 \t\r\n0:-")) if value is not None else False
