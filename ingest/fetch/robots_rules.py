"""Temporary stand-in until the consent branch lands."""

from dataclasses import dataclass

from protego import Protego


@dataclass(frozen=True)
class Decision:
    allowed: bool
    rule: str = ""


class RobotsRules:
    crawl_delay_s = None

    def __init__(self, rules, agent):
        self._rules, self._agent = rules, agent

    @classmethod
    def parse(cls, content, agent):
        return cls(Protego.parse(content.decode("utf-8", errors="replace")), agent)

    def decide(self, path):
        return Decision(self._rules.can_fetch("http://x" + path, self._agent), "a rule")

    def content_usage(self, path):
        return None
