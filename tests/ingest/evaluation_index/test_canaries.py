import io
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.copies.kinds import KINDS
from ingest.evaluation_index.canaries import CanaryDraw, lowest_ranks
from schemas.evaluation import Canary, ProtectedImage


def image(name, codes=b"", set_name="s"):
    return ProtectedImage(
        set=set_name, name=name, sha256=bytes(32), pixels_sha256=bytes(32), aspect=1.0,
        box=(0.0, 0.0, 1.0, 1.0), thumbnail=bytes(1024), codes=codes,
        variants=bytes(len(codes) // 32), num_flat=0,
    )  # fmt: skip


def drawn(images, content, num_canaries, seed=0):
    draw = CanaryDraw(num_canaries, seed)
    for one in images:
        draw.offer(one, content)
    return draw.drawn()


@pytest.fixture(scope="module")
def content(bench):
    """A picture so small that its copies cost nothing."""
    return bench.encode(bench.picture("coffee.png").resize((48, 32)))


@pytest.fixture(scope="module")
def images():
    return [image(f"{number:02d}") for number in range(30)]


@pytest.fixture(scope="module")
def whole(images, content):
    return drawn(images, content, 20)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), num_parts=st.integers(1, 6))
def test_the_canaries_of_parts_in_any_order_are_those_of_the_whole(
    images, content, whole, seed, num_parts
):
    shuffled = random.Random(seed).sample(images, len(images))
    parts = [drawn(shuffled[start::num_parts], content, 20) for start in range(num_parts)]
    table = Canary.to_table([canary for part in parts for canary in part])
    assert Canary.from_table(lowest_ranks(table, 20)) == whole


def test_there_are_as_many_as_asked_by_rank(whole):
    assert len(whole) == 20
    ranks = [canary.rank for canary in whole]
    assert ranks == sorted(ranks)


def test_fewer_are_the_first_of_more(images, content, whole):
    assert drawn(images, content, 7) == whole[:7]


def test_none_are_made_if_none_are_asked_for(images, content):
    assert drawn(images, content, 0) == []


def test_a_set_of_one_image_has_several(content):
    assert len(drawn([image("only")], content, 256)) == 8


def test_kinds_vary_and_copies_are_images(whole):
    assert len({canary.kind for canary in whole}) > 12
    for canary in whole:
        assert canary.kind in KINDS
        assert isinstance(json.loads(canary.params), dict)
        with Image.open(io.BytesIO(canary.content)) as copy:
            copy.load()


def test_another_seed_draws_others(images, content, whole):
    assert {one.rank for one in drawn(images, content, 20, seed=1)}.isdisjoint(
        one.rank for one in whole
    )


def test_copies_of_originals_without_a_code_are_marked_unprotected(content):
    found = drawn([image("flat"), image("fine", codes=bytes(32))], content, 16)
    assert {(one.name, one.protected) for one in found} == {("flat", False), ("fine", True)}


def test_each_set_keeps_its_lowest(content):
    found = drawn([image("a", set_name=name) for name in ("y", "x", "z")], content, 24)
    kept = Canary.from_table(lowest_ranks(Canary.to_table(found), 3))
    assert [one.set for one in kept] == ["x"] * 3 + ["y"] * 3 + ["z"] * 3
    for name in ("x", "y", "z"):
        ranks = sorted(one.rank for one in found if one.set == name)
        assert [one.rank for one in kept if one.set == name] == ranks[:3]


def test_an_image_that_cannot_be_edited_has_no_canaries_but_a_warning(caplog):
    assert drawn([image("odd")], b"no image", 4) == []
    assert "s/odd: no canary " in caplog.text


def test_the_canaries_of_a_set_do_not_depend_on_its_units(bench, pictures_folder):
    one, other = (
        lowest_ranks(
            bench.fingerprints(
                f"s={pictures_folder}", canaries=5, unit_images=size, profile="small"
            ).canaries,
            5,
        )
        for size in (2, 100)
    )
    assert one.equals(other)
    assert one.num_rows == 5


def test_a_flat_image_is_marked_and_a_broken_one_has_none(bench, tmp_path):
    folder = bench.folder(
        tmp_path / "set",
        flat=Image.new("RGB", (40, 40), "red"),
        **{"cut.jpg": bench.real["china.jpg"].read_bytes()[:3000]},
    )
    found = Canary.from_table(bench.fingerprints(f"s={folder}", canaries=9).canaries)
    assert {(one.name, one.protected) for one in found} == {("flat", False)}
