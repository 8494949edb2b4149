import numpy as np
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from ingest.errors import SetupError
from ingest.survey.addresses import open_addresses
from ingest.survey.geography import (
    domain_country,
    locate_addresses,
    locate_domains,
    locate_positions,
)
from ingest.survey.places import countries_of
from schemas.certificate import wilson_interval

PARIS, NAIROBI, TOKYO = (48.8566, 2.3522), (-1.2921, 36.8219), (35.6762, 139.6503)


@pytest.mark.parametrize(
    ("position", "country"),
    [
        (PARIS, "FR"),
        (NAIROBI, "KE"),
        (TOKYO, "JP"),
        # Both sides of 180 degrees, and far north, where degrees of longitude are short.
        ((-16.8, 179.99), "FJ"),
        ((-16.8, -179.99), "FJ"),
        ((78.2, 15.6), "SJ"),
        # The open Atlantic and the North Pole.
        ((0.0, -30.0), None),
        ((90.0, 0.0), None),
    ],
)
def test_a_position_is_in_the_country_of_the_nearest_place(position, country):
    assert countries_of(np.array([position])) == [country]


def test_shares_are_of_the_images_that_could_be_placed():
    found = locate_positions([PARIS, None, NAIROBI, PARIS, (0.0, -30.0), None])
    assert (found.evidence, found.num_asked, found.num_located) == ("gps", 6, 3)
    assert [(one.country, one.num_images) for one in found.countries] == [("FR", 2), ("KE", 1)]
    low, high = wilson_interval(2, 3)
    assert (found.countries[0].low, found.countries[0].high) == (round(low, 6), round(high, 6))
    assert "nearest" in found.note
    assert "200 km" in found.note


def test_no_position_at_all_is_no_country():
    found = locate_positions([None, None])
    assert (found.num_asked, found.num_located, found.countries) == (2, 0, ())


@pytest.mark.parametrize(
    ("label", "country"),
    [
        *(("de", "DE"), ("uk", "GB"), ("gb", "GB"), ("com", None), ("io", None), ("tv", None)),
        *(("eu", None), ("su", None), ("xn--p1ai", None), ("localhost", None), (None, None)),
    ],
)
def test_a_country_code_tells_a_country_unless_it_is_sold_to_all(label, country):
    assert domain_country(label) == country


def test_codes_that_no_country_has_are_left_out():
    found = locate_domains(["de", "uk", "zz", "com", None, "de"])
    assert (found.num_asked, found.num_located) == (6, 3)
    assert [(one.country, one.num_images) for one in found.countries] == [("DE", 2), ("GB", 1)]
    assert ".io" in found.note


def write_table(path, records, ip_version=4):
    writer = MMDBWriter(ip_version, "Test-Country")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


def test_addresses_are_placed_by_the_table_that_is_given(tmp_path):
    table = write_table(
        tmp_path / "countries.mmdb",
        {
            "192.0.2.0/24": {"country": {"iso_code": "FR"}},
            "198.51.100.0/24": {"country_code": "ke"},
            "203.0.113.0/25": {"country": "JP"},
            "203.0.113.128/25": {"registered_country": {"iso_code": "BR"}},
            "10.0.0.0/8": {"city": "nowhere"},
        },
    )
    asked = ["192.0.2.1", "198.51.100.9", "203.0.113.1", "203.0.113.200", "10.0.0.1", "8.8.8.8"]
    strange = ["2001:db8::1", "no address", "", None]
    with open_addresses(table) as countries:
        found = locate_addresses([*asked, *strange], countries)
    assert (found.evidence, found.num_asked, found.num_located) == ("address", 10, 4)
    assert {one.country for one in found.countries} == {"FR", "KE", "JP", "BR"}
    assert "Test-Country, built 20" in found.note


def test_without_a_table_there_is_none():
    with open_addresses("") as countries:
        assert countries is None


@pytest.mark.parametrize("content", [None, b"", b"no table", b"\xab\xcd\xefMaxMind.com\xe0" * 2])
def test_what_is_no_table_is_told(tmp_path, content):
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    expected = r"--address-countries: expected a MaxMind DB file at .*, got"
    with pytest.raises(SetupError, match=expected), open_addresses(str(path)):
        pass
