"""Headless Chromium, driven by its own driver; nothing of it reaches beyond this machine."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb"),
)


def chromium():
    """The paths of Chromium and its driver; skips the test where they are not installed."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(found):
        pytest.skip("Chromium and its driver are not installed: `make browser` does, on Debian")
    return found


@contextmanager
def browser(width=1200, height=900, scheme="light"):
    """A driver of a fresh Chromium with a window of this size and colour scheme."""
    from selenium import webdriver

    binary, driver_path = chromium()
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(executable_path=driver_path)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_page_load_timeout(60)
            resize(driver, width, height, scheme)
            yield driver
        finally:
            driver.quit()


def resize(driver, width, height=900, scheme="light"):
    """Give the page a viewport of this size, and a colour scheme."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def screenshot(driver, path):
    """Write a picture of the whole page."""
    import base64

    told = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    Path(path).write_bytes(base64.b64decode(told["data"]))


def assert_silent(driver):
    """The pages shown so far said nothing on the console and asked the network for nothing."""
    assert driver.get_log("browser") == []
    asked = [
        line
        for line in (entry["message"] for entry in driver.get_log("performance"))
        if "Network.requestWillBeSent" in line and '"url":"http' in line
    ]
    assert asked == []
