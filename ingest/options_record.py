"""Comparing the options of a run with those that a dataset was begun with."""

from typing import Any


def option_differences(recorded: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """One sentence for each option whose recorded value is not the present one."""
    differences = []
    for name in sorted(recorded.keys() | present.keys()):
        before, now = recorded.get(name), present.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            differences += option_differences(before, now)
        elif before != now:
            differences.append(f"expected {name} {before!r} as recorded, got {now!r}")
    return differences
