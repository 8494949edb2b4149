"""The page of an evaluation of all benchmarks, looked at with a real browser."""

from pathlib import Path

import pytest

from tests.browser import assert_silent, browser, resize
from tests.evaluations import ALL, FEW, evaluation
from tests.pages import assert_harmless
from train_entry.evaluation.report import write_report

pytestmark = pytest.mark.timeout(900)
WIDTHS = (390, 768, 1600)
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true);"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of three models, of which one was evaluated on all and has names that attack."""
    folder = tmp_path_factory.mktemp("evaluation")
    evaluations = [
        evaluation(benchmarks=ALL, hostile=True),
        evaluation("run-1, step 60000", -0.03, ALL, seed=2, size=637_419_894),
        evaluation("other:model", 0.02, FEW, seed=3, size=1_100_000_000),
    ]
    write_report(evaluations, folder)
    return folder / "index.html"


@pytest.fixture(scope="module")
def small_page(tmp_path_factory):
    """The same of few benchmarks: axe takes minutes for the whole."""
    folder = tmp_path_factory.mktemp("evaluation")
    few = ("imagenet-1k", "places205", "imagenet-v2", "im2gps", "dollar-street", "dtd")
    write_report([evaluation(benchmarks=few, hostile=True), evaluation("b", 0.1, few[:4])], folder)
    return folder / "index.html"


def test_the_page_of_all_benchmarks_is_one_harmless_file(page):
    text = page.read_text()
    assert_harmless(text)
    assert len(text) < 4_000_000


def test_a_browser_shows_it_at_all_widths_without_a_complaint(page):
    with browser() as driver:
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                resize(driver, width, 900, scheme)
                driver.get(page.as_uri())
                for script in ("", OPEN_ALL):
                    driver.execute_script(script)
                    wide = driver.execute_script("return document.documentElement.scrollWidth")
                    assert wide <= width, (scheme, width, script)
        assert_silent(driver)


def test_a_row_of_the_overview_is_all_in_sight_on_a_telephone_and_on_a_desk(page):
    with browser() as driver:
        for width in (390, 1600):
            resize(driver, width, 900)
            driver.get(page.as_uri())
            outside = driver.execute_script(
                "const wide = document.documentElement.clientWidth;"
                "return [...document.querySelectorAll('.overview td, .overview tbody th')].filter("
                "one => one.getBoundingClientRect().right > wide).length"
            )
            assert outside == 0


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_a_browser_finds_no_fault_with_its_accessibility(small_page, scheme, width):
    import axe_selenium_python

    axe = Path(axe_selenium_python.__file__).parent / "node_modules/axe-core/axe.min.js"
    with browser() as driver:
        driver.set_script_timeout(300)
        resize(driver, width, 900, scheme)
        driver.get(small_page.as_uri())
        driver.execute_script(OPEN_ALL)
        driver.execute_script(axe.read_text())
        found = driver.execute_async_script(
            # This axe does not know groups in a <dl> yet (HTML 5.2, section 4.4.9).
            "const done = arguments[0], rules = {dlitem: {enabled: false}};"
            "axe.run({rules}).then(found => done(found.violations))"
        )
        faults = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]
        assert faults == []


def test_it_can_be_used_by_keyboard_alone(page):
    from selenium.webdriver.common.keys import Keys

    with browser() as driver:
        driver.get(page.as_uri())
        seen = []
        for _ in range(4):
            driver.switch_to.active_element.send_keys(Keys.TAB)
            seen.append(driver.execute_script("return document.activeElement.textContent").strip())
        assert seen == [
            "Skip to the content",
            "All benchmarks",
            "Models side by side",
            "At a glance",
        ]
        row = driver.execute_script("return document.querySelector('.overview a')")
        row.send_keys(Keys.ENTER)
        target = driver.execute_script("return location.hash").removeprefix("#")
        assert driver.execute_script(
            "return document.getElementById(arguments[0]) !== null", target
        )
