"""Reads an HTML page as strictly as a test wants it."""

from html.parser import HTMLParser

HOSTILE = "\"><script>alert(1)</script>' onload=alert(2) {{ 7 * 7 }} \u202e{% raw %}"
_VOID = {"meta", "img", "br", "line", "polyline", "path", "rect"}


class _Walker(HTMLParser):
    """Fails on tags that are not balanced; keeps all tags and their attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags_of(page):
    """All tags of a page with their attributes."""
    walker = _Walker()
    walker.feed(page)
    assert walker.open == []
    return walker.tags


def assert_harmless(page):
    """The page has no script, no handler, no inline style, and loads nothing from elsewhere."""
    for tag, attributes in tags_of(page):
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", (tag, value)
            if name in ("src", "srcset", "data", "poster") or (tag != "a" and "href" in name):
                assert value.startswith(("data:image/jpeg;base64,", "data:image/png;base64,"))
            if tag == "a" and name == "href":
                assert value.startswith(("#", "http://", "https://")), value
