"""Where was it taken: cells of the earth as classes, the mean place of a cell as the answer.

N images, C cells. Places are latitude and longitude in degrees [N, 2]; cells are S2's.
Sources: Müller-Budack et al. 2018, "Geolocation Estimation of Photos using a Hierarchical Model and
Scene Classification", section 3.1 (how cells are made), which SEER follows; Vo et al. 2017,
arXiv:1705.04838 (the thresholds).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import s2cell
from numpy.typing import NDArray

from schemas.benchmarks.recipes import Geolocation
from train_entry.errors import DataError
from train_entry.evaluation.intervals import bootstrap
from train_entry.evaluation.linear_probe import fit
from train_entry.evaluation.scores import Features, Score, mean_score
from train_entry.evaluation.training_images import TrainingImages

Floats = NDArray[np.float64]
LATITUDE, LONGITUDE = "latitude", "longitude"
# An id of S2: three bits of face, two for each level, a one, zeros.
_NUM_FACES, _FACE_BIT = 6, 61
# The paper's tables have five thresholds and no main one. Within 25 km an answer is the right city;
# at 1 km few images decide, and from 200 km on the look of a country is enough.
_FIRST_KM = 25.0


@dataclass(frozen=True)
class Cells:
    """Cells by number, in the order of S2's curve.

    ids: [C] of S2, uint64. centers: [C, 2], the mean places of their images. of_image: [N] the cell
    of each image that they were made from, -1 for those left out.
    """

    ids: NDArray[np.uint64]
    centers: Floats
    of_image: NDArray[np.int64]


def make_cells(places_N2: Floats, *, min_images: int, max_images: int) -> Cells:
    """Six faces of a cube, divided by four again and again while a cell has over max_images.

    Cells with fewer than min_images are left out, and their images with them. Images at one point
    cannot be divided, however many they are.
    """
    leaves_N = leaf_ids(places_N2)
    order = np.argsort(leaves_N, kind="stable")
    of_image = np.full(len(places_N2), -1, np.int64)
    ids: list[int] = []
    for cell, begin, end in _divided(leaves_N[order], max_images):
        if end - begin >= min_images:
            of_image[order[begin:end]] = len(ids)
            ids.append(cell)
    return Cells(np.array(ids, np.uint64), _centers(places_N2, of_image, len(ids)), of_image)


def leaf_ids(places_N2: Floats) -> NDArray[np.uint64]:
    """S2's smallest cell, of about a square centimetre, around each place."""
    found = (s2cell.lat_lon_to_cell_id(*place) for place in places_N2.tolist())
    return np.fromiter(found, np.uint64, len(places_N2))


def _divided(leaves_N: NDArray[np.uint64], max_images: int) -> Iterator[tuple[int, int, int]]:
    """Each cell that is not divided further, and which of the sorted leaves lie in it."""
    # The lowest set bit tells the level; a cell's leaves are the ids less than that bit away.
    pending = [(face << _FACE_BIT) | (1 << _FACE_BIT - 1) for face in reversed(range(_NUM_FACES))]
    while pending:
        cell = pending.pop()
        bit = cell & -cell
        ends = np.array([cell - (bit - 1), cell + (bit - 1)], np.uint64)
        begin = int(np.searchsorted(leaves_N, ends[0], "left"))
        end = int(np.searchsorted(leaves_N, ends[1], "right"))
        if end - begin > max_images and bit > 1:
            first, step = cell - bit + (bit >> 2), bit >> 1
            pending += [first + number * step for number in (3, 2, 1, 0)]
        elif end > begin:
            yield cell, begin, end


def _centers(places_N2: Floats, of_image: NDArray[np.int64], count: int) -> Floats:
    """The mean places [C, 2] of the images of each cell."""
    kept = of_image >= 0
    latitude, longitude = np.radians(places_N2[kept]).T
    # A mean of degrees would be wrong beside the poles and where 180 meets -180. No cell is larger
    # than a face, so the vectors never cancel out.
    vectors_N3 = (
        np.cos(latitude) * np.cos(longitude),
        np.cos(latitude) * np.sin(longitude),
        np.sin(latitude),
    )
    x, y, z = (np.bincount(of_image[kept], one, minlength=count) for one in vectors_N3)
    centers_C2: Floats = np.degrees([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)]).T
    return centers_C2


def distances_km(from_N2: Floats, to_N2: Floats, radius_km: float) -> Floats:
    """Great-circle distances [N] on a sphere, by the haversine formula."""
    (latitude, longitude), (others, other_longitude) = np.radians(from_N2).T, np.radians(to_N2).T
    half = np.sin((others - latitude) / 2) ** 2
    half += np.cos(latitude) * np.cos(others) * np.sin((other_longitude - longitude) / 2) ** 2
    arcs: Floats = 2 * radius_km * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return arcs


def distance_scores(distances_N: Floats, thresholds_km: tuple[float, ...]) -> list[Score]:
    """The share of images within each threshold, that of 25 km first, and the median, km."""
    first = _FIRST_KM if _FIRST_KM in thresholds_km else thresholds_km[0]
    ordered = [first, *(one for one in thresholds_km if one != first)]
    scores = [
        mean_score("within_km", distances_N <= limit).of(setting=f"{limit:g} km")
        for limit in ordered
    ]
    low, high = bootstrap(lambda drawn: float(np.median(distances_N[drawn])), len(distances_N))
    median = float(np.median(distances_N))
    return [*scores, Score("median_km", median, low, high, len(distances_N))]


def evaluate(recipe: Geolocation, splits: Mapping[str, Features]) -> list[Score]:
    """Shares of test images that are placed within so many km, and the median distance.

    splits: `train`, whose images make the cells, and `test`; both have latitude and longitude.
    Raises DataError if places are missing, or no two cells have enough images.
    """
    train, test = splits["train"], splits["test"]
    # Several views of an image are one image.
    images = np.unique(train.names, return_index=True)[1]
    places_N2 = places_of(train, "train")
    cells = make_cells(
        places_N2[images], min_images=recipe.min_images, max_images=recipe.max_images
    )
    if len(cells.ids) < 2:
        raise DataError(
            f"expected at least 2 cells of {recipe.min_images} training images, got "
            f"{len(cells.ids)} of {len(images)} images"
        )
    truth_N2 = places_of(test, "test")
    classifier = fit(recipe.probe, train, images=_labelled(train, images, cells))
    chosen = classifier.scores(test).argmax(dim=1).tolist()
    found_N2 = cells.centers[[classifier.classes[place] for place in chosen]]
    distances = distances_km(found_N2, truth_N2, recipe.earth_radius_km)
    return distance_scores(distances, recipe.thresholds_km)


def _labelled(train: Features, firsts: NDArray[np.int64], cells: Cells) -> TrainingImages:
    """The training images that lie in a cell, whose number is their class.

    firsts: the first row of each image that the cells were made from. Features are not touched:
    they may be far more than memory.
    """
    cell_of = dict(zip((train.names[row] for row in firsts), cells.of_image.tolist(), strict=True))
    labels = [cell_of[name] for name in train.names]
    images = TrainingImages.of(replace(train, fields={"label": labels}))
    kept = images.take(np.flatnonzero([cell_of[name] >= 0 for name in images.names]))
    # Sorted, so that no cell would come first.
    lacking = int(images.classes[0] < 0)
    return replace(kept, classes=images.classes[lacking:], labels=kept.labels - lacking)


def places_of(part: Features, name: str) -> Floats:
    """Latitude and longitude [N, 2] of the images, degrees; raises DataError."""
    missing = [field for field in (LATITUDE, LONGITUDE) if field not in part.fields]
    if missing:
        raise DataError(
            f"{name}: expected fields latitude and longitude, got {', '.join(part.fields)}"
        )
    columns = [part.fields[field] for field in (LATITUDE, LONGITUDE)]
    try:
        places_N2 = np.array(columns, np.float64).T.reshape(len(part), 2)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected latitude and longitude in degrees: {error}") from error
    within = (np.abs(places_N2) <= (90.0, 180.0)).all(axis=1)
    if not within.all():
        wrong = int(np.flatnonzero(~within)[0])
        raise DataError(
            f"{name}: {part.names[wrong]}: expected a latitude within 90 and a longitude within "
            f"180 degrees, got {columns[0][wrong]} and {columns[1][wrong]}"
        )
    return places_N2
