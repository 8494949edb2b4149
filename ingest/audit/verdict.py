"""What an audit found: as lines to read, and as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.audit.finding import Finding
from schemas.manifest import DatasetRecord

NOT_READ = (
    "shard and ledger bytes were not read, nor plan parts: of these only names and sizes were "
    "compared with the manifest; an audit without --quick reads everything"
)
_SAMPLES_ALONE = (
    "but for the samples and their ledgers, shard and plan bytes were not read: of these only "
    "names and sizes were compared with the manifest; an audit without --quick reads everything"
)
_NOT_DECODED = "every byte was compared with its digest; images are decoded by --samples alone"


@dataclass
class AuditReport:
    """What was verified, and all that is wrong.

    quick: no plan part was read, and no ledger or image but those of the samples. samples: which
    images were looked at one by one, "" for none.
    """

    dataset: str
    quick: bool = False
    samples: str = ""
    record: DatasetRecord | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lineage: list[str] = field(default_factory=list)
    num_samples: int = 0
    num_removed_samples: int = 0
    num_removed: int = 0

    def lines(self) -> Iterator[str]:
        """The report as text, findings last."""
        if self.record is not None:
            yield from self._record_lines(self.record)
        if self.num_removed:
            yield f"removed after the fact: {self.num_removed:,} images have tombstones"
        if self.samples:
            removed = f", {self.num_removed_samples:,} of them removed after the fact"
            yield (
                f"samples checked ({self.samples}): {self.num_samples:,}"
                + (removed if self.num_removed_samples else "")
            )
        yield from self.lineage
        yield from (f"note: {note}" for note in self.notes)
        for finding in self.findings:
            yield f"WRONG {finding}"
        if self.quick:
            yield f"NOT VERIFIED: {_SAMPLES_ALONE if self.samples else NOT_READ}"
        elif not self.samples and not self.findings:
            yield f"depth: {_NOT_DECODED}"
        yield f"verdict: {self.verdict}"

    @property
    def verdict(self) -> str:
        """The result in words."""
        if self.findings:
            return f"{len(self.findings)} mismatches"
        if not self.quick:
            return "verified"
        samples = f"{self.num_samples:,} samples, other " if self.samples else ""
        return f"records and listings verified, {samples}contents not"

    def document(self) -> dict[str, Any]:
        """All of it as plain values, for a JSON file."""
        record = self.record
        counts = ("num_shards", "num_candidates", "num_kept", "image_bytes", "outcomes")
        facts = ("version", "merkle_root", "record_sha256", "decontamination")
        return {
            "dataset": self.dataset,
            "verdict": self.verdict,
            "sound": not self.findings,
            "depth": {"quick": self.quick, "samples": self.samples},
            "counts": {
                **{name: getattr(record, name, None) for name in counts},
                "num_removed": self.num_removed,
                "num_samples_checked": self.num_samples,
                "num_removed_samples_checked": self.num_removed_samples,
            },
            **{name: getattr(record, name, None) for name in facts},
            "lineage": self.lineage,
            "notes": self.notes,
            "findings": [{"where": one.where, "what": one.what} for one in self.findings],
        }

    def _record_lines(self, record: DatasetRecord) -> Iterator[str]:
        yield f"dataset: {self.dataset}"
        yield (
            f"candidates: {record.num_candidates:,} = "
            + " + ".join(f"{count:,} {word}" for word, count in record.outcomes.items())
        )
        yield f"kept: {record.num_kept:,} images, {record.image_bytes:,} bytes"
        yield f"decontamination: {record.decontamination}"
        yield f"version: {record.version}"
        yield f"Merkle root: {record.merkle_root}"
        for retry in record.retries:
            yield (
                f"retry {retry.generation}: {retry.num_candidates:,} candidates asked anew, "
                f"shards {retry.first_shard} to {retry.first_shard + retry.num_shards - 1}"
            )
        for repack in record.repacks:
            removed = ", ".join(f"{count:,} {word}" for word, count in repack.removed.items())
            yield f"repack {repack.repack}: took out {removed}; {len(repack.shards):,} shards"
