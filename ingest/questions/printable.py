"""Text from strangers for a terminal: nothing in it moves the cursor or turns the line around."""


def printable(text: str, keep: str = "") -> str:
    r"""The text with each character that is not shown as itself escaped, but for those in `keep`.

    Control characters, bidirectional and other invisible ones become `\u001b`, `\u202e`, ..., as
    JSON has them, so that JSON stays what it is.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escape(one) for one in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
