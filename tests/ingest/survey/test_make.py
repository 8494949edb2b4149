import re
import shutil
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from ingest.errors import SetupError
from ingest.removal.rewrite import blank_rows
from ingest.sampling import draw
from ingest.survey import make, make_survey
from ingest.survey.exif_fields import read_exif_fields
from ingest.survey.host_names import registered_domain
from schemas.audit_options import ReportOptions
from schemas.ledger import LedgerRow
from schemas.manifest import decode, encode
from schemas.survey import Survey
from tests.building import commits_of, ledger_of, record_of
from tests.ledgers import make_ledger_dataset
from tests.train_entry.datasets import add_tombstones

NUM_ROWS, SAMPLE, SHEET = 1500, 200, 12


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A dataset that no test may change."""
    folder = tmp_path_factory.mktemp("surveyed") / "photos"
    make_ledger_dataset(folder, NUM_ROWS, shard_candidates=400, num_pictures=60)
    return folder


@pytest.fixture
def copied(sealed, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(sealed, tmp_path / "photos"))


def survey_of(folder, **options):
    given = {"sample": SAMPLE, "contact_sheet": SHEET, **options}
    return make_survey(str(folder), ReportOptions(dataset=str(folder), **given))


@pytest.fixture(scope="module")
def surveyed(sealed):
    return survey_of(sealed)


def kept_of(folder):
    return [row for row in ledger_of(folder) if row["outcome"] == "kept"]


def test_the_survey_is_of_what_the_seal_says(sealed, surveyed):
    survey, record = surveyed[0], record_of(sealed)
    assert (survey.dataset, survey.version) == ("photos", record.version)
    assert survey.merkle_root == record.merkle_root
    assert survey.num_candidates == record.num_candidates == NUM_ROWS
    assert survey.outcomes == record.outcomes
    assert (survey.num_kept, survey.num_tombstones) == (record.num_kept, 0)
    assert survey.kept_bytes == record.image_bytes
    assert decode(Survey, encode(survey)) == survey


def test_words_and_numbers_are_those_of_the_ledger(sealed, surveyed):
    survey, rows, kept = surveyed[0], ledger_of(sealed), kept_of(sealed)
    assert survey.formats == Counter(row["format"] for row in kept)
    assert survey.modes == Counter(row["mode"] for row in kept)
    assert survey.num_animated == sum(row["num_frames"] > 1 for row in kept)
    assert survey.carriers == {"url": NUM_ROWS}
    assert survey.exif_years == Counter((row["exif_date"] or "none")[:4] for row in kept)
    years = (re.search(r" (\d{4}) ", row["last_modified"] or " none ") for row in kept)
    assert survey.last_modified_years == Counter(year[1] if year else "none" for year in years)
    days = (row["fetched_at"] for row in rows if row["fetched_at"])
    assert survey.fetched_days == Counter(day.strftime("%Y-%m-%d") for day in days)
    statuses = (row["http_status"] for row in rows)
    assert survey.http_statuses == Counter(str(one) for one in statuses if one)
    for name in ("num_bytes", "width_px", "height_px", "aspect_ratio"):
        assert sum(getattr(survey, name).counts) == survey.num_kept
    orientations = Counter(str(row["exif_orientation"] or "none") for row in kept)
    assert survey.exif_orientations == orientations


def test_domains_and_hosts_are_those_of_the_urls(sealed, surveyed):
    survey, rows = surveyed[0], ledger_of(sealed)
    valid = [row for row in rows if "[" not in row["url"]]
    names = [row["url"].split("/")[2].encode("idna").decode() for row in valid]
    assert survey.hosts.top == Counter(names)
    assert (survey.hosts.total, survey.hosts.error) == (len(valid), 0)
    counts = defaultdict(lambda: [0, 0, 0, 0])
    for row, name in zip(valid, names, strict=True):
        is_kept, refused = row["outcome"] == "kept", row["outcome"] in ("robots", "opt_out")
        ours = (1, is_kept, row["num_bytes"] if is_kept else 0, refused)
        own = counts[registered_domain(name)]
        own[:] = [before + now for before, now in zip(own, ours, strict=True)]
    found = {
        one.domain: [one.num_candidates, one.num_kept, one.kept_bytes, one.num_refused]
        for one in survey.domains.top
    }
    assert found == {name: own for name, own in counts.items() if own[1]}
    assert survey.domains.num_domains == len(counts)
    sizes = [one.kept_bytes for one in survey.domains.top]
    assert sizes == sorted(sizes, reverse=True)
    assert survey.suffixes.total == sum("203.0.113.7" not in name for name in names)


def test_consent_is_what_publishers_said(sealed, surveyed):
    consent, rows = surveyed[0].consent, ledger_of(sealed)
    by_kind = {one.signal: one for one in consent.signals}
    robots = sum(row["outcome"] == "robots" for row in rows)
    assert by_kind["robots.txt: Disallow: /media"].num_refused == robots > 0
    reserved = [row for row in rows if "tdm-reservation: 1" in row["opt_out_signals"]]
    assert by_kind["tdm-reservation: 1"].num_candidates == len(reserved)
    assert by_kind["tdm-reservation: 1"].mode == "record"
    refused = [row for row in rows if row["outcome"] in ("robots", "opt_out")]
    assert consent.num_refused == len(refused) == consent.rules.total
    assert consent.modes["robots_txt"] == "honour"


def test_the_sample_is_drawn_by_ids_and_read_from_the_shards(sealed, surveyed):
    survey, images = surveyed
    kept = {row["id"]: row for row in kept_of(sealed)}
    assert [one.id for one in images] == sorted(kept, key=lambda one: draw(one, 0)[0])[:SAMPLE]
    assert survey.num_sampled == SAMPLE
    for place, image in enumerate(images):
        row = kept[image.id]
        assert image.url == row["url"]
        assert (image.width_px, image.height_px) == (row["width_px"], row["height_px"])
        assert (image.num_bytes, image.fetched_at) == (row["num_bytes"], row["fetched_at"])
        expected = row["sha256"] if place < SHEET else sha256(b"").hexdigest()
        assert sha256(image.content).hexdigest() == expected


def test_exif_and_places_are_those_of_the_sample(sealed):
    survey, images = survey_of(sealed, contact_sheet=SAMPLE)
    looks = [read_exif_fields(one.content) for one in images]
    counts = Counter(name for look in looks for name in look.names)
    assert survey.exif_fields == {name: counts[name] for name in survey.exif_fields}
    assert set(survey.exif_fields) == set(make.FIELDS)
    gps, domain = survey.geography
    assert gps.num_located == counts["gps"] > 0
    assert sum(one.num_images for one in gps.countries) == gps.num_located
    codes = Counter(image.url.split("/")[2].rpartition(".")[2] for image in images)
    assert {one.country: one.num_images for one in domain.countries}["DE"] == codes["de"]
    assert domain.num_asked == gps.num_asked == SAMPLE


def test_addresses_are_asked_for_if_there_is_a_table(sealed, tmp_path):
    writer = MMDBWriter(4, "Test-Country")
    writer.insert_network(IPSet(["192.0.0.0/16"]), {"country": {"iso_code": "NZ"}})
    writer.to_db_file(str(tmp_path / "table.mmdb"))
    survey, images = survey_of(sealed, address_countries=str(tmp_path / "table.mmdb"))
    rows = {row["id"]: row for row in kept_of(sealed)}
    found = survey.geography[2]
    expected = sum(rows[image.id]["address"].startswith("192.0.") for image in images)
    assert (found.evidence, found.num_located) == ("address", expected)
    assert {one.country for one in found.countries} == {"NZ"}


def test_removed_samples_are_in_no_count_of_images(sealed, copied, surveyed):
    before, images = surveyed
    gone = [one.id for one in images[:20]]
    shards = {row["id"]: row["shard"] for row in ledger_of(sealed)}
    add_tombstones(copied, gone, shards)
    survey, left = survey_of(copied)
    assert (survey.num_kept, survey.num_tombstones) == (before.num_kept - 20, 20)
    assert survey.outcomes == before.outcomes
    assert sum(survey.formats.values()) == sum(survey.width_px.counts) == survey.num_kept
    assert survey.kept_bytes == before.kept_bytes - sum(one.num_bytes for one in images[:20])
    assert [one.id for one in left[: SAMPLE - 20]] == [one.id for one in images[20:]]
    kept = sum(one.num_kept for one in survey.domains.top)
    assert kept == survey.num_kept


def test_another_seed_draws_another_sample(sealed, surveyed):
    survey, images = survey_of(sealed, seed=9)
    assert survey.seed == 9
    assert {one.id for one in images} != {one.id for one in surveyed[1]}


@pytest.mark.parametrize("sample", [0, 10**6])
def test_a_sample_may_be_of_none_or_of_all(sealed, sample):
    survey, images = survey_of(sealed, sample=sample)
    assert survey.num_sampled == len(images) == min(sample, survey.num_kept)
    assert len(survey.geography) == (2 if sample else 0)


def test_the_bytes_of_the_contact_sheet_are_bounded(sealed, monkeypatch):
    monkeypatch.setattr(make, "_MAX_CONTENT_BYTES", 5000)
    _, images = survey_of(sealed)
    assert 0 < sum(len(one.content) for one in images) <= 5000
    assert len(images) == SAMPLE


def test_each_part_is_told_of(sealed):
    seen = []
    options = ReportOptions(dataset=str(sealed), sample=0)
    make_survey(str(sealed), options, seen.append)
    assert seen == [one.ledger_file for one in commits_of(sealed)]


def rewritten(folder, change):
    """Change each ledger part in place, which only an audit would see by its digest."""
    for commit in commits_of(folder):
        path = folder / commit.ledger_file
        pq.write_table(change(pq.read_table(path)), path)


def test_a_ledger_of_an_earlier_version_may_lack_columns(copied, surveyed):
    names = ["md5", "opt_out_rule", "last_modified", "decoder_warnings", "robots_sha256"]
    rewritten(copied, lambda part: part.drop_columns(names))
    survey, _ = survey_of(copied)
    assert survey.formats == surveyed[0].formats
    assert survey.last_modified_years == {"none": survey.num_kept}
    assert survey.consent.num_robots_known == 0
    assert survey.consent.signals == surveyed[0].consent.signals


def test_rows_that_a_repack_has_blanked_are_counted_as_removed_and_no_more(copied, surveyed):
    def blank(part):
        """All that was kept, as a repack of everything leaves it."""
        kept = pa.compute.equal(part["outcome"], "kept").to_numpy()
        part = blank_rows(part, LedgerRow, kept)
        words = pa.compute.if_else(pa.array(kept), "removed", part["outcome"].combine_chunks())
        place = part.schema.get_field_index("outcome")
        return part.set_column(place, part.schema.field("outcome"), words)

    rewritten(copied, blank)
    record = record_of(copied)
    outcomes = {**record.outcomes, "removed": record.outcomes["kept"]}
    del outcomes["kept"]
    changed = record.model_copy(update={"outcomes": outcomes}).sealed()
    (copied / "dataset.json").write_bytes(encode(changed))
    survey, images = survey_of(copied)
    assert (survey.num_kept, survey.kept_bytes, images) == (0, 0, [])
    assert survey.outcomes == outcomes
    assert survey.geography == ()
    assert survey.domains.top == ()
    assert survey.hosts.total == surveyed[0].hosts.total - record.num_kept


def test_strange_dates_are_invalid_and_not_lost(copied):
    dates = ["0000:00:00 00:00:00", "soon", "2020", "99999:01:01", "1850:01:01 00:00:00"]
    headers = ["Sunday, 06-Nov-94 08:49:37 GMT", "0", "Sun Nov  6 08:49:37 1994", None, "\u202e"]

    def spoil(part):
        for name, values in (("exif_date", dates), ("last_modified", headers)):
            place = part.schema.get_field_index(name)
            cycled = [values[row % 5] for row in range(part.num_rows)]
            part = part.set_column(place, part.schema.field(name), pa.array(cycled, pa.string()))
        return part

    rewritten(copied, spoil)
    survey, _ = survey_of(copied)
    assert set(survey.exif_years) == {"1850", "invalid"}
    assert set(survey.last_modified_years) == {"1994", "none", "invalid"}
    assert sum(survey.exif_years.values()) == survey.num_kept
    assert sum(survey.last_modified_years.values()) == survey.num_kept


def test_a_dataset_that_is_not_finished_has_no_survey(copied):
    (copied / "dataset.json").unlink()
    with pytest.raises(SetupError, match="expected a finished dataset, got none at"):
        survey_of(copied)


def test_a_ledger_that_disagrees_with_the_seal_is_told(copied):
    first = copied / commits_of(copied)[0].ledger_file
    pq.write_table(pq.read_table(first).slice(1), first)
    with pytest.raises(SetupError, match="expected candidates by last outcome as in the seal"):
        survey_of(copied)


def test_a_missing_shard_is_told(copied):
    for commit in commits_of(copied):
        (copied / commit.shard_file).unlink()
    with pytest.raises(SetupError, match=r"expected shards/.*, got no such file"):
        survey_of(copied)


def test_a_wrong_table_of_addresses_is_told_before_anything_is_read(sealed):
    seen = []
    options = ReportOptions(dataset=str(sealed), address_countries=str(sealed / "none.mmdb"))
    with pytest.raises(SetupError, match="--address-countries"):
        make_survey(str(sealed), options, seen.append)
    assert seen == []
