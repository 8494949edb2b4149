"""Which annotations can be read, by benchmark."""

from collections.abc import Mapping

from ingest.benchmark_lists import (
    birds,
    clevr,
    dollar_street,
    kitti,
    matlab,
    objectnet,
    pascal_voc,
    revisited,
    wilds,
)
from ingest.benchmark_lists.archive import Reader

FORMATS: Mapping[str, Reader] = {
    "camelyon17": wilds.read_camelyon17,
    "clevr-count": clevr.read,
    "clevr-distance": clevr.read,
    "cub-200": birds.read,
    "dollar-street": dollar_street.read,
    "fmow": wilds.read_fmow,
    "kitti-distance": kitti.read,
    "nabirds": birds.read,
    "objectnet": objectnet.read,
    "oxford-flowers": matlab.read_flowers,
    "pascal-voc-2007": pascal_voc.read,
    "roxford": revisited.read,
    "rparis": revisited.read,
    "stanford-cars": matlab.read_cars,
    "stanford-dogs": matlab.read_dogs,
}
