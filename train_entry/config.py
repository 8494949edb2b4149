"""The typed configuration of a run: a YAML file, then `key=value`; saved resolved beside the run.

As everywhere in the project, a field marked `speed` may change when a run is taken up again; all
others change results, are recorded, and are refused when a later start names another value.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError, model_validator

from schemas.options import Options, option
from train_entry.errors import ConfigError
from train_entry.family import FAMILY, RegNetConfig

CONFIG_FOLDER = Path(__file__).parent / "configs"


class DataConfig(Options):
    """Which samples, in which order."""

    dataset: str = option(
        ..., "sealed dataset: a local folder or any fsspec URI; `data=URI` for short", speed=True
    )
    root: str = option("", "Merkle root that the dataset must have; empty: as it is found")
    batch: int = option(..., "images of a step, over all ranks", gt=0)
    order: Literal["samples", "blocks"] = option(
        "samples",
        "samples: every sample anywhere (local disks); blocks: whole blocks are shuffled, then the "
        "samples of a window of blocks (object stores)",
    )
    block_mib: int = option(4, "size of a block, MiB of shard", gt=0)
    window_blocks: int = option(512, "blocks whose samples are mixed", gt=0)


class CropGroup(Options):
    """Crops of one size."""

    count: int = option(..., "crops of an image", gt=0)
    px: int = option(..., "side, pixels", gt=0)
    area_min: float = option(..., "least share of the image's area", gt=0, le=1)
    area_max: float = option(..., "largest share of the image's area", gt=0, le=1)


class CropsConfig(Options):
    """Random crops and what is done to their colours; defaults: SEER."""

    groups: tuple[CropGroup, ...] = option(
        (
            CropGroup(count=2, px=160, area_min=0.14, area_max=1.0),
            CropGroup(count=4, px=96, area_min=0.05, area_max=0.14),
        ),
        "sizes, large ones first; codes are computed of the first group",
    )
    flip: float = option(0.5, "probability of mirroring", ge=0, le=1)
    jitter: float = option(0.8, "probability of colour jitter", ge=0, le=1)
    brightness: float = option(0.8, "strength: factor from 1 - x to 1 + x", ge=0, le=1)
    contrast: float = option(0.8, "strength, likewise", ge=0, le=1)
    saturation: float = option(0.8, "strength, likewise", ge=0, le=1)
    hue: float = option(
        0.2, "strength: shift from -x to x turns of the colour circle", ge=0, le=0.5
    )
    grey: float = option(0.2, "probability of grey", ge=0, le=1)
    blur: float = option(0.5, "probability of a Gaussian blur", ge=0, le=1)
    blur_min_px: float = option(0.1, "least standard deviation of the blur, pixels", gt=0)
    blur_max_px: float = option(2.0, "largest standard deviation of the blur, pixels", gt=0)
    mean: tuple[float, float, float] = option((0.485, 0.456, 0.406), "subtracted, of 0 to 1")
    std: tuple[float, float, float] = option((0.229, 0.224, 0.225), "then divided by, of 0 to 1")


class ModelConfig(RegNetConfig):
    """The trunk: five numbers, or `model=rg_10b` and the like for short."""

    batch_norm_group: int = option(
        8, "ranks that share batch statistics: 1: none, 0: all, else so many neighbours", ge=0
    )
    precision: Literal["float32", "bfloat16"] = option(
        "float32", "of parameters and activations in the passes; masters stay float32"
    )
    state_precision: Literal["float32", "bfloat16"] = option(
        "float32", "of the master parameters and momenta; bfloat16 halves the state"
    )

    @model_validator(mode="after")
    def _state_fits_the_passes(self) -> "ModelConfig":
        if self.state_precision == "bfloat16" and self.precision != "bfloat16":
            raise ValueError(
                "expected precision bfloat16 with state_precision bfloat16, got float32"
            )
        return self


class SwavConfig(Options):
    """Head, prototypes and the balanced assignment; defaults: SEER's 10B."""

    hidden: tuple[int, ...] = option((8192, 8192), "widths of the head's hidden layers")
    dim: int = option(256, "dimensions of the embedding", gt=0)
    head_std: float = option(
        0.01, "standard deviation of the head's first weights; narrow heads need more", gt=0
    )
    head_batch_norm: bool = option(
        False, "batch norm in the head's hidden layers: SwAV has it, SEER has not"
    )
    prototypes: int = option(16_000, "prototypes", gt=1)
    temperature: float = option(0.1, "of the softmax over prototypes", gt=0)
    epsilon: float = option(0.03, "entropy weight of the assignment; smaller is sharper", gt=0)
    rounds: int = option(10, "rounds of the Sinkhorn algorithm", gt=0)
    queue: int = option(0, "earlier embeddings of each large crop that join the assignment", ge=0)
    queue_from_step: int = option(0, "step from which on the queue is used", ge=0)
    freeze_prototypes: int = option(313, "first steps in which prototypes stay as they are", ge=0)
    single_pass: bool = option(
        False, "pad small crops with zeros and run all crops at once, as SEER did; 1.74 x the FLOPs"
    )


class OptimConfig(Options):
    """Optimizer and schedule; defaults: SEER's 10B."""

    name: Literal["larc", "adamw"] = option("larc", "LARC-SGD, or AdamW for small runs")
    steps: int = option(126_008, "steps of the whole run", gt=0)
    lr: float = option(0.3, "learning rate per 256 images of a batch", gt=0)
    warmup_steps: int = option(5_500, "steps of the linear warm-up", ge=0)
    warmup_lr: float = option(0.15, "learning rate at its start, whatever the batch", ge=0)
    end_ratio: float = option(0.001, "learning rate at the end, as a share of the highest", ge=0)
    momentum: float = option(0.9, "momentum, or beta 1", ge=0, lt=1)
    beta2: float = option(0.999, "beta 2 of AdamW", ge=0, lt=1)
    weight_decay: float = option(1e-5, "of weights", ge=0)
    weight_decay_1d: float = option(1e-5, "of biases and batch norms", ge=0)
    trust: float = option(0.001, "LARC's trust coefficient", gt=0)
    accumulate: int = option(
        1, "parts of a rank's batch, one after the other; each is assigned by itself", gt=0
    )


class ParallelConfig(Options):
    """How the work is spread; changes speed and memory only."""

    device: Literal["auto", "cpu", "cuda"] = option("auto", "where to compute", speed=True)
    shard: int = option(
        0, "ranks that share one copy of the state (HSDP beyond them); 0: all", speed=True, ge=0
    )
    checkpoint_stages: tuple[int, ...] = option(
        (), "stages, from 1, whose activations are computed again in the backward pass", speed=True
    )
    split_last_block: bool = option(
        True, "gather the convolutions of the last block one by one", speed=True
    )
    compile: bool = option(False, "torch.compile each block", speed=True)
    cpu_offload: bool = option(False, "keep parameters and optimizer state on the CPU", speed=True)


class LoaderConfig(Options):
    """How samples are read; changes speed only."""

    workers: int = option(
        0, "processes of a rank that read and crop; 0: the rank itself", speed=True
    )
    prefetch: int = option(2, "batches that each of them is ahead", speed=True, gt=0)
    read_ahead_mib: int = option(
        256, "of object stores: bytes that a process asks for ahead of need, MiB", speed=True, gt=0
    )
    connections: int = option(
        32, "of object stores: requests in flight in a process", speed=True, gt=0
    )
    cache: str = option(
        "", "local folder for the sample table and for blocks; default: the system's", speed=True
    )
    cache_mib: int = option(16_384, "blocks kept there, MiB", speed=True, gt=0)
    max_bad: float = option(
        0.01, "share of unreadable samples beyond which the run ends", speed=True, ge=0, le=1
    )
    read_log: bool = option(False, "log which samples each step read", speed=True)


class CheckpointConfig(Options):
    """When the run is saved."""

    every: int = option(1_000, "steps between checkpoints", speed=True, gt=0)
    keep: int = option(2, "latest checkpoints that are kept", speed=True, gt=0)
    asynchronous: bool = option(True, "train on while a checkpoint is written", speed=True)


class JournalConfig(Options):
    """What is told of the run."""

    every: int = option(10, "steps between lines of the journal", speed=True, gt=0)
    tensorboard: bool = option(True, "write TensorBoard events, too", speed=True)
    progress: bool = option(True, "show progress on the terminal", speed=True)
    profile_from: int = option(0, "first step that torch.profiler traces", speed=True, ge=0)
    profile_steps: int = option(0, "steps that it traces; 0: none", speed=True, ge=0)
    peak_tflops: float = option(
        0.0, "peak of a device in the run's precision, for MFU; 0: by its name", speed=True, ge=0
    )


class TrainConfig(Options):
    """Everything a run is told."""

    output: str = option(..., "folder of the run: checkpoints, journal, configuration", speed=True)
    seed: int = option(0, "seed of order, crops and initial parameters", ge=0, lt=2**32)
    data: DataConfig
    crops: CropsConfig = CropsConfig()
    model: ModelConfig
    swav: SwavConfig = SwavConfig()
    optim: OptimConfig = OptimConfig()
    parallel: ParallelConfig = ParallelConfig()
    loader: LoaderConfig = LoaderConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    journal: JournalConfig = JournalConfig()

    @model_validator(mode="before")
    @classmethod
    def _expand_short_forms(cls, values: Any) -> Any:
        model = values.get("model") if isinstance(values, dict) else None
        if isinstance(model, dict) and "name" in model:
            rest = {key: value for key, value in model.items() if key != "name"}
            if model["name"] not in FAMILY:
                raise ValueError(f"model: expected one of {', '.join(FAMILY)}, got {model['name']}")
            values = {**values, "model": {**FAMILY[model["name"]].model_dump(), **rest}}
        return values


def load_config(path: str, overrides: Sequence[str]) -> TrainConfig:
    """The configuration of a YAML file with `key=value` on top; raises ConfigError."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: expected a YAML file, got {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections, got {values!r}")
    for override in overrides:
        _set(values, override)
    return validated(values, path)


def validated(values: dict[str, Any], source: str) -> TrainConfig:
    """The configuration of plain values; raises ConfigError naming each wrong one."""
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, one['loc'])) or 'all'}: {one['msg']}, got {one['input']!r:.80}"
            for one in error.errors()
        ]
        raise ConfigError(f"{source}: " + "; ".join(lines)) from error


def to_yaml(config: TrainConfig) -> str:
    """The resolved configuration as YAML; `load_config` gives it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


# A section that may be named by a single word: which of its fields that is.
_SHORT = {"data": "dataset", "model": "name"}


def _set(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"expected KEY=VALUE such as optim.steps=1000, got {override!r}")
    *sections, name = key.split(".")
    target = values
    for section in sections:
        if not isinstance(target.get(section), dict):
            short = target.get(section)
            target[section] = {_SHORT[section]: short} if section in _SHORT and short else {}
        target = target[section]
    value = yaml.safe_load(text) if text else ""
    if not sections and name in _SHORT and not isinstance(value, dict):
        short = _SHORT[name]
        # Another model replaces the numbers of the file, another dataset only itself.
        before = target.get(name)
        kept = before if isinstance(before, dict) else {}
        dropped = RegNetConfig.model_fields if name == "model" else {}
        value = {key: one for key, one in kept.items() if key not in dropped} | {short: str(value)}
    target[name] = value
