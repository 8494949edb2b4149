import os
import signal
import subprocess
from collections import Counter

import psutil
import pytest

from ingest.inspect.decoder import MARKERS_VARIABLE
from ingest.miniweb.image_bombs import png_bomb
from ingest.miniweb.site import Delivery, Page, Site, image_page
from ingest.miniweb.traps import corrupt_files, with_marker
from ingest.miniweb.world import ABORT_MARKER, HANG_MARKER
from tests.attacking import peak_tree_mb
from tests.building import ALLOW, command, ledger_of, pictures, uncurated, write_urls

MAX_TREE_MB = 600
DAMAGED = {"kept", "corrupt", "not_an_image", "too_many_pixels", "unsupported_format"}


def hostile_site():
    """Page names by the outcomes that they may have."""
    site, expected = Site(), {}

    def add(name, page, outcomes):
        site.add("swamp.localhost", f"/{name}", page)
        expected[f"/{name}"] = outcomes

    for number in range(12):
        add(f"endless-{number}", Page(delivery=Delivery.ENDLESS), {"too_large"})
        add(f"long-{number}", Page(delivery=Delivery.LONG), {"too_large"})
        add(f"drip-{number}", Page(delivery=Delivery.DRIP), {"low_speed", "timeout"})
    for number in range(6):
        add(f"bomb-{number}", image_page(png_bomb(50_000), "image/png"), {"too_many_pixels"})
    jpeg = next(one for one in pictures(40) if one.encoding == "jpeg baseline").content
    for number in range(4):
        killer = image_page(with_marker(jpeg, ABORT_MARKER), "image/jpeg")
        add(f"abort-{number}", killer, {"decoder_crash"})
        hanger = image_page(with_marker(jpeg, HANG_MARKER), "image/jpeg")
        add(f"hang-{number}", hanger, {"decoder_timeout"})
    for number, content in enumerate(corrupt_files(5, 1000)):
        add(f"corrupt-{number}", image_page(content, "image/jpeg"), DAMAGED)
    for number, picture in enumerate(pictures(40)):
        add(f"good-{number}", image_page(picture.content, picture.media_type), {"kept"})
    return site, expected


def test_each_hostile_answer_costs_one_row_and_little_memory(serve, tmp_path):
    site, expected = hostile_site()
    web = serve(site)
    table = write_urls(
        tmp_path / "urls.csv", [web.url("swamp.localhost", path) for path in expected]
    )
    dataset = tmp_path / "dataset"
    limits = ["--timeout-s=20", "--low-speed-s=2", "--low-speed-bytes-per-s=100"]
    limits += ["--decode-timeout-s=2", "--decoder-processes=2"]
    process = subprocess.Popen(
        command("build", f"--output={dataset}", f"--input={table}", *ALLOW, *limits),
        env={**os.environ, MARKERS_VARIABLE: "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = peak_tree_mb(process)
    assert process.wait() == 0, process.stderr.read()
    process.stderr.close()
    ledger = ledger_of(dataset)
    paths = Counter("/" + row["url"].rpartition("/")[2] for row in ledger)
    assert paths == Counter(list(expected))
    wrong = [
        (row["url"], row["outcome"], row["detail"])
        for row in ledger
        if row["outcome"] not in expected["/" + row["url"].rpartition("/")[2]]
    ]
    assert wrong == []
    assert peak < MAX_TREE_MB
    assert uncurated("audit", dataset).returncode == 0


EXIT_CODES = {"SIGKILL": -9, "SIGTERM": -15, "SIGINT": 130}


@pytest.mark.parametrize("signal_name", EXIT_CODES)
def test_a_killed_build_leaves_no_process_behind(serve, tmp_path, signal_name):
    site = Site()
    for number in range(40):
        site.add("swamp.localhost", f"/{number}", Page(delivery=Delivery.DRIP))
    picture = pictures(40)[0]
    site.add("swamp.localhost", "/good", image_page(picture.content, picture.media_type))
    web = serve(site)
    urls = [web.url("swamp.localhost", f"/{number}") for number in range(40)]
    table = write_urls(tmp_path / "urls.csv", [*urls, web.url("swamp.localhost", "/good")])
    process = subprocess.Popen(
        command("build", f"--output={tmp_path / 'd'}", f"--input={table}", *ALLOW),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # What a shell starts in the background ignores Ctrl-C, and so would all below it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # robots.txt, and as many as a host gets that has not answered yet.
    assert web.wait_for_requests(4)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(getattr(signal, signal_name))
    assert process.wait(30) == EXIT_CODES[signal_name]
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
