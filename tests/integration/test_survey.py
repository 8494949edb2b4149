from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ingest import storage
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Page, Site, image_page
from ingest.survey import make_survey
from schemas.audit_options import ReportOptions
from tests.building import HOST, build, pictures, record_of, uncurated, write_urls
from tests.ledgers import gps_of, saved

NUM_PLAIN, NUM_LATE, NUM_PLACED = 6, 8, 4
_REYKJAVIK = (64.1466, -21.9426)


def placed_picture(number):
    """A photograph that says where it was taken."""
    exif = Image.Exif()
    exif.get_ifd(0x8825).update(gps_of(*_REYKJAVIK))
    image = Image.effect_mandelbrot((96, 80), (-2, -1.5 + number / 20, 1, 1.5), 60).convert("RGB")
    return saved(image, "JPEG", exif=exif)


def make_site():
    """Plain pictures, some that answer 503 at first, some with a position, and refusals."""
    site = Site()
    for number, picture in enumerate(pictures(NUM_PLAIN + NUM_LATE)):
        failures = 0 if number < NUM_PLAIN else 1
        page = image_page(picture.content, picture.media_type)
        site.add(HOST, f"/{number}", replace(page, num_failures=failures))
    for number in range(NUM_PLACED):
        site.add(HOST, f"/placed-{number}", image_page(placed_picture(number), "image/jpeg"))
    refused = image_page(pictures(1)[0].content, "image/jpeg", x_robots_tag="noai")
    site.add(HOST, "/refused", refused)
    site.add(HOST, "/robots.txt", Page(b"User-agent: *\nDisallow: /private\n"))
    return site


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A crawl of that site, with one retry."""
    folder = tmp_path_factory.mktemp("surveyed")
    paths = [f"/{number}" for number in range(NUM_PLAIN + NUM_LATE)]
    paths += [f"/placed-{number}" for number in range(NUM_PLACED)]
    paths += ["/refused", "/private/1", "/private/2", "/gone"]
    with MiniWeb(make_site()) as web:
        urls = [*(web.url(HOST, path) for path in paths), "http://[broken/", "not a URL"]
        table = write_urls(folder / "urls.csv", urls)
        build(folder / "d", f"--input={table}", "--shard-candidates=5", "--max-attempts=1")
        finished = uncurated("retry", folder / "d", "--outcomes=http_5xx")
        assert finished.returncode == 0, finished.stderr
    return folder / "d"


def test_a_retried_crawl_is_surveyed_by_its_last_rows(dataset):
    survey, images = make_survey(str(dataset), ReportOptions(dataset=str(dataset)))
    record = record_of(dataset)
    assert len(record.retries) == 1
    assert survey.version == record.version == "1.1.0"
    assert survey.outcomes == record.outcomes
    assert survey.num_kept == len(images) == NUM_PLAIN + NUM_LATE + NUM_PLACED
    assert survey.kept_bytes == record.image_bytes == sum(len(one.content) for one in images)
    assert survey.exif_fields["gps"] == NUM_PLACED
    (gps, domain) = survey.geography
    assert [(one.country, one.num_images) for one in gps.countries] == [("IS", NUM_PLACED)]
    assert domain.num_located == 0
    # Two URLs name no host.
    assert survey.hosts.top == {HOST: survey.num_candidates - 2}


def test_what_publishers_said_is_grouped(dataset):
    survey, _ = make_survey(str(dataset), ReportOptions(dataset=str(dataset), sample=0))
    found = {
        one.signal: (one.mode, one.num_kept, one.num_refused) for one in survey.consent.signals
    }
    assert found == {
        "robots.txt: Disallow: /private": ("honour", 0, 2),
        "x-robots-tag: noai": ("honour", 0, 1),
    }
    rules = survey.consent.rules.top
    assert rules == {"robots.txt: Disallow: /private": 2, "x-robots-tag: noai": 1}
    assert survey.consent.num_refused == 3


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_a_survey_of_a_dataset_in_a_bucket_is_the_same(kind, dataset, tmp_path, object_store):
    uri = f"{object_store(kind).bucket}/{tmp_path.name}/d"
    for path in Path(dataset).rglob("*"):
        if path.is_file():
            target = storage.join(uri, str(path.relative_to(dataset)))
            storage.write_bytes(target, path.read_bytes())
    options = ReportOptions(dataset=str(dataset), contact_sheet=3)
    assert make_survey(uri, options) == make_survey(str(dataset), options)
