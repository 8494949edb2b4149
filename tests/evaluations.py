"""Evaluations that nobody ran: of registered benchmarks, with figures drawn at random."""

from hashlib import sha256

import numpy as np

from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.model import PublishedFigure
from schemas.certificate import Recall
from schemas.figures import BenchmarkResult, Contamination, EncoderRecord, Evaluation, Figure
from tests.pages import HOSTILE

# At least one of each category that is evaluated.
FEW = (
    *("imagenet-1k", "pascal-voc-2007", "places205", "cub-200", "dtd", "eurosat", "camelyon17"),
    *("clevr-count", "svhn", "ucf101", "gtsrb", "fer2013", "imagenet-v2", "imagenet-sketch"),
    *("im2gps", "im2gps-3k", "casual-conversations", "dollar-street", "roxford", "copydays"),
    "hateful-memes",
)
ALL = tuple(name for name, one in load_benchmarks().items() if one.protocols)
SPLIT = "test"
NUM_IMAGES = 2000
SOURCE = "Goyal et al. 2022, table 3"
_FAMILY = ("RG-32GF", "RG-64GF", "RG-128GF", "RG-256GF", "RG-10B")
INVENTED = ("imagenet-1k", "cub-200", "eurosat", "svhn", "roxford", "imagenet-v2")
_KM = (1, 25, 200, 750, 2500)
_GROUPS = ("female darker", "female lighter", "male darker", "male lighter")


def sha(text):
    return sha256(text.encode()).hexdigest()


def contamination(kind):
    """One of the five states that a benchmark may be in."""
    recall = Recall.of(97, 100)
    if kind == 0:
        return Contamination(matched=None, sentence="training data not known.")
    if kind == 1:
        return Contamination(matched=False, sentence="Not looked for: never compared.")
    if kind == 2:
        text = "CONTAMINATED: trained on 3 exact and 4 near copies of this set, found afterwards."
        left = {"exact_left": 3, "near_left": 4}
        return Contamination(
            matched=True, recall=recall, residual=(0.1, 1.6), sentence=text, **left
        )
    if kind == 3:
        text = "Removed before training: 12 exact and 0 near copies. The detector's recall was not"
        return Contamination(
            matched=True, exact_removed=12, sentence=f"{text} measured on this set."
        )
    text = (
        "Removed before training: 12 exact and 41 near copies. Recall of the detector 97.0% (91.5% "
        "to 99.0%, 100 planted copies); 0.4 to 3.8 near copies may be left unseen."
    )
    removed = {"exact_removed": 12, "near_removed": 41}
    return Contamination(matched=True, recall=recall, residual=(0.4, 3.8), sentence=text, **removed)


class _Maker:
    """Makes the results of one model; quality: by how much it is better than others."""

    def __init__(self, quality, seed, hostile):
        self.quality, self.hostile = quality, hostile
        self.drawn = np.random.default_rng(seed)

    def figure(self, key, metric, value, **rest):
        half = 1.96 * np.sqrt(max(0.001, value * (1 - value)) / NUM_IMAGES)
        told = {"split": SPLIT, "group": "", "setting": "", "primary": False, **rest}
        benchmark, protocol = key
        return Figure(
            benchmark=benchmark, protocol=protocol, metric=metric, value=value,
            low=value - half, high=value + half, num_images=NUM_IMAGES,
            protocol_sha256=sha(f"{benchmark} {protocol}"), contamination="", **told,
        )  # fmt: skip

    def value(self, base):
        return float(np.clip(base + self.quality + self.drawn.normal(0, 0.01), 0.01, 0.99))

    def figures(self, key, metric, base):
        """The figures of one protocol, as its kind has them."""
        if metric == "within_km":
            for place, km in enumerate(_KM):
                value = self.value(0.15 + 0.15 * place)
                yield self.figure(key, metric, value, setting=f"{km} km", primary=not place)
        elif metric == "label_rate":
            setting = "non-human, threshold 0.1"
            yield self.figure(key, metric, 0.002, primary=True, setting=setting)
            for name in ("non-human", "human"):
                for threshold in (0.0, 0.1, 0.3):
                    yield from self.groups(key, metric, f"{name}, threshold {threshold:g}")
        else:
            yield self.figure(key, metric, self.value(base), primary=True, setting="pool_norm")
            for tap in ("pool", "stage3_2x1", "stage4_2x1"):
                yield self.figure(key, metric, self.value(base - 0.04), setting=tap)
            for group in ("low", "high") if metric == "hit_rate" else ():
                yield self.figure(key, metric, self.value(base), group=group)
            if key == ("imagenet-sketch", "shift"):
                yield self.figure(key, "drop", 0.21, setting="imagenet-1k")
                yield self.figure(key, "reference_top1", 0.8, setting="imagenet-1k")
            if key[0] == "camelyon17":
                yield self.figure(key, metric, self.value(base), primary=True, split="id_val")

    def groups(self, key, metric, setting):
        """Of each group, and of how far they are apart."""
        base = 0.01 if setting.startswith("non-human") else 0.8
        values = {group: self.value(base) for group in _GROUPS}
        for group, value in values.items():
            yield self.figure(key, metric, value, group=group, setting=setting)
        apart = max(values.values()) - min(values.values())
        yield self.figure(key, "disparity", apart, group="by gender and skin_tone", setting=setting)

    def result(self, place, benchmark, protocol):
        base = 0.55 + 0.35 * (int(sha(f"{benchmark.id}{protocol}")[:4], 16) / 65535)
        key = (benchmark.id, str(protocol))
        metric = str(benchmark.metric)
        figures = tuple(self.figures(key, metric, base))
        told = contamination(place % 5)
        figures = tuple(one.model_copy(update={"contamination": told.sentence}) for one in figures)
        splits = {"train": sha(f"{benchmark.id} train"), SPLIT: sha(benchmark.id)}
        recipe = {"resize_px": 256, "taps": ["pool"], "probe": {"epochs": 28}, "note": None}
        if self.hostile:
            recipe[HOSTILE] = HOSTILE
        return BenchmarkResult(
            benchmark=benchmark.id, protocol=str(protocol), recipe=recipe, splits=splits,
            deviations=("tested at 224 px, not 384 px",) if place % 6 == 0 else (),
            num_images={"train": 10_000, SPLIT: NUM_IMAGES},
            num_bad={"train": 0, SPLIT: place % 7 == 0}, contamination=told, figures=figures,
            published=published_of(benchmark, str(protocol), base),
        )  # fmt: skip


def published_of(benchmark, protocol, base):
    """What the registry knows, and of some others what a family of models might have reached."""
    main = str(benchmark.protocols[0])
    known = tuple(one for one in benchmark.published if (one.protocol or main) == protocol)
    if known or benchmark.id not in INVENTED:
        return known
    return tuple(
        PublishedFigure(
            model=f"{kind} {name}", value=round(value, 3), protocol=protocol, source=SOURCE
        )
        for place, name in enumerate(_FAMILY)
        for kind, value in (
            ("SEER", base - 0.05 + 0.02 * place),
            ("supervised ImageNet-1k", base - 0.09 + 0.02 * place),
        )
    )


def evaluation(
    name="run-1, step 126008", quality=0.0, benchmarks=FEW, *, size=9_323_934_872, **rest
):
    """An evaluation of some benchmarks by all their protocols; hostile: with texts that attack."""
    hostile = rest.get("hostile", False)
    maker = _Maker(quality, rest.get("seed", 1), hostile)
    known = load_benchmarks()
    pairs = [(known[one], protocol) for one in benchmarks for protocol in known[one].protocols]
    results = [maker.result(place, *pair) for place, pair in enumerate(pairs)]
    if hostile:
        results.append(_hostile(results[0]))
    encoder = EncoderRecord(
        name=f"{name} {HOSTILE}" if hostile else name, sha256=sha(name), num_parameters=size,
        architecture={"depth": 27, "w_0": 1744}, step=126_008, merkle_root=sha("data"),
    )  # fmt: skip
    return Evaluation(
        encoder=encoder,
        training_data="/data/web",
        versions={"uncurated": "0.1.0", "torch": "2.13.0"},
        results=tuple(results),
        missing={"met": "expected files below met, got none", HOSTILE if hostile else "x": "gone"},
    )


def _hostile(result):
    """The same of a benchmark that no registry knows, with names that attack."""
    figures = tuple(
        one.model_copy(update={"benchmark": HOSTILE, "group": HOSTILE, "setting": f"\x00{HOSTILE}"})
        for one in result.figures
    )
    told = result.contamination.model_copy(update={"sentence": HOSTILE})
    return result.model_copy(
        update={
            "benchmark": HOSTILE, "figures": figures, "contamination": told,
            "deviations": (HOSTILE,), "splits": {HOSTILE: HOSTILE},
        }
    )  # fmt: skip
