"""Opt-out signals in the headers of an answer: what was seen, and which rule decided.

X-Robots-Tag after Google's specification, with the AI directives of DeviantArt and others; TDMRep
after the W3C community group report, section 6; Content-Usage after IETF draft-ietf-aipref-attach.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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


def product_token(user_agent: str) -> str:
    """The name by which publishers speak of us, in lower case: the agent up to its version."""
    return user_agent.split("/")[0].split(" ")[0].lower()


def read_opt_out(
    headers: Mapping[str, Sequence[str]], options: ConsentOptions, agent: str, now: datetime
) -> OptOut:
    """What the headers (names in lower case) say about this use; `agent` is our product token."""
    checks: dict[str, tuple[Consent, Callable[[str], bool]]] = {
        "x-robots-tag": (options.x_robots_tag, lambda value: _refuses(value, agent, now)),
        "tdm-reservation": (options.tdm_reservation, lambda value: value.strip() == "1"),
        "tdm-policy": (options.tdm_reservation, lambda value: False),
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
    for scope, name, argument in _directives(value):
        if scope not in ("", agent):
            continue
        if name in _REFUSALS or (name == _EXPIRY and _is_past(argument, now)):
            return True
    return False


def _directives(value: str) -> Iterator[tuple[str, str, str]]:
    """Agent ("": all), name and argument of each directive; an agent holds until the next one."""
    scope, parts = "", value.split(",")
    while parts:
        name, colon, argument = parts.pop(0).partition(":")
        if colon and name.strip().lower() not in _VALUED_DIRECTIVES:
            scope = name.strip().lower()
            name, _, argument = argument.partition(":")
        name = name.strip().lower()
        # The date of `unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT` holds a comma itself.
        if name == _EXPIRY and parts and not any(map(str.isdigit, argument)):
            argument = f"{argument},{parts.pop(0)}"
        yield scope, name, argument


def _is_past(text: str, now: datetime) -> bool:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            when = parse(text.strip())
        except (ValueError, OverflowError):
            continue
        return (when if when.tzinfo else when.replace(tzinfo=UTC)) < now
    return False


def denies_training(value: str) -> bool:
    """Whether a Content-Usage value denies the training of models."""
    usages = [part.strip().lower().replace(" ", "") for part in value.split(",")]
    return any(usage.split(";")[0] in ("train-ai=n", "bots=n") for usage in usages)
