"""Which samples an audit looks at one by one: all, a share of them, or those named."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.ledger_parts import read_parts
from ingest.sampling import draw, is_taken, likely_shards
from schemas.manifest import Commit, DatasetRecord
from schemas.outcome import Outcome
from schemas.tombstone import TOMBSTONES

ALL = "all"
_ID = re.compile(r"[0-9a-f]{32}")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) *%")
# A plan draws by seeds below this: a share of what it took is no share by the same numbers.
_FIRST_SEED = 1 << 63
_NAMES_TOLD = 5


@dataclass(frozen=True)
class Selection:
    """A choice of samples; `ids` if they are named, else a share `rate` by a hash of their ids."""

    text: str
    rate: float = 0.0
    seed: int = 0
    ids: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str, seed: int) -> "Selection | None":
        """The choice that a text such as `all`, `1%` or `ID,ID` names; None if it is empty.

        Raises SetupError for another text.
        """
        text = text.strip()
        if not text:
            return None
        if text == ALL:
            return cls(text, rate=1.0, seed=seed)
        share = _SHARE.fullmatch(text)
        if share and 0 < float(share.group(1)) <= 100:
            return cls(text, rate=float(share.group(1)) / 100, seed=seed)
        ids = [one.strip().lower() for one in text.split(",") if one.strip()]
        if not ids or not all(_ID.fullmatch(one) for one in ids):
            raise SetupError(
                f"--samples: expected `{ALL}`, a share such as `1%`, or ids of 32 hex digits by "
                f"comma, got {text!r}"
            )
        return cls(text if len(ids) <= _NAMES_TOLD else f"{len(ids)} ids", ids=frozenset(ids))

    @property
    def is_all(self) -> bool:
        """Whether no sample is left out."""
        return self.text == ALL

    def takes(self, sample_id: str) -> bool:
        """Whether a sample is chosen; the same ones each time."""
        if self.ids:
            return sample_id in self.ids
        if self.rate >= 1.0 or not _ID.fullmatch(sample_id):
            return True
        return is_taken(draw(sample_id, _FIRST_SEED + self.seed)[0], self.rate)


def shards_of_ids(
    dataset: str, record: DatasetRecord, rows: Sequence[Commit], ids: frozenset[str]
) -> list[int]:
    """The places in the manifest of the shards that hold these samples, in order.

    Looks where they should be by their ids, then everywhere: images in parquet files are planned by
    row group. Raises SetupError that names those that are no kept samples of the dataset.
    """
    likely = {place for one in ids for place in likely_shards(record, one) if place < len(rows)}
    others = (place for place in range(len(rows)) if place not in likely)
    found: set[int] = set()
    ends: dict[str, str] = {}
    for places in (sorted(likely), others):
        for place, kept in _search(dataset, rows, places, ids, ends):
            if kept:
                found.add(place)
            if sum(end == Outcome.KEPT.value for end in ends.values()) == len(ids):
                return sorted(found)
    missing = [
        f"{one} ({ends.get(one, 'in no ledger')})"
        for one in sorted(ids)
        if ends.get(one) != Outcome.KEPT.value
    ]
    raise SetupError(f"--samples: expected ids of kept samples, got {', '.join(missing)}")


def count_removed(dataset: str, selection: Selection) -> int:
    """How many of the chosen samples have a tombstone; files that cannot be read have none."""
    removed: set[str] = set()
    folder = storage.join(dataset, TOMBSTONES)
    for name in storage.list_names(folder):
        try:
            content = storage.read_bytes(storage.join(folder, name))
            file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
            ids = file.read(columns=["id"], use_threads=False)["id"].to_pylist()
        except (OSError, pa.ArrowException, LookupError, ValueError):
            continue  # `check_tombstones` tells.
        removed.update(one for one in ids if selection.takes(one))
    return len(removed)


def _search(
    dataset: str,
    rows: Sequence[Commit],
    places: "Sequence[int] | Iterator[int]",
    ids: frozenset[str],
    ends: dict[str, str],
) -> Iterator[tuple[int, bool]]:
    """Each place in turn, and whether it holds any of these as kept; notes how each ended."""
    listed = list(places)
    wanted = pa.array(sorted(ids), pa.string())
    paths = [rows[place].ledger_file for place in listed]
    parts = read_parts(dataset, paths, ["id", "outcome"])
    for place, (_, part) in zip(listed, parts, strict=True):
        own = part.filter(pa.compute.is_in(part["id"], wanted))
        pairs = dict(zip(own["id"].to_pylist(), own["outcome"].to_pylist(), strict=True))
        # A kept row counts, in whatever generation it is.
        ends |= {one: end for one, end in pairs.items() if ends.get(one) != Outcome.KEPT.value}
        yield place, Outcome.KEPT.value in pairs.values()
