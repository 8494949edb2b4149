import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.evaluation_index.build import IndexContent
from ingest.evaluation_index.extend import fingerprints_of
from ingest.evaluation_index.fingerprints import Fingerprints
from schemas.evaluation import MatchRule

NUM_CANARIES = 2


@pytest.fixture(scope="module")
def sets(bench, tmp_path_factory):
    """Four sets, of which one has a flat, a framed and a broken image; names that sort oddly."""
    folder = tmp_path_factory.mktemp("sets")
    framed = Image.new("RGB", (700, 500), "white")
    framed.paste(bench.picture("coffee.png").crop((0, 0, 500, 300)), (100, 100))
    images = {
        "odd": {
            "flat": Image.new("L", (99, 99)),
            "framed": framed,
            "cut.jpg": bench.real["china.jpg"].read_bytes()[:5000],
        },
        "B": {"1": bench.picture("china.jpg"), "10": bench.picture("flower.jpg")},
        "a": {"deep": bench.picture("rocket.jpg")},
        "a-b": {"same": bench.picture("rocket.jpg"), "é\n": bench.picture("ihc.png")},
    }
    return {
        name: bench.fingerprints(
            f"{name}={bench.folder(folder / name, **those)}",
            profile="small",
            canaries=NUM_CANARIES,
        )
        for name, those in images.items()
    }


def content_of(parts, rules=None):
    return IndexContent(
        Fingerprints.joined(parts),
        num_canaries=NUM_CANARIES,
        profiles=["small"],
        rules=rules or {},
    )


def files_of(bench, content, folder):
    content.write(folder)
    return bench.files_of(folder)


@pytest.fixture(scope="module")
def whole(bench, sets, tmp_path_factory):
    return files_of(bench, content_of(sets.values()), tmp_path_factory.mktemp("whole"))


@settings(deadline=None, max_examples=25)
@given(groups=st.lists(st.integers(0, 2), min_size=4, max_size=4), new=st.booleans())
def test_merging_indexes_equals_building_at_once(bench, sets, whole, tmp_path_factory, groups, new):
    """Up to three indexes, of any of the sets each; with `new` the last group has no index yet."""
    merged = []
    for group in sorted(set(groups)):
        parts = [one for one, number in zip(sets.values(), groups, strict=True) if number == group]
        if new and group == max(groups):
            merged += parts
        else:
            merged.append(fingerprints_of(bench.opened(content_of(parts))))
    assert files_of(bench, content_of(merged), tmp_path_factory.mktemp("merged")) == whole


def test_an_index_extended_by_nothing_is_itself(bench, sets, whole, tmp_path):
    taken = fingerprints_of(bench.opened(content_of(sets.values())))
    assert files_of(bench, content_of([taken]), tmp_path) == whole


def test_an_empty_index_has_no_rows(bench):
    taken = fingerprints_of(bench.opened(content_of([])))
    assert (taken.images.num_rows, taken.canaries.num_rows) == (0, 0)


def test_demoted_codes_are_not_taken_over(bench, sets):
    content = content_of([sets["B"]])
    content.demote([0, 3])
    taken = fingerprints_of(bench.opened(content))
    again = content_of([taken])
    for name in ("codes", "code_ends", "variant"):
        assert again.arrays[name].tolist() == content.arrays[name].tolist()


def test_the_rows_are_those_that_made_the_index(bench, sets):
    taken = fingerprints_of(bench.opened(content_of([sets["odd"]], {"odd": MatchRule()})))
    before, after = (
        {row["name"]: row for row in one.images.to_pylist()} for one in (sets["odd"], taken)
    )
    # What cannot be read has no box: the whole stands for it.
    before["cut.jpg"]["box"] = [0, 0, 1, 1]
    assert after == before
    assert taken.canaries.equals(sets["odd"].canaries)
