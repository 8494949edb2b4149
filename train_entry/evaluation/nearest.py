"""Which images of a database are nearest to a query: exact search by cosine, block by block.

N queries, M images of the database, D dimensions, K neighbours, B and C rows of a block of either.
Of equal cosines, the earlier image of the database is first, so that no answer depends on blocks.
Features may be memory-mapped, and need not be of length 1.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from train_entry.errors import DataError
from train_entry.evaluation.device import protocol_device
from train_entry.evaluation.intervals import Places

_QUERY_ROWS = 1024
_DATABASE_ROWS = 8192
# At most: 512 MiB of features, 64 MiB of cosines.
_BLOCK_FEATURES = 1 << 27
_BLOCK_COSINES = 1 << 24
_LOW = (1 << 32) - 1
# Below the key of any cosine: no image.
_NO_IMAGE = -(1 << 63)


class Nearest(NamedTuple):
    """The nearest images of each query, best first. Where there are too few: -1 and -infinity.

    places: int64 [N, K], in the database. cosines: float32 [N, K].
    """

    places: Places
    cosines: NDArray[np.float32]


def nearest(queries_ND: Tensor, database_MD: Tensor, k: int) -> Nearest:
    """The K nearest images of each query; the database is read once.

    Raises ValueError for k below 1, DataError for features that are no numbers.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    keys_NK = torch.full((len(queries_ND), k), _NO_IMAGE, device=protocol_device())
    queries = _blocks(len(queries_ND), _rows(queries_ND, _QUERY_ROWS))
    for images in _blocks(len(database_MD), _rows(database_MD, _DATABASE_ROWS)):
        unit_CD = _unit(database_MD[images])
        for some in queries:
            keys_BC = _keys(_cosines(_unit(queries_ND[some]), unit_CD), images.start)
            best_BK = _largest(keys_BC, k)
            keys_NK[some] = _largest(torch.cat([keys_NK[some], best_BK], dim=1), k)
    return _of_keys(keys_NK.cpu())


def rankings(queries_ND: Tensor, database_MD: Tensor) -> Iterator[Places]:
    """For each query in turn, the places [M] of all images of the database, nearest first.

    Raises DataError for features that are no numbers.
    """
    most = max(1, min(_QUERY_ROWS, _BLOCK_COSINES // max(1, len(database_MD))))
    for some in _blocks(len(queries_ND), _rows(queries_ND, most)):
        unit_BD = _unit(queries_ND[some])
        cosines_BM = unit_BD.new_empty((len(unit_BD), len(database_MD)))
        for images in _blocks(len(database_MD), _rows(database_MD, _DATABASE_ROWS)):
            cosines_BM[:, images] = _cosines(unit_BD, _unit(database_MD[images]))
        yield from cosines_BM.argsort(dim=1, descending=True, stable=True).cpu().numpy()


def _unit(features_BD: Tensor) -> Tensor:
    return normalize(features_BD.to(protocol_device()).float(), dim=1)


def _cosines(unit_BD: Tensor, unit_CD: Tensor) -> Tensor:
    cosines_BC = unit_BD @ unit_CD.T
    if not torch.isfinite(cosines_BC).all():
        raise DataError("features: expected finite numbers, got others: the model has diverged")
    return cosines_BC


def _blocks(num: int, rows: int) -> list[slice]:
    return [slice(begin, min(begin + rows, num)) for begin in range(0, num, rows)]


def _rows(features_ND: Tensor, most: int) -> int:
    return max(1, min(most, _BLOCK_FEATURES // max(1, features_ND.shape[1])))


def _largest(keys_BC: Tensor, k: int) -> Tensor:
    return keys_BC.topk(min(k, keys_BC.shape[1]), dim=1).values


def _keys(cosines_BC: Tensor, begin: int) -> Tensor:
    """Whole numbers, all different, in the order of cosines and, of equal ones, of places.

    The bits of a float, as a whole number, are in its order, except that those of negative ones
    run backwards. Below them, 32 bits for the place, the first one highest.
    """
    # Adding 0 makes one zero of two.
    bits_BC = (cosines_BC + 0.0).view(torch.int32)
    ordered_BC = torch.where(bits_BC < 0, bits_BC ^ 0x7FFFFFFF, bits_BC).long()
    places_C = torch.arange(begin, begin + cosines_BC.shape[1], device=cosines_BC.device)
    return (ordered_BC << 32) | (_LOW - places_C)


def _of_keys(keys_NK: Tensor) -> Nearest:
    there_NK = keys_NK != _NO_IMAGE
    ordered_NK = (keys_NK >> 32).int()
    bits_NK = torch.where(ordered_NK < 0, ordered_NK ^ 0x7FFFFFFF, ordered_NK)
    cosines_NK = bits_NK.view(torch.float32).masked_fill(~there_NK, -torch.inf)
    places_NK = (_LOW - (keys_NK & _LOW)).masked_fill(~there_NK, -1)
    return Nearest(places_NK.numpy(), cosines_NK.numpy())
