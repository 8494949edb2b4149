"""Files in which publishers reserve their rights, beside robots.txt: tdmrep.json and ai.txt.

TDMRep: W3C Community Group final report of 10 May 2024, section 6.1. ai.txt: Spawning, in the
syntax of robots.txt, with patterns of file names such as `*.jpg`. Malformed files say nothing.
"""

import json
from dataclasses import dataclass
from typing import Any

from ingest.fetch.robots_rules import Decision, RobotsRules

_MAX_ENTRIES = 10_000


@dataclass(frozen=True)
class TdmRep:
    """The reservations of a tdmrep.json, by location."""

    _rules: RobotsRules
    _entries: tuple[str, ...]

    def decide(self, path: str) -> Decision:
        """Whether text and data mining of a path is not reserved; the most specific entry says."""
        found = self._rules.decide(path)
        if not found.rule:
            return found
        number = int(found.rule.partition(":")[0].removeprefix("line ")) - 2
        return Decision(found.allowed, self._entries[number])


def parse_tdmrep(content: bytes) -> TdmRep:
    """The reservations of `/.well-known/tdmrep.json`: a list of objects with a location each.

    Locations are patterns as in robots.txt (section 6.1.2), so its rules are used for them.
    """
    lines, entries = ["User-agent: *"], []
    for entry in _json_list(content)[:_MAX_ENTRIES]:
        location = entry.get("location") if isinstance(entry, dict) else None
        if isinstance(location, str) and "\n" not in location and "\r" not in location:
            reserved = str(entry.get("tdm-reservation")) == "1"
            key = "Disallow" if reserved else "Allow"
            place = location if location.startswith(("/", "*")) else f"/{location}"
            lines.append(f"{key}: {place.partition('#')[0]}")
            entries.append(json.dumps(entry, ensure_ascii=False)[:500])
    return TdmRep(RobotsRules.parse("\n".join(lines).encode(), "*"), tuple(entries))


@dataclass(frozen=True)
class AiTxt:
    """The permissions of an ai.txt."""

    _rules: RobotsRules

    def decide(self, path: str) -> Decision:
        """Whether a path may be used to train models."""
        found = self._rules.decide(path)
        # Patterns of file names made more lines of it.
        return Decision(found.allowed, found.rule.partition(": ")[2])


def parse_ai_txt(content: bytes) -> AiTxt:
    """The permissions of `/ai.txt`, in what it says to all agents."""
    lines = []
    for line in content.decode("utf-8", errors="replace").splitlines():
        key, colon, value = line.partition(":")
        # `*.jpg` is meant of the end of a path, before its query.
        if colon and value.strip().startswith("*."):
            pattern = value.strip().removesuffix("$")
            lines += [f"{key}: /{pattern}$", f"{key}: /{pattern}?"]
        else:
            lines.append(line)
    return AiTxt(RobotsRules.parse("\n".join(lines).encode(), "*"))


def _json_list(content: bytes) -> list[Any]:
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []
