"""Which views of which images a job sees."""

import shutil

import pytest
from torch import nn

from tests.small_benchmarks import write_benchmarks
from tests.train_entry.evaluation.encoding import ALONE
from train_entry.errors import DataError
from train_entry.evaluation.jobs import known_benchmarks, plan_jobs
from train_entry.evaluation.options import EvaluateOptions
from train_entry.evaluation.shown import Shown
from train_entry.evaluation.torch_encoder import TorchEncoder


class Widths(nn.Module):
    """How wide an image is, as its only feature."""

    def forward(self, images):
        return images.new_full((len(images), 1), images.shape[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    write_benchmarks(folder / "root", folder / "definitions")
    return folder


def shown(folder, root, name, protocol):
    """A job and what it sees."""
    options = EvaluateOptions(
        model="none",
        root=str(root),
        output=str(root.parent / "output"),
        benchmarks=(name,),
        protocols=(protocol,),
        workers=0,
    )
    known = known_benchmarks(map(str, sorted((folder / "definitions").glob("*.toml"))))
    (job,) = plan_jobs(known, options)[0]
    seen = Shown(TorchEncoder(Widths()).placed(ALONE, "widths"), options)
    seen.extract(job)
    return job, seen


def test_a_classifier_is_trained_by_its_own_numbers_and_tested_by_those_of_the_set(folder):
    path = folder / "definitions/small-shifted-digits.toml"
    before, probe, after = path.read_text().partition("[recipe.shift.probe]\n")
    path.write_text(before + probe + after.replace("crop_px = 40", "crop_px = 32"))
    job, seen = shown(folder, folder / "root", "small-shifted-digits", "shift")
    roles = seen.tests(job)["test"]
    assert {role: set(one.taps["pool"].flatten().tolist()) for role, one in roles.items()} == {
        "train": {32},
        "test": {40},
    }


def test_a_part_of_which_nothing_can_be_decoded_says_why(folder, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(folder / "root/small-digits", root / "small-digits")
    for path in (root / "small-digits/train").glob("*/*.png"):
        path.write_bytes(b"no image")
    job, seen = shown(folder, root, "small-digits", "nearest_neighbors")
    with pytest.raises(DataError, match=r"small-digits/train: expected images .* none of 300: .+"):
        seen.tests(job)
    assert seen.counts(job)[1] == {"small-digits/train": 300, "small-digits/test": 0}
