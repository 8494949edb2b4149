import pytest

from ingest.benchmark_lists.formats import FORMATS
from pipelines.command import main
from schemas.benchmarks import load_benchmarks
from tests.ingest.benchmark_lists.annotated_archives import put_cars, put_kitti


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def told(capsys):
    return " ".join(capsys.readouterr().out.split())


def put_queries(root, count):
    folder = root / "im2gps" / "query"
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(b"a picture")


def test_list_names_every_benchmark(capsys):
    assert main(["benchmarks", "list"]) == 0
    text = told(capsys)
    assert f"{len(load_benchmarks())} benchmarks" in text
    assert all(name in text for name in load_benchmarks())
    assert "imagenet-1k │ object │ val │ 50,000 │ linear_probe, fine_tune" in text


def test_show_tells_everything_and_where_to_put_the_files(capsys):
    assert main(["benchmarks", "show", "clevr-count"]) == 0
    text = told(capsys)
    for part in (
        "CLEVR, number of objects (clevr-count)",
        "licence: CC BY 4.0",
        "shares images with: clevr-distance",
        "task: ordinal: A class of an ordered scale",
        "protocol: linear_probe: A linear classifier on frozen features. train: train test: val",
        "resize_px 224, stretch True, target number of objects, epochs 50, schedule cosine",
        "weight_decay 0.0005, momentum 0.9, nesterov True, batch 256",
        "SHA-256: ",
        "field label: column [label, count]",
        "match: perceptual False, note Small objects",
        "split val: 15,000, cleaned",
        "folder clevr-count/CLEVR_v1.0/images/val",
        "parquet clevr-count/val-*.parquet",
    ):
        assert part in text


def test_show_tells_what_others_reported(capsys):
    assert main(["benchmarks", "show", "dollar-street"]) == 0
    text = told(capsys)
    assert "train: imagenet-22k-household:train test: all" in text
    assert "published: SEER RG-10B: low 0.597, medium 0.785, high 0.866, Africa 0.659" in text
    assert "(Oquab et al. 2023 (DINOv2), arXiv:2304.07193, table 12)" in text


def test_show_tells_where_labels_and_other_facts_stand(capsys):
    assert main(["benchmarks", "show", "stl-10"]) == 0
    text = told(capsys)
    assert "field label: column [label, cls], folder 1 split train" in text
    assert "the column path of a list stl-10/SPLIT.csv names them" in text
    assert "KEY.json, KEY.cls or KEY.txt beside KEY.png" in text
    assert main(["benchmarks", "show", "roxford"]) == 0
    assert "field easy: column [easy], separator ' ' field hard" in told(capsys)
    assert main(["benchmarks", "show", "coco"]) == 0
    assert "KEY.json" not in told(capsys)


def test_show_tells_of_a_probe_within_a_protocol_how_it_is_trained(capsys):
    assert main(["benchmarks", "show", "openimages-miap"]) == 0
    text = told(capsys)
    assert "of this set: resize_px 224, stretch True" in text
    probe = text[text.index("probe {") : text.index("SHA-256")]
    assert all(text in probe for text in ("epochs 105", "resize_px 256", "stretch False"))
    assert "test [" not in probe


def test_show_tells_why_a_benchmark_is_not_evaluated_on(capsys):
    assert main(["benchmarks", "show", "coco"]) == 0
    assert "not evaluated: Needs a detector" in told(capsys)


@pytest.mark.parametrize("name", load_benchmarks())
def test_every_benchmark_can_be_shown(name, capsys):
    assert main(["benchmarks", "show", name]) == 0
    assert f"({name})" in told(capsys)


def test_check_finds_what_is_complete(tmp_path, capsys):
    put_queries(tmp_path, 237)
    assert main(["benchmarks", "check", f"--root={tmp_path}"]) == 0
    assert "im2gps │ test │ yes │ folder: query │ 1 │ 237 │ 237" in told(capsys)


def test_check_fails_on_another_number_of_images(tmp_path, capsys):
    put_queries(tmp_path, 5)
    assert main(["benchmarks", "check", f"--root={tmp_path}"]) == 1
    assert "im2gps/test: expected 237 images, got 5 in folder: query" in told(capsys)


def test_check_goes_on_after_a_broken_file_and_fails(tmp_path, capsys):
    put_queries(tmp_path, 237)
    for name in ("cifar-10", "mnist"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test-0.parquet").write_bytes(b"no such thing " * 100)
    assert main(["benchmarks", "check", f"--root={tmp_path}"]) == 1
    text = told(capsys)
    assert "im2gps │ test │ yes │ folder: query │ 1 │ 237 │ 237" in text
    for name in ("cifar-10", "mnist"):
        assert f"{name}: {tmp_path}/{name}/test-0.parquet: expected a whole parquet file" in text


def test_check_fails_if_a_named_benchmark_is_missing(tmp_path, capsys):
    put_queries(tmp_path, 237)
    arguments = ["check", f"--root={tmp_path}", "--benchmark=im2gps", "--benchmark=mnist"]
    assert main(["benchmarks", *arguments]) == 1
    assert "mnist/test: expected one of folder mnist/test; " in told(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "show: expected the id of a benchmark, got none"),
        (["show", "imagnet-1k"], "got 'imagnet-1k'; did you mean imagenet-1k"),
        (["check"], "check: expected --root, got none"),
        (["prepare"], "prepare: expected --root, got none"),
        (
            ["prepare", "--root=x"],
            "--root: expected folders named after benchmarks, got none of 15",
        ),
        (["prepare", "roxford", "--root=x"], "expected --benchmark roxford, got 'roxford'"),
        (["check", "--root=x"], "--root: expected folders named after benchmarks, got none of"),
        (["check", "--root=x", "--benchmark=y"], "benchmarks, got 'y'"),
        (["list", "--rooot=x"], "expected a flag of this command, got --rooot=x"),
        (["list", "mnist"], "list: expected no id, got 'mnist'"),
        (["check", "mnist", "--root=x"], "check: expected --benchmark mnist, got 'mnist'"),
    ],
)
def test_wrong_arguments_are_told_with_both_sides(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmarks", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_check_takes_no_folders_for_classes_that_are_none(tmp_path, capsys):
    for place in ("patient_004_node_4", "patient_009_node_1", "patient_010_node_4"):
        folder = tmp_path / "camelyon17" / "camelyon17_v1.0" / "patches" / place
        folder.mkdir(parents=True)
        (folder / f"patch_{place}_x_3328_y_21792.png").write_bytes(b"a picture")
    assert main(["benchmarks", "check", f"--root={tmp_path}"]) == 0
    assert "remark: camelyon17/all: expected the field label of each image" in told(capsys)


def put_digits(root, *, num_classes):
    for number in range(20):
        folder = root / "stl-10" / "train" / str(number % num_classes)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(b"a picture")


def test_check_counts_classes_and_tells_images_without_one(tmp_path, capsys):
    put_queries(tmp_path, 237)
    put_digits(tmp_path, num_classes=9)
    (tmp_path / "stl-10" / "test").mkdir()
    (tmp_path / "stl-10" / "test" / "1.png").write_bytes(b"a picture")
    assert main(["benchmarks", "check", f"--root={tmp_path}", "--benchmark=stl-10"]) == 1
    text = told(capsys)
    assert "stl-10 │ train │ no │ folder: train │ 1 │ 20 │ 5,000 │ 9 │ 10" in text
    assert "stl-10/test: expected 8,000 images, got 1 in folder: test" in text
    assert "remark: stl-10/test: expected the field label of each image in column label" in text


def test_prepare_writes_lists_that_check_counts(tmp_path, capsys):
    put_kitti(tmp_path)
    put_cars(tmp_path)
    put_queries(tmp_path, 237)
    assert main(["benchmarks", "prepare", f"--root={tmp_path}"]) == 0
    text = told(capsys)
    place = f"{tmp_path}/kitti-distance/train.csv"
    assert f"kitti-distance/train: 2 images of 2 classes written to {place}" in text
    assert "stanford-cars/test: 1 images of 1 classes written to" in text
    assert "im2gps" not in text
    assert main(["benchmarks", "prepare", f"--root={tmp_path}"]) == 0
    assert f"2 images of 2 classes are there already as {place}" in told(capsys)
    named = ["--benchmark=kitti-distance"]
    assert main(["benchmarks", "check", f"--root={tmp_path}", *named]) == 1
    assert "folder: training/image_2 │ 1 │ 2 │ 7,481 │ 2 │ 4" in told(capsys)


def test_prepare_goes_on_after_broken_annotations_and_fails(tmp_path, capsys):
    put_kitti(tmp_path)
    put_cars(tmp_path)
    (tmp_path / "kitti-distance/training/label_2/000001.txt").unlink()
    assert main(["benchmarks", "prepare", f"--root={tmp_path}"]) == 1
    text = told(capsys)
    assert "stanford-cars/train: 2 images of 2 classes written to" in text
    assert "expected a file for each of 2 images, got none for 1, such as 000001.txt" in text


def test_prepare_fails_for_a_named_benchmark_that_it_cannot_read(tmp_path, capsys):
    assert main(["benchmarks", "prepare", f"--root={tmp_path}", "--benchmark=mnist"]) == 1
    assert "mnist: expected one of camelyon17, clevr-count, " in told(capsys)


@pytest.mark.parametrize("name", FORMATS)
def test_show_tells_that_prepare_writes_lists(name, capsys):
    assert main(["benchmarks", "show", name]) == 0
    assert "`uncurated benchmarks prepare` writes" in told(capsys)
