"""What a checkpoint says of its run, and whether a configuration continues it."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from train_entry.config import TrainConfig
from train_entry.errors import CheckpointError, ConfigError


def run_record(
    config: TrainConfig,
    reader: Mapping[str, Any],
    num_ranks: int,
    tombstones: Mapping[str, str],
) -> dict[str, Any]:
    """The record of a run: configuration, position among the samples, ranks, versions.

    tombstones: the files that it obeyed from its first step on, with their SHA-256.
    """
    return {
        "config": config.model_dump(mode="json"),
        "reader": dict(reader),
        "ranks": num_ranks,
        "tombstones": dict(tombstones),
        "versions": {"torch": torch.__version__},
    }


def check_same_run(record: Mapping[str, Any], config: TrainConfig) -> None:
    """Raise ConfigError if a configuration would give other results than the recorded one."""
    try:
        before = TrainConfig.model_validate(record["config"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"expected a configuration in the record of a run: {error}"
        ) from error
    was, now = dict(_flat(before.recorded())), dict(_flat(config.recorded()))
    differing = [
        f"{name}: expected {was.get(name)!r}, got {now.get(name)!r}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
    if differing:
        raise ConfigError(
            f"{config.output} was begun with another configuration; {'; '.join(differing)}. "
            "Name another output, or go on with the recorded one"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
