import pytest

from ingest import storage
from schemas.benchmarks import benchmark, load_benchmarks
from schemas.benchmarks.places import expected_places, find_split


def found_paths(name, split, root):
    one = benchmark(name)
    place = find_split(storage, one, next(s for s in one.splits if s.name == split), str(root))
    assert place is not None
    return [path.removeprefix(f"{root}/{name}/") for path in place.paths]


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        (
            "food-101",
            ("data/train-0-of-1.parquet", "data/validation-0-of-1.parquet"),
            {"train": ["data/train-0-of-1.parquet"], "test": ["data/validation-0-of-1.parquet"]},
        ),
        (
            "oxford-pets",
            ("data/train-0-of-1.parquet", "data/test-0-of-1.parquet"),
            {"trainval": ["data/train-0-of-1.parquet"], "test": ["data/test-0-of-1.parquet"]},
        ),
        (
            "fairface",
            ("0.25/train-0.parquet", "0.25/validation-0.parquet", "1.25/validation-0.parquet"),
            {"train": ["0.25/train-0.parquet"], "val": ["0.25/validation-0.parquet"]},
        ),
        (
            "svhn",
            ("cropped_digits/test-0.parquet", "full_numbers/test-0.parquet"),
            {"test": ["cropped_digits/test-0.parquet"]},
        ),
    ],
)
def test_splits_that_hugging_face_calls_otherwise_or_holds_twice_are_found(
    name, files, found, tmp_path
):
    for file in files:
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a table")
    assert {split: found_paths(name, split, tmp_path) for split in found} == found


@pytest.mark.parametrize("one", load_benchmarks().values(), ids=lambda one: one.id)
def test_no_place_is_told_twice(one):
    for split in one.splits:
        places = expected_places(one, split)
        assert len(set(places)) == len(places)
