"""Temporary stand-in until the consent branch lands."""


def parse_tdmrep(content):
    return None


def parse_ai_txt(content):
    return None
