"""Options models <-> command-line flags; what a model does not know is left to Beam, and checked.

A field `shard_mib` is the flag `--shard-mib`; `--shard_mib`, the Beam habit, is accepted too.
"""

import argparse
import difflib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ingest.errors import SetupError
from schemas.options import Options, PolitenessOptions, is_marked

AnyOptions = TypeVar("AnyOptions", bound=Options)


def add_flags(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Give `parser` one flag for each field of `model` and of the models in it."""
    group = parser.add_argument_group((model.__doc__ or "").splitlines()[0].rstrip("."))
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            add_flags(parser, info.annotation)
        elif is_marked(info, "positional"):
            group.add_argument(name, **_positional(info))
        else:
            flags = list(dict.fromkeys((flag_of(name), f"--{name}")))
            group.add_argument(*flags, dest=name, **_argument(info))


def read_options(model: type[AnyOptions], arguments: argparse.Namespace) -> AnyOptions:
    """The validated model; raises SetupError that names the flag, the limit and what came."""
    try:
        return model.model_validate(read_nested(model, arguments))
    except ValidationError as error:
        raise SetupError("; ".join(map(_problem, error.errors()))) from error


def _problem(one: ErrorDetails) -> str:
    flag = flag_of(str(one["loc"][-1]))
    if one["type"] == "missing":
        return f"{flag}: expected a value, got none"
    return f"{flag}: {one['msg']}, got {one['input']!r}"


def read_nested(model: type[BaseModel], arguments: argparse.Namespace) -> dict[str, Any]:
    """The values that were given, nested as the models are, not validated."""
    return _nested(model, vars(arguments))


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Each option of a model and of those in it."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from fields_of(info.annotation)
        else:
            yield name, info


def flag_of(name: str) -> str:
    """The flag of a field."""
    return "--" + name.replace("_", "-")


def check_rest(
    arguments: Sequence[str], models: Sequence[type[Options]], takes_beam: bool
) -> list[str]:
    """The arguments for Beam, with the runner named; raises SetupError for flags nobody knows."""
    if not takes_beam:
        if arguments:
            raise SetupError(f"expected a flag of this command, got {arguments[0]}")
        return []
    parser = beam_parser()
    found, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        own = argparse.ArgumentParser(add_help=False)
        for model in models:
            add_flags(own, model)
        actions = own._actions + parser._actions
        flags = [flag for action in actions for flag in action.option_strings]
        close = difflib.get_close_matches(unknown[0].split("=")[0], flags, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise SetupError(f"expected a flag of this command or of Beam, got {unknown[0]}{hint}")
    return list(arguments) if found.runner else [*arguments, "--runner=FnApiRunner"]


def beam_parser() -> argparse.ArgumentParser:
    """A parser of all flags of Beam, so that a typing error is found here and not ignored there."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for known in PipelineOptions.__subclasses__():
        known._add_argparse_args(parser)
    return parser


def num_fetching_processes(beam_arguments: Sequence[str], politeness: PolitenessOptions) -> int:
    """How many processes share a host's rate; raises SetupError if nothing tells and it matters."""
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, WorkerOptions

    if politeness.fetching_processes:
        return politeness.fetching_processes
    options = PipelineOptions(list(beam_arguments))
    if "FnApiRunner" in str(options.get_all_options()["runner"]):
        workers = options.view_as(DirectOptions).direct_num_workers
        return int(workers) or os.cpu_count() or 1
    workers = options.view_as(WorkerOptions).max_num_workers
    if not workers and politeness.host_requests_per_s:
        raise SetupError(
            "--host-requests-per-s: expected --fetching-processes or --max_num_workers beside it, "
            "got neither: the rate of a host is shared among the processes of the run"
        )
    return int(workers or 1)


def _positional(info: FieldInfo) -> dict[str, Any]:
    argument: dict[str, Any] = {"help": (info.description or "").replace("%", "%%")}
    if get_origin(info.annotation) is Literal:
        argument["choices"] = get_args(info.annotation)
    if not info.is_required():
        argument |= {"nargs": "?", "default": info.default}
    return argument


def _argument(info: FieldInfo) -> dict[str, Any]:
    """What argparse needs to know of a field; a flag that is not given leaves no trace."""
    text = (info.description or "").replace("%", "%%")
    argument: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
    if info.annotation is bool:
        return {**argument, "action": "store_true"}
    if get_origin(info.annotation) is tuple:
        return {**argument, "action": "append", "metavar": "VALUE"}
    if info.default not in ("", ...) and not info.is_required():
        argument["help"] += f" (default: {info.default})"
    if get_origin(info.annotation) is Literal:
        return {**argument, "choices": get_args(info.annotation)}
    return {**argument, "type": info.annotation, "metavar": "VALUE"}


def _nested(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            nested[name] = _nested(info.annotation, values)
        elif name in values:
            nested[name] = values[name]
    return nested
