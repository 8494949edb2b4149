"""The Flex Template of Dataflow: its parameters, made from the options, and what a launch runs.

`python -m pipelines.flex_template` writes docker/flex_template.json; `--check` compares it.
"""

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from pipelines.options import beam_parser, fields_of, flag_of
from schemas.options import BuildOptions, DatasetOptions, PlanOptions, is_marked

_log = logging.getLogger(__name__)
METADATA = Path(__file__).parent.parent / "docker" / "flex_template.json"
_COMMANDS = {
    "build": "fetch, inspect, pack and seal a planned dataset",
    "plan": "choose, shuffle and shard the candidates of a dataset",
}
_URI = r"[a-z][a-z0-9+.-]*://\S+"
_REGEXES = {int: r"^[+-]?[0-9]+$", float: r"^[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?$"}
# Options of Beam that matter to a crawl and that a launch has no flag of its own for.
_BEAM_PARAMETERS = {
    "sdk_container_image": "image of the workers: the one that this template was built from",
    "disk_size_gb": "disk of a worker, GB: three shards under way, and the one being packed",
    "element_processing_timeout_minutes": "a worker that does not move for so long is replaced; "
    "default: from the time limits of a candidate",
}
_FIELDS = dict(fields_of(PlanOptions)) | dict(fields_of(BuildOptions))
_SEVERAL = {name for name, info in _FIELDS.items() if get_origin(info.annotation) is tuple}
_ONLY_BUILD = {
    f"--{name}" for name, _ in fields_of(BuildOptions) if name not in DatasetOptions.model_fields
}


def metadata() -> dict[str, Any]:
    """What the Dataflow console and `gcloud` know of the template."""
    command = {
        "name": "command",
        "label": "Command",
        "helpText": "; ".join(f"{name}: {text}" for name, text in _COMMANDS.items()),
        "isOptional": True,
        "paramType": "ENUM",
        "enumOptions": [{"value": name, "label": text} for name, text in _COMMANDS.items()],
        "defaultValue": "build",
    }
    ours = [_parameter(name, info) for name, info in _FIELDS.items()]
    beam = [
        {"name": name, "label": _label(name), "helpText": text, "isOptional": True}
        for name, text in _BEAM_PARAMETERS.items()
    ]
    # What must be given comes first.
    parameters = sorted([command, *ours, *beam], key=lambda one: one["isOptional"])
    return {
        "name": "uncurated",
        "description": "Turns the raw web into sealed training shards: launch `plan`, then `build`",
        "parameters": parameters,
    }


def launch(arguments: Sequence[str]) -> int:
    """Run the command of a launch; its exit code.

    The service refuses parameters that the template does not list, so a flag that is neither ours
    nor Beam's is the launcher's own, and left out.
    """
    from pipelines.command import main

    command, *words = command_line(arguments)
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _FIELDS:
        ours.add_argument(*dict.fromkeys((f"--{name}", flag_of(name))))
    _, others = ours.parse_known_args(words)
    _, unknown = beam_parser().parse_known_args(others)
    if unknown:
        _log.warning("left out what neither this command nor Beam knows: %s", " ".join(unknown))
    return main([command, *(word for word in words if word not in unknown)])


def command_line(arguments: Sequence[str]) -> list[str]:
    """The words after `uncurated` for the parameters of a launch, which come as `--name=value`.

    Left out is what the console sends unasked: empty values, and the defaults of a command that is
    not launched. Several values of one parameter become a flag each.
    """
    command, words = "build", []
    for argument in arguments:
        flag, has_value, value = argument.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if name == "command":
            command = value
        elif name in _SEVERAL and has_value:
            words += [f"{flag}={one}" for one in split_values(value)]
        elif value or not has_value:
            words.append(argument)
    if command == "plan":
        words = [word for word in words if word.partition("=")[0] not in _ONLY_BUILD]
    return [command, *words]


def split_values(text: str) -> list[str]:
    """The values in one text: its lines, or what is between its commas.

    Commas in braces are those of a glob.
    """
    several_lines = "\n" in text.strip()
    parts = text.splitlines() if several_lines else re.split(r",(?![^{]*\})", text)
    return [part.strip() for part in parts if part.strip()]


def _parameter(name: str, info: FieldInfo) -> dict[str, Any]:
    # A planned dataset is built without naming its input again.
    parameter: dict[str, Any] = {
        "name": name,
        "label": _label(name),
        "helpText": info.description,
        "isOptional": not info.is_required() or name == "input",
    }
    kind, several = info.annotation, get_origin(info.annotation) is tuple
    if several:
        parameter["helpText"] += "; several: by comma, or a line each"
    if get_origin(kind) is Literal:
        parameter |= {
            "paramType": "ENUM",
            "enumOptions": [{"value": one, "label": one} for one in get_args(kind)],
        }
    elif is_marked(info, "shared"):
        uris = rf"^\s*{_URI}([,\s]+{_URI})*\s*$" if several else rf"^{_URI}$"
        parameter["regexes"] = [uris]
    elif kind in _REGEXES:
        parameter["regexes"] = [_REGEXES[kind]]
    if info.default not in ("", ()) and not info.is_required():
        parameter["defaultValue"] = str(info.default)
    return parameter


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def main(argv: Sequence[str] | None = None) -> int:
    """0 if the file is as the options say, afterwards or already."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.flex_template", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args(argv).check
    text = json.dumps(metadata(), indent=2, ensure_ascii=False) + "\n"
    if METADATA.exists() and METADATA.read_text() == text:
        return 0
    if not check:
        METADATA.write_text(text)
        return 0
    sys.stderr.write(f"{METADATA.name} is not what `python -m pipelines.flex_template` writes\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
