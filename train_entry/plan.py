r"""What a run would need, before any GPU is asked: memory, work, traffic, days.

    python -m train_entry.plan train_entry/configs/seer_10b.yaml --gpus 496 --memory-gb 83 \
        [KEY=VALUE ...] [--mfu 0.4] [--json]

Nothing is allocated: the model lives on the meta device. GB are 1e9 bytes.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from schemas.options import Options, option
from train_entry.activations import Activations, measure_activations
from train_entry.command_line import add_options
from train_entry.config import TrainConfig, load_config
from train_entry.errors import TrainError
from train_entry.flops import ImageFlops, count_flops, meta_model
from train_entry.memory import Memory, plan_memory
from train_entry.parallel import check_ranks, check_stages
from train_entry.traffic import Collective, plan_traffic

_GB, _TERA, _S_OF_DAY = 1e9, 1e12, 86_400
_PLANNED_IMAGES = 1_000_000_000


class Machines(Options):
    """Where the run is to take place; the defaults are those of H100 nodes."""

    gpus: int = option(..., "GPUs of the run", gt=0)
    memory_gb: float = option(..., "memory of a GPU, GB of 1e9 bytes (H100: 83, H200: 149)", gt=0)
    reserve_gb: float = option(2.0, "of it for CUDA, NCCL and fragments, GB", ge=0)
    mfu: float = option(0.4, "share of the peak that model operations reach", gt=0, le=1)
    peak_tflops: float = option(989.0, "dense peak of a GPU in the run's precision, TFLOP/s", gt=0)
    gpus_per_node: int = option(8, "GPUs that share fast links", gt=0)
    link_gbit_s: float = option(3_600.0, "of a GPU to others in its node, one way, Gbit/s", gt=0)
    node_gbit_s: float = option(400.0, "of each GPU to other nodes, Gbit/s", gt=0)
    latency_us: float = option(20.0, "of one collective, microseconds", ge=0)


@dataclass(frozen=True)
class Plan:
    """Everything that is told of a run, in bytes, operations and seconds."""

    config: TrainConfig
    machines: Machines
    parameters: dict[str, int]  # of trunk, head and prototypes
    memory: Memory
    activations: Activations
    flops: ImageFlops
    traffic: list[Collective]

    @property
    def images_per_gpu(self) -> int:
        """Images of a GPU in a step."""
        return self.config.data.batch // self.machines.gpus

    @property
    def images_per_pass(self) -> int:
        """Images of a GPU at once."""
        return self.images_per_gpu // self.config.optim.accumulate

    @property
    def update_excess(self) -> int:
        """What the optimizer needs beyond what the passes, which are over by then, have needed."""
        activations = self.images_per_pass * self.activations.planned.peak
        return max(0, self.memory.update - self.memory.passing - activations)

    @property
    def needed_bytes(self) -> float:
        """Upper bound of the memory of a GPU, with what is reserved."""
        return sum(num_bytes for _, _, num_bytes in memory_rows(self))

    @property
    def fits(self) -> bool:
        """Whether that is there."""
        return self.needed_bytes <= self.machines.memory_gb * _GB

    @property
    def largest_batch(self) -> int:
        """Most images of a GPU at once that fit; 0: not even the state does."""
        limit = (self.machines.memory_gb - self.machines.reserve_gb) * _GB - self.memory.resting
        if limit < self.memory.update:
            return 0
        return max(0, int((limit - self.memory.passing) // self.activations.planned.peak))

    @property
    def accumulate_that_fits(self) -> int | None:
        """Least `optim.accumulate` with which the batch fits; None: none does."""
        parts = range(1, self.images_per_gpu + 1)
        divisors = (part for part in parts if self.images_per_gpu % part == 0)
        fitting = (one for one in divisors if self.images_per_gpu // one <= self.largest_batch)
        return next(fitting, None)

    @property
    def images_per_s(self) -> float:
        """Of all GPUs, at the given MFU."""
        return (
            self.machines.gpus
            * self.machines.peak_tflops
            * _TERA
            * self.machines.mfu
            / (self.flops.model)
        )

    @property
    def step_s(self) -> float:
        """Seconds of a step at that rate."""
        return self.config.data.batch / self.images_per_s

    @property
    def traffic_s(self) -> float:
        """Seconds that the collectives would take one after the other; most of them overlap."""
        return sum(self.seconds(one) for one in self.traffic)

    @property
    def days(self) -> float:
        """Days for 1e9 images."""
        return _PLANNED_IMAGES / self.images_per_s / _S_OF_DAY

    def seconds(self, collective: Collective) -> float:
        """How long one kind of collective takes in a step, with its latency."""
        told = self.machines
        sending = collective.seconds(told.gpus_per_node, told.link_gbit_s, told.node_gbit_s)
        return sending + collective.calls * told.latency_us * 1e-6


def plan(config: TrainConfig, machines: Machines) -> Plan:
    """What the run needs; raises ConfigError if it cannot be built on so many GPUs."""
    check_ranks(config, machines.gpus)
    check_stages(config)
    model = meta_model(config)
    parts = {"trunk": model.trunk, "head": model.head, "prototypes": model.prototypes}
    return Plan(
        config=config,
        machines=machines,
        parameters={
            name: sum(one.numel() for one in part.parameters()) for name, part in parts.items()
        },
        memory=plan_memory(config, model, machines.gpus),
        activations=measure_activations(config, machines.gpus),
        flops=count_flops(config),
        traffic=plan_traffic(config, model, machines.gpus),
    )


def to_json(told: Plan) -> dict[str, Any]:
    """The plan as plain values, named with their units."""
    memory, planned, whole = told.memory, told.activations.planned, told.activations.whole
    return {
        "machines": told.machines.model_dump(),
        "parameters": {**told.parameters, "all": sum(told.parameters.values())},
        "images_per_gpu": told.images_per_gpu,
        "images_per_pass": told.images_per_pass,
        "memory_gb": {name: num_bytes / _GB for name, _, num_bytes in memory_rows(told)},
        "needed_gb": told.needed_bytes / _GB,
        "host_memory_gb": memory.host / _GB,
        "fits": told.fits,
        "image_gb": {
            "kept": planned.kept / _GB,
            "recomputed": planned.recomputed / _GB,
            "peak": planned.peak / _GB,
            "kept_without_checkpoints": whole.kept / _GB,
        },
        "largest_batch": told.largest_batch,
        "accumulate_that_fits": told.accumulate_that_fits,
        "tflop_per_image": {
            "forward": told.flops.forward / _TERA,
            "model": told.flops.model / _TERA,
            "hardware": told.flops.hardware / _TERA,
        },
        "traffic": [_traffic_row(told, one) for one in told.traffic],
        "traffic_s": told.traffic_s,
        "step_s": told.step_s,
        "images_per_s": told.images_per_s,
        "images_per_s_per_gpu": told.images_per_s / told.machines.gpus,
        "days_per_1e9_images": told.days,
    }


def _traffic_row(told: Plan, one: Collective) -> dict[str, Any]:
    sent_gb, seconds = one.sent_bytes / _GB, told.seconds(one)
    return {
        "name": one.name,
        "ranks": one.ranks,
        "calls": one.calls,
        "sent_gb": sent_gb,
        "seconds": seconds,
    }


def memory_rows(told: Plan) -> Iterator[tuple[str, str, float]]:
    """Name, explanation and bytes of each part of the memory; their sum is what is needed."""
    memory, number = told.memory, told.images_per_pass
    yield "parameters", "this rank's shard", memory.parameters
    yield "gradients", "this rank's shard", memory.gradients
    yield "momenta", "this rank's shard", memory.momenta
    yield "buffers", "statistics of batch norms", memory.buffers
    yield "gathered", "largest unit, its gradient, one ahead", memory.gathered
    yield "reduction", "largest unit's gradient in float32, its shard", memory.reduction
    yield (
        "activations",
        f"of {number} images, when most are there",
        told.activations.planned.peak * number,
    )
    yield "update", "what the optimizer needs beyond the passes", told.update_excess
    yield "reserve", "CUDA, NCCL, fragments", told.machines.reserve_gb * _GB


def show(told: Plan, console: Console) -> None:
    """Print the plan as tables."""
    machines = told.machines
    memory = Table("memory of a GPU", "", "GB", title_justify="left")
    for name, explanation, num_bytes in memory_rows(told):
        memory.add_row(name.replace("_", " "), explanation, f"{num_bytes / _GB:.2f}")
    verdict = "fits" if told.fits else "does not fit"
    memory.add_section()
    memory.add_row(
        "sum", f"{verdict} into {machines.memory_gb:g} GB", f"{told.needed_bytes / _GB:.2f}"
    )
    console.print(memory)
    if told.traffic:
        traffic = Table("a step sends", "ranks", "calls", "GB a GPU", "s alone")
        for one in told.traffic:
            sent, seconds = f"{one.sent_bytes / _GB:.4g}", f"{told.seconds(one):.3f}"
            traffic.add_row(one.name, str(one.ranks), str(one.calls), sent, seconds)
        console.print(traffic)
    run = Table("the run", "")
    for name, value in _run_rows(told):
        run.add_row(name, value)
    console.print(run)


def _run_rows(told: Plan) -> Iterator[tuple[str, str]]:
    parameters, flops = told.parameters, told.flops
    planned, whole = told.activations.planned, told.activations.whole
    yield "parameters", f"{sum(parameters.values()):,} ({parameters['trunk']:,} in the trunk)"
    yield "images of a GPU", f"{told.images_per_gpu} a step, {told.images_per_pass} at once"
    yield "largest number at once", str(told.largest_batch)
    yield "optim.accumulate that fits", str(told.accumulate_that_fits or "none")
    if told.memory.host:
        yield "state on the CPU", f"{told.memory.host / _GB:.1f} GB a GPU"
    yield (
        "activations of an image",
        f"{planned.peak / _GB:.3g} GB at the peak, {planned.kept / _GB:.3g} GB kept; "
        f"{whole.kept / _GB:.3g} GB without checkpoints",
    )
    yield (
        "TFLOP of an image",
        f"{flops.model / _TERA:.4g}; {flops.hardware / _TERA:.4g} with what is computed again",
    )
    yield f"images/s at {told.machines.mfu:.0%} MFU", f"{told.images_per_s:,.1f}"
    yield "seconds of a step", f"{told.step_s:.2f}; its traffic alone {told.traffic_s:.2f}"
    yield "days for 1e9 images", f"{told.days:.3g}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print a plan; the exit code: 0 it fits, 1 it does not, 2 the configuration is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m train_entry.plan",
        description=(__doc__ or "").partition("\n")[0],
        epilog="example: python -m train_entry.plan train_entry/configs/seer_10b.yaml --gpus 64 "
        "--memory-gb 85 optim.accumulate=4",
    )
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="on top of it")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_options(parser, Machines)
    told = vars(parser.parse_intermixed_args(argv))
    path, overrides, as_json = (told.pop(key) for key in ("config", "overrides", "json"))
    try:
        # A plan needs neither dataset nor folder.
        config = load_config(path, ["output=none", "data.dataset=none", *overrides])
        planned = plan(config, Machines.model_validate(told))
    except (TrainError, ValueError) as error:
        parser.exit(2, f"{error}\n")
    if as_json:
        sys.stdout.write(json.dumps(to_json(planned), indent=2) + "\n")
    else:
        show(planned, Console())
    return 0 if planned.fits else 1


if __name__ == "__main__":
    sys.exit(main())
