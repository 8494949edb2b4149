"""What is known of a benchmark's images in the training data of a model.

The seal of a dataset says what was found and removed while it was built; the records of later
decontaminations say what was found in it since, and their tombstones whether a run obeyed them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError
from scipy.stats import chi2  # type: ignore[import-untyped]  # it has no types

from schemas.benchmarks.model import Benchmark
from schemas.certificate import Certificate, Recall, SetCertificate
from schemas.figures import Contamination
from schemas.manifest import DATASET_FILE, DatasetRecord, decode
from schemas.tombstone import CERTIFICATES, Decontamination
from train_entry.errors import DataError
from train_entry.store import Store, StoreError

NOT_KNOWN = "training data not known"


@dataclass(frozen=True)
class TrainingData:
    """What a dataset says of itself. obeyed: the tombstone files that the run obeyed, SHA-256."""

    uri: str
    seal: DatasetRecord
    later: Sequence[Decontamination] = ()
    obeyed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, uri: str, root: str | None, obeyed: Mapping[str, str]) -> "TrainingData":
        """The dataset at a URI; raises DataError if it is not the one that was trained on.

        root: the Merkle root that the model's run has recorded; None: not known.
        """
        store = Store(uri)
        try:
            seal = decode(DatasetRecord, store.read(DATASET_FILE))
            paths = [f"{CERTIFICATES}/{name}" for name in store.names(CERTIFICATES)]
            later = [decode(Decontamination, store.read(path)) for path in paths]
        except (OSError, StoreError, ValidationError) as error:
            raise DataError(f"{uri}: expected a sealed dataset, got {error}") from error
        if root is not None and seal.merkle_root != root:
            raise DataError(
                f"{uri}: expected the dataset that the model has read, of Merkle root {root}, "
                f"got {seal.merkle_root}"
            )
        return cls(uri, seal, tuple(later), obeyed)

    def searches(self, names: Sequence[str]) -> Iterator[tuple[SetCertificate, bool]]:
        """Each look for the first of these sets that it knows, and whether training obeyed it."""
        for certificate, obeyed in self._certificates():
            known = [certificate.sets[name] for name in names if name in certificate.sets]
            if known:
                yield known[0], obeyed

    def _certificates(self) -> Iterator[tuple[Certificate, bool]]:
        if self.seal.certificate is not None:
            yield self.seal.certificate, True
        for one in self.later:
            files = one.tombstone_files
            yield one.certificate, files.items() <= self.obeyed.items()


def contamination_of(benchmark: Benchmark, data: TrainingData | None) -> Contamination:
    """What is known of one benchmark; images that it shares count where they are protected."""
    if data is None:
        return Contamination(matched=None, sentence=f"{NOT_KNOWN}.")
    searches = list(data.searches((benchmark.id, *benchmark.shares_images_with)))
    if not searches:
        return Contamination(
            matched=False,
            sentence="Not looked for: the training data was never compared with this set.",
        )
    removed = [found for found, obeyed in searches if obeyed]
    left = [found for found, obeyed in searches if not obeyed]
    # Each look is of all images; the best known recall is that of the most canaries.
    recall = max((found.recall for found, _ in searches), key=lambda one: one.tried)
    near = sum(found.near_copies for found, _ in searches)
    told = Contamination(
        matched=True,
        exact_removed=sum(found.exact_copies for found in removed),
        near_removed=sum(found.near_copies for found in removed),
        exact_left=sum(found.exact_copies for found in left),
        near_left=sum(found.near_copies for found in left),
        recall=recall,
        residual=_residual(near, recall) if recall.tried else None,
        sentence="",
    )
    return told.model_copy(update={"sentence": _sentence(told)})


def _residual(near: int, recall: Recall) -> tuple[float, float]:
    """How many near copies of a set were missed, if copies on the web are made as the planted ones.

    From both ends of the recall and of the number found, which is drawn as well: that none was
    found does not say that there is none (exact Poisson limits, Garwood 1936).
    """
    least = chi2.ppf(0.025, 2 * near) / 2 if near else 0.0
    most = chi2.ppf(0.975, 2 * near + 2) / 2
    low = max(recall.low, 1 / (recall.tried + 1))
    return float(least * (1 - recall.high) / recall.high), float(most * (1 - low) / low)


def _sentence(told: Contamination) -> str:
    parts = []
    if told.exact_left or told.near_left:
        parts.append(
            f"CONTAMINATED: trained on {_copies(told.exact_left, told.near_left)} of this set, "
            "found afterwards."
        )
    parts.append(f"Removed before training: {_copies(told.exact_removed, told.near_removed)}.")
    recall = told.recall
    if recall is None or not recall.tried or told.residual is None:
        parts.append("The detector's recall was not measured on this set.")
    else:
        low, high = told.residual
        parts.append(
            f"Recall of the detector {recall.found / recall.tried:.1%} "
            f"({recall.low:.1%} to {recall.high:.1%}, {recall.tried:,} planted copies); "
            f"{low:,.1f} to {high:,.1f} near copies may be left unseen."
        )
    return " ".join(parts)


def _copies(exact: int, near: int) -> str:
    return f"{exact:,} exact and {near:,} near copies" if exact or near else "no copies"
