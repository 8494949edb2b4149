import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import SetupError
from ingest.removal.criteria import Criteria, within
from schemas.audit_options import RemoveOptions
from schemas.ledger import LedgerRow
from tests.samples import described

HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=20)


def words(hashes):
    return np.frombuffer(b"".join(hashes), ">u8").reshape(-1, 4).astype(np.uint64)


def bits_between(one, other):
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


@given(HASHES, HASHES, st.integers(0, 256))
def test_hashes_within_a_radius_are_those_that_differ_in_so_many_bits(hashes, wanted, radius):
    expected = [any(bits_between(one, other) <= radius for other in wanted) for one in hashes]
    assert within(words(hashes), words(wanted), radius).tolist() == expected


@given(st.binary(min_size=32, max_size=32), st.sets(st.integers(0, 255), max_size=40))
def test_a_hash_is_found_up_to_its_radius_and_not_beyond(one, flipped):
    other = (int.from_bytes(one, "big") ^ sum(1 << bit for bit in flipped)).to_bytes(32, "big")
    assert within(words([one]), words([other]), len(flipped)).all()
    assert not flipped or not within(words([one]), words([other]), len(flipped) - 1).any()


def criteria(**values):
    return Criteria.of(RemoveOptions(dataset="d", reason="r", authority="a", **values))


def ledger(*rows):
    """Ledger rows of kept images with these values."""
    lists = {"redirects", "opt_out_signals", "requests", "decoder_warnings"}
    blank = {name: [] if name in lists else None for name in LedgerRow.model_fields}
    full = [
        {
            **blank,
            **described(number, b"%d" % number),
            **{"generation": 0, "carrier": "url", "attempts": 1, "shard": 0, "outcome": "kept"},
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return LedgerRow.columns_to_table(
        {name: [row[name] for row in full] for name in LedgerRow.model_fields}
    )


def found(some, *rows):
    (flags,) = some.find(ledger(*rows)).values()
    return flags.tolist()


@pytest.mark.parametrize(
    ("url", "is_found"),
    [
        ("http://example.org/1.jpg", True),
        ("https://IMG.Example.ORG:8080/1.jpg", True),
        ("http://a.b.example.org/", True),
        ("http://example.org.evil.net/1.jpg", False),
        ("http://notexample.org/1.jpg", False),
        ("http://user@example.org/1.jpg", True),
        ("not a url", False),
        ("http://[::1]/x", False),
        ("http://xn--exmple-cua.org/", False),
    ],
)
def test_a_domain_is_its_host_and_all_below_it(url, is_found):
    assert found(criteria(domain=("example.org",)), {"url": url}) == [is_found]


def test_a_host_is_that_host_alone_in_any_spelling():
    hosts = ("http://EXAMPLE.org./1", "http://www.example.org/1", "http://b\u00fccher.example/2")
    rows = [{"url": url} for url in hosts]
    assert found(criteria(host=("Example.ORG",)), *rows) == [True, False, False]
    assert found(criteria(host=("xn--bcher-kva.example",)), *rows) == [False, False, True]


@pytest.mark.parametrize("given", ["example.org:8080", "example.org.", " .Example.ORG", "[::1]"])
def test_a_host_may_have_a_port_and_dots_around_it(given):
    expected = "[::1]" if given == "[::1]" else "example.org"
    assert criteria(domain=(given,)).values == {"domain": {expected}}


@pytest.mark.parametrize(
    "given",
    [
        *("https://example.org", "https://example.org/a", "//example.org", "mailto:a@example.org"),
        *("example.org/a", "user@example.org", "*.example.org", "example.org # why", "a,b.example"),
    ],
)
@pytest.mark.parametrize("kind", ["host", "domain"])
def test_what_is_more_than_a_host_is_refused_and_not_taken_for_another(kind, given):
    with pytest.raises(SetupError, match=f"expected a {kind} such as example.org, got"):
        criteria(**{kind: (given,)})


def test_a_list_without_a_value_is_refused(tmp_path):
    (tmp_path / "list").write_text("# nothing\n  # here\n\n")
    with pytest.raises(SetupError, match="expected at least one value of --sha256"):
        criteria(url=(f"@{tmp_path / 'list'}",))


def test_a_url_counts_wherever_it_was_met_on_the_way():
    rows = [
        {"url": "http://a.example/1"},
        {"url": "http://b.example/", "final_url": "http://a.example/1"},
        {"url": "http://b.example/", "redirects": ["http://a.example/1", "http://c.example/"]},
        {"url": "http://b.example/"},
    ]
    assert found(criteria(url=("http://A.example:80/1#part",)), *rows) == [True, True, True, False]


def test_of_a_resized_image_the_digest_of_the_original_counts_too():
    digest = "ab" * 32
    rows = [{"original_sha256": digest}, {"sha256": digest}, {}]
    assert found(criteria(sha256=(digest.upper(),)), *rows) == [True, True, False]


def test_a_flat_image_is_not_found_by_its_likeness():
    rows = [{"phash": "0f" * 32, "texture": texture} for texture in (250, 20, None)]
    assert found(criteria(phash=("0f" * 32,)), *rows) == [True, False, False]


def test_what_lies_inside_a_border_is_found_by_its_likeness():
    row = {"phash": "00" * 32, "trimmed_phash": "0f" * 32, "texture": 250}
    assert found(criteria(phash=("0f" * 31 + "0e",), phash_radius=1), row) == [True]
    assert found(criteria(phash=("0f" * 31 + "0e",), phash_radius=0), row) == [False]


def test_a_list_may_have_comments_columns_and_blank_lines(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xef\xbb\xbf# partner\n\n" + b"AB" * 16 + b", case 1\r\n" + b"cd" * 16)
    assert criteria(md5=(f"@{path}",)).values == {"md5": {"ab" * 16, "cd" * 16}}


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "list").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupError, match="expected a list in"):
        criteria(url=(f"@{tmp_path / 'list'}",))


def test_the_digest_of_a_list_depends_on_its_values_and_the_salt_alone():
    one, other = (criteria(id=ids) for ids in (("ab" * 16, "cd" * 16), ("cd" * 16, "ab" * 16)))
    assert one.digest("id", "00") == other.digest("id", "00") != one.digest("id", "01")
