"""What is known of Beam's runners: where their workers are, and what a crawl asks of them."""

import math
import re
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DebugOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    SparkRunnerOptions,
    StandardOptions,
    WorkerOptions,
)

from ingest.errors import SetupError
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import PlanRecord
from schemas.options import BuildOptions, InspectOptions, PolitenessOptions

_IN_PROCESS = ("fnapi", "bundlebaseddirect", "testdirect", "interactive")
_PORTABLE = ("portable", "flink", "spark")
_LOOPBACK = re.compile(r"(^|//)(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|/|$)")
_FLINK_HERE, _SPARK_HERE = ("[local]", "[auto]"), re.compile(r"^local(\[.+\])?$")
_SUBPROCESS = "beam:env:harness_subprocess_python:v1"

_ONE_CONTAINER, _MANY_CONTAINERS = "no_use_multiple_sdk_containers", "use_multiple_sdk_containers"
_USUAL_VCPUS = 4
_GIB = 1 << 30
# Measured with 512 connections: 319 MB the worker, 60 an index's compiled code (tests/benchmarks).
_WORKER_BYTES = _GIB
# A code, its certainties and thumbnail, and its place in the tables.
_BYTES_PER_CODE = 512
_SHARDS_UNDER_WAY = 3
_LEAST_DEADLINE_MIN = 60


def runner_of(options: PipelineOptions) -> str:
    """The runner's short name, such as `fnapi`, `dataflow` or `portable`."""
    name = str(options.view_as(StandardOptions).runner or "")
    return name.rpartition(".")[2].lower().removesuffix("runner")


def workers_are_here(options: PipelineOptions) -> bool:
    """Whether all workers are processes of this machine, which see its files."""
    runner = runner_of(options)
    if runner in _IN_PROCESS:
        return True
    if runner not in _PORTABLE:
        return False
    portable = options.view_as(PortableOptions)
    kind, config = portable.environment_type, str(portable.environment_config or "")
    if not kind and runner == "flink":
        return options.view_as(FlinkRunnerOptions).flink_master in _FLINK_HERE
    if not kind and runner == "spark":
        return bool(_SPARK_HERE.match(options.view_as(SparkRunnerOptions).spark_master_url))
    if kind == "EXTERNAL":
        address = config or str(portable.lookup_environment_option("external_service_address", ""))
        return bool(_LOOPBACK.search(address))
    if kind == _SUBPROCESS:
        return bool(_LOOPBACK.search(str(portable.job_endpoint or "")))
    return bool(kind == "LOOPBACK")


def check_runner(options: PipelineOptions) -> None:
    """Raise SetupError for a runner that fetches programs or has been seen to lose data."""
    runner = runner_of(options)
    if runner in ("direct", "switchingdirect"):
        raise SetupError(
            "--runner: expected FnApiRunner, got DirectRunner, which first tries to download "
            "another runner from the web"
        )
    if runner == "prism" and not options.get_all_options()["prism_location"]:
        raise SetupError(
            "--runner: expected --prism_location beside PrismRunner, got none: it would be "
            "downloaded from the web"
        )
    if runner == "dask":
        raise SetupError(
            "--runner: expected a runner that keeps all data, such as FnApiRunner, got DaskRunner, "
            "which has been seen to drop outputs and to report success"
        )


def one_process_a_machine(arguments: Sequence[str]) -> list[str]:
    """The arguments for Beam, so that workers elsewhere run one of our processes each.

    One engine drives all cores of a machine by its decoder processes, and the rate of a host is
    shared among engines. Beam would start one process a core and a dozen threads in each, every
    thread with an engine. What the user names stays.
    """
    options = PipelineOptions(list(arguments))
    if workers_are_here(options):
        return list(arguments)
    debug, found = options.view_as(DebugOptions), list(arguments)
    if debug.number_of_worker_harness_threads is None:
        found.append("--number_of_worker_harness_threads=1")
    if runner_of(options) == "dataflow":
        if not {_ONE_CONTAINER, _MANY_CONTAINERS} & set(debug.experiments or ()):
            found.append(f"--experiments={_ONE_CONTAINER}")
        # All that is pickled lies in modules that the image has; the command's own state is none
        # of the workers' business.
        if options.view_as(SetupOptions).save_main_session is None:
            found.append("--no_save_main_session")
    return found


def check_one_process_a_machine(arguments: Sequence[str], politeness: PolitenessOptions) -> None:
    """Raise SetupError if several engines run on a machine and nothing says how many in all."""
    options = PipelineOptions(list(arguments))
    if workers_are_here(options) or politeness.fetching_processes:
        return
    debug = options.view_as(DebugOptions)
    threads = debug.number_of_worker_harness_threads
    many = _MANY_CONTAINERS in (debug.experiments or ())
    if politeness.host_requests_per_s and (threads != 1 or many):
        raise SetupError(
            "--host-requests-per-s: expected --fetching-processes beside several threads or SDK "
            f"containers a worker, got none with --number_of_worker_harness_threads={threads}"
            + (f" and {_MANY_CONTAINERS}" if many else "")
        )


def with_deadline(arguments: Sequence[str], options: BuildOptions, plan: PlanRecord) -> list[str]:
    """The arguments for Beam, with a time after which a worker that does not move is replaced."""
    beam_options = PipelineOptions(list(arguments))
    given = beam_options.view_as(WorkerOptions).element_processing_timeout_minutes
    if workers_are_here(beam_options) or given is not None:
        return list(arguments)
    return [*arguments, f"--element_processing_timeout_minutes={deadline_min(options, plan)}"]


def deadline_min(options: BuildOptions, plan: PlanRecord) -> int:
    """Twice the longest that shards under way can take, minutes, an hour at least.

    That is when each candidate waits for its host and then times out, as many at a time as there
    are connections.
    """
    shard = -(-plan.num_candidates // max(1, plan.num_shards))
    rounds = math.ceil(_SHARDS_UNDER_WAY * shard / options.fetch.connections)
    longest_s = rounds * (options.politeness.host_wait_s + options.fetch.timeout_s)
    return max(_LEAST_DEADLINE_MIN, math.ceil(2 * longest_s / 60))


def with_min_ram(
    step: beam.ParDo,
    arguments: Sequence[str],
    inspect: InspectOptions,
    index: EvalIndexRecord | None,
    num_pools: int = 1,
) -> beam.ParDo:
    """The step that inspects images, with the memory that a worker elsewhere must have for it.

    num_pools: pools of processes that decode, each with as many as there are decoders.

    Here the hint would only cost: a runner starts workers of their own for a step that has one.
    """
    if workers_are_here(PipelineOptions(list(arguments))):
        return step
    return step.with_resource_hints(min_ram=min_ram(arguments, inspect, index, num_pools))


def min_ram(
    arguments: Sequence[str],
    inspect: InspectOptions,
    index: EvalIndexRecord | None,
    num_pools: int = 1,
) -> str:
    """The memory that a worker needs, as a resource hint: all decoders at their limit at once."""
    machine = str(PipelineOptions(list(arguments)).view_as(WorkerOptions).machine_type or "")
    vcpus = re.search(r"-(\d+)$", machine)
    decoders = inspect.decoder_processes or (int(vcpus.group(1)) if vcpus else _USUAL_VCPUS)
    codes = sum(one.num_codes for one in index.sets.values()) if index else 0
    total = _WORKER_BYTES + num_pools * decoders * inspect.decoder_memory_mib * (1 << 20)
    total += codes * _BYTES_PER_CODE
    return f"{math.ceil(total / _GIB)}GiB"
