from importlib.resources import files

import pytest

from schemas.benchmarks import RegistryError, benchmark, load_benchmarks, read_registry
from schemas.benchmarks.vocabulary import Category, LayoutKind, Metric, Protocol, Task

# Section 3 of the evaluation suite of SEER 10B (arXiv 2202.08360), from its released code.
_SEER = """
    imagenet-1k places205 inaturalist-2018 pascal-voc-2007 iwildcam caltech-101 dtd fgvc-aircraft
    food-101 stanford-cars oxford-flowers oxford-pets gtsrb sun397 cifar-10 cifar-100 stl-10 mnist
    svhn eurosat resisc45 patch-camelyon ucf101 kinetics-700 kitti-distance clevr-count
    clevr-distance dsprites-location dsprites-orientation smallnorb-elevation imagenet-a imagenet-r
    objectnet imagenet-sketch imagenet-v2 imagenet-real im2gps im2gps-3k copydays hateful-memes
    casual-conversations openimages-miap dollar-street utkface
    wikiart multilingual-hashtags
"""
MINIMAL = """
id = "tiny"
name = "Tiny"
home = "https://example.org"
licence = "unknown"
category = "object"
year = 2020
metric = "top1"
protocols = ["linear_probe"]
[[splits]]
name = "train"
clean = false
[[splits]]
name = "test"
num_images = 3
clean = true
"""


def read(text, name="tiny.toml"):
    return read_registry([(name, text)])


def test_at_least_fifty_benchmarks_can_be_evaluated_on_and_are_sorted_by_id():
    assert sum(bool(one.protocols) for one in load_benchmarks().values()) >= 50
    assert list(load_benchmarks()) == sorted(load_benchmarks())


@pytest.mark.parametrize("name", _SEER.split())
def test_each_set_that_seer_was_evaluated_on_is_known(name):
    assert benchmark(name).clean_splits


@pytest.mark.parametrize("one", load_benchmarks().values(), ids=lambda one: one.id)
def test_words_are_of_the_vocabularies_and_all_test_splits_are_cleaned(one):
    assert isinstance(one.metric, Metric)
    assert isinstance(one.category, Category)
    assert isinstance(one.task, Task)
    assert "task" in one.model_fields_set
    assert all(isinstance(protocol, Protocol) for protocol in one.protocols)
    assert all(isinstance(layout.kind, LayoutKind) for layout in one.layouts)
    assert all(split.clean for split in one.splits if split.name in ("val", "test", "all"))
    assert not any(split.clean and not split.note for split in one.splits if split.name == "train")
    assert bool(one.clean_splits) == (one.role == "evaluation")


def test_every_category_task_and_protocol_has_a_benchmark():
    found = load_benchmarks().values()
    assert {one.category for one in found} == set(Category)
    assert {one.task for one in found} == set(Task)
    assert {protocol for one in found for protocol in one.protocols} == set(Protocol)


def test_every_word_of_the_vocabularies_has_an_explanation():
    for vocabulary in (Category, LayoutKind, Metric, Protocol, Task):
        assert all(word.explanation.endswith((".", "?")) for word in vocabulary)


def test_tiny_and_template_like_images_are_compared_by_bytes_alone():
    exact = {one.id for one in load_benchmarks().values() if not one.match.perceptual}
    assert {"mnist", "dsprites-location", "smallnorb-elevation", "rendered-sst2"} <= exact
    assert not benchmark("imagenet-1k").match.model_fields_set


def test_an_unknown_benchmark_is_told_with_the_ids_most_like_it():
    with pytest.raises(RegistryError, match=r"expected one of \d+ benchmarks, got 'cifar_10'; did"):
        benchmark("cifar_10")
    with pytest.raises(RegistryError, match=r"got 'zzzzzzzzzzz'$"):
        benchmark("zzzzzzzzzzz")


def test_every_file_of_the_folder_is_a_benchmark():
    names = {entry.name for entry in files("schemas.benchmarks").iterdir()}
    assert {f"{name}.toml" for name in load_benchmarks()} == {
        name for name in names if name.endswith(".toml")
    }


def test_what_a_file_leaves_out_has_its_default():
    one = read(MINIMAL)["tiny"]
    assert one.classes is None
    assert one.match.perceptual
    assert one.shares_images_with == ()
    assert [str(layout) for layout in one.layouts_of("test")][:2] == [
        "parquet: test-*.parquet",
        "parquet: */test-*.parquet",
    ]


def test_a_validation_split_is_found_by_the_spellings_of_others():
    one = read(MINIMAL.replace('"test"', '"val"'))["tiny"]
    patterns = [layout.patterns[0] for layout in one.layouts_of("val")]
    assert {"val", "validation", "valid", "*/validation-*.parquet"} <= set(patterns)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"tiny"', '"other"', "tiny.toml: id: expected 'tiny' as the file is named, got 'other'"),
        ('"tiny"', '"Tiny Set"', "tiny.toml: id: String should match pattern"),
        ('"object"', '"objects"', "tiny.toml: category: Input should be 'object'"),
        ('"top1"', '"accuracy"', "tiny.toml: metric: Input should be 'top1'"),
        ('["linear_probe"]', '["probe"]', "tiny.toml: protocols.0: Input should be 'linear_probe'"),
        (
            '["linear_probe"]',
            "[]",
            "tiny.toml: not_evaluated: expected the reason if there is no protocol, else nothing, "
            "got None and protocols none",
        ),
        ("year = 2020", 'year = 2020\nnot_evaluated = "x"', "got 'x' and protocols linear_probe"),
        ("year = 2020", 'year = 2020\ntask = "task"', "tiny.toml: task: Input should be 'single_"),
        (
            'name = "train"',
            'name = "extra"',
            "recipe.linear_probe.train: expected a split to train on, got extra, test",
        ),
        ("year = 2020", "year = '2020'", "tiny.toml: year: Input should be a valid integer, got "),
        ("year = 2020", "", "tiny.toml: year: Field required"),
        ("year = 2020", "year = 2020\nyears = 1", "tiny.toml: years: Extra inputs are not permit"),
        ("year = 2020", "year", "tiny.toml: expected TOML, got "),
        ("= true", "= false", "tiny.toml: splits: expected a clean one, got"),
        ("= true", "= 1", "tiny.toml: splits.1.clean: Input should be a valid boolean, got 1"),
        ("num_images = 3", "num_images = 0", "tiny.toml: splits.1.num_images: Input should be gr"),
        (
            "year = 2020",
            'year = 2020\nshares_images_with = ["big"]',
            "tiny.toml: shares_images_with: expected ids of the registry, got big",
        ),
        (
            "year = 2020",
            'year = 2020\nshares_images_with = ["tiny"]',
            "tiny.toml: shares_images_with: expected others, got tiny",
        ),
        (
            '["linear_probe"]',
            '["shift"]\nrecipe = {shift = {classes_of = "big"}}',
            "tiny.toml: recipe.shift: expected ids of the registry, got big",
        ),
    ],
)
def test_a_wrong_file_is_told_by_file_and_field_with_both_sides(old, new, message):
    with pytest.raises(RegistryError) as caught:
        read(MINIMAL.replace(old, new))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        (
            '[[splits]]\nname = "test"\nclean = true',
            "tiny.toml: splits: expected each name once, got train, test, test",
        ),
        (
            '[[layouts]]\nsplit = "val"\nkind = "tar"\npatterns = ["x"]',
            "tiny.toml: layouts: expected one of train, test, got val",
        ),
        (
            '[[layouts]]\nsplit = "test"\nkind = "zip"\npatterns = ["x"]',
            "tiny.toml: layouts.0.kind: Input should be 'folder', 'tar', 'parquet' or 'arrow', "
            "got 'zip'",
        ),
        (
            '[[layouts]]\nsplit = "test"\nkind = "folder"\npatterns = ["../x"]',
            "expected a path below ROOT/<id>, got '../x'",
        ),
        (
            '[[layouts]]\nsplit = "test"\nkind = "folder"\npatterns = ["x"]\nlisted_in = "a"',
            "listed_in: expected kind folder and {} in each pattern, got folder and x",
        ),
        ("[match]\nperceptual = false", "note: expected the reason for perceptual, got None"),
        ("[match]\nmax_distance = 81", "tiny.toml: match.max_distance: Input should be less than"),
        ("[recipe.svm]\nfolds = 3", "tiny.toml: recipe: expected one of linear_probe, got svm"),
        ("[recipe.linear_probe]\nepoch = 3", "recipe.linear_probe.epoch: Extra inputs are not"),
    ],
)
def test_a_wrong_table_is_told_too(addition, message):
    with pytest.raises(RegistryError) as caught:
        read(MINIMAL + addition)
    assert message in str(caught.value)
