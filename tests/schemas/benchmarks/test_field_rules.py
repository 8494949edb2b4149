import re

import pytest
from pydantic import ValidationError

from schemas.benchmarks import benchmark, load_benchmarks
from schemas.benchmarks.field_rules import Division, FieldRule
from schemas.benchmarks.values import value_of


def found(name, field, path):
    match = re.search(benchmark(name).fields[field].pattern, path)
    return match and (match[1] or "")


@pytest.mark.parametrize(
    ("name", "field", "path", "expected"),
    [
        ("utkface", "age", "utkface/UTKFace/26_1_0_20170116.jpg", "26"),
        ("utkface", "gender", "utkface/UTKFace/26_1_0_20170116.jpg", "1"),
        ("copydays", "block", "copydays/copydays/strong/212003.jpg", "2120"),
        ("copydays", "subset", "copydays/crops/10/212000.jpg", "crops"),
        ("copydays", "strength", "copydays/crops/10/212000.jpg", "10"),
        ("copydays", "strength", "copydays/jpegqual/3/212000.jpg", "3"),
        ("copydays", "strength", "copydays/strong/212003.jpg", ""),
        ("oxford-pets", "label", "oxford-pets/images/Maine_Coon_12.jpg", "Maine_Coon"),
        ("sun397", "label", "sun397/SUN397/a/apse/indoor/sun_x.jpg", "apse/indoor"),
        ("places205", "label", "places205/torralba/images256/a/abbey/gsun_1.jpg", "abbey"),
        ("ucf101", "split", "UCF-101-midframes/v_Archery_g07_c02.jpg", "07"),
        ("ucf101", "label", "UCF-101-midframes/v_Archery_g07_c02.jpg", "Archery"),
        ("cub-200", "split", "cub-200/data/test-00000-of-00001.parquet#3", "test"),
        ("oxford-flowers", "split", "oxford-flowers/data/validation-0.parquet#3", "validation"),
        ("wikiart", "artist", "wikiart/Cubism/pablo-picasso_girl-in-a-hat.jpg", "pablo-picasso"),
        ("amstertime", "instance", "amstertime/old/123.png", "123"),
    ],
)
def test_patterns_of_the_registry_find_what_they_should(name, field, path, expected):
    assert found(name, field, path) == expected


def test_the_two_genders_of_faces_are_named_alike_in_both_sets():
    database = set(benchmark("utkface").fields["gender"].words.values())
    queries = set(benchmark("casual-conversations").fields["gender"].words.values())
    assert database == {"male", "female"}
    assert database <= queries


def test_skin_tones_and_ages_are_grouped_as_in_the_indicator():
    fields = benchmark("casual-conversations").fields
    tones = fields["skin_tone"].words
    assert [tones[str(one)] for one in range(1, 7)] == ["lighter"] * 3 + ["darker"] * 3
    assert fields["age"].bins == (18, 30, 45, 70)


def test_angles_and_places_of_sprites_fall_into_the_classes_of_the_released_code():
    # VISSL, create_dsprites_orientation_data_files.py: floor(angle / whole turn * 16), at most 15.
    angles = [min(16 * number // 39, 15) for number in range(40)]
    places = [number // 2 for number in range(32)]
    for name, expected in (("dsprites-orientation", angles), ("dsprites-location", places)):
        rule = benchmark(name).fields["label"]
        assert [value_of(rule, number) for number in range(len(expected))] == expected


@pytest.mark.parametrize("one", load_benchmarks().values(), ids=lambda one: one.id)
def test_a_division_by_a_field_has_a_rule_for_it(one):
    if one.division and one.division.by == "column":
        assert one.division.column in one.fields


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "field: expected column, by_order, file, pattern or folder, got none"),
        ({"pattern": "("}, "expected a regular expression, got missing"),
        ({"pattern": "a"}, "pattern: expected one group, got 0 in 'a'"),
        ({"column": ("a",), "bins": (2, 1)}, "bins: expected rising bounds, got [2.0, 1.0]"),
        ({"file": ("a.csv",)}, "file: expected a .txt list, or `column`, got a.csv alone"),
        ({"file": ("/a.txt",)}, "expected a path below ROOT/<id>, got '/a.txt'"),
        ({"folder": 0}, "greater than 0"),
    ],
)
def test_a_wrong_rule_is_told_with_both_sides(values, message):
    with pytest.raises(ValidationError) as caught:
        FieldRule(**values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"by": "count"}, "division: expected whole numbers, by count, got none"),
        ({"by": "count", "train": 0.5}, "whole numbers, by count, got train 0.5"),
        ({"by": "share", "train": 0.7, "test": 0.4}, "shares of at most 1, got train 0.7, test 0."),
        ({"by": "share", "train": 2}, "division: expected shares of at most 1, got train 2"),
        ({"by": "column", "train": 3}, "division: expected no amounts, by column, got train 3"),
        (
            {"by": "share", "train": 0.5, "rest": "train"},
            "rest: expected a part without an amount, got train",
        ),
    ],
)
def test_a_wrong_division_is_told_with_both_sides(values, message):
    with pytest.raises(ValidationError) as caught:
        Division(**values)
    assert message in str(caught.value)


def test_the_parts_of_a_division_are_those_with_an_amount_and_the_rest():
    assert Division(by="count", train=1000, val=500).parts == ("train", "val")
    assert Division(by="share", train=0.7, val=0.1, rest="test").parts == ("train", "val", "test")
    assert Division(by="column", names=("gallery", "queries")).parts == ("gallery", "queries")


def test_divisions_are_those_of_the_paper():
    def amounts(name):
        one = benchmark(name).division
        return one.by, one.train, one.val, one.rest, one.per_class

    assert amounts("caltech-101") == ("count", 30, None, "test", True)
    assert amounts("eurosat") == ("count", 1000, 500, None, True)
    assert benchmark("eurosat").division.order == "name"
    assert amounts("resisc45") == ("share", 0.8, None, "test", True)
    assert benchmark("resisc45").division.seed == 42
    assert amounts("sun397") == ("share", 0.7, 0.1, "test", True)
    assert amounts("dsprites-location") == ("share", 0.8, None, "test", False)
    assert amounts("kitti-distance") == ("share", 0.8, None, "test", False)
    assert benchmark("kitti-distance").division.split == "train"
