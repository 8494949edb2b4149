"""One pass over the last rows of all candidates: everything that a ledger alone can tell."""

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingest.host_counts import HostCounts
from ingest.survey.bins import ASPECT_RATIOS, BYTES, PIXELS, BinCounts
from ingest.survey.consent import REFUSALS, ConsentCounts
from ingest.survey.domains import DomainCounts
from ingest.survey.host_names import host_name, hosts_as_written, last_label, registered_domain
from ingest.survey.ranking import ranking_of
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome

COLUMNS = (
    *("id", "outcome", "carrier", "url", "fetched_at", "http_status", "last_modified"),
    *("opt_out_signals", "opt_out_rule", "robots_sha256", "length_bytes", "format", "mode"),
    *("width_px", "height_px", "num_frames", "exif_orientation", "exif_date", "decoder_warnings"),
)
_SCHEMA = LedgerRow.arrow_schema()
_MAX_HOSTS, _LISTED_HOSTS = 500_000, 1000
_MAX_LABELS, _LISTED_LABELS = 10_000, 2000
_MAX_NOTES, _LISTED_NOTES, _NOTE_CHARS = 10_000, 200, 200
_NONE, _INVALID = "none", "invalid"
_EXIF_YEAR = r"^\s*(?P<year>[0-9]{4})[:/.-]"
# RFC 9110, section 5.6.7: the year stands before the time, or after it (asctime).
_HTTP_YEAR = r"(?P<before>[0-9]{4}) [0-9]{2}:[0-9]{2}|:[0-9]{2} (?P<after>[0-9]{4})\s*$"
# The oldest photograph, and the first moment of Unix.
_EXIF_YEARS, _HTTP_YEARS = (1826, 2099), (1970, 2099)


class LedgerCounts:
    """Counts over ledger rows; `removed`: ids of samples that have a tombstone."""

    def __init__(self, removed: Collection[str]) -> None:
        self._removed = removed
        self.words: dict[str, Counter[str]] = {}
        self.num_rows = self.num_kept = self.num_tombstones = self.kept_bytes = 0
        self.num_animated = 0
        self.bins = {
            "num_bytes": BinCounts(*BYTES),
            "width_px": BinCounts(*PIXELS),
            "height_px": BinCounts(*PIXELS),
            "aspect_ratio": BinCounts(*ASPECT_RATIOS),
        }
        self.domains, self.consent = DomainCounts(), ConsentCounts()
        self._hosts, self._labels = HostCounts(_MAX_HOSTS), HostCounts(_MAX_LABELS)
        self._notes = HostCounts(_MAX_NOTES)

    def add(self, part: pa.Table) -> pa.Table:
        """Count the rows of a part; those of its kept images that have no tombstone."""
        table = _complete(part)
        stored = _flags(pc.equal(table["outcome"], Outcome.KEPT.value))
        live = stored & ~self._gone(table, stored)
        refused = _flags(pc.is_in(table["outcome"], value_set=pa.array(REFUSALS)))
        self.num_rows += table.num_rows
        self.num_kept += int(np.count_nonzero(live))
        self.num_tombstones += int(np.count_nonzero(stored & ~live))
        self._count("outcomes", table["outcome"])
        self._count("carriers", table["carrier"])
        self._count("http_statuses", pc.drop_null(table["http_status"]))
        fetched = pc.drop_null(table["fetched_at"])
        # To plain days: a time with a zone would need a table of zones.
        self._count(
            "fetched_days", fetched.cast(pa.int64()).cast(pa.timestamp("us")).cast("date32")
        )
        self.consent.add(table, live, refused)
        self._add_hosts(table, live, refused)
        self._add_images(table.filter(pa.array(live)))
        return part.filter(pa.array(live))

    def fields(self) -> dict[str, Any]:
        """Fields of `schemas.survey.Survey`, but for consent, geography and what a seal tells."""
        names = (
            *("outcomes", "formats", "modes", "exif_years", "exif_orientations"),
            *("last_modified_years", "fetched_days", "http_statuses", "carriers"),
        )
        return {
            **{name: dict(sorted(self.words.get(name, {}).items())) for name in names},
            **{name: bins.result() for name, bins in self.bins.items()},
            "num_kept": self.num_kept,
            "num_tombstones": self.num_tombstones,
            "kept_bytes": self.kept_bytes,
            "num_animated": self.num_animated,
            "hosts": ranking_of(self._hosts, _LISTED_HOSTS),
            "suffixes": ranking_of(self._labels, _LISTED_LABELS),
            "domains": self.domains.result(),
            "decoder_warnings": ranking_of(self._notes, _LISTED_NOTES),
        }

    def _gone(self, table: pa.Table, stored: NDArray[np.bool_]) -> NDArray[np.bool_]:
        gone = np.zeros(table.num_rows, np.bool_)
        if self._removed:
            ids = table["id"].filter(pa.array(stored)).to_pylist()
            gone[stored] = [one in self._removed for one in ids]
        return gone

    def _add_hosts(
        self, table: pa.Table, live: NDArray[np.bool_], refused: NDArray[np.bool_]
    ) -> None:
        hosts = hosts_as_written(table["url"])
        flags = pa.array(live)
        columns = {
            "host": hosts,
            "candidates": pa.array(np.ones(len(live), np.int64)),
            "kept": flags.cast(pa.int64()),
            "bytes": pc.if_else(flags, pc.fill_null(table["length_bytes"], 0), 0),
            "refused": pa.array(refused).cast(pa.int64()),
        }
        grouped = pa.table(columns).filter(pc.greater(pc.binary_length(hosts), 0))
        sums = [(name, "sum") for name in columns if name != "host"]
        found = grouped.group_by("host", use_threads=False).aggregate(sums)
        names = [host_name(one) for one in found["host"].to_pylist()]
        valid = np.array([one is not None for one in names], np.bool_)
        known = [one for one in names if one is not None]
        counts_D4 = np.stack([found[f"{name}_sum"].to_numpy() for name, _ in sums], axis=1)[valid]
        self.domains.add([registered_domain(one) for one in known], counts_D4)
        asked = counts_D4[:, 0].tolist()
        self._hosts.add(_summed(known, asked))
        self._labels.add(_summed([last_label(one) for one in known], asked))

    def _add_images(self, images: pa.Table) -> None:
        """Count what is told of kept images alone."""
        self.kept_bytes += pc.sum(images["length_bytes"]).as_py() or 0
        self.num_animated += pc.sum(pc.greater(images["num_frames"], 1)).as_py() or 0
        self._count("formats", images["format"])
        self._count("modes", images["mode"])
        self._count("exif_orientations", images["exif_orientation"])
        exif_years = _years(images["exif_date"], _EXIF_YEAR, _EXIF_YEARS)
        http_years = _years(images["last_modified"], _HTTP_YEAR, _HTTP_YEARS)
        self._count("exif_years", exif_years)
        self._count("last_modified_years", http_years)
        notes = pc.utf8_slice_codeunits(pc.list_flatten(images["decoder_warnings"]), 0, _NOTE_CHARS)
        self._notes.add(_counted(pc.drop_null(notes)))
        sizes = {"num_bytes": "length_bytes", "width_px": "width_px", "height_px": "height_px"}
        for name, column in sizes.items():
            self.bins[name].add(_floats(pc.drop_null(images[column])))
        both = images.filter(pc.and_(images["width_px"].is_valid(), images["height_px"].is_valid()))
        width, height = _floats(both["width_px"]), _floats(both["height_px"])
        self.bins["aspect_ratio"].add(width / np.maximum(height, 1))

    def _count(self, name: str, column: pa.ChunkedArray) -> None:
        self.words.setdefault(name, Counter()).update(_counted(column))


def _complete(part: pa.Table) -> pa.Table:
    """The part with nulls for columns that it lacks, as ledgers of earlier versions do."""
    for name in COLUMNS:
        if name not in part.column_names:
            field = _SCHEMA.field(name)
            part = part.append_column(field.name, pa.nulls(part.num_rows, field.type))
    return part


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value occurs, as text; null is `none`."""
    counted = pc.value_counts(column)
    values = ("none" if one is None else str(one) for one in counted.field("values").to_pylist())
    return _summed(values, counted.field("counts").to_pylist())


def _summed(names: Any, counts: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, count in zip(names, counts, strict=True):
        if name is not None:
            total[name] += count
    return total


def _years(column: pa.ChunkedArray, pattern: str, ends: tuple[int, int]) -> pa.ChunkedArray:
    """The year in each text; `none` where there is no text, `invalid` where there is no year."""
    found = pc.extract_regex(column, pattern)
    groups = [found.type.field(place).name for place in range(found.type.num_fields)]
    texts = [pc.struct_field(found, name) for name in groups]
    # Of alternatives, those that did not match are empty.
    year = pc.coalesce(*(pc.if_else(pc.equal(text, ""), None, text) for text in texts))
    number = year.cast(pa.int32())
    valid = pc.and_(pc.greater_equal(number, ends[0]), pc.less_equal(number, ends[1]))
    known = pc.if_else(pc.fill_null(valid, False), year, _INVALID)
    return pc.if_else(column.is_valid(), known, _NONE)


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = pc.fill_null(column, False).to_numpy()
    return flags


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return numbers
