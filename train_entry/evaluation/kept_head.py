"""The first layer of a pretraining head, for a classifier to stand on; the rest is left out.

N images, D dimensions of a trunk, E of the layer. SEER keeps it for iNaturalist 2018 and
DollarStreet: 28,280 to 8,192 dimensions, batch norm, ReLU.
Source: SEER's released configurations (arXiv:2202.08360).
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from train_entry.evaluation.our_encoder import checkpoint_folder
from train_entry.export import MODEL, load_exported
from train_entry.swav import RowNorm

_LINEAR, _NORM = "head.0.", "head.1."


def load_kept_head(model: str) -> nn.Sequential | None:
    """Linear layer, batch norm, ReLU of a run, checkpoint or exported file of ours, on the CPU.

    None: there is no head, as in an exported trunk or an encoder of another library. A batch norm
    that the head did not have is a new one. Raises CheckpointError if there is no such model.
    """
    path = Path(model)
    if ":" in model and not path.exists():
        return None
    tensors = _exported(path) if path.suffix == ".safetensors" else _checkpoint(path)
    linear = _below(tensors, _LINEAR)
    if "weight" not in linear:
        return None
    outputs, inputs = linear["weight"].shape
    layer = nn.Sequential(nn.Linear(inputs, outputs), RowNorm(outputs), nn.ReLU())
    layer[0].load_state_dict(linear)
    norm = _below(tensors, _NORM)
    if norm:
        layer[1].load_state_dict(norm)
    return layer


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)
    }


def _exported(path: Path) -> dict[str, Tensor]:
    tensors, _ = load_exported(path)
    return {name: one for name, one in tensors.items() if name.startswith((_LINEAR, _NORM))}


def _checkpoint(path: Path) -> dict[str, Tensor]:
    reader = FileSystemReader(checkpoint_folder(path))
    entries = reader.read_metadata().state_dict_metadata
    wanted = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in entries.items()
        if isinstance(entry, TensorStorageMetadata)
        and name.startswith((MODEL + _LINEAR, MODEL + _NORM))
    }
    if wanted:
        with warnings.catch_warnings():
            # Each rank reads alone, and is told so.
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            load(wanted, storage_reader=reader, no_dist=True)
    return {name.removeprefix(MODEL): one for name, one in wanted.items()}
