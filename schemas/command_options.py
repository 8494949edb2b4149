"""Options of the commands around `build`: what each takes beside, or instead of, a build's own."""

from typing import Literal

from schemas.options import (
    BuildOptions,
    ConsentOptions,
    DatasetOptions,
    FetchOptions,
    InspectOptions,
    MatchOptions,
    Options,
    PackOptions,
    PolitenessOptions,
    Profile,
    ResizeOptions,
    option,
)


class ForecastOptions(BuildOptions):
    """How to forecast a build: its own options, and the sample."""

    output: str = option("", "dataset to keep the forecast in, for `report`; default: only shown")
    candidates: int = option(2000, "candidates of the sample, about", gt=0)
    prices: str = option("", "TOML file of prices; default: schemas/prices.toml")
    json_file: str = option("", "write the forecast to this JSON file")


class RetryOptions(Options):
    """Which candidates to ask for anew; all else is as the dataset was built."""

    dataset: str = option(
        ..., "the dataset: a local folder or any fsspec URI", positional=True, shared=True
    )
    outcomes: str = option(
        "connect,connection_lost,deferred,dns,host_down,http_429,http_5xx,low_speed,"
        "robots_unavailable,timeout",
        "outcomes to retry, by comma; the default: those that may pass by themselves",
    )
    where: str = option("", "SQL condition on the columns of the ledger, for those only")
    fetch: FetchOptions = FetchOptions()
    politeness: PolitenessOptions = PolitenessOptions()
    consent: ConsentOptions = ConsentOptions()
    inspect: InspectOptions = InspectOptions()
    match: MatchOptions = MatchOptions()
    pack: PackOptions = PackOptions()


class ResizeCommandOptions(DatasetOptions):
    """Which dataset to derive a smaller one from."""

    dataset: str = option(
        ...,
        "the finished dataset: a local folder or any fsspec URI",
        positional=True,
        shared=True,
    )
    shard_candidates: int = option(10_000, "samples in a shard, on average", gt=0)
    resize: ResizeOptions = ResizeOptions()
    inspect: InspectOptions = InspectOptions()
    match: MatchOptions = MatchOptions()
    pack: PackOptions = PackOptions()


class IndexOptions(Options):
    """Which evaluation images to index, and how."""

    eval_set: tuple[str, ...] = option(
        (),
        "NAME=PATH of an evaluation set: a folder, a tar or a parquet file with image bytes",
        shared=True,
    )
    root: str = option(
        "",
        "folder of benchmarks, one folder each, named as in the registry (`benchmarks list`)",
        shared=True,
    )
    benchmark: tuple[str, ...] = option(
        (), "benchmark below --root to index; default: all that are there"
    )
    extend: tuple[str, ...] = option(
        (), "an index whose images are taken over, without their files; several are merged"
    )
    output: str = option(..., "the index: a new local folder")
    profile: Profile = option(
        "standard", "variants of each image: small (5), standard (21) or thorough (49)"
    )
    background: tuple[str, ...] = option(
        (),
        "ordinary images (folder, tar or parquet), to find codes that match strangers",
        shared=True,
    )
    hub_hits: int = option(
        2, "codes that match more images of half the background are exact only", ge=0
    )
    descriptor: str = option(
        "",
        "ONNX copy-detection model, such as SSCD, to describe all images by (extra `onnx`)",
        shared=True,
    )
    canaries: int = option(
        256, "copies made of each set's images, by which builds measure recall", ge=0
    )
    seed: int = option(0, "seed of the canaries", ge=0, lt=2**63)
    max_pixels: int = option(1_000_000_000, "pixels of an image, width times height", gt=0)
    scratch: str = option(
        "",
        "folder or URI that all workers reach, where parts are kept for another try; default: a "
        "temporary one on this machine",
        speed=True,
        shared=True,
    )
    unit_images: int = option(2000, "images of one work unit", speed=True, gt=0)


class DecontaminateOptions(Options):
    """Which dataset to look through, for which evaluation images."""

    dataset: str = option(
        ..., "the dataset: a local folder or any fsspec URI", positional=True, shared=True
    )
    inspect: InspectOptions = InspectOptions()
    match: MatchOptions = MatchOptions()


class CertificateOptions(Options):
    """Which certificate to show, and how."""

    dataset: str = option(..., "the dataset: a local folder or any fsspec URI", positional=True)
    json_file: str = option("", "write the certificate and all removed copies to this JSON file")
    html: str = option("", "write a page with the removed pairs side by side to this file")
    eval_index: str = option("", "the index, for its thumbnails; default: where the build had it")
    eval_set: tuple[str, ...] = option(
        (), "NAME=PATH of an evaluation set, to show its images themselves"
    )


class DemoOptions(Options):
    """Where the demo leaves its files."""

    output: str = option("", "new local folder for the demo; default: a temporary one")
    seed: int = option(1, "seed of the miniature web", ge=0, lt=2**31)


class BenchmarksOptions(Options):
    """Which benchmarks to tell of, and where their files are."""

    action: Literal["list", "show", "check", "prepare"] = option(
        ...,
        "list all, show one, check what is below --root, or prepare lists of labels there from "
        "annotations",
        positional=True,
    )
    id: str = option("", "the benchmark to show", positional=True)
    root: str = option("", "folder or fsspec URI with one folder for each benchmark, by its id")
    benchmark: tuple[str, ...] = option(
        (), "id of a benchmark that must be there; default: those whose folder is there"
    )
    count_tars: bool = option(False, "count images in tar files too, which reads them whole")
