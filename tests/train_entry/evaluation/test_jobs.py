"""Which benchmarks are evaluated, by which protocols, and why others are not."""

import pytest

from tests.small_benchmarks import write_benchmarks
from train_entry.errors import ConfigError
from train_entry.evaluation.jobs import chosen_benchmarks, known_benchmarks, plan_jobs
from train_entry.evaluation.options import EvaluateOptions
from train_entry.evaluation.protocols import expect_possible
from train_entry.evaluation.whole import evaluate


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmarks") / "root"


@pytest.fixture(scope="module")
def known(root):
    """The registry, and small ones that lie below the root."""
    return known_benchmarks(write_benchmarks(root, root.parent / "definitions"))


def options(root, **told):
    return EvaluateOptions(model="none", root=str(root), output="none", **told)


def test_all_that_have_a_folder_below_the_root_are_chosen(known, root):
    found = {one.id for one in chosen_benchmarks(known, options(root))}
    assert "small-digits" in found
    # It trains others, and no figure is of it.
    assert "small-places-train" not in found
    assert all(name.startswith("small-") for name in found)


def test_a_category_stands_for_all_its_benchmarks(known, root):
    found = chosen_benchmarks(known, options(root, benchmarks=("style", "small-digits")))
    assert [one.id for one in found] == ["wikiart", "small-styles", "small-digits"]


def test_each_job_has_its_images_by_role_and_a_digest_of_its_own(known, root):
    jobs, missing = plan_jobs(known, options(root))
    assert missing == {}
    by_name = {job.name: job for job in jobs}
    digits = by_name["small-digits--linear_probe"]
    assert {role: [len(one) for one in parts] for role, parts in digits.parts.items()} == {
        "train": [300],
        "test": [200],
    }
    copies = by_name["small-copies--copy_detection"]
    assert [one.part for one in copies.parts["test"]] == list(copies.recipe.test)
    assert set(copies.parts) == {"test", "distractors"}
    assert copies.absent == {}
    # The small digits have no split `val`, on which to see what is lost.
    shifted = by_name["small-shifted-digits--shift"]
    assert "got 'val'" in shifted.absent["reference"]
    assert len({job.digest for job in jobs}) == len(jobs)


def test_images_of_another_content_are_another_job(known, root):
    before = {job.name: job.digest for job in plan_jobs(known, options(root))[0]}
    path = next((root / "small-digits/test").glob("*/*.png"))
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    try:
        after = {job.name: job.digest for job in plan_jobs(known, options(root))[0]}
    finally:
        path.write_bytes(content)
    changed = {name for name, digest in after.items() if digest != before[name]}
    assert changed == {name for name in before if name.startswith("small-digits--")}


def test_what_is_not_there_is_missing_with_the_reason(known, root):
    told = options(root, benchmarks=("oxford-pets",), protocols=("linear_probe",))
    jobs, missing = plan_jobs(known, told)
    assert jobs == []
    assert "oxford-pets/trainval: expected one of" in missing["oxford-pets--linear_probe"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"benchmarks": ("oxford-pots",)}, "expected ids .* got 'oxford-pots'"),
        ({"benchmarks": ("coco",)}, "coco: not evaluated: "),
        ({"protocols": ("magic",)}, "expected linear_probe, .* got magic"),
    ],
)
def test_names_that_are_wrong_are_told_with_what_was_expected(known, root, wrong, message):
    with pytest.raises(ConfigError, match=message):
        plan_jobs(known, options(root, **wrong))


def test_definitions_must_be_new_and_right(root, tmp_path):
    taken = tmp_path / "small-digits.toml"
    taken.write_text((root.parent / "definitions/small-digits.toml").read_text())
    with pytest.raises(ConfigError, match=r"expected an id of its own, got small-digits"):
        known_benchmarks([str(taken), str(taken)])
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("id = 3\n")
    with pytest.raises(ConfigError, match=r"wrong.toml: expected the definition of a benchmark"):
        known_benchmarks([str(wrong)])


def test_a_definition_that_is_no_text_is_refused(tmp_path):
    wrong = tmp_path / "latin.toml"
    wrong.write_bytes(b'name = "caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"latin.toml: expected the definition .*utf-8"):
        known_benchmarks([str(wrong)])


def defined(root, tmp_path, name, *changes):
    """The registry and a small benchmark that is defined otherwise."""
    text = (root.parent / f"definitions/{name}.toml").read_text()
    for old, new in (*changes, (f'id = "{name}"', 'id = "mine"')):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return known_benchmarks(map(str, (path, *(root.parent / "definitions").glob("*.toml"))))


def test_another_benchmark_that_is_not_known_is_refused(root, tmp_path):
    change = 'classes_of = "small-digits"', 'classes_of = "nowhere"'
    with pytest.raises(
        ConfigError, match=r"mine.toml: recipe.shift: expected ids of the registry, got nowhere"
    ):
        defined(root, tmp_path, "small-shifted-digits", change)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "small-tiles",
            ('metric = "top1"', 'metric = "map"'),
            "mine: recipe.nearest_neighbors: metric: expected top1, .*, got map",
        ),
        (
            "small-shifted-digits",
            ('metric = "top1"\nprotocols', 'metric = "roc_auc"\nprotocols'),
            "mine: recipe.shift: metric: expected top1, .*, got roc_auc",
        ),
        (
            "small-digits",
            ('metric = "top1"', 'metric = "worst_group"'),
            "mine: recipe.linear_probe: group_by: expected fields for worst_group, got none",
        ),
        (
            "small-styles",
            ("resize_px = 40", "resize_px = 20"),
            "mine: recipe.style_retrieval: crop_px: expected 1 to resize_px 20, got 40",
        ),
    ],
)
def test_recipes_that_cannot_be_followed_are_refused_first(root, tmp_path, name, change, message):
    mine = defined(root, tmp_path, name, change)
    with pytest.raises(ConfigError, match=message):
        plan_jobs(mine, options(root, benchmarks=("mine",)))


def test_all_recipes_of_the_registry_can_be_followed(known):
    for benchmark in known.values():
        for protocol in benchmark.protocols:
            expect_possible(benchmark.recipe_of(protocol))


def test_a_root_that_is_no_folder_is_refused(known, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"root: expected a folder of benchmarks: .*file"):
        chosen_benchmarks(known, options(tmp_path / "file"))


def test_why_there_is_nothing_to_do_is_told(root, tmp_path):
    definitions = tuple(map(str, (root.parent / "definitions").glob("*.toml")))
    told = options(root, definitions=definitions, protocols=("svm",))
    with pytest.raises(ConfigError, match="got none: the benchmarks have no protocol svm"):
        evaluate(told, None)
    with pytest.raises(ConfigError, match="got none: no folder of a benchmark in"):
        evaluate(options(tmp_path, definitions=definitions), None)


def test_an_output_that_is_no_folder_is_refused_before_anything_is_done(root, tmp_path):
    (tmp_path / "file").write_text("")
    definitions = tuple(map(str, (root.parent / "definitions").glob("*.toml")))
    told = options(root, definitions=definitions, benchmarks=("small-styles",))
    with pytest.raises(ConfigError, match=r"output: expected a folder to write to: .*file"):
        evaluate(told.model_copy(update={"output": str(tmp_path / "file")}), None)


def test_other_evaluations_are_read_before_anything_is_done(root):
    with pytest.raises(ConfigError, match=r"nowhere.json: expected the evaluation.json"):
        evaluate(options(root, compare=("nowhere.json",)), None)
