"""Each protocol with all its numbers; the defaults are the common recipe of the paper.

A registry file gives what deviates: `[recipe.linear_probe]`. `Benchmark.recipe_of` fills in what
follows from the benchmark: its metric, and which splits train and test.
Source: Goyal et al. 2022, arXiv:2202.08360, and its released configurations in VISSL.
"""

from typing import Literal

from pydantic import Field

from schemas.benchmarks.entry import Entry, FieldName, Identifier, Sentence, SplitName

_PROBED = ("pool", "pool_norm", "stage3_2x1", "stage3_1x2", "stage4_2x1", "stage4_1x2")


class Recipe(Entry):
    """What every protocol has: how an image is prepared, what is tested, where in the network."""

    resize_px: int = Field(default=256, gt=0, description="shorter side")
    crop_px: int = Field(default=224, gt=0, description="side of the centre crop")
    stretch: bool = Field(
        default=False, description="resize to a square of `crop_px`, aspect not kept"
    )
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    random_crop: bool = Field(default=False, description="a seeded random crop, not the centre")
    box_scale: float = Field(
        default=1.0, gt=0, description="an image's box is enlarged by this about its middle"
    )
    square_from: float = Field(
        default=0.0,
        ge=0,
        description="a box is cut to a square if a side is as many times the other",
    )
    train: SplitName | None = Field(default=None, description="split or part to train on")
    val: SplitName | None = Field(
        default=None, description="split or part to choose a tap or a cost on; absent: as published"
    )
    test: tuple[SplitName, ...] = Field(default=(), description="splits or parts, the main first")
    taps: tuple[FieldName, ...] = Field(
        default=("pool",), min_length=1, description="places in the network; those that are there"
    )
    metric: str = Field(default="", description="what is reported first; empty: the benchmark's")
    target: Sentence | None = Field(default=None, description="what is predicted")
    note: Sentence | None = Field(default=None, description="where this is not what was published")
    seed: int = 0


class _Descent(Recipe):
    """Stochastic gradient descent on labelled images."""

    epochs: int = Field(default=28, gt=0)
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = Field(
        default=(8, 16, 24), description="epochs after which a stepped rate is times 0.1"
    )
    learning_rate: float = Field(default=0.01, gt=0, description="per 256 images")
    final_learning_rate: float = Field(default=0.0, ge=0, description="of a cosine, per 256 images")
    weight_decay: float = Field(default=5e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    batch: int = Field(default=256, gt=0, description="images, over all ranks")
    flip: bool = Field(default=True, description="mirror training images at random")
    whole_views: bool = Field(
        default=False, description="random views show what the test does, mirrored alone"
    )
    group_by: tuple[FieldName, ...] = Field(
        default=(), description="fields for whose values figures are given too"
    )


class LinearProbe(_Descent):
    """A linear classifier for each tap; weight decay spares batch norm.

    `pool` goes straight into the linear layer; before all others is a batch norm.
    """

    taps: tuple[FieldName, ...] = Field(default=_PROBED, min_length=1)


class LowShot(LinearProbe):
    """A linear probe on few labelled images."""

    num_train: int = Field(default=1000, gt=0, description="images, balanced over classes")
    shares: tuple[float, ...] = Field(
        default=(), description="of each class's images, instead of `num_train`"
    )
    samples: int = Field(default=1, gt=0, description="how often the images are drawn")
    epochs: int = Field(default=90, gt=0)
    milestones: tuple[int, ...] = (30, 60)
    resize_px: int = Field(default=224, gt=0, description="shorter side")
    stretch: bool = Field(default=True, description="resize to a square, aspect not kept")
    note: Sentence | None = (
        "The released configurations train all weights on, at a rate of 0.1 per 256 images; here a "
        "linear classifier is trained at the rate of the probes."
    )


class Svm(Recipe):
    """One linear support vector machine a class, on features of length 1."""

    costs: tuple[float, ...] = Field(default=(0.1, 0.01), min_length=1)
    folds: int = Field(default=3, gt=1, description="of the cross-validation that chooses the cost")
    loss: Literal["squared_hinge", "hinge"] = "squared_hinge"
    taps: tuple[FieldName, ...] = Field(
        default=("pool", "stage3_2x1", "stage3_1x2", "stage4_2x1", "stage4_1x2"), min_length=1
    )


class NearestNeighbors(Recipe):
    """A vote of the nearest training images by cosine, weight exp(cosine / temperature)."""

    k: int = Field(default=200, gt=0)
    temperature: float = Field(default=0.1, gt=0)


class FineTune(_Descent):
    """All weights are trained on, with a new linear layer, on random crops."""

    epochs: int = Field(default=105, gt=0)
    milestones: tuple[int, ...] = (30, 60, 90, 100)
    learning_rate: float = Field(default=0.1, gt=0, description="per 256 images")
    weight_decay: float = Field(default=0.0, ge=0)
    resize_px: int = Field(default=384, gt=0, description="shorter side")
    crop_px: int = Field(default=384, gt=0, description="side, in training too")
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    color_distortion: bool = Field(default=True, description="as in pretraining")
    blur: bool = Field(default=True, description="as in pretraining")
    keep_head: bool = Field(
        default=False, description="keep the first layer of the pretraining head, batch norm, ReLU"
    )


class Shift(Recipe):
    """A classifier of other images is tested as it is."""

    taps: tuple[FieldName, ...] = Field(default=_PROBED, min_length=1)
    class_mask: bool = Field(default=False, description="only the set's classes compete")
    classes_of: Identifier = Field(default="imagenet-1k", description="whose classifier is tested")
    probe: LinearProbe = Field(
        default=LinearProbe(metric="top1"), description="how it is trained if it is not there"
    )


class Geolocation(Recipe):
    """Cells of the earth are predicted; the mean place of a cell's images is the answer."""

    note: Sentence | None = (
        "The paper trains all weights on; here a linear classifier tells the cells."
    )
    resize_px: int = Field(default=224, gt=0, description="shorter side")
    train_on: Identifier = "mp16"
    min_images: int = Field(
        default=50, gt=0, description="of a cell; cells with fewer are left out"
    )
    max_images: int = Field(default=1000, gt=0, description="of a cell; larger ones are divided")
    thresholds_km: tuple[float, ...] = (1, 25, 200, 750, 2500)
    earth_radius_km: float = 6371.0
    probe: LinearProbe = LinearProbe(
        epochs=15,
        milestones=(4, 8, 12, 13, 14),
        learning_rate=0.1,
        weight_decay=1e-4,
        taps=("pool",),
        metric="top1",
    )


class CopyDetection(Recipe):
    """Regional features, whitened; each edited image looks for its original among distractors."""

    taps: tuple[FieldName, ...] = Field(default=("stage3_regions",), min_length=1)
    levels: int = Field(default=3, gt=0, description="of regions (R-MAC)")
    dimensions: int = Field(default=1024, gt=0, description="kept by the whitening")
    subset: str = Field(default="strong", description="the kind of edit that is reported first")
    distractors: SplitName = Field(default="distractors", description="searched too, if there")
    whitening: SplitName = Field(default="whitening", description="to learn it on, if there")


class Retrieval(Recipe):
    """A gallery is ranked for each query."""

    gallery: SplitName = Field(default="gallery", description="split or part that is searched")
    queries: SplitName = Field(default="queries", description="split or part that asks")
    k: int = Field(default=100, gt=0, description="length of the ranking that counts, if cut")
    levels: int = Field(default=3, gt=0, description="of regions (R-MAC), if the tap has them")
    dimensions: int = Field(default=1024, gt=0, description="kept by the whitening")
    whitening: SplitName | None = Field(default=None, description="split that it is learned on")


class StyleRetrieval(Recipe):
    """Each image looks for others of its style and of its artist."""

    k: tuple[int, ...] = (1, 5, 10)
    style: FieldName = "style"
    artist: FieldName = "artist"


class HashtagEmbedding(Recipe):
    """Images of one concept in several languages should lie together."""

    concept: FieldName = "concept"
    language: FieldName = "language"


class HatefulMemes(LinearProbe):
    """A linear classifier on features of the image and, if asked for, of its text."""

    note: Sentence | None = (
        "How the paper joins image and text is not published; this is the registry's own."
    )
    text_dimensions: int = Field(
        default=0, ge=0, description="of hashed word frequencies of the field `text`; 0: no text"
    )
    taps: tuple[FieldName, ...] = Field(
        default=("pool", "pool_norm", "stage4_2x1", "stage4_1x2"), min_length=1
    )


# The classifier of many thousand labels, of which fairness of labels is told.
_OF_LABELS = LinearProbe(
    epochs=105,
    milestones=(30, 60, 90, 100),
    learning_rate=0.0125,
    weight_decay=1e-4,
    metric="top1",
)


class FairnessLabels(Recipe):
    """Which labels a classifier gives to which group of people."""

    taps: tuple[FieldName, ...] = Field(default=_PROBED, min_length=1)
    note: Sentence | None = (
        "The paper trains all weights on; here a linear classifier tells the labels."
    )
    classifier: Identifier = Field(
        default="imagenet-22k-people", description="labelled set that trains the classifier"
    )
    top: int = Field(default=5, gt=0, description="labels of an image that count")
    thresholds: tuple[float, ...] = Field(
        default=(0.0, 0.1, 0.3, 0.8), description="least score of a label that counts"
    )
    threshold: float = Field(default=0.1, ge=0, description="the one that is reported first")
    associations: dict[str, tuple[str, ...]] = Field(default={}, description="labels by their name")
    disparate: dict[str, float] = Field(
        default={}, description="labels that are checked from this score on"
    )
    group_by: tuple[tuple[FieldName, ...], ...] = (("gender", "skin_tone"), ("age",))
    probe: LinearProbe = _OF_LABELS


class HouseholdLabels(Recipe):
    """Hits among the first labels, by income and region of the household."""

    taps: tuple[FieldName, ...] = Field(default=_PROBED, min_length=1)
    note: Sentence | None = (
        "The paper trains all weights on; here a linear classifier tells the labels."
    )
    classifier: Identifier = Field(
        default="imagenet-22k-household", description="labelled set that trains the classifier"
    )
    top: int = Field(default=5, gt=0, description="labels of an image that count")
    buckets: tuple[str, ...] = Field(
        default=("low", "medium", "high"), description="of round(ln(income) / 3) = 1, 2, 3"
    )
    mapping: dict[str, tuple[str, ...]] = Field(
        default={}, description="concepts that a class stands for; absent: its own name"
    )
    probe: LinearProbe = _OF_LABELS


class AttributeRetrieval(Recipe):
    """Do the nearest faces share an attribute of the query's?"""

    metric: str = Field(default="precision_at_k", description="what is reported first")
    database: Identifier = "utkface"
    attribute: FieldName = "gender"
    k: tuple[int, ...] = (1, 5, 10, 50)
    group_by: tuple[tuple[FieldName, ...], ...] = (("gender", "skin_tone"), ("age",))
