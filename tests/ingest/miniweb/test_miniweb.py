import http.client
import io
import random
import time
from collections import Counter

import pytest
from PIL import Image

from ingest.errors import InspectError
from ingest.inspect.decode import inspect_image
from ingest.miniweb.compression import gzip_bomb
from ingest.miniweb.image_bombs import gif_bomb, png_bomb
from ingest.miniweb.pictures import ENCODERS, web_pictures
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Delivery, Page, Site, image_page
from ingest.miniweb.traps import corrupt_files, with_marker
from ingest.miniweb.world import build_world
from schemas.outcome import Outcome


def test_pictures_are_real_distinct_varied_and_the_same_for_one_seed():
    one, two = web_pictures(2, 330), web_pictures(2, 330)
    assert one == two
    assert web_pictures(3, 20) != one[:20]
    assert {picture.encoding for picture in one} == set(ENCODERS)
    found = [inspect_image(picture.content, 10**8) for picture in one]
    assert len({inspection.sha256 for inspection in found}) == 330
    assert len({inspection.views[0].code for inspection in found}) > 320
    jpegs = sum(picture.media_type == "image/jpeg" for picture in one)
    assert 0.6 < jpegs / 330 < 0.9
    assert any(inspection.num_frames > 1 for inspection in found)
    assert any(inspection.exif_orientation not in (None, 1) for inspection in found)


def test_a_marker_changes_no_pixel():
    jpeg = web_pictures(2, 1)[0].content
    marked = with_marker(jpeg, b"hello")
    assert b"hello" in marked
    one, other = (Image.open(io.BytesIO(content)) for content in (jpeg, marked))
    assert one.tobytes() == other.tobytes()


def test_bombs_are_small_and_huge():
    for content in (png_bomb(50_000), gif_bomb()):
        assert len(content) < 1_000_000
        with pytest.raises(InspectError) as refused:
            inspect_image(content, 10**8)
        assert refused.value.outcome is Outcome.TOO_MANY_PIXELS
    assert Image.open(io.BytesIO(png_bomb(1234))).getextrema() == (0, 0)
    assert len(gzip_bomb(10 << 20)) < 20_000


def test_most_damaged_files_are_refused_and_none_breaks_the_inspection():
    outcomes = Counter()
    for content in corrupt_files(9, 300):
        try:
            inspect_image(content, 10**8)
            outcomes["kept"] += 1
        except InspectError as error:
            outcomes[error.outcome] += 1
    assert outcomes[Outcome.CORRUPT] > 150
    assert outcomes["kept"] < 150


def test_the_world_is_the_same_for_one_seed_and_holds_every_trap():
    one, two = build_world(5, 40), build_world(5, 40)
    assert one.links == two.links
    assert one.evaluation_set == two.evaluation_set
    expected = Counter(link.expectation for link in one.links)
    assert expected[Outcome.KEPT] > 50
    assert expected[Outcome.DUPLICATE_NEAR] > 20
    assert len(expected) >= 26


def get(web, path, host="a.localhost"):
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    connection.request("GET", path, headers={"Host": f"{host}:{web.port}"})
    return connection, connection.getresponse()


def test_pages_are_served_by_host_and_path_and_requests_are_remembered(serve):
    site = Site()
    site.add("a.localhost", "/x", image_page(b"body of a", "image/png", X_Robots_Tag="noai"))
    site.add("b.localhost", "/x", Page(b"body of b", 418))
    web = serve(site)
    connection, answer = get(web, "/x")
    assert (answer.status, answer.read(), answer.headers["X-Robots-Tag"]) == (
        200,
        b"body of a",
        "noai",
    )
    connection.request("GET", "/x", headers={"Host": "b.localhost"})
    second = connection.getresponse()
    assert (second.status, second.read()) == (418, b"body of b")
    connection.request("GET", "/none")
    third = connection.getresponse()
    assert third.status == 404
    third.read()
    connection.close()
    assert [(one.host, one.path) for one in web.requests()] == [
        ("a.localhost", "/x"),
        ("b.localhost", "/x"),
        ("127.0.0.1", "/none"),
    ]
    assert web.wait_for_requests(3)
    assert not web.wait_for_requests(4, timeout_s=0.01)
    with pytest.raises(ValueError, match="expected a new page"):
        site.add("a.localhost", "/x", Page())


def test_a_page_can_fail_first(serve):
    site = Site()
    site.add("a.localhost", "/x", Page(b"at last", num_failures=2, failure_status=500))
    web = serve(site)
    statuses = []
    for _ in range(3):
        connection, answer = get(web, "/x")
        statuses.append((answer.status, answer.read()))
        connection.close()
    assert statuses == [(500, b"try again"), (500, b"try again"), (200, b"at last")]


def test_closing_is_quick_while_streams_are_open():
    site = Site()
    for delivery in (Delivery.ENDLESS, Delivery.DRIP, Delivery.LONG):
        site.add("a.localhost", f"/{delivery.name}", Page(delivery=delivery))
    opened = []
    with MiniWeb(site) as web:
        for delivery in (Delivery.ENDLESS, Delivery.DRIP, Delivery.LONG):
            connection, answer = get(web, f"/{delivery.name}")
            assert answer.read(1)
            opened.append((connection, answer))
        began = time.monotonic()
    assert time.monotonic() - began < 10
    for connection, answer in opened:
        answer.close()
        connection.close()


def test_a_cut_answer_ends_early(serve):
    site = Site()
    body = random.Random(1).randbytes(5000)
    site.add("a.localhost", "/x", Page(body, delivery=Delivery.CUT))
    connection, answer = get(serve(site), "/x")
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert cut.value.partial == body[:2500]
    connection.close()
