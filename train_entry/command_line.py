"""Flags of the trainer's commands, made from an options model as the data half's are."""

import argparse
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from schemas.options import Options, is_marked


def add_options(parser: argparse.ArgumentParser, options: type[Options]) -> None:
    """An argument for each field that is marked positional, a flag for each other one.

    What is parsed are texts and tuples of them: `options.model_validate` makes values of them. A
    flag that is not given is not there, so that the model's own default holds.
    """
    for name, info in options.model_fields.items():
        told: dict[str, Any] = {"help": _help(info), "default": argparse.SUPPRESS}
        kind = _inner(info.annotation)
        if kind is bool:
            told["action"] = argparse.BooleanOptionalAction
        elif get_origin(kind) is tuple:
            told["nargs"] = "+"
        elif get_origin(kind) is Literal:
            told["choices"] = get_args(kind)
        if is_marked(info, "positional"):
            parser.add_argument(name, **{key: told[key] for key in ("help",)})
        else:
            flag = f"--{name.replace('_', '-')}"
            parser.add_argument(flag, required=info.is_required(), dest=name, **told)


def _inner(annotation: Any) -> Any:
    """The type without None."""
    if get_origin(annotation) in (Union, UnionType):
        return next(one for one in get_args(annotation) if one is not type(None))
    return annotation


def _help(info: FieldInfo) -> str:
    text = (info.description or "").replace("%", "%%")
    if info.is_required() or info.default in (None, "", ()):
        return text
    default = f"{info.default:g}" if isinstance(info.default, float) else info.default
    return f"{text} (default {default})"
