"""Names of a RegNetY's tensors in five libraries: one table, read in every direction.

Looked up in torchvision `models/regnet.py`, timm `models/regnet.py`, transformers
`modeling_regnet.py`, VISSL `models/trunks/regnet.py` with ClassyVision `models/anynet.py`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from string import Formatter
from typing import Any, Literal, TypeVar, get_args

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

from train_entry.errors import CheckpointError

Names = Literal["ours", "torchvision", "timm", "transformers", "vissl"]
ALL_NAMES: tuple[Names, ...] = get_args(Names)

# What comes before the names of a block's parts. Numbers count from the digit in their name.
_BLOCKS: dict[Names, str] = {
    "ours": "stages.{stage0}.{block0}.",
    "torchvision": "trunk_output.block{stage1}.block{stage1}-{block0}.",
    "timm": "s{stage1}.b{block1}.",
    "transformers": "encoder.stages.{stage0}.layers.{block0}.",
    "vissl": "_feature_blocks.res{stage2}.block{stage1}-{block0}.",
}
_STEM: tuple[dict[Names, str], ...] = tuple(
    dict(zip(ALL_NAMES, row, strict=True))
    for row in (
        (
            "stem.conv",
            "stem.0",
            "stem.conv",
            "embedder.embedder.convolution",
            "_feature_blocks.conv1.stem.0",
        ),
        (
            "stem.norm",
            "stem.1",
            "stem.bn",
            "embedder.embedder.normalization",
            "_feature_blocks.conv1.stem.1",
        ),
    )
)
_PARTS: tuple[dict[Names, str], ...] = tuple(
    dict(zip(ALL_NAMES, row, strict=True))
    for row in (
        ("reduce.conv", "f.a.0", "conv1.conv", "layer.0.convolution", "f.a.0"),
        ("reduce.norm", "f.a.1", "conv1.bn", "layer.0.normalization", "f.a.1"),
        ("spatial.conv", "f.b.0", "conv2.conv", "layer.1.convolution", "f.b.0"),
        ("spatial.norm", "f.b.1", "conv2.bn", "layer.1.normalization", "f.b.1"),
        ("gate.squeeze", "f.se.fc1", "se.fc1", "layer.2.attention.0", "f.se.excitation.0"),
        ("gate.excite", "f.se.fc2", "se.fc2", "layer.2.attention.2", "f.se.excitation.2"),
        ("expand.conv", "f.c.0", "conv3.conv", "layer.3.convolution", "f.c"),
        ("expand.norm", "f.c.1", "conv3.bn", "layer.3.normalization", "f.final_bn"),
        ("shortcut.conv", "proj.0", "downsample.conv", "shortcut.convolution", "proj"),
        ("shortcut.norm", "proj.1", "downsample.bn", "shortcut.normalization", "bn"),
    )
)
# Names that a whole model has around or beside its trunk: taken off, and left out.
_PREFIXES: dict[Names, str] = {"transformers": r"(regnet\.)?"}
_CLASSIFIERS: dict[Names, str] = {
    "torchvision": r"fc\.",
    "timm": r"head\.fc\.",
    "transformers": r"classifier\.1\.",
}
# SEER's 10B was trained with blocks in groups, which its names tell and nobody needs.
_VISSL_GROUP = re.compile(r"(?<=\.)block\d+-part\d+\.")
# Nothing is computed from it, and older files lack it.
_OPTIONAL = ".num_batches_tracked"
_LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_OFFSETS = 3
_NUM_SHOWN = 8

T = TypeVar("T")


def rename(keys: Iterable[str], source: Names, target: Names) -> dict[str, str]:
    """The target's name of each key, in order; a classifier's keys are left out.

    Raises CheckpointError naming keys that are no tensor of a RegNetY in the source's names.
    """
    renamed, unknown = {}, []
    for key in keys:
        name = _rename(key, source, target)
        if name is not None:
            renamed[key] = name
        elif not re.match(_CLASSIFIERS.get(source, r"(?!)"), key):
            unknown.append(key)
    if unknown:
        raise CheckpointError(
            f"expected names of a RegNetY as {source} has them, such as "
            f"{_rename('stages.0.0.expand.conv.weight', 'ours', source)}, got {_listed(unknown)}"
        )
    return renamed


def convert(state: Mapping[str, T], source: Names, target: Names) -> dict[str, T]:
    """The same values under the target's names; raises CheckpointError as `rename` does."""
    return {name: state[key] for key, name in rename(state, source, target).items()}


def load_trunk(trunk: nn.Module, state: Mapping[str, Tensor], names: Names) -> None:
    """Copy a state dict in anyone's names into our trunk, which may be spread over ranks.

    Raises CheckpointError naming the tensors that are missing, left over, or of another shape.
    """
    own = trunk.state_dict()
    given: dict[str, Any] = convert(state, names, "ours")
    required = [key for key in own if not key.endswith(_OPTIONAL)]
    check_keys(given, required, own)
    wrong = [
        f"{key}: expected {tuple(own[key].shape)}, got {tuple(tensor.shape)}"
        for key, tensor in given.items()
        if own[key].shape != tensor.shape
    ]
    if wrong:
        raise CheckpointError(f"tensors of another shape: {_listed(wrong)}")
    options = StateDictOptions(full_state_dict=True, strict=False)
    set_model_state_dict(trunk, given, options=options)


def vissl_trunk(checkpoint: Any) -> Mapping[str, Tensor]:
    """The trunk's state dict in a loaded VISSL checkpoint; raises CheckpointError without one."""
    path = ("classy_state_dict", "base_model", "model", "trunk")
    found = checkpoint
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            had = _listed(found) if isinstance(found, Mapping) else type(found).__name__
            raise CheckpointError(f"expected a VISSL checkpoint with {'.'.join(path)}, got {had}")
        found = found[key]
    trunk: Mapping[str, Tensor] = found
    return trunk


def check_keys(given: Collection[str], required: Collection[str], known: Collection[str]) -> None:
    """Raise CheckpointError unless all required keys are given and all given ones are known."""
    missing = [key for key in required if key not in given]
    left_over = [key for key in given if key not in known]
    if missing or left_over:
        raise CheckpointError(
            f"expected {len(required)} tensors, got {len(given)}: "
            f"missing {_listed(missing)}; left over {_listed(left_over)}"
        )


def _rename(key: str, source: Names, target: Names) -> str | None:
    key = re.sub(f"^{_PREFIXES.get(source, '')}", "", key)
    if source == "vissl":
        key = _VISSL_GROUP.sub("", key)
    match = _block_pattern(source).match(key)
    offset = match.end() if match else 0
    part, _, leaf = key[offset:].rpartition(".")
    row = _index(source, match is not None).get(part)
    if row is None or leaf not in _LEAVES:
        return None
    prefix = _block_prefix(match, target) if match else ""
    return None if prefix is None else f"{prefix}{row[target]}.{leaf}"


@cache
def _index(names: Names, in_block: bool) -> dict[str, dict[Names, str]]:
    return {row[names]: row for row in (_PARTS if in_block else _STEM)}


@cache
def _block_pattern(names: Names) -> re.Pattern[str]:
    """Matches what comes before a block's parts; a number that is told twice must be the same."""
    pattern, seen = "", set()
    for literal, number, _, _ in Formatter().parse(_BLOCKS[names]):
        pattern += re.escape(literal)
        if number:
            pattern += f"(?P={number})" if number in seen else rf"(?P<{number}>\d+)"
            seen.add(number)
    return re.compile(pattern)


def _block_prefix(match: re.Match[str], target: Names) -> str | None:
    """The same block in the target's names; None if the numbers contradict each other."""
    found: dict[str, set[int]] = {"stage": set(), "block": set()}
    for name, text in match.groupdict().items():
        found[name[:-1]].add(int(text) - int(name[-1]))
    if any(len(numbers) != 1 or min(numbers) < 0 for numbers in found.values()):
        return None
    told = {
        f"{kind}{offset}": numbers.copy().pop() + offset
        for kind, numbers in found.items()
        for offset in range(_OFFSETS)
    }
    return _BLOCKS[target].format(**told)


def _listed(keys: Collection[object]) -> str:
    """Some of the keys, and how many more there are."""
    shown = [str(key) for key in list(keys)[:_NUM_SHOWN]]
    rest = len(keys) - len(shown)
    return (", ".join(shown) or "none") + (f" and {rest} more" if rest else "")
