"""The registry's rules on the names that the original archives have."""

import json

import pytest

from schemas.benchmarks import benchmark
from tests.train_entry.evaluation.benchmark_data import images_with_paths, parquet_bytes, put
from train_entry.errors import DataError
from train_entry.evaluation.examples import read_part


def read(name, part, root, *needed):
    found = read_part(benchmark(name), part, str(root), needed or ("label",))
    fields = {field: list(found.fields[field]) for field in needed or ("label",)}
    return list(found.names), fields


def test_imagenet_val_of_kaggle_has_its_labels_in_a_list(tmp_path):
    put(tmp_path, "imagenet-1k/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG")
    rows = "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 111 108 249 346 \n"
    put(tmp_path, "imagenet-1k/LOC_val_solution.csv", content=rows)
    assert read("imagenet-1k", "val", tmp_path)[1] == {"label": ["n01751748"]}


def test_aircraft_variants_are_the_rest_of_a_line(tmp_path):
    put(tmp_path, "fgvc-aircraft/fgvc-aircraft-2013b/data/images/0034309.jpg")
    lists = "fgvc-aircraft/fgvc-aircraft-2013b/data/images_variant_test.txt"
    put(tmp_path, lists, content="0034309 Boeing 737-700\n")
    assert read("fgvc-aircraft", "test", tmp_path)[1] == {"label": ["Boeing 737-700"]}


def test_memes_are_divided_by_their_lists(tmp_path):
    for number, part in enumerate(("train", "dev_seen", "test_seen", "test_unseen")):
        put(tmp_path, f"hateful-memes/img/0{number}.png")
        row = {"id": number, "img": f"img/0{number}.png", "label": number % 2, "text": part}
        put(tmp_path, f"hateful-memes/{part}.jsonl", content=json.dumps(row) + "\n")
    for number, (part, text) in enumerate(
        (("train", "train"), ("val", "dev_seen"), ("test", "test_seen"))
    ):
        names, fields = read("hateful-memes", part, tmp_path, "label", "text")
        assert names == [f"img/0{number}.png"]
        assert fields == {"label": [number % 2], "text": [text]}


def test_clips_of_ucf101_are_divided_by_their_groups(tmp_path):
    names = [f"v_Archery_g{group:02d}_c01.jpg" for group in (1, 7, 8, 25)]
    put(tmp_path, *(f"ucf101/UCF-101-midframes/{name}" for name in names))
    test, fields = read("ucf101", "test", tmp_path)
    assert [name.rpartition("/")[2] for name in test] == names[:2]
    assert fields == {"label": ["Archery", "Archery"]}
    assert len(read("ucf101", "train", tmp_path)[0]) == 2


def test_parquet_files_named_after_parts_divide(tmp_path):
    for part in ("train", "test"):
        columns = {"image": images_with_paths(f"{part}.jpg"), "label": [3]}
        put(tmp_path, f"stanford-dogs/data/{part}-0.parquet", content=parquet_bytes(columns))
    assert read("stanford-dogs", "test", tmp_path)[0] == ["data/test-0.parquet#0"]
    assert read("stanford-dogs", "train", tmp_path)[0] == ["data/train-0.parquet#0"]


def test_faces_tell_age_and_gender_by_their_names(tmp_path):
    put(tmp_path, "utkface/UTKFace/26_1_2_20170116.jpg.chip.jpg")
    put(tmp_path, "utkface/UTKFace/100_0_0_20170112.jpg.chip.jpg")
    _, fields = read("utkface", "all", tmp_path, "gender", "age")
    assert fields == {"gender": ["male", "female"], "age": ["100", "26"]}


def test_regions_of_geode_stand_in_its_table(tmp_path):
    rows = [f"images/001.hand_soap/{number}.jpg,hand_soap,{number % 2}" for number in range(10)]
    put(tmp_path, *(f"geode/geode/{row.partition(',')[0]}" for row in rows))
    rows = "file_path,object,region\n" + "\n".join(rows) + "\n"
    put(tmp_path, "geode/geode/index.csv", content=rows)
    names, fields = read("geode", "test", tmp_path, "label", "region")
    assert fields == {
        "label": ["hand_soap"] * len(names),
        "region": [str(int(name[-5]) % 2) for name in names],
    }


def test_copies_of_an_original_are_of_one_block(tmp_path):
    put(tmp_path, "copydays/copydays/original/200000.jpg", "copydays/copydays/strong/200001.jpg")
    put(tmp_path, "copydays/copydays/jpegqual/3/200002.jpg")
    for part, strength in (("original", ""), ("strong", ""), ("jpegqual", "3")):
        _, fields = read("copydays", part, tmp_path, "block", "subset", "strength")
        assert fields == {"block": ["2000"], "subset": [part], "strength": [strength]}


def test_distances_are_binned(tmp_path):
    put(tmp_path, *(f"clevr-distance/images/val/{place}.png" for place in range(4)))
    rows = "path,distance\n0.png,7.99\n1.png,8\n2.png,9.75\n3.png,12\n"
    put(tmp_path, "clevr-distance/val.csv", content=rows)
    assert read("clevr-distance", "val", tmp_path)[1] == {"label": [0, 1, 4, 5]}


def test_words_stand_for_what_people_said(tmp_path):
    put(tmp_path, "casual-conversations/mini-test/a.png", "casual-conversations/mini-test/b.png")
    rows = "path,gender,skin_tone,age\na.png,Female,3,29\nb.png,Male,4,70\n"
    put(tmp_path, "casual-conversations/mini-test.csv", content=rows)
    facts = ("gender", "skin_tone", "age")
    _, fields = read("casual-conversations", "mini-test", tmp_path, *facts)
    assert fields == {
        "gender": ["female", "male"],
        "skin_tone": ["lighter", "darker"],
        "age": ["18-30", "70+"],
    }


def test_what_is_no_number_cannot_be_binned(tmp_path):
    put(tmp_path, "casual-conversations/mini-test/a.png")
    rows = "path,gender,skin_tone,age\na.png,Female,3,young\n"
    put(tmp_path, "casual-conversations/mini-test.csv", content=rows)
    with pytest.raises(DataError, match=r"mini-test: age: expected a number for bins, got 'young'"):
        read("casual-conversations", "mini-test", tmp_path, "age")


def test_several_classes_of_an_image_are_a_tuple(tmp_path):
    put(tmp_path, "pascal-voc-2007/test/000001.jpg", "pascal-voc-2007/test/000002.jpg")
    rows = "path,label\n000001,dog; person\n000002,train\n"
    put(tmp_path, "pascal-voc-2007/test.csv", content=rows)
    labels = [("dog", "person"), ("train",)]
    assert read("pascal-voc-2007", "test", tmp_path)[1] == {"label": labels}


def test_the_corruptions_of_imagenet_c_are_its_folders(tmp_path):
    put(tmp_path, *(f"imagenet-c/{kind}/x/1/n01/a.JPEG" for kind in ("blur", "digital", "noise")))
    put(tmp_path, "imagenet-c/weather/frost/5/n02/a.JPEG")
    names, fields = read("imagenet-c", "all", tmp_path, "label", "corruption", "severity")
    assert names[-1] == "weather/frost/5/n02/a.JPEG"
    assert [values[-1] for values in fields.values()] == ["n02", "frost", "5"]


def test_places_of_met_come_from_its_lists(tmp_path):
    put(tmp_path, "met/images/MET/7/0.jpg", "met/images/MET/8/0.jpg")
    rows = [{"id": 7, "path": "MET/7/0.jpg"}, {"id": 8, "path": "MET/8/0.jpg"}]
    put(tmp_path, "met/ground_truth/MET_database.json", content=json.dumps(rows))
    names, fields = read("met", "exhibits", tmp_path, "instance")
    assert names == ["images/MET/7/0.jpg", "images/MET/8/0.jpg"]
    assert fields == {"instance": [7, 8]}
