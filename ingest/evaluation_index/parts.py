"""Units of indexing work, and the files that hold what was found until all are done."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.evaluation_index.calibrate import fingerprint_background
from ingest.evaluation_index.fingerprints import Fingerprints, fingerprint_set
from ingest.evaluation_index.sources import EvalSet
from schemas.arrow import read_parquet_bytes
from schemas.command_options import IndexOptions
from schemas.evaluation import BackgroundImage


@dataclass(frozen=True)
class Unit:
    """A part of an evaluation set, or of the background, and where its files go."""

    eval_set: EvalSet
    background: bool
    uri: str

    def encode(self) -> bytes:
        """The unit as JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, content: bytes) -> "Unit":
        """The unit that `encode` wrote."""
        fields = orjson.loads(content)
        files = fields["eval_set"]["files"]
        fields["eval_set"]["files"] = None if files is None else tuple(files)
        return cls(**{**fields, "eval_set": EvalSet(**fields["eval_set"])})


def list_units(options: IndexOptions, sets: Sequence[EvalSet], scratch: str) -> list[Unit]:
    """All units of these sets and of the background.

    Their files are named after what they hold, so that a second run finds those of the first.
    """
    found = [(part, False) for one in sets for part in one.split(options.unit_images)]
    for path in options.background:
        found += [(part, True) for part in EvalSet("", path, f"{path}/").split(options.unit_images)]
    chosen = options.model_dump(include={"profile", "descriptor", "canaries", "seed", "max_pixels"})
    return [
        Unit(part, background, storage.join(scratch, _digest(part, background, chosen)))
        for part, background in found
    ]


def write_unit(unit: Unit, options: IndexOptions) -> None:
    """Fingerprint the images of a unit, unless an earlier run did."""
    if storage.exists(f"{unit.uri}.done"):
        return
    if unit.background:
        _write(f"{unit.uri}.background", fingerprint_background(unit.eval_set, options.max_pixels))
    else:
        found = fingerprint_set(unit.eval_set, options)
        _write(f"{unit.uri}.images", found.images)
        _write(f"{unit.uri}.canaries", found.canaries)
    storage.write_bytes(f"{unit.uri}.done", b"")


def read_fingerprints(units: Sequence[Unit]) -> list[Fingerprints]:
    """What was found in the units of evaluation sets."""
    return [
        Fingerprints(_read(f"{unit.uri}.images"), _read(f"{unit.uri}.canaries"))
        for unit in units
        if not unit.background
    ]


def read_background(units: Sequence[Unit]) -> pa.Table:
    """Rows of `BackgroundImage` of the units of the background."""
    parts = [_read(f"{unit.uri}.background") for unit in units if unit.background]
    return pa.concat_tables([BackgroundImage.to_table([]), *parts])


def _digest(*values: object) -> str:
    return sha256(repr(values).encode("utf-8", "backslashreplace")).hexdigest()[:24]


def _write(uri: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    storage.write_bytes(uri, buffer.getvalue())


def _read(uri: str) -> pa.Table:
    return read_parquet_bytes(storage.read_bytes(uri))
