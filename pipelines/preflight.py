"""What is checked before a pipeline is submitted, so that no worker has to find it out.

`check_run` looks at the flags, `check_pipeline` at the pipeline made of them.
"""

import argparse
import base64
import bz2
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    WorkerOptions,
)
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from pydantic import BaseModel

from ingest.errors import SetupError
from pipelines.options import fields_of, flag_of
from pipelines.runners import check_runner, runner_of, workers_are_here
from schemas.options import is_marked

_LOCAL_SCHEMES = ("", "file", "local", "memory")
# A password before the host of a URL; a signature behind it, as in URLs signed for an hour.
_PASSWORD = re.compile(r"://[^/?#\s@:\x00-\x20]*:[^/?#\s@\x00-\x20]+@")
_SIGNATURE = re.compile(r"[?&](x-amz-signature|x-goog-signature|sig)=", re.IGNORECASE)
_SECRET_FLAG = re.compile(r"secret|password|token")
_MAX_STEP_BYTES, _MAX_PIPELINE_BYTES = 1 << 20, 8 << 20
_FALLBACKS = (
    coders.FastPrimitivesCoder,
    coders.PickleCoder,
    coders.CloudpickleCoder,
    coders.DillCoder,
)


def check_run(
    models: Sequence[type[BaseModel]],
    arguments: argparse.Namespace,
    beam_arguments: Sequence[str],
) -> None:
    """Raise SetupError if the flags of a command do not suit the runner, naming each of them."""
    options = PipelineOptions(list(beam_arguments))
    check_runner(options)
    if runner_of(options) == "dataflow":
        _check_dataflow(options)
    if workers_are_here(options):
        return
    _check_beam_secrets(options)
    for model in models:
        _check_values(model, vars(arguments), runner_of(options))


def check_options(options: BaseModel, beam_arguments: Sequence[str]) -> None:
    """Raise SetupError if options, wherever they come from, do not suit the runner."""
    beam_options = PipelineOptions(list(beam_arguments))
    if not workers_are_here(beam_options):
        _check_values(type(options), _flat(options), runner_of(beam_options))


def check_pipeline(pipeline: beam.Pipeline) -> None:
    """Raise SetupError if a pipeline would be slow, unsafe or not deterministic on its runner.

    Everywhere: elements that are pickled, keys whose encoding may differ. Where workers are
    elsewhere, too: steps of more than a MiB, and secrets in what is sent.
    """
    steps = _Steps()
    pipeline.visit(steps)
    for step in steps.outer:
        _check_coders(step)
    if workers_are_here(pipeline.options):
        return
    contents = {step.full_label: _pickled(step) for step in steps.pickled}
    for label, content in contents.items():
        _check_content(label, content)
    total = sum(map(len, contents.values()))
    if total > _MAX_PIPELINE_BYTES:
        raise SetupError(
            f"expected a pipeline of at most {_MAX_PIPELINE_BYTES:,} bytes, got {total:,}: name "
            "fewer and larger inputs"
        )


def is_local(uri: str) -> bool:
    """Whether only this machine, or only this process, can open a path."""
    last = uri.rpartition("::")[2]
    scheme = last.partition("://")[0] if "://" in last else ""
    return scheme in _LOCAL_SCHEMES


def has_secret(text: str) -> bool:
    """Whether a text holds a URL with a password or a signature."""
    return bool(_PASSWORD.search(text) or _SIGNATURE.search(text))


def _check_dataflow(options: PipelineOptions) -> None:
    cloud, setup = options.view_as(GoogleCloudOptions), options.view_as(SetupOptions)
    has_package = (
        options.view_as(WorkerOptions).sdk_container_image
        or setup.setup_file
        or setup.extra_packages
    )
    needed = {
        "--project": cloud.project,
        "--region": cloud.region,
        "--temp_location=gs://...": str(cloud.temp_location or "").startswith("gs://"),
        "--sdk_container_image (see docker/README.md)": has_package,
    }
    missing = [flag for flag, given in needed.items() if not given]
    if missing:
        raise SetupError(
            f"expected {', '.join(needed)} for DataflowRunner, got no {', no '.join(missing)}"
        )


def _check_beam_secrets(options: PipelineOptions) -> None:
    for name, value in options.get_all_options(drop_default=True).items():
        if _SECRET_FLAG.search(name) or has_secret(str(value)):
            raise SetupError(
                f"--{name}: expected no secret, which would be kept with the job, got one: give "
                "workers their rights by a service account"
            )


def _check_values(model: type[BaseModel], values: Mapping[str, Any], runner: str) -> None:
    for name, info in fields_of(model):
        value = values.get(name, ())
        for text in value if isinstance(value, (tuple, list)) else (value,):
            if not isinstance(text, str) or not text:
                continue
            if has_secret(text):
                raise SetupError(
                    f"{flag_of(name)}: expected a URL without password or signature, which would "
                    f"be kept with the job, got one with it"
                )
            # The path of --eval-set stands behind a name.
            if is_marked(info, "shared") and is_local(re.sub(r"^[\w.-]+=", "", text)):
                raise SetupError(
                    f"{flag_of(name)}: expected a URI that all workers of the runner {runner!r} "
                    f"reach, such as gs://bucket/path, got {text}"
                )


def _flat(options: BaseModel) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in type(options).model_fields:
        value = getattr(options, name)
        flat |= _flat(value) if isinstance(value, BaseModel) else {name: value}
    return flat


class _Steps(PipelineVisitor):
    """Collects the steps that we named, and all that pickle something."""

    def __init__(self) -> None:
        self.outer: list[AppliedPTransform] = []
        self.pickled: list[AppliedPTransform] = []

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        self._add(transform_node)

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        self._add(transform_node)
        if isinstance(transform_node.transform, beam.ParDo):
            self.pickled.append(transform_node)

    def _add(self, node: AppliedPTransform) -> None:
        if node.full_label and "/" not in node.full_label:
            self.outer.append(node)


def _pickled(node: AppliedPTransform) -> bytes:
    """What a step is for the workers, uncompressed: random data does not shrink.

    Beam has pickled it once when it was made, and named what does not pickle.
    """
    return bz2.decompress(base64.b64decode(pickler.dumps(node.transform.fn)))


def _check_content(label: str, content: bytes) -> None:
    if "/" not in label and len(content) > _MAX_STEP_BYTES:
        raise SetupError(
            f"{label}: expected a step of at most {_MAX_STEP_BYTES:,} bytes, got {len(content):,}: "
            "workers must open large data themselves"
        )
    if has_secret(content.decode("latin-1")):
        raise SetupError(
            f"{label}: expected no URL with password or signature in what workers get, got one"
        )


def _check_coders(node: AppliedPTransform) -> None:
    """Raise SetupError if what a step takes in is pickled, or its keys do not group safely."""
    sides = [side.pvalue for side in node.side_inputs]
    for taken in [*node.main_inputs.values(), *sides]:
        if not isinstance(taken, beam.PCollection) or taken.element_type is type(None):
            continue
        coder = coders.registry.get_coder(taken.element_type)
        pickles = [one for one in _parts(coder) if isinstance(one, _FALLBACKS)]
        if pickles:
            raise SetupError(
                f"{node.full_label}: expected elements with a plain coder (str, bytes, int, tuples "
                f"of them), got {taken.element_type}, which is pickled"
            )
        if isinstance(node.transform, beam.GroupByKey) and not coder.key_coder().is_deterministic():
            raise SetupError(
                f"{node.full_label}: expected keys that always encode alike, got {coder}"
            )


def _parts(coder: coders.Coder) -> Iterator[coders.Coder]:
    yield coder
    for part in coder._get_component_coders():
        yield from _parts(part)
