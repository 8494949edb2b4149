import gzip
import json

import pytest

from ingest.errors import SetupError
from tests.reading import read_input

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/'
    '0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">'
)
PAGES = """
<url><loc>http://a.example/1</loc>
  <image:image><image:loc>http://a.example/1.jpg</image:loc>
    <image:title>One &amp; only</image:title><image:license>http://l.example/</image:license>
  </image:image>
  <image:image><image:loc> http://a.example/2.jpg </image:loc></image:image>
</url>
<url><loc>http://a.example/2</loc></url>
<url><loc>http://a.example/3</loc><image:image><image:loc></image:loc></image:image></url>
</urlset>"""


@pytest.mark.parametrize("name", ["sitemap.xml", "sitemap.xml.gz"])
def test_a_sitemap_gives_its_images_with_what_it_says_of_them(tmp_path, name):
    content = (HEAD + PAGES).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = read_input(tmp_path / name)
    assert [one.url for one in found] == ["http://a.example/1.jpg", "http://a.example/2.jpg", ""]
    assert [one.row for one in found] == [0, 1, 2]
    assert json.loads(found[0].columns) == {
        "page_url": "http://a.example/1",
        "title": "One & only",
        "license": "http://l.example/",
    }
    assert found[2].problem_detail == "expected a URL, got ''"


def entity(number):
    """An entity that is ten characters, or twenty of the one before it."""
    return f'<!ENTITY a{number} "{f"&a{number - 1};" * 20 if number else "a" * 10}">'


BOMB = "".join(map(entity, range(9)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEAD + "<url>", "expected a whole sitemap, got no element found"),
        ("", "expected a whole sitemap"),
        ("<html/>", "expected a <urlset>"),
        (
            '<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"/>',
            "got an index of sitemaps",
        ),
        (
            f"<!DOCTYPE x [{BOMB}]>"
            + HEAD.partition("?>")[2]
            + "<url><loc>&a8;</loc></url></urlset>",
            "expected a whole sitemap, got limit on input amplification",
        ),
    ],
)
def test_what_is_no_whole_sitemap_is_refused(tmp_path, content, expected):
    (tmp_path / "s.xml").write_text(content)
    with pytest.raises(SetupError, match=expected):
        read_input(tmp_path / "s.xml")
