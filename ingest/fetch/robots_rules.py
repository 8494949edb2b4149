"""What a robots.txt says to one agent (RFC 9309), with the line that decides.

Kept is only what concerns us: the groups of our product token, or those of `*`. Beside the RFC's
rules that is `Crawl-delay` (in wide use, never standardised) and `Content-Usage` (IETF
draft-ietf-aipref-attach, section 4). Matching takes time linear in path and pattern.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

# RFC 9309, section 2.2.2: of equivalent rules the least restrictive.
_ALLOW, _ANY_AGENT = "allow", "*"
_TOKEN = re.compile(r"[A-Za-z_-]+|\*")
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# Percent-encoding apart, octets of patterns and paths stay as they are.
_SAFE = "".join(map(chr, range(0x21, 0x7F)))
_ROBOTS = "/robots.txt"


@dataclass(frozen=True)
class Decision:
    """Whether a path is allowed, and the rule that says so, "" if none does."""

    allowed: bool
    rule: str = ""


@dataclass
class _PathRules:
    """Values by path pattern: the longest one that matches decides; of equals, `preferred`."""

    preferred: str = ""
    # Number of the line, and value.
    plain: dict[str, tuple[int, str]] = field(default_factory=dict)
    wild: dict[str, tuple[int, str]] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    order: tuple[tuple[str, str], ...] = ()

    def add(self, pattern: str, line: int, value: str) -> None:
        """Take a rule; of two for one pattern the preferred stays, else the first."""
        special = "*" in pattern or pattern.endswith("$")
        rules = self.wild if special else self.plain
        if pattern not in rules or (value == self.preferred != rules[pattern][1]):
            rules[pattern] = (line, value)

    def settle(self) -> None:
        """Sort once all rules are added: longest first, then the preferred."""
        self.lengths = tuple(sorted({len(pattern) for pattern in self.plain}, reverse=True))
        order = sorted(self.wild, key=lambda one: (-len(one), self.wild[one][1] != self.preferred))
        # With what comes before its first wildcard, which excludes most at once.
        self.order = tuple((re.split(r"[*]|\$$", one, maxsplit=1)[0], one) for one in order)

    def find(self, path: str) -> tuple[str, int, str] | None:
        """Pattern, line and value that decide."""
        best = next((path[:size] for size in self.lengths if path[:size] in self.plain), "")
        for head, pattern in self.order:
            if len(pattern) < len(best):
                break
            if path.startswith(head) and _matches(pattern, path):
                line, value = self.wild[pattern]
                if len(pattern) > len(best) or value == self.preferred:
                    return pattern, line, value
        return (best, *self.plain[best]) if best else None


@dataclass(frozen=True)
class RobotsRules:
    """The rules for one agent; `crawl_delay_s` is None if there is none."""

    crawl_delay_s: float | None
    _access: _PathRules
    _usage: _PathRules

    @classmethod
    def parse(cls, content: bytes, agent: str) -> "RobotsRules":
        """The rules for a product token; whatever is no rule is passed over."""
        delay_s, access, usage = None, _PathRules(_ALLOW), _PathRules()
        for line, key, value in _lines_for(content, agent.lower()):
            if key == "crawl-delay":
                delay_s = delay_s or _seconds(value)
            elif key == "content-usage":
                pattern, _, rest = (
                    value.partition(" ") if value.startswith("/") else ("/", "", value)
                )
                usage.add(_normal(pattern), line, rest.strip())
            elif value:
                access.add(_normal(value), line, key)
        access.settle()
        usage.settle()
        return cls(delay_s, access, usage)

    def decide(self, path: str) -> Decision:
        """Whether a path with its query, as it goes over the wire, may be asked for."""
        found = self._access.find(_normal(path)) if path != _ROBOTS else None
        if found is None:
            return Decision(True)
        pattern, line, key = found
        return Decision(key == _ALLOW, f"line {line}: {key.capitalize()}: {pattern}")

    def content_usage(self, path: str) -> str | None:
        """The usage preferences for a path, such as `train-ai=n`; None if there are none."""
        found = self._usage.find(_normal(path))
        return None if found is None else found[2]


def _lines_for(content: bytes, agent: str) -> Iterator[tuple[int, str, str]]:
    """Number, key and value of the lines in the groups of an agent, or of all agents if none."""
    lines = list(_group_lines(content, agent))
    wanted = agent if any(agent in line[0] for line in lines) else _ANY_AGENT
    return (line[1:] for line in lines if wanted in line[0])


def _group_lines(content: bytes, agent: str) -> Iterator[tuple[frozenset[str], int, str, str]]:
    """Agents of the group, as far as they concern us, number, key and value of lines in groups."""
    agents: frozenset[str] = frozenset()
    naming = False
    for number, key, value in _key_values(content):
        if key == "user-agent":
            token = _TOKEN.match(value)
            named = {token[0].lower()} & {agent, _ANY_AGENT} if token else set()
            agents = (agents if naming else frozenset()) | named
            naming = True
            # So that a group without rules counts, too: it allows everything.
            yield agents, number, "", ""
        elif key in (_ALLOW, "disallow", "crawl-delay", "content-usage"):
            naming = False
            if agents:
                yield agents, number, key, value


def _key_values(content: bytes) -> Iterable[tuple[int, str, str]]:
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield number, key.strip().lower(), value.strip()


def _normal(pattern: str) -> str:
    """A path or pattern with one way to write each octet (RFC 9309, section 2.2.2)."""
    if not pattern.isascii() or " " in pattern:
        pattern = quote(pattern, safe=_SAFE)
    return _ESCAPED.sub(_one_escape, pattern) if "%" in pattern else pattern


def _one_escape(escape: re.Match[str]) -> str:
    sign = chr(int(escape[1], 16))
    return sign if sign in _UNRESERVED else escape[0].upper()


def _matches(pattern: str, path: str) -> bool:
    """Whether a pattern with `*`, or `$` at its end, matches a path from its beginning on."""
    anchored = pattern.endswith("$")
    first, *rest = (pattern[:-1] if anchored else pattern).split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    last = rest.pop() if rest and anchored else None
    for part in rest:
        found = path.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    if last is not None:
        return path.endswith(last) and len(path) - len(last) >= place
    return not anchored or place == len(path)


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
