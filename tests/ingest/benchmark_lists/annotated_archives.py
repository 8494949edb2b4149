"""Small archives with annotations as the official ones have them; images are a few bytes."""

import json
import pickle

import numpy as np
from scipy.io import savemat

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)


def put(path, content=b"a picture"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def put_json(path, value):
    put(path, json.dumps(value))


def put_mat(path, **values):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, values)


def put_voc(root):
    """Image 000012 shows a car and a difficult person, 000017 only a difficult person, the other
    splits' a dog."""
    folder = root / "pascal-voc-2007/VOCdevkit/VOC2007"
    shown = {
        "test": {"000012": {"car": 1, "person": 0}, "000017": {"person": 0}},
        "trainval": {"000005": {"dog": 1}},
    }
    for split, images in shown.items():
        for image in images:
            put(folder / f"JPEGImages/{image}.jpg")
        put(folder / f"ImageSets/Main/{split}.txt", "".join(f"{one}\n" for one in images))
        for name in VOC_CLASSES:
            lines = [f"{image} {of.get(name, -1):2d}\n" for image, of in images.items()]
            put(folder / f"ImageSets/Main/{name}_{split}.txt", "".join(lines))


def put_objectnet(root):
    folder = root / "objectnet/objectnet-1.0"
    for name in ("alarm_clock/1.png", "alarm_clock/2.png", "air_freshener/3.png"):
        put(folder / "images" / name)
    mappings = folder / "mappings"
    put_json(
        mappings / "folder_to_objectnet_label.json",
        {"air_freshener": "Air freshener", "alarm_clock": "Alarm clock"},
    )
    put_json(
        mappings / "objectnet_to_imagenet_1k.json",
        {"Alarm clock": "analog clock; digital clock, with a comma"},
    )
    put(
        mappings / "imagenet_to_label_2012_v2",
        "kit fox, Vulpes macrotis\ndigital clock, with a comma\nanalog clock\n",
    )
    put_json(mappings / "pytorch_to_imagenet_2012_id.json", {"278": 0, "409": 2, "530": 1})


def put_clevr(root, name="clevr-count"):
    """In `train` three objects, the nearest at 7.25, in `val` four, the nearest at 9.75."""
    for split, depths in (("train", (11.5, 7.25, 12.0)), ("val", (9.75, 10, 11, 12))):
        image = f"CLEVR_{split}_000000.png"
        put(root / name / "CLEVR_v1.0/images" / split / image)
        objects = [{"pixel_coords": [3, 4, depth], "shape": "cube"} for depth in depths]
        scene = {"image_index": 0, "image_filename": image, "split": split, "objects": objects}
        put_json(
            root / name / f"CLEVR_v1.0/scenes/CLEVR_{split}_scenes.json",
            {"info": {"version": "1.0"}, "scenes": [scene]},
        )


def put_kitti(root):
    """One image with a truck before a car, one with a pedestrian alone."""
    place = "0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 {} -1.56"
    texts = {
        "000000": ("Car", 69.44, "Truck", 12.5, "Pedestrian", 3.0),
        "000001": ("Pedestrian", 8.41, "DontCare", -1000),
    }
    for name, (*objects,) in texts.items():
        put(root / f"kitti-distance/training/image_2/{name}.png")
        pairs = zip(objects[::2], objects[1::2], strict=True)
        lines = [f"{kind} {place.format(z)}\n" for kind, z in pairs]
        put(root / f"kitti-distance/training/label_2/{name}.txt", "".join(lines))


def put_revisited(root, name="roxford", protocol=4):
    """Two queries, whose lists have no image, one or two."""
    file = {"roxford": "gnd_roxford5k.pkl", "rparis": "gnd_rparis6k.pkl"}[name]
    gallery = ["all_souls_000026", "oxford_002904", "worcester_000194"]
    query = {
        "bbx": np.array([136.5, 34.1, 648.5, 955.7]),
        "easy": np.array([2, 0]),
        "hard": np.array([], np.int64),
        "junk": np.array([1], np.int32),
    }
    other = query | {"easy": query["hard"], "hard": query["junk"], "junk": query["easy"]}
    queries = ["all_souls_000013", "balliol_000051"]
    content = {"imlist": gallery, "qimlist": queries, "gnd": [query, other]}
    put(root / name / file, pickle.dumps(content, protocol=protocol))
    for image in (*gallery, *queries):
        put(root / name / f"jpg/{image}.jpg")


def put_cars(root, labels="cars_test_annos_withlabels.mat"):
    for split, classes in (("train", (14, 3)), ("test", (181,))):
        rows = []
        for number, label in enumerate(classes, 1):
            put(root / f"stanford-cars/cars_{split}/{number:05}.jpg")
            rows.append((39, 116, 569, 375, label, f"{number:05}.jpg"))
        names = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
        table = np.array([rows], [(name, object) for name in names])
        file = "devkit/cars_train_annos.mat" if split == "train" else labels
        put_mat(root / "stanford-cars" / file, annotations=table)


def put_dogs(root):
    for name in ("n01-Dog/n01_5927.jpg", "n02-Dog/n02_4396.jpg", "n01-Dog/n01_2650.jpg"):
        put(root / "stanford-dogs/Images" / name)
    for part, names, labels in (
        ("train", ["n01-Dog/n01_5927.jpg", "n02-Dog/n02_4396.jpg"], [[1], [2]]),
        ("test", ["n01-Dog/n01_2650.jpg"], [[1]]),
    ):
        cells = np.array([[name] for name in names], object)
        put_mat(root / f"stanford-dogs/{part}_list.mat", file_list=cells, labels=np.array(labels))


def put_flowers(root):
    for number in range(1, 6):
        put(root / f"oxford-flowers/jpg/image_{number:05}.jpg")
    put_mat(root / "oxford-flowers/imagelabels.mat", labels=np.array([[77, 77, 3, 5, 102]]))
    parts = {"trnid": [[2, 5]], "valid": [[3]], "tstid": [[1, 4]]}
    put_mat(root / "oxford-flowers/setid.mat", **parts)


def put_birds(root, name="cub-200", folder="CUB_200_2011"):
    above = root / name / folder
    put(above / "images.txt", "1 001.Auk/a.jpg\n2 001.Auk/b.jpg\n3 002.Owl/c.jpg\n")
    put(above / "image_class_labels.txt", "1 1\n2 1\n3 2\n")
    put(above / "train_test_split.txt", "1 0\n2 1\n3 1\n")
    for image in ("001.Auk/a.jpg", "001.Auk/b.jpg", "002.Owl/c.jpg"):
        put(above / "images" / image)


def put_camelyon(root):
    """A patch of each part, named as the part."""
    folder = root / "camelyon17/camelyon17_v1.0"
    lines = [",patient,node,x_coord,y_coord,tumor,slide,center,split"]
    for number, (patient, center, split, tumor) in enumerate(
        (("004", 0, 0, 1), ("009", 3, 1, 0), ("021", 1, 0, 1), ("044", 2, 1, 0))
    ):
        lines.append(f"{number},{patient},4,3328,21792,{tumor},{number},{center},{split}")
        slide = f"patient_{patient}_node_4"
        put(folder / f"patches/{slide}/patch_{slide}_x_3328_y_21792.png")
    put(folder / "metadata.csv", "\n".join(lines) + "\n")


def put_fmow(root):
    """Images 0 to 7: each part, two of no part, and one that is held back."""
    folder = root / "fmow/fmow_v1.1"
    put(
        folder / "country_code_mapping.csv",
        "name,alpha-2,alpha-3,region\nFrance,FR,FRA,Europe\nAntarctica,AQ,ATA,\n",
    )
    lines = ["split,img_filename,country_code,category,timestamp"]
    rows = (
        *(("train", "FRA", 2011), ("val", "ATA", 2012), ("test", "XXX", 2012)),
        *(("val", "FRA", 2013), ("test", "FRA", 2016), ("train", "FRA", 2014)),
        *(("val", "FRA", 2016), ("seq", "FRA", 2011)),
    )
    for number, (split, country, year) in enumerate(rows):
        lines.append(f"{split},x_{number}.jpg,{country},airport,{year}-11-27T08:20:04Z")
        put(folder / f"images/rgb_img_{number}.png")
    put(folder / "rgb_metadata.csv", "\n".join(lines) + "\n")


def put_dollar_street(root):
    """Two photographs of one household, and one of another."""
    folder = root / "dollar-street/dataset_dollarstreet"
    lines = ["id,country.name,country.id,region.id,type,imageRelPath,topics,place,income"]
    for image, place, region, income, topics in (
        ("5d4be", "5d4bd", "af", "45.5", "\"['bathroom/toilet', 'soap for hands and body']\""),
        ("5d4bf", "5d4bd", "af", "45.5", "['home']"),
        ("5d4c0", "5d4bc", "eu", "2001.0", "\"['diapers (or baby-pants)']\""),
    ):
        path = f"assets/{image}/{image}.jpg"
        put(folder / path)
        lines.append(f"{image},Malawi,mw,{region},image,{path},{topics},{place},{income}")
    put(folder / "images_v2.csv", "\n".join(lines) + "\n")
