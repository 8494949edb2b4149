import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import ValidationError

import train_entry.evaluation
from schemas.benchmarks import RegistryError, benchmark, load_benchmarks, read_benchmark
from schemas.benchmarks.deviations import COMMON, VERSION
from schemas.benchmarks.recipes import FineTune, LinearProbe, LowShot, Shift, Svm
from schemas.benchmarks.vocabulary import Protocol

EVALUATED = [(one.id, protocol) for one in load_benchmarks().values() for protocol in one.protocols]
# Sets of VTAB that SEER's low-shot configurations are of, and ImageNet-1k's 1 % and 10 %.
LOW_SHOT = """
    caltech-101 cifar-100 dtd oxford-flowers oxford-pets sun397 svhn eurosat resisc45 patch-camelyon
    diabetic-retinopathy clevr-count clevr-distance dmlab dsprites-location dsprites-orientation
    smallnorb-azimuth smallnorb-elevation kitti-distance imagenet-1k
"""
TINY = """
id = "tiny"
name = "Tiny"
home = "https://example.org"
licence = "unknown"
category = "object"
year = 2020
metric = "mean_per_class"
protocols = ["linear_probe", "nearest_neighbors"]
splits = [
    {name = "train", clean = false},
    {name = "val", clean = true},
    {name = "test", clean = true},
]
"""


def tiny(addition="", old="", new=""):
    return read_benchmark("tiny.toml", TINY.replace(old, new) + addition)


def numbers(name, protocol):
    return benchmark(name).recipe_of(protocol).model_dump()


@pytest.mark.parametrize("protocol", Protocol)
def test_each_protocol_has_common_numbers_and_a_file_that_evaluates(protocol):
    assert COMMON[protocol].test == ()
    file = Path(train_entry.evaluation.__file__).with_name(f"{protocol}.py")
    entry = "fine_tune" if protocol == Protocol.FINE_TUNE else "evaluate"
    assert re.search(rf"^def {entry}\(", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "protocol"), EVALUATED)
def test_each_recipe_is_complete_and_reads_parts_that_are_there(name, protocol):
    one = benchmark(name)
    recipe = one.recipe_of(protocol)
    assert recipe.metric
    assert type(recipe) is type(COMMON[protocol])
    roles = one.roles_of(protocol)
    assert roles
    for part in (part for parts in roles.values() for part in parts):
        other, _, own = part.rpartition(":")
        assert own in (benchmark(other) if other else one).parts
    tested = roles.get("test") or roles["queries"]
    assert len(set(tested)) == len(tested)
    if recipe.train:
        assert recipe.train not in recipe.test


@pytest.mark.parametrize(("name", "protocol"), EVALUATED)
def test_what_is_tested_was_cleaned_against(name, protocol):
    one = benchmark(name)
    clean = {split.name for split in one.clean_splits}
    # Made of images that are cleaned, or the database of other queries.
    exempt = {"jpegqual", "crops"}
    divided = set(one.division.parts) if one.division and one.division.split in clean else set()
    assert set(one.recipe_of(protocol).test) <= clean | divided | exempt


@pytest.mark.parametrize(("name", "protocol"), EVALUATED)
def test_a_cosine_has_no_milestones_and_steps_lie_within_the_epochs(name, protocol):
    recipe = benchmark(name).recipe_of(protocol)
    if isinstance(recipe, LinearProbe | FineTune):
        assert bool(recipe.milestones) == (recipe.schedule == "step")
        assert list(recipe.milestones) == sorted(set(recipe.milestones))
        assert all(0 < milestone < recipe.epochs for milestone in recipe.milestones)


@pytest.mark.parametrize("one", load_benchmarks().values(), ids=lambda one: one.id)
def test_classes_are_told_where_a_protocol_needs_them(one):
    labelled = {Protocol.LINEAR_PROBE, Protocol.SVM, Protocol.FINE_TUNE, Protocol.SHIFT}
    if labelled & set(one.protocols) or one.task == "ordinal":
        assert one.classes
    for rule in one.fields.values():
        if rule.bins and rule.words:
            numbers = [word for word in rule.words if word.isdecimal()]
            assert numbers == [str(number) for number in range(len(rule.bins) + 1)]
    label = one.fields.get("label")
    if label and label.bins:
        assert one.classes == len(label.bins) + 1


def test_the_common_numbers_are_those_of_the_paper():
    probe = LinearProbe().model_dump()
    expected = {
        "epochs": 28,
        "milestones": (8, 16, 24),
        "learning_rate": 0.01,
        "weight_decay": 5e-4,
        "momentum": 0.9,
        "nesterov": True,
        "batch": 256,
        "resize_px": 256,
        "crop_px": 224,
    }
    assert {name: probe[name] for name in expected} == expected
    assert len(LinearProbe().taps) == 6
    assert (LowShot().epochs, LowShot().milestones) == (90, (30, 60))
    assert (FineTune().epochs, FineTune().crop_px, FineTune().interpolation) == (
        105,
        384,
        "bicubic",
    )
    assert (Svm().costs, Svm().folds, Svm().loss) == ((0.1, 0.01), 3, "squared_hinge")


@pytest.mark.parametrize(
    ("name", "protocol", "expected"),
    [
        ("places205", "linear_probe", {"epochs": 14, "milestones": (4, 8, 12)}),
        ("inaturalist-2018", "linear_probe", {"epochs": 84, "milestones": (24, 48, 72)}),
        ("inaturalist-2018", "fine_tune", {"keep_head": True, "crop_px": 384}),
        ("iwildcam", "linear_probe", {"epochs": 84, "test": ("test", "id_test", "id_val")}),
        ("pascal-voc-2007", "svm", {"stretch": True, "metric": "map", "train": "trainval"}),
        ("sun397", "linear_probe", {"stretch": True, "resize_px": 224}),
        ("svhn", "linear_probe", {"flip": False, "resize_px": 224}),
        ("svhn", "low_shot", {"flip": True, "stretch": True, "num_train": 1000}),
        (
            "patch-camelyon",
            "linear_probe",
            {"schedule": "cosine", "learning_rate": 0.003, "final_learning_rate": 3e-5},
        ),
        ("ucf101", "linear_probe", {"epochs": 50, "weight_decay": 0.01, "schedule": "cosine"}),
        ("clevr-count", "linear_probe", {"epochs": 50, "final_learning_rate": 1e-4}),
        ("clevr-distance", "linear_probe", {"epochs": 100, "stretch": True}),
        ("dsprites-location", "linear_probe", {"flip": False, "resize_px": 224}),
        ("kitti-distance", "low_shot", {"flip": False}),
        ("imagenet-1k", "low_shot", {"shares": (0.01, 0.1), "stretch": False}),
        ("imagenet-1k", "nearest_neighbors", {"k": 200, "temperature": 0.1}),
        ("imagenet-a", "shift", {"class_mask": True, "classes_of": "imagenet-1k"}),
        ("imagenet-r", "shift", {"class_mask": True}),
        ("objectnet", "shift", {"class_mask": True, "metric": "top1_multi_label"}),
        ("imagenet-sketch", "shift", {"class_mask": False}),
        (
            "im2gps-3k",
            "geolocation",
            {"thresholds_km": (1, 25, 200, 750, 2500), "train_on": "mp16", "resize_px": 224},
        ),
        ("copydays", "copy_detection", {"dimensions": 1024, "levels": 3, "subset": "strong"}),
        ("disc21", "copy_detection", {"metric": "micro_ap", "whitening": "train"}),
        ("casual-conversations", "fairness_labels", {"random_crop": True, "box_scale": 1.5}),
        ("openimages-miap", "fairness_labels", {"stretch": True, "square_from": 1.2}),
        ("casual-conversations", "attribute_retrieval", {"k": (1, 5, 10, 50)}),
        ("dollar-street", "household_labels", {"random_crop": True, "top": 5}),
    ],
)
def test_recipes_hold_the_deviations_of_the_paper(name, protocol, expected):
    found = numbers(name, protocol)
    assert {key: found[key] for key in expected} == expected


def test_harmful_labels_are_those_of_the_indicator():
    people = numbers("casual-conversations", "fairness_labels")["associations"]
    boxes = numbers("openimages-miap", "fairness_labels")["associations"]
    assert len(boxes["non-human"]) == 17
    assert people["non-human"] == (*boxes["non-human"], "dog")
    assert boxes["possibly-non-human"] == ("cat", "dog")
    assert people["crime"] == boxes["crime"] == ("prison",)
    assert people["human"] == boxes["human"] == ("people", "face")
    assert people["possibly-human"] == boxes["possibly-human"] == ("makeup", "khimar", "beard")


def test_low_shot_is_for_the_sets_of_the_configurations():
    found = {name for name, protocol in EVALUATED if protocol == Protocol.LOW_SHOT}
    assert found == set(LOW_SHOT.split())


def test_what_a_file_leaves_open_follows_from_its_splits_and_metric():
    recipe = tiny().recipe_of("linear_probe")
    assert (recipe.train, recipe.val, recipe.test) == ("train", "val", ("test",))
    assert recipe.metric == "mean_per_class"
    assert tiny().roles_of("linear_probe") == {
        "train": ("train",),
        "test": ("test",),
        "val": ("val",),
    }
    divided = tiny('[division]\nsplit = "val"\nby = "count"\ntrain = 3\nrest = "test"')
    assert divided.parts == ("train", "test", "val")


def test_a_protocol_that_is_none_of_the_benchmarks_is_told_with_both_sides():
    with pytest.raises(
        ValueError, match=r"tiny: protocol: expected one of linear_probe, .*, got svm"
    ):
        tiny().recipe_of("svm")


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("[recipe.linear_probe]\nepoch = 3", "tiny.toml: recipe.linear_probe.epoch: Extra inputs"),
        ("[recipe.linear_probe]\nepochs = 3.5", "recipe.linear_probe.epochs: Input should be a va"),
        ("[recipe.probe]\nepochs = 3", "tiny.toml: recipe.probe: Extra inputs are not permitted"),
        ("[recipe.svm]\nfolds = 3", "recipe: expected one of linear_probe, nearest_neighbors, got"),
        (
            '[recipe.linear_probe]\ntest = ["extra"]',
            "recipe.linear_probe: expected splits of train, val, test, got extra",
        ),
        (
            '[[published]]\nby = "model"\nprotocol = "svm"\nsource = "x"\nvalues = {a = 1}',
            "published.protocol: expected one of linear_probe, nearest_neighbors, got svm",
        ),
        (
            '[division]\nsplit = "all"\nby = "share"\ntrain = 0.5\nrest = "test"',
            "division.split: expected one of train, val, test, got all",
        ),
    ],
)
def test_a_wrong_recipe_is_told_by_file_and_field_with_both_sides(addition, message):
    with pytest.raises(RegistryError) as caught:
        tiny(addition)
    assert message in str(caught.value)


def test_a_digest_is_of_all_that_a_figure_depends_on():
    one = tiny()
    content = {
        "version": VERSION,
        "protocol": "linear_probe",
        "recipe": one.recipe_of("linear_probe").model_dump(mode="json", exclude={"note", "target"}),
        "roles": one.roles_of("linear_probe"),
        "fields": {},
        "division": None,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = one.protocol_sha256("linear_probe")
    assert digest == sha256(text.encode()).hexdigest()
    changes = [
        tiny("[recipe.linear_probe]\nepochs = 29"),
        tiny('[recipe.linear_probe]\ntest = ["val"]'),
        tiny("[fields.label]\nfolder = 2"),
        tiny('[division]\nsplit = "train"\nby = "share"\ntrain = 0.9\nrest = "val"'),
        tiny(old='"mean_per_class"', new='"top1"'),
    ]
    digests = {digest, *(other.protocol_sha256("linear_probe") for other in changes)}
    assert len(digests) == 1 + len(changes)
    assert one.protocol_sha256("nearest_neighbors") not in digests
    for same in ("epochs = 28", 'note = "as published"', 'target = "the class"'):
        other = tiny(f"[recipe.linear_probe]\n{same}")
        assert other.protocol_sha256("linear_probe") == digest


def test_digests_of_the_protocols_of_one_benchmark_differ():
    for one in load_benchmarks().values():
        digests = {one.protocol_sha256(protocol) for protocol in one.protocols}
        assert len(digests) == len(one.protocols)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Shift().seed = 3
