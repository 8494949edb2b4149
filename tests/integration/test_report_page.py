"""`uncurated report` on a hostile little dataset, looked at with a real browser."""

import io
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Page, Site, image_page
from tests.browser import assert_silent, browser, resize
from tests.building import HOST, build, pictures, record_of, uncurated, write_urls
from tests.pages import HOSTILE, assert_harmless

NUM_PICTURES = 24
# Several builds by the real command: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)
WIDTHS = (390, 768, 1600)
FILES = {
    *("index.html", "DATASHEET.md", "eu-summary.md", "top-domains.csv", "opt-outs.csv"),
}


def picture_with_exif(content):
    """The same picture with hostile EXIF texts and a position in Kenya."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    exif = Image.Exif()
    exif[0x010F] = exif[0x013B] = exif[0x8298] = HOSTILE
    exif[0x0132] = "2019:05:03 10:00:00"
    position = exif.get_ifd(0x8825)
    position.update({1: "S", 2: (1.0, 17.0, 0.0), 3: "E", 4: (36.0, 49.0, 0.0)})
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A dataset cleaned against a set with a hostile name, with its report."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "eval").mkdir()
    site = Site()
    for number, picture in enumerate(pictures(NUM_PICTURES)):
        if number < 6:
            (folder / "eval" / f"'{number}<b>&.jpg").write_bytes(picture.content)
        page = image_page(picture.content, picture.media_type)
        if number > NUM_PICTURES - 8:
            page = Page(picture_with_exif(picture.content))
        site.add(HOST, f"/{number}", page)
    with MiniWeb(site) as web:
        query = "#%22'<script>alert(1)</script>"
        urls = [web.url(HOST, f"/{number}{query}") for number in range(NUM_PICTURES)]
        urls += [web.url(HOST, "/gone<img src=x onerror=alert(1)>"), f"javascript:{HOSTILE}"]
        table = write_urls(folder / "urls.csv", urls)
        index = f"--output={folder / 'index'}"
        assert uncurated("index", f"--eval-set=a={folder / 'eval'}", index).returncode == 0
        build(folder / "d", f"--input={table}", f"--eval-index={folder / 'index'}")
    page = report_on(folder / "d", f"--title=Pictures {HOSTILE}", f"--eval-set=a={folder / 'eval'}")
    return folder / "d", page


def report_on(dataset, *arguments):
    finished = uncurated("report", dataset, *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return (dataset / "report" / "index.html").read_text()


def test_page_and_papers_are_written_and_are_harmless(reported):
    dataset, page = reported
    assert {path.name for path in (dataset / "report").iterdir()} == FILES
    assert_harmless(page)
    assert page.count("<h1>") == 1
    assert "alert(1)&lt;/script&gt;" in page
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)[0]
    assert record_of(dataset).merkle_root in page
    assert uncurated("audit", dataset).returncode == 0


def test_the_policy_allows_nothing_but_the_one_style_and_inlined_pictures(reported):
    _, page = reported
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_what_is_removed_disappears_from_the_page_at_once(reported, tmp_path):
    import shutil

    dataset = Path(shutil.copytree(reported[0], tmp_path / "d"))
    url = "/23#%22"
    assert url in report_on(dataset)
    why = ("--reason=asked to", "--authority=the owner")
    asked = uncurated("remove", dataset, f"--host={HOST}", *why)
    assert asked.returncode == 0, asked.stderr
    assert not list((dataset / "report").glob("*"))
    page = report_on(dataset)
    assert "asked to" in page
    assert "data:image/jpeg" not in page.partition('id="sample"')[2]


def test_an_unfinished_dataset_is_only_printed(tmp_path):
    table = write_urls(tmp_path / "urls.csv", ["http://a.example/1"])
    planned = uncurated("plan", f"--input={table}", f"--output={tmp_path / 'd'}")
    assert planned.returncode == 0, planned.stderr
    finished = uncurated("report", tmp_path / "d")
    assert finished.returncode == 0, finished.stderr
    assert "page and papers are written when the dataset is finished" in finished.stdout
    assert not (tmp_path / "d" / "report").exists()


def test_a_browser_shows_it_at_all_widths_without_a_complaint(reported):
    dataset, _ = reported
    with browser() as driver:
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                resize(driver, width, 900, scheme)
                driver.get((dataset / "report" / "index.html").as_uri())
                wide = driver.execute_script("return document.documentElement.scrollWidth")
                assert wide <= width
                broken = driver.execute_script(
                    "document.querySelectorAll('details').forEach(one => one.open = true);"
                    "return [...document.images].filter("
                    "one => one.complete && !one.naturalWidth).length"
                )
                assert broken == 0
                assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert_silent(driver)


def test_a_browser_finds_no_fault_with_its_accessibility(reported):
    import axe_selenium_python

    dataset, _ = reported
    axe = Path(axe_selenium_python.__file__).parent / "node_modules/axe-core/axe.min.js"
    with browser() as driver:
        for scheme in ("light", "dark"):
            resize(driver, 1200, 900, scheme)
            driver.get((dataset / "report" / "index.html").as_uri())
            driver.execute_script(
                "document.querySelectorAll('details').forEach(one => one.open = true)"
            )
            driver.execute_script(axe.read_text())
            found = driver.execute_async_script(
                # This axe does not know groups in a <dl> yet (HTML 5.2, section 4.4.9).
                "const done = arguments[0], rules = {dlitem: {enabled: false}};"
                "axe.run({rules}).then(found => done(found.violations))"
            )
            assert [
                (one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found
            ] == []


def test_it_can_be_used_by_keyboard_alone(reported):
    from selenium.webdriver.common.keys import Keys

    dataset, _ = reported
    with browser() as driver:
        driver.get((dataset / "report" / "index.html").as_uri())
        seen = []
        for _ in range(14):
            driver.switch_to.active_element.send_keys(Keys.TAB)
            seen.append(driver.execute_script("return document.activeElement.textContent").strip())
        assert seen[0] == "Skip to the content"
        assert seen[1:4] == ["Outcomes", "Where it came from", "The images"]
        driver.switch_to.active_element.send_keys(Keys.TAB)
        assert driver.execute_script("return document.activeElement.tagName") in ("SUMMARY", "DIV")
