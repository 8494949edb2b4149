"""Opt-out signals in the headers of an answer: what was seen, and which rule decided.

X-Robots-Tag after Google's specification, with the AI directives of DeviantArt and others; TDMRep
after the W3C community group report, section 6; Content-Usage after IETF draft-ietf-aipref-attach.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from schemas.options import Consent, ConsentOptions

_REFUSALS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
_MAX_SIGNAL_CHARS = 500
_EXPIRY = "unavailable_after"
_VALUED_DIRECTIVES = (_EXPIRY, "max-snippet", "max-image-preview", "max-video-preview")


@dataclass(frozen=True)
class OptOut:
    """All signals, as `header: value`, and the first rule that is to be honoured, if any."""

    signals: tuple[str, ...]
    rule: str | None


NO_SIGNALS = OptOut((), None)


def read_opt_out(
    headers: Mapping[str, Sequence[str]], options: ConsentOptions, agent: str, now: datetime
) -> OptOut:
    """What the headers (names in lower case) say about this use; `agent` is our product token."""
    checks: dict[str, tuple[Consent, Callable[[str], bool]]] = {
        "x-robots-tag": (options.x_robots_tag, lambda value: _refuses(value, agent, now)),
        "tdm-reservation": (options.tdm_reservation, lambda value: value.strip() == "1"),
        "content-usage": (options.content_usage, denies_training),
    }
    if checks.keys().isdisjoint(headers):
        return NO_SIGNALS
    signals: list[str] = []
    rule = None
    for name, (consent, refuses) in checks.items():
        for value in headers.get(name, ()) if consent != "ignore" else ():
            signals.append(f"{name}: {value}"[:_MAX_SIGNAL_CHARS])
            if consent == "honour" and rule is None and refuses(value):
                rule = signals[-1]
    return OptOut(tuple(signals), rule)


def _refuses(value: str, agent: str, now: datetime) -> bool:
    """Whether one X-Robots-Tag value refuses this use to this agent."""
    scope, directives = _split_scope(value)
    if scope not in ("", agent):
        return False
    head, separator, date = directives.lower().partition(_EXPIRY)
    words = {word.strip() for word in head.split(",")}
    if words & _REFUSALS:
        return True
    if not separator:
        return False
    # What follows the date is unreadable when the date holds commas, so any refusal in it counts.
    rest = {word.strip() for word in date.split(",")}
    return bool(rest & _REFUSALS) or _is_past(directives[-len(date) :].lstrip(" :"), now)


def _split_scope(value: str) -> tuple[str, str]:
    """The agent that `agent: directives` is meant for, in lower case, or ""; and the directives."""
    scope, colon, rest = value.partition(":")
    scope = scope.strip().lower()
    if not colon or "," in scope or scope in _VALUED_DIRECTIVES:
        return "", value
    return scope, rest


def _is_past(text: str, now: datetime) -> bool:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        for candidate in (text.strip(), text.rsplit(",", 1)[0].strip()):
            try:
                when = parse(candidate)
            except (ValueError, OverflowError):
                continue
            return (when if when.tzinfo else when.replace(tzinfo=UTC)) < now
    return False


def denies_training(value: str) -> bool:
    """Whether a Content-Usage value denies the training of models."""
    usages = [part.strip().lower().replace(" ", "") for part in value.split(",")]
    return any(usage.split(";")[0] in ("train-ai=n", "bots=n") for usage in usages)
