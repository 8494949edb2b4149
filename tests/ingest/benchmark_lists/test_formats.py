import pytest

from ingest.benchmark_lists.formats import FORMATS
from ingest.benchmark_lists.prepare import prepare
from ingest.errors import SetupError
from schemas.benchmarks import benchmark
from tests.ingest.benchmark_lists import annotated_archives as archives
from tests.train_entry.evaluation.image_lists import encoded
from train_entry.evaluation.examples import read_part, read_split
from train_entry.evaluation.retrieval import truths_of
from train_entry.evaluation.scores import Features
from train_entry.evaluation.transforms import Transform


def prepared(root, name):
    return list(prepare(benchmark(name), str(root)))


def facts_of(root, name, part, needed=("label",)):
    """The fields of each image of a part, by the name of its file."""
    found = read_part(benchmark(name), part, str(root), needed)
    return {
        image.rpartition("/")[2]: {field: found.fields[field][place] for field in found.fields}
        for place, image in enumerate(found.names)
    }


def labels(root, name, part):
    return {image: facts["label"] for image, facts in facts_of(root, name, part).items()}


def test_classes_and_difficult_ones_of_voc(tmp_path):
    archives.put_voc(tmp_path)
    trainval, test = prepared(tmp_path, "pascal-voc-2007")
    assert (trainval.num_images, test.num_images) == (1, 2)
    assert facts_of(tmp_path, "pascal-voc-2007", "test") == {
        "000012.jpg": {"label": ("car",), "difficult": ("person",)},
        "000017.jpg": {"label": (), "difficult": ("person",)},
    }
    assert labels(tmp_path, "pascal-voc-2007", "trainval") == {"000005.jpg": ("dog",)}


def test_imagenet_classes_of_objectnet(tmp_path):
    archives.put_objectnet(tmp_path)
    (test,) = prepared(tmp_path, "objectnet")
    assert (test.num_images, test.num_classes) == (3, 2)
    found = labels(tmp_path, "objectnet", "test")
    assert found == {"1.png": (409, 530), "2.png": (409, 530), "3.png": ()}


def test_objects_and_distances_of_clevr(tmp_path):
    archives.put_clevr(tmp_path)
    prepared(tmp_path, "clevr-count")
    assert labels(tmp_path, "clevr-count", "train") == {"CLEVR_train_000000.png": 3}
    assert labels(tmp_path, "clevr-count", "val") == {"CLEVR_val_000000.png": 4}
    # The other task reads the same images and the same list.
    assert labels(tmp_path, "clevr-distance", "train") == {"CLEVR_train_000000.png": 0}
    assert labels(tmp_path, "clevr-distance", "val") == {"CLEVR_val_000000.png": 4}
    assert not any(one.is_new for one in prepared(tmp_path, "clevr-distance"))


def test_distances_of_clevr_in_a_folder_of_their_own(tmp_path):
    archives.put_clevr(tmp_path, "clevr-distance")
    prepared(tmp_path, "clevr-distance")
    assert labels(tmp_path, "clevr-distance", "val") == {"CLEVR_val_000000.png": 4}


def test_nearest_vehicles_of_kitti(tmp_path):
    archives.put_kitti(tmp_path)
    (train,) = prepared(tmp_path, "kitti-distance")
    assert train.num_classes == 2
    assert (tmp_path / "kitti-distance/train.csv").read_text().splitlines() == [
        "path,distance",
        "training/image_2/000000.png,12.5",
        "training/image_2/000001.png,-1",
    ]
    found = read_split(benchmark("kitti-distance"), "train", str(tmp_path))
    assert found.fields["label"] == [2, 0]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["roxford", "rparis"])
def test_relations_of_queries(tmp_path, name, protocol):
    archives.put_revisited(tmp_path, name, protocol)
    (whole,) = prepared(tmp_path, name)
    assert (whole.num_images, whole.num_classes) == (5, None)
    queries = facts_of(tmp_path, name, "queries", ())
    assert queries["all_souls_000013.jpg"] == {
        "role": "queries",
        "easy": ("worcester_000194", "all_souls_000026"),
        "hard": (),
        "junk": ("oxford_002904",),
        "box": (136.5, 34.1, 648.5, 955.7),
    }
    other = queries["balliol_000051.jpg"]
    assert (other["easy"], other["hard"]) == ((), ("oxford_002904",))
    gallery = read_part(benchmark(name), "gallery", str(tmp_path), ())
    asked = read_part(benchmark(name), "queries", str(tmp_path), ())
    truths, lost = truths_of(
        Features(asked.names, {}, asked.fields), Features(gallery.names, {}, gallery.fields)
    )
    assert lost == 0
    assert truths["medium"].relevant[0].tolist() == [0, 2]


def test_the_gallery_is_not_cut(tmp_path):
    archives.put_revisited(tmp_path)
    prepared(tmp_path, "roxford")
    gallery = read_part(benchmark("roxford"), "gallery", str(tmp_path), ())
    transform = Transform(40, 32)
    for box in gallery.fields["box"]:
        with_box = transform(encoded(1), "1.png", box)
        assert (with_box == transform(encoded(1), "1.png")).all()


def test_images_that_the_annotations_do_not_name_are_told_and_left_out(tmp_path):
    archives.put_revisited(tmp_path, "rparis")
    archives.put(tmp_path / "rparis/jpg/paris_louvre_000136.jpg")
    (whole,) = prepared(tmp_path, "rparis")
    assert whole.num_unknown == 1
    assert str(whole).endswith("; without annotation: 1")
    assert len(read_part(benchmark("rparis"), "gallery", str(tmp_path), ())) == 3


def test_hostile_pickles_of_relations_are_refused(tmp_path):
    archives.put_revisited(tmp_path)
    archives.put(tmp_path / "roxford/gnd_roxford5k.pkl", b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(SetupError, match=r"gnd_roxford5k.pkl: expected imlist.* got os.system"):
        prepared(tmp_path, "roxford")
    assert not (tmp_path / "roxford/all.csv").exists()


@pytest.mark.parametrize(
    "place", ["cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"]
)
def test_classes_of_cars(tmp_path, place):
    archives.put_cars(tmp_path, place)
    train, _ = prepared(tmp_path, "stanford-cars")
    assert (train.num_images, train.num_classes) == (2, 2)
    assert labels(tmp_path, "stanford-cars", "train") == {"00001.jpg": 14, "00002.jpg": 3}
    assert labels(tmp_path, "stanford-cars", "test") == {"00001.jpg": 181}


def test_classes_and_parts_of_dogs(tmp_path):
    archives.put_dogs(tmp_path)
    prepared(tmp_path, "stanford-dogs")
    train = labels(tmp_path, "stanford-dogs", "train")
    assert train == {"n01_5927.jpg": 1, "n02_4396.jpg": 2}
    assert labels(tmp_path, "stanford-dogs", "test") == {"n01_2650.jpg": 1}


def test_classes_and_parts_of_flowers(tmp_path):
    archives.put_flowers(tmp_path)
    prepared(tmp_path, "oxford-flowers")
    train = labels(tmp_path, "oxford-flowers", "train")
    assert train == {"image_00002.jpg": 77, "image_00003.jpg": 3, "image_00005.jpg": 102}
    test = labels(tmp_path, "oxford-flowers", "test")
    assert test == {"image_00001.jpg": 77, "image_00004.jpg": 5}


@pytest.mark.parametrize(("name", "folder"), [("cub-200", "CUB_200_2011"), ("nabirds", "nabirds")])
def test_classes_and_parts_of_birds(tmp_path, name, folder):
    archives.put_birds(tmp_path, name, folder)
    prepared(tmp_path, name)
    assert labels(tmp_path, name, "train") == {"b.jpg": 1, "c.jpg": 2}
    assert labels(tmp_path, name, "test") == {"a.jpg": 1}


def test_hospitals_part_the_patches_of_camelyon(tmp_path):
    archives.put_camelyon(tmp_path)
    prepared(tmp_path, "camelyon17")
    parts = {"train": ("004", 1), "id_val": ("009", 0), "val": ("021", 1), "test": ("044", 0)}
    for part, (patient, tumor) in parts.items():
        image = f"patch_patient_{patient}_node_4_x_3328_y_21792.png"
        assert labels(tmp_path, "camelyon17", part) == {image: tumor}


def test_years_part_the_images_of_fmow(tmp_path):
    archives.put_fmow(tmp_path)
    (whole,) = prepared(tmp_path, "fmow")
    assert (whole.num_images, whole.num_unknown) == (7, 1)
    regions = {
        **{"train": (0, "Europe"), "id_val": (1, ""), "id_test": (2, "")},
        **{"val": (3, "Europe"), "test": (4, "Europe")},
    }
    for part, (number, region) in regions.items():
        found = facts_of(tmp_path, "fmow", part, ("label", "region"))
        facts = {"label": "airport", "split": part, "region": region}
        assert found == {f"rgb_img_{number}.png": facts}


def test_things_and_households_of_dollar_street(tmp_path):
    archives.put_dollar_street(tmp_path)
    (whole,) = prepared(tmp_path, "dollar-street")
    assert (whole.num_images, whole.num_classes) == (3, 4)
    needed = ("label", "household", "income", "region")
    found = facts_of(tmp_path, "dollar-street", "all", needed)
    poor = {"household": "5d4bd", "income": "45.5", "region": "Africa"}
    rich = {"household": "5d4bc", "income": "2001.0", "region": "Europe"}
    assert found == {
        "5d4be.jpg": {"label": ("bathroom/toilet", "soap for hands and body"), **poor},
        "5d4bf.jpg": {"label": ("home",), **poor},
        "5d4c0.jpg": {"label": ("diapers (or baby-pants)",), **rich},
    }


PUT = {
    "camelyon17": archives.put_camelyon,
    "clevr-count": archives.put_clevr,
    "clevr-distance": lambda root: archives.put_clevr(root, "clevr-distance"),
    "cub-200": archives.put_birds,
    "dollar-street": archives.put_dollar_street,
    "fmow": archives.put_fmow,
    "kitti-distance": archives.put_kitti,
    "nabirds": lambda root: archives.put_birds(root, "nabirds", "nabirds"),
    "objectnet": archives.put_objectnet,
    "oxford-flowers": archives.put_flowers,
    "pascal-voc-2007": archives.put_voc,
    "roxford": archives.put_revisited,
    "rparis": lambda root: archives.put_revisited(root, "rparis"),
    "stanford-cars": archives.put_cars,
    "stanford-dogs": archives.put_dogs,
}
_SUFFIXES = (".txt", ".json", ".mat", ".pkl", ".csv", "_v2")


@pytest.mark.parametrize("content", [b"", b"\xff\x80 \n no such thing {", b"[3]", None])
@pytest.mark.parametrize("name", FORMATS)
def test_each_annotation_that_is_broken_or_missing_is_an_error_of_both_sides(
    tmp_path, name, content
):
    if name == "kitti-distance" and content == b"":
        pytest.skip("an image without objects")
    PUT[name](tmp_path)
    found = [one for one in sorted(tmp_path.rglob("*")) if one.name.endswith(_SUFFIXES)]
    # Which images a split of VOC has is the layout's matter.
    for path in [one for one in found if one.name not in ("test.txt", "trainval.txt")]:
        whole = path.read_bytes()
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(SetupError, match=r"expected .* got "):
            prepared(tmp_path, name)
        path.write_bytes(whole)
        # As a split before it may be whole.
        for written in tmp_path.glob("*/t*.csv"):
            written.unlink()
    prepared(tmp_path, name)
