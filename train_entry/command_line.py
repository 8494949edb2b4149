"""Flags of the trainer's commands, made from an options model as the data half's are; their end."""

import argparse
import atexit
import os
import sys
from types import UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

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


def leave(code: int) -> NoReturn:
    """End a process that was one of several ranks, as `sys.exit` would where it can be trusted.

    gloo's threads may let go of a tensor after its collective is done. Where the interpreter is
    ending meanwhile they find nobody to give it to and abort: a run that ended well, or was to be
    started again, would end with -6. See https://github.com/pytorch/pytorch/issues/190489.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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
