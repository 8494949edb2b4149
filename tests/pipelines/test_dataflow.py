"""The job that Dataflow would get, made without a network or a credential."""

import re

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.internal import apiclient

from ingest.errors import SetupError
from ingest.work_unit import Run
from pipelines.build import build, build_pipeline
from pipelines.options import fields_of
from pipelines.run import Submitted, run_pipeline
from pipelines.runners import (
    check_one_process_a_machine,
    deadline_min,
    min_ram,
    one_process_a_machine,
    with_deadline,
)
from schemas.evaluation import EvalIndexRecord, SetRecord
from schemas.manifest import PlanRecord
from schemas.options import (
    BuildOptions,
    FetchOptions,
    InspectOptions,
    MatchOptions,
    PolitenessOptions,
)

IMAGE = "europe-docker.pkg.dev/my-project/r/uncurated:1"
# Without `dry_run` and `no_auth` Beam asks for credentials for minutes; with them it asks nobody.
DATAFLOW = [
    "--runner=DataflowRunner",
    "--dry_run=true",
    "--no_auth",
    "--project=my-project",
    "--region=europe-west1",
    "--temp_location=gs://bucket/tmp",
    "--staging_location=gs://bucket/staging",
    f"--sdk_container_image={IMAGE}",
    "--machine_type=n2d-standard-8",
    "--max_num_workers=6",
]
FNAPI = ["--runner=FnApiRunner"]
INDEX = EvalIndexRecord(
    uri="gs://bucket/eval.index",
    sha256="0" * 64,
    fingerprint="1",
    sets={
        "a": SetRecord(
            num_images=1,
            num_codes=4 << 20,
            num_exact_only=0,
            num_flat_variants=0,
            num_unreadable=0,
            num_canaries=0,
        )
    },
    calibration=None,
)
OPTIONS = BuildOptions(
    output="gs://bucket/dataset",
    politeness=PolitenessOptions(host_requests_per_s=2.0),
    match=MatchOptions(eval_index=INDEX.uri),
)


def plan_of(num_candidates, num_shards):
    return PlanRecord.model_construct(num_candidates=num_candidates, num_shards=num_shards)


@pytest.fixture(scope="module")
def job():
    """The pipeline of a build of a million shards, and the environment that its job asks for."""
    plan = plan_of(10_000_000_000, 1_000_000)
    arguments = with_deadline(one_process_a_machine(DATAFLOW), OPTIONS, plan)
    work = {"shard": plan.num_shards, "canaries": 1}
    pipeline = build_pipeline(Run(OPTIONS, "0" * 64, 6), work, INDEX, arguments)
    with pytest.raises(Submitted, match="dry run"):
        run_pipeline(pipeline)
    proto = pipeline.runner.proto_pipeline
    # What a submission adds; a dry run stops before it.
    environment = apiclient.Environment([], pipeline.options, "8", "gs://bucket/p.pb", proto)
    return proto, environment.proto


def test_all_steps_run_in_our_image(job):
    pipeline, environment = job
    images = {
        beam_runner_api_pb2.DockerPayload.FromString(one.payload).container_image
        for one in pipeline.components.environments.values()
    }
    assert images == {IMAGE}
    (pool,) = environment.worker_pools
    assert {one.container_image for one in pool.sdk_harness_container_images} == {IMAGE}


def test_the_steps_have_the_names_of_what_they_do(job):
    pipeline, _ = job
    names = {one.unique_name for one in pipeline.components.transforms.values()}
    steps = ["ListWork", "CountFinished", "SpreadWork", "BuildShard", "GroupShards", "SealDataset"]
    assert set(steps) <= names
    assert not [name for name in names if "lambda at build" in name]


def test_only_the_step_that_builds_asks_for_memory(job):
    pipeline, _ = job
    hints = {
        one.unique_name: dict(
            pipeline.components.environments[one.environment_id].resource_hints
        ).get("beam:resources:min_ram_bytes:v1")
        for one in pipeline.components.transforms.values()
        if one.environment_id
    }
    # Eight decoders of 1 GiB on eight vCPUs, 1 GiB for the worker, 2 for the index.
    assert hints.pop("BuildShard") == str(11 << 30).encode()
    assert set(hints.values()) == {None}


def test_workers_run_one_process_with_one_thread_and_a_deadline(job):
    _, environment = job
    (pool,) = environment.worker_pools
    assert pool.num_threads_per_worker == 1
    assert pool.autoscaling_settings.max_num_workers == 6
    assert "no_use_multiple_sdk_containers" in environment.experiments
    assert "use_multiple_sdk_containers" not in environment.experiments
    options = environment.sdk_pipeline_options["options"]
    assert options["element_processing_timeout_minutes"] == 118
    assert options["save_main_session"] is False


def test_our_own_options_are_no_part_of_what_the_console_shows(job):
    _, environment = job
    shown = {name for name, value in environment.sdk_pipeline_options["options"].items() if value}
    assert shown & {"region", "max_num_workers"}
    assert not shown & {name for name, _ in fields_of(BuildOptions)}


def test_a_job_holds_no_path_of_this_machine_and_little_else(job):
    pipeline, environment = job
    text = str(pipeline) + str(environment)
    # Beam lists the packages of this environment in a file, for its own warnings.
    found = set(re.findall(r"(?<![\w:/.])/(?:tmp|home|root|work|usr|var)/[\w./-]*", text))
    assert {path.rpartition("/")[2] for path in found} <= {
        "submission_environment_dependencies.txt"
    }
    assert pipeline.ByteSize() < 100_000
    assert "pickled_main_session" not in text


def test_a_proxy_s_password_does_not_get_that_far():
    secret = FetchOptions(proxy="http://me:hunter2@proxy.example:3128")
    options = BuildOptions(output="gs://bucket/dataset", fetch=secret)
    with pytest.raises(SetupError, match="--proxy: expected a URL without password"):
        build(options, plan_of(1, 1), DATAFLOW)
    pipeline = build_pipeline(Run(options, "0" * 64), {"shard": 1}, None, DATAFLOW)
    with pytest.raises(SetupError, match="BuildShard: expected no URL with password"):
        run_pipeline(pipeline)


def test_what_is_named_is_kept_and_workers_here_get_nothing():
    assert one_process_a_machine(FNAPI) == FNAPI
    assert with_deadline(FNAPI, OPTIONS, plan_of(1, 1)) == FNAPI
    named = [
        *DATAFLOW,
        "--number_of_worker_harness_threads=3",
        "--experiments=use_multiple_sdk_containers",
        "--save_main_session",
        "--element_processing_timeout_minutes=7",
    ]
    assert with_deadline(one_process_a_machine(named), OPTIONS, plan_of(1, 1)) == named
    flink = ["--runner=FlinkRunner", "--flink_master=cluster:8081"]
    assert one_process_a_machine(flink) == [*flink, "--number_of_worker_harness_threads=1"]


@pytest.mark.parametrize(
    "more", ["--number_of_worker_harness_threads=3", "--experiments=use_multiple_sdk_containers"]
)
def test_a_rate_is_not_shared_among_engines_that_nobody_counted(more):
    polite = PolitenessOptions(host_requests_per_s=2.0)
    arguments = one_process_a_machine([*DATAFLOW, more])
    with pytest.raises(SetupError, match="--host-requests-per-s: expected --fetching-processes"):
        check_one_process_a_machine(arguments, polite)
    check_one_process_a_machine(arguments, PolitenessOptions())
    check_one_process_a_machine(arguments, polite.model_copy(update={"fetching_processes": 48}))
    check_one_process_a_machine(one_process_a_machine(DATAFLOW), polite)
    check_one_process_a_machine(FNAPI, polite)


def test_the_deadline_is_twice_what_slow_hosts_can_take():
    # 30,000 candidates under way, 512 at a time: 59 rounds of 30 s of waiting and 30 s of fetching.
    assert deadline_min(OPTIONS, plan_of(1_000_000, 100)) == 118
    assert deadline_min(OPTIONS, plan_of(100, 1)) == 60
    assert deadline_min(OPTIONS, plan_of(0, 0)) == 60


def test_the_memory_of_a_worker_is_that_of_its_decoders_and_its_index():
    inspect = InspectOptions(decoder_processes=2, decoder_memory_mib=512)
    assert min_ram(DATAFLOW, inspect, None) == "2GiB"
    assert min_ram(DATAFLOW, inspect, None, num_pools=2) == "3GiB"
    assert min_ram(DATAFLOW, inspect, INDEX) == "4GiB"
    assert min_ram(DATAFLOW, InspectOptions(), None) == "9GiB"
    unknown_machine = [one for one in DATAFLOW if "machine_type" not in one]
    assert min_ram(unknown_machine, InspectOptions(), None) == "5GiB"


def test_workers_here_are_not_asked_for_memory():
    pipeline = build_pipeline(Run(OPTIONS, "0" * 64), {"shard": 1}, INDEX, FNAPI)
    environments = pipeline.to_runner_api().components.environments.values()
    assert [dict(one.resource_hints) for one in environments] == [{}]


def test_a_build_hands_dataflow_a_run_that_knows_how_many_share_a_rate(monkeypatch):
    # The records of a dataset lie in the cloud; all that follows from them is real.
    monkeypatch.setattr("pipelines.build.begin_build", lambda options, index: "0" * 64)
    monkeypatch.setattr("pipelines.build.read_seal", lambda dataset: None)
    monkeypatch.setattr("pipelines.build.read_retries", lambda dataset: ())
    runs = []

    def make(run, *rest):
        runs.append(run)
        return build_pipeline(run, *rest)

    monkeypatch.setattr("pipelines.build.build_pipeline", make)
    options = OPTIONS.model_copy(update={"match": MatchOptions()})
    with pytest.raises(Submitted, match="dry run"):
        build(options, plan_of(1000, 10), DATAFLOW)
    assert [run.num_processes for run in runs] == [6]
    assert [run.progress_address for run in runs] == [""]
