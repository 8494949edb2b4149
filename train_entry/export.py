"""A checkpoint as one safetensors file, written tensor by tensor, without a process group.

    python -m train_entry.export CHECKPOINT_FOLDER OUT.safetensors --dtype bfloat16 --trunk-only

The library's own writer wants all tensors at once, 37 GB for the largest model; this one holds one.
Format: the README of huggingface/safetensors.
"""

import argparse
import json
import os
import struct
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors import safe_open
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from train_entry.checkpoint import read_run
from train_entry.convert import ALL_NAMES, Names, rename
from train_entry.errors import CheckpointError

MODEL, TRUNK = "model.", "model.trunk."
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Entry:
    """A tensor: key and type in the checkpoint, name and type in the file, its shape in both."""

    key: str
    kept_dtype: torch.dtype
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes in the file."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def export_checkpoint(
    folder: Path,
    output: Path,
    dtype: torch.dtype | None = None,
    trunk_only: bool = False,
    names: Names = "ours",
) -> list[Entry]:
    """Write the model of a checkpoint as one file, which appears when it is complete.

    dtype: of tensors with two dimensions or more, otherwise as they are: biases and batch norms
    weigh nothing, and their statistics would suffer. names: of whose RegNet; other names than ours
    are of a trunk alone. Raises CheckpointError.
    """
    reader = _Reader(folder)
    entries = _entries(reader.metadata, dtype, trunk_only or names != "ours", names)
    if not entries:
        raise CheckpointError(f"{folder}: expected tensors of a model, got none")
    told = {"format": "pt", "names": names, **_run(folder)}
    write_safetensors(output, entries, (_load(reader, entry) for entry in entries), told)
    return entries


def load_exported(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of an exported file, mapped into memory and read when touched, and its metadata."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping


def write_safetensors(
    path: Path, entries: Sequence[Entry], tensors: Iterable[Tensor], told: dict[str, str]
) -> None:
    """Write tensors, in the order of their entries, to a file that replaces `path` at the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(_header(entries, told))
            for entry, tensor in zip(entries, tensors, strict=True):
                stored = tensor.detach().contiguous().reshape(-1)
                if (stored.dtype, tensor.shape) != (entry.dtype, entry.shape):
                    raise CheckpointError(f"{entry.key}: expected {entry}, got {tensor.shape}")
                file.write(stored.view(torch.uint8).numpy().data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _header(entries: Sequence[Entry], told: dict[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": told}
    begin = 0
    for entry in entries:
        end = begin + entry.num_bytes
        header[entry.name] = {
            "dtype": _CODES[entry.dtype],
            "shape": entry.shape,
            "data_offsets": (begin, end),
        }
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    # Blanks, so that the first tensor begins at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


class _Reader(FileSystemReader):
    """Reads the index once: each load would, and of a large run it has a million entries."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            self.metadata: Metadata = super().read_metadata()
        except OSError as error:
            raise CheckpointError(f"{folder}: expected a checkpoint, got {error}") from error

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return self.metadata


def _entries(
    metadata: Metadata, dtype: torch.dtype | None, trunk_only: bool, names: Names
) -> list[Entry]:
    """What the file holds: wide numbers first, so that each tensor is aligned; then by name."""
    prefix = TRUNK if trunk_only else MODEL
    stored = {
        key: value
        for key, value in metadata.state_dict_metadata.items()
        if key.startswith(prefix) and isinstance(value, TensorStorageMetadata)
    }
    ours = [key.removeprefix(prefix) for key in stored]
    named = {key: key for key in ours} if names == "ours" else rename(ours, "ours", names)
    entries = []
    for key, value in stored.items():
        name, kept = named[key.removeprefix(prefix)], value.properties.dtype
        cast = dtype is not None and kept.is_floating_point and len(value.size) > 1
        entries.append(Entry(key, kept, name, dtype if cast and dtype else kept, tuple(value.size)))
    return sorted(entries, key=lambda entry: (-entry.dtype.itemsize, entry.name))


def _load(reader: _Reader, entry: Entry) -> Tensor:
    tensor = torch.empty(entry.shape, dtype=entry.kept_dtype)
    with warnings.catch_warnings():
        # One process is what is meant; it is told of each load.
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        load({entry.key: tensor}, storage_reader=reader, no_dist=True)
    return tensor.to(entry.dtype)


def _run(folder: Path) -> dict[str, str]:
    """What the checkpoint says of its run; safetensors keeps texts, so the rest is JSON."""
    told = read_run(folder)
    return {key: one if isinstance(one, str) else json.dumps(one) for key, one in told.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Export a checkpoint, and say what became of it."""
    parser = argparse.ArgumentParser(
        prog="python -m train_entry.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="folder of one checkpoint")
    parser.add_argument("output", type=Path, help="file to write, OUT.safetensors")
    parser.add_argument(
        "--dtype", choices=DTYPES, help="of weights of two or more dimensions; default: as they are"
    )
    parser.add_argument("--trunk-only", action="store_true", help="without head and prototypes")
    parser.add_argument(
        "--names",
        choices=ALL_NAMES,
        default="ours",
        help="library whose names tensors get, other than ours for the trunk alone (default ours)",
    )
    told = parser.parse_args(argv)
    dtype = DTYPES.get(told.dtype)
    checkpoint, output = told.checkpoint, told.output
    try:
        entries = export_checkpoint(checkpoint, output, dtype, told.trunk_only, told.names)
    except (CheckpointError, OSError) as error:
        parser.exit(2, f"{error}\n")
    Console().print(
        f"{output}: {len(entries)} tensors, "
        f"{sum(entry.num_bytes for entry in entries) / 1e9:.3f} GB"
    )


if __name__ == "__main__":
    main()
