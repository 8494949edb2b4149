"""What a registry file says of protocols, beside what all benchmarks have in common."""

from collections.abc import Iterator

from schemas.benchmarks.entry import Entry
from schemas.benchmarks.recipes import (
    AttributeRetrieval,
    CopyDetection,
    FairnessLabels,
    FineTune,
    Geolocation,
    HashtagEmbedding,
    HatefulMemes,
    HouseholdLabels,
    LinearProbe,
    LowShot,
    NearestNeighbors,
    Recipe,
    Retrieval,
    Shift,
    StyleRetrieval,
    Svm,
)
from schemas.benchmarks.vocabulary import Protocol

# Goes up when a protocol's code changes what it finds, so that its digests differ.
VERSION = 2


class Recipes(Entry):
    """The deviations of one benchmark, by protocol."""

    linear_probe: LinearProbe | None = None
    low_shot: LowShot | None = None
    fine_tune: FineTune | None = None
    svm: Svm | None = None
    nearest_neighbors: NearestNeighbors | None = None
    shift: Shift | None = None
    geolocation: Geolocation | None = None
    copy_detection: CopyDetection | None = None
    hateful_memes: HatefulMemes | None = None
    fairness_labels: FairnessLabels | None = None
    household_labels: HouseholdLabels | None = None
    attribute_retrieval: AttributeRetrieval | None = None
    retrieval: Retrieval | None = None
    style_retrieval: StyleRetrieval | None = None
    hashtag_embedding: HashtagEmbedding | None = None

    def given(self) -> Iterator[tuple[Protocol, Recipe]]:
        """Each protocol that the file says something of, and what."""
        for protocol in Protocol:
            recipe: Recipe | None = getattr(self, protocol)
            if recipe is not None:
                yield protocol, recipe

    def of(self, protocol: Protocol) -> Recipe:
        """The protocol with all its numbers: those of the file, else the common ones."""
        return getattr(self, protocol) or COMMON[protocol]


COMMON: dict[Protocol, Recipe] = {
    Protocol.LINEAR_PROBE: LinearProbe(),
    Protocol.LOW_SHOT: LowShot(),
    Protocol.FINE_TUNE: FineTune(),
    Protocol.SVM: Svm(),
    Protocol.NEAREST_NEIGHBORS: NearestNeighbors(),
    Protocol.SHIFT: Shift(),
    Protocol.GEOLOCATION: Geolocation(),
    Protocol.COPY_DETECTION: CopyDetection(),
    Protocol.HATEFUL_MEMES: HatefulMemes(),
    Protocol.FAIRNESS_LABELS: FairnessLabels(),
    Protocol.HOUSEHOLD_LABELS: HouseholdLabels(),
    Protocol.ATTRIBUTE_RETRIEVAL: AttributeRetrieval(),
    Protocol.RETRIEVAL: Retrieval(),
    Protocol.STYLE_RETRIEVAL: StyleRetrieval(),
    Protocol.HASHTAG_EMBEDDING: HashtagEmbedding(),
}
