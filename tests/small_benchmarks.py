"""Small benchmarks of real pictures that install with the tests, on disk in every layout.

ROOT/<id>/... and a definition of each, as one writes for a benchmark of one's own.
"""

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

from ingest.miniweb.pictures import source
from tests.clutter import png_of
from tests.photo_tiles import photo_tiles

PX = 40
NUM_TRAIN, NUM_TEST = 300, 200
# More of these, so that a difference in what was learned shows.
NUM_TILES = 900
_COPIED = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg"),
    *("retina.jpg", "china.jpg", "flower.jpg", "motorcycle_left.png", "ihc.png"),
)
_SHOWN = f"resize_px = {PX}\ncrop_px = {PX}\n"
_HEAD = """
id = "{id}"
name = "{id}"
home = "https://example.org/{id}"
licence = "MIT"
category = "{category}"
task = "{task}"
year = 2026
metric = "{metric}"
protocols = {protocols}
"""


def write_benchmarks(root, definitions):
    """All of them; the paths of their definitions."""
    root, definitions = Path(root), Path(definitions)
    definitions.mkdir(parents=True)
    for write in (_digits, _tiles, _copies, _shifted_digits, _styles, _places, _digit_groups):
        write(root, definitions)
    return sorted(map(str, definitions.glob("*.toml")))


def tile_files(count):
    """Tiles of photographs as PNG files with the number of the photograph, test tiles last."""
    tiles, labels = photo_tiles(count)
    return [png_of(one) for one in tiles], labels


def _digit_pictures():
    data = load_digits()
    grey = [Image.fromarray((one * (255 / 16)).astype(np.uint8)) for one in data.images]
    large = [
        np.asarray(one.resize((PX, PX), Image.Resampling.BICUBIC).convert("RGB")) for one in grey
    ]
    return large[: NUM_TRAIN + NUM_TEST], data.target


def _define(folder, name, body, **told):
    head = _HEAD.format(id=name, **{"task": "single_label", "metric": "top1", **told})
    (folder / f"{name}.toml").write_text(head + body)


def _splits(*names):
    return "".join(f'[[splits]]\nname = "{name}"\nclean = true\n' for name in names)


def _digits(root, definitions):
    """Class folders."""
    pictures, labels = _digit_pictures()
    for place, (one, label) in enumerate(zip(pictures, labels, strict=False)):
        split = "train" if place < NUM_TRAIN else "test"
        folder = root / "small-digits" / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.png").write_bytes(png_of(one))
    body = _splits("train", "test")
    for protocol in ("linear_probe", "nearest_neighbors", "low_shot", "fine_tune"):
        body += f"[recipe.{protocol}]\n{_SHOWN}"
        body += {
            "linear_probe": "epochs = 10\nmilestones = [5, 8]\n",
            "nearest_neighbors": "k = 20\n",
            "low_shot": "num_train = 100\nepochs = 10\nmilestones = [8]\n",
            "fine_tune": "epochs = 2\nmilestones = [1]\nbatch = 50\nlearning_rate = 0.5\n",
        }[protocol]
    protocols = '["linear_probe", "nearest_neighbors", "low_shot", "fine_tune"]'
    _define(definitions, "small-digits", body, category="characters", protocols=protocols)


def _tiles(root, definitions):
    """A list for each split."""
    files, labels = tile_files(NUM_TILES)
    folder = root / "small-tiles"
    (folder / "pictures").mkdir(parents=True)
    for split, places in (
        ("train", range(NUM_TRAIN)),
        ("test", range(NUM_TRAIN, NUM_TILES)),
    ):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label"])
            for place in places:
                (folder / f"pictures/{place}.png").write_bytes(files[place])
                writer.writerow([f"pictures/{place}.png", f"photo-{labels[place]}"])
    body = _splits("train", "test")
    body += f"[recipe.nearest_neighbors]\nk = 20\n{_SHOWN}"
    body += f"[recipe.linear_probe]\nepochs = 5\nmilestones = [3]\n{_SHOWN}"
    protocols = '["nearest_neighbors", "linear_probe"]'
    _define(definitions, "small-tiles", body, category="scene", protocols=protocols)


def _copies(root, definitions):
    """Photographs, cut, compressed, and edited by hand as it were."""
    folder = root / "small-copies"
    for number, name in enumerate(_COPIED):
        photo = source(name).convert("RGB").resize((240, 180))
        width, height = photo.size
        edits = {
            "original/{}00.jpg": (photo, 95),
            "jpegqual/5/{}00.jpg": (photo, 5),
            "jpegqual/20/{}00.jpg": (photo, 20),
            "crops/50/{}00.jpg": (photo.crop((40, 30, width - 40, height - 20)), 90),
            "strong/{}01.jpg": (_edited(photo), 60),
        }
        for path, (picture, quality) in edits.items():
            place = folder / path.format(number + 10)
            place.parent.mkdir(parents=True, exist_ok=True)
            picture.save(place, "JPEG", quality=quality)
    for number, one in enumerate(photo_tiles(30)[0]):
        place = folder / f"distractors/{number}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(png_of(one))
    body = _splits("original", "strong", "jpegqual", "crops", "distractors")
    body += "[fields.block]\npattern = '(\\d+)\\d\\d\\.jpg$'\n"
    body += "[fields.subset]\npattern = '(original|strong|jpegqual|crops)/'\n"
    body += "[fields.strength]\npattern = '(?:jpegqual|crops)/(\\d+)/'\n"
    body += "[recipe.copy_detection]\nresize_px = 80\ncrop_px = 64\ndimensions = 16\n"
    body += 'test = ["strong", "original", "jpegqual", "crops"]\n'
    told = {"category": "copy-detection", "task": "copy_detection", "metric": "map"}
    _define(definitions, "small-copies", body, protocols='["copy_detection"]', **told)


def _edited(photo):
    """Turned, mirrored, tinted and written over."""
    edited = photo.rotate(12, Image.Resampling.BICUBIC, fillcolor="white")
    edited = Image.blend(edited, Image.new("RGB", edited.size, "orange"), 0.2)
    ImageDraw.Draw(edited).text((60, 60), "COPY", fill="white", font_size=40)
    return edited


def _shifted_digits(root, definitions):
    """Dark on light, five classes: a parquet file as Hugging Face writes it."""
    pictures, labels = _digit_pictures()
    places = [place for place in range(NUM_TRAIN, len(pictures)) if labels[place] < 5]
    rows = [
        {
            "image": {"bytes": png_of(255 - pictures[place]), "path": f"{place}.png"},
            "label": str(labels[place]),
        }
        for place in places
    ]
    folder = root / "small-shifted-digits"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00000-of-00001.parquet")
    body = _splits("test")
    body += f'[recipe.shift]\nclasses_of = "small-digits"\nclass_mask = true\n{_SHOWN}'
    body += f'[recipe.shift.probe]\nepochs = 10\nmilestones = [5, 8]\nmetric = "top1"\n{_SHOWN}'
    _define(definitions, "small-shifted-digits", body, category="shift", protocols='["shift"]')


def _styles(root, definitions):
    """Tiles in three manners: a tar file for WebDataset."""
    tiles, labels = photo_tiles(60)
    manners = {
        "plain": lambda one: one,
        "grey": lambda one: np.repeat(one.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8),
        "poster": lambda one: (one // 128 * 255).astype(np.uint8),
    }
    (root / "small-styles").mkdir()
    with tarfile.open(root / "small-styles" / "all.tar", "w") as tar:
        for place, tile in enumerate(tiles):
            style = list(manners)[place % 3]
            facts = json.dumps({"style": style, "artist": f"photo {labels[place]}"}).encode()
            for suffix, content in (("png", png_of(manners[style](tile))), ("json", facts)):
                member = tarfile.TarInfo(f"{place:03}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    body = _splits("all")
    body += '[fields.style]\ncolumn = ["style"]\n[fields.artist]\ncolumn = ["artist"]\n'
    body += f"[recipe.style_retrieval]\n{_SHOWN}"
    told = {"category": "style", "task": "retrieval", "metric": "precision_at_k"}
    _define(definitions, "small-styles", body, protocols='["style_retrieval"]', **told)


def _places(root, definitions):
    """Tiles with a place for each photograph, and a set that trains the cells."""
    files, labels = tile_files(200)
    drawn = np.random.default_rng(7)
    for name, split, places in (
        ("small-places-train", "train", range(140)),
        ("small-places", "test", range(140, 200)),
    ):
        folder = root / name
        folder.mkdir()
        lines = ["path,latitude,longitude"]
        for place in places:
            (folder / f"{place}.png").write_bytes(files[place])
            latitude = -60 + 7 * labels[place] + drawn.normal(0, 0.1)
            longitude = -150 + 20 * labels[place] + drawn.normal(0, 0.1)
            lines.append(f"{place}.png,{latitude:.5f},{longitude:.5f}")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    fields = (
        '[fields.latitude]\ncolumn = ["latitude"]\n[fields.longitude]\ncolumn = ["longitude"]\n'
    )
    told = {"category": "geography", "task": "geolocation", "metric": "within_km"}
    body = _splits("test") + fields + '[recipe.geolocation]\ntrain_on = "small-places-train"\n'
    body += f"min_images = 2\nmax_images = 12\n{_SHOWN}"
    body += f'[recipe.geolocation.probe]\nepochs = 10\nmilestones = [8]\nmetric = "top1"\n{_SHOWN}'
    _define(definitions, "small-places", body, protocols='["geolocation"]', **told)
    body = 'role = "training"\nnot_evaluated = "It trains the cells."\n' + _splits("train") + fields
    _define(definitions, "small-places-train", body, protocols="[]", **told)


def _digit_groups(root, definitions):
    """Which labels are given to thin and to bold digits: a list with a group for each."""
    pictures, _ = _digit_pictures()
    folder = root / "small-digit-groups"
    folder.mkdir()
    lines = ["path,ink"]
    for place, one in enumerate(pictures[NUM_TRAIN:]):
        (folder / f"{place}.png").write_bytes(png_of(one))
        lines.append(f"{place}.png,{'bold' if one.mean() > 78 else 'thin'}")
    (folder / "test.csv").write_text("\n".join(lines) + "\n")
    body = _splits("test") + '[fields.ink]\ncolumn = ["ink"]\n'
    body += f'[recipe.fairness_labels]\nclassifier = "small-digits"\n{_SHOWN}'
    body += 'group_by = [["ink"]]\nassociations = { round = ["0", "8"] }\n'
    body += (
        f'[recipe.fairness_labels.probe]\nepochs = 10\nmilestones = [8]\nmetric = "top1"\n{_SHOWN}'
    )
    told = {"category": "fairness", "task": "group_audit", "metric": "label_rate"}
    _define(definitions, "small-digit-groups", body, protocols='["fairness_labels"]', **told)
