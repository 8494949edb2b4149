"""What to evaluate, on what, and where to leave what was found."""

from typing import Literal

from schemas.options import Options, option


class EvaluateOptions(Options):
    """Options of `python -m train_entry.evaluate`."""

    model: str = option(
        ...,
        "a run's folder (its newest checkpoint), a checkpoint's, an exported .safetensors file, or "
        "package.module:function that makes a torch encoder",
        positional=True,
    )
    root: str = option(..., "folder or fsspec URI of the benchmarks, ROOT/<id>/...")
    output: str = option(..., "folder for results, features and report")
    benchmarks: tuple[str, ...] = option(
        (), "ids or categories; default: all that have a folder below the root"
    )
    protocols: tuple[str, ...] = option((), "only these; default: all of each benchmark")
    definitions: tuple[str, ...] = option(
        (), "TOML files of benchmarks of your own, as in schemas/benchmarks"
    )
    training_data: str = option(
        "", "the dataset that the model has read, for the statements on contamination"
    )
    compare: tuple[str, ...] = option((), "evaluation.json of other models, for the report")
    views: int = option(
        0,
        "random views of each training image for linear classifiers, one an epoch in turn; 0: the "
        "centre alone",
        ge=0,
    )
    precision: Literal["float32", "bfloat16"] = option("float32", "of the passes")
    shard: bool = option(False, "spread the model over all ranks (FSDP2), if it does not fit one")
    device: Literal["auto", "cpu", "cuda"] = option("auto", "where the passes take place")
    batch: int = option(64, "images of a pass", gt=0)
    workers: int = option(2, "decoding processes of each rank; 0: none", ge=0)
    cache: str = option("", "folder for features; default: OUTPUT/features")
