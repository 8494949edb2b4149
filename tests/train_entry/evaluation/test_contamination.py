"""What is said of a test set's images in the training data."""

import pytest

from schemas.benchmarks import benchmark
from schemas.certificate import Certificate, Recall, SetCertificate
from schemas.evaluation import SetRecord
from schemas.manifest import DATASET_FILE, DatasetRecord
from schemas.tombstone import Decontamination
from tests.train_entry.datasets import make_dataset
from train_entry.errors import DataError
from train_entry.evaluation.contamination import TrainingData, contamination_of

PETS = benchmark("oxford-pets")
FILES = {"tombstones/0123-00000.parquet": "a" * 64, "tombstones/0123-00001.parquet": "b" * 64}


def certificate(**sets):
    protected = SetRecord.model_construct(num_images=10)
    return Certificate.model_construct(
        sets={
            name.replace("_", "-"): SetCertificate.model_construct(
                protected=protected, exact_copies=exact, near_copies=near, recall=recall
            )
            for name, (exact, near, recall) in sets.items()
        }
    )


def data(at_build=None, later=None, obeyed=None):
    seal = DatasetRecord.model_construct(certificate=at_build, merkle_root="c" * 64)
    records = [
        Decontamination.model_construct(certificate=one, tombstone_files=FILES)
        for one in ([later] if later else [])
    ]
    return TrainingData("here", seal, records, obeyed or {})


def test_without_training_data_nothing_is_claimed():
    told = contamination_of(PETS, None)
    assert told.matched is None
    assert told.sentence == "training data not known."


def test_a_set_that_was_never_compared_is_told():
    others = certificate(mnist=(1, 2, Recall.of(9, 10)))
    told = contamination_of(PETS, data(others))
    assert told.matched is False
    assert "never compared" in told.sentence


def test_what_was_removed_while_building_stands_with_recall_and_residual():
    told = contamination_of(PETS, data(certificate(oxford_pets=(3, 18, Recall.of(90, 100)))))
    assert (told.exact_removed, told.near_removed) == (3, 18)
    assert (told.exact_left, told.near_left) == (0, 0)
    low, high = told.residual
    # Of 20 copies 18 are found at a recall of 90 %; 10.7 to 28.4 are the limits of 18.
    assert low == pytest.approx(10.668 * (1 - 0.944772) / 0.944772, rel=1e-3)
    assert high == pytest.approx(28.448 * (1 - 0.825633) / 0.825633, rel=1e-3)
    assert "3 exact and 18 near copies" in told.sentence
    assert "90.0% (82.6% to 94.5%, 100 planted copies)" in told.sentence
    assert "CONTAMINATED" not in told.sentence


def test_copies_that_were_found_after_training_are_told_first():
    found = certificate(oxford_pets=(7, 5, Recall.of(50, 50)))
    told = contamination_of(PETS, data(later=found))
    assert (told.exact_left, told.near_left) == (7, 5)
    assert (told.exact_removed, told.near_removed) == (0, 0)
    assert told.sentence.startswith("CONTAMINATED: trained on 7 exact and 5 near copies")


def test_tombstones_that_the_run_obeyed_are_removals_before_training():
    found = certificate(oxford_pets=(7, 5, Recall.of(50, 50)))
    told = contamination_of(PETS, data(later=found, obeyed=FILES))
    assert (told.exact_left, told.exact_removed, told.near_removed) == (0, 7, 5)


@pytest.mark.parametrize("place", list(FILES))
def test_a_run_that_lacked_one_of_the_tombstone_files_has_read_copies(place):
    found = certificate(oxford_pets=(7, 5, Recall.of(50, 50)))
    obeyed = {**FILES, place: "0" * 64}
    assert contamination_of(PETS, data(later=found, obeyed=obeyed)).exact_left == 7


def test_images_that_another_benchmark_protects_count_for_those_that_share_them():
    shared = certificate(imagenet_1k=(4, 0, Recall.of(10, 10)))
    told = contamination_of(benchmark("imagenet-real"), data(shared))
    assert told.matched is True
    assert told.exact_removed == 4


def test_where_no_near_copy_was_found_some_may_be_left():
    told = contamination_of(PETS, data(certificate(oxford_pets=(3, 0, Recall.of(50, 100)))))
    low, high = told.residual
    assert low == 0
    assert high == pytest.approx(3.689 * (1 - 0.403833) / 0.403833, rel=1e-3)


def test_a_detector_that_found_no_planted_copy_leaves_a_finite_bound():
    low, high = contamination_of(
        PETS, data(certificate(oxford_pets=(0, 0, Recall.of(0, 10))))
    ).residual
    assert low == 0
    assert high == pytest.approx(3.689 * 10, rel=1e-3)


def test_without_canaries_no_recall_is_claimed():
    told = contamination_of(PETS, data(certificate(oxford_pets=(1, 1, Recall.of(0, 0)))))
    assert told.residual is None
    assert "recall was not measured" in told.sentence


def test_a_dataset_of_another_root_is_refused_with_both(tmp_path):
    make_dataset(tmp_path, [[b"one", b"two"]])
    root = DatasetRecord.model_validate_json((tmp_path / DATASET_FILE).read_text()).merkle_root
    assert TrainingData.open(str(tmp_path), root, {}).seal.merkle_root == root
    with pytest.raises(DataError, match=f"Merkle root {'0' * 64}, got {root}"):
        TrainingData.open(str(tmp_path), "0" * 64, {})
