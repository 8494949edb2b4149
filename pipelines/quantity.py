"""Numbers as people read them."""

from collections.abc import Callable

from schemas.forecast import Estimate

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
# From here on three digits round to 1000.
_MOST_SHOWN = 999.5


def amount(value: float) -> str:
    """A number with separators from 100 on, with three digits below."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def bytes_text(num_bytes: float) -> str:
    """Bytes in the unit that leaves one to three digits before the point; kB are 1000."""
    unit = 0
    while num_bytes >= _MOST_SHOWN and unit + 1 < len(_BYTE_UNITS):
        num_bytes, unit = num_bytes / 1000, unit + 1
    number = f"{num_bytes:.3g}" if num_bytes < _MOST_SHOWN else f"{num_bytes:,.0f}"
    return f"{number} {_BYTE_UNITS[unit]}"


def hours_text(hours: float) -> str:
    """A duration in seconds, hours or days, whichever is short to read."""
    if hours < 1:
        return f"{hours * 3600:,.0f} s"
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def interval_text(estimate: Estimate, as_text: Callable[[float], str]) -> str:
    """The interval of an estimate."""
    return f"{as_text(estimate.low)} - {as_text(estimate.high)}"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{share:.1%}"
