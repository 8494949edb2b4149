import argparse
import random

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from ingest.errors import SetupError
from pipelines.command import COMMANDS, main
from pipelines.preflight import check_options, check_pipeline, check_run, has_secret, is_local
from schemas.options import BuildOptions, FetchOptions

FNAPI = ["--runner=FnApiRunner"]
DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=europe-west1",
    "--temp_location=gs://bucket/tmp",
    "--sdk_container_image=europe-docker.pkg.dev/p/r/uncurated:1",
]
FLINK = ["--runner=FlinkRunner", "--flink_master=cluster:8081"]
PORTABLE = ["--runner=PortableRunner", "--job_endpoint=cluster:8099"]


def check(command, beam_arguments, **values):
    check_run(COMMANDS[command].models, argparse.Namespace(**values), beam_arguments)


@pytest.mark.parametrize("runner", [DATAFLOW, FLINK, PORTABLE], ids=["dataflow", "flink", "docker"])
@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("build", "output", "/data/d"),
        ("build", "output", "file:///data/d"),
        ("build", "output", "memory://d"),
        ("plan", "input", ["gs://b/a.csv", "b.csv"]),
        ("build", "input", ["simplecache::/data/*.csv"]),
        ("build", "eval_index", "eval.index"),
        ("build", "descriptor", "sscd.onnx"),
        ("build", "host_limits", "limits.toml"),
        ("build", "ca_file", "/etc/ssl/ca.pem"),
        ("retry", "dataset", "/data/d"),
        ("decontaminate", "eval_index", "eval.index"),
        ("index", "eval_set", ["a=gs://b/a", "b=/data/b"]),
        ("index", "background", ["crawl/"]),
        ("index", "scratch", "/tmp/parts"),
    ],
)
def test_what_other_machines_cannot_open_is_refused(runner, command, name, value):
    with pytest.raises(SetupError) as caught:
        check(command, runner, **{name: value})
    last = value if isinstance(value, str) else value[-1]
    flag = "--" + name.replace("_", "-")
    assert str(caught.value).startswith(f"{flag}: expected a URI that all workers of the runner ")
    assert str(caught.value).endswith(f"such as gs://bucket/path, got {last}")


def test_what_all_reach_and_what_is_a_worker_s_own_is_accepted():
    values = {"output": "gs://b/d", "input": ["gs://b/*.csv", "https://a.example/u.csv"]}
    check("build", DATAFLOW, **values, scratch="/mnt/disk", eval_index="gs://b/eval.index")
    check("index", DATAFLOW, output="/data/eval.index", eval_set=["a=s3://b/a.tar"])


@pytest.mark.parametrize(
    "here",
    [
        FNAPI,
        ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"],
        ["--runner=FlinkRunner"],
        ["--runner=SparkRunner", "--spark_master_url=local[4]"],
        [*PORTABLE, "--environment_type=LOOPBACK"],
        [*PORTABLE, "--environment_type=EXTERNAL", "--environment_config=localhost:5000"],
        [
            "--runner=PortableRunner",
            "--job_endpoint=localhost:8099",
            "--environment_type=beam:env:harness_subprocess_python:v1",
        ],
    ],
)
def test_workers_on_this_machine_open_its_files(here):
    check("build", here, output="/data/d", input=["urls.csv"])


@pytest.mark.parametrize(
    "elsewhere",
    [
        [*PORTABLE, "--environment_type=EXTERNAL", "--environment_config=pool:5000"],
        [*PORTABLE, "--environment_type=beam:env:harness_subprocess_python:v1"],
        ["--runner=SparkRunner", "--spark_master_url=spark://cluster:7077"],
    ],
)
def test_workers_of_a_cluster_do_not(elsewhere):
    with pytest.raises(SetupError, match="--output: expected a URI"):
        check("build", elsewhere, output="/data/d")


def test_all_that_is_missing_for_dataflow_is_told_at_once():
    with pytest.raises(SetupError) as caught:
        check("build", ["--runner=DataflowRunner", "--project=p", "--temp_location=/tmp"])
    message = str(caught.value)
    assert message.startswith("expected --project, --region, --temp_location=gs://...")
    missing = "got no --region, no --temp_location=gs://..., no --sdk_container_image"
    assert missing in message
    check("build", DATAFLOW)
    check("build", [*DATAFLOW[:-1], "--setup_file=setup.py"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runner=DirectRunner"], "expected FnApiRunner, got DirectRunner"),
        (["--runner=directrunner"], "expected FnApiRunner, got DirectRunner"),
        (["--runner=PrismRunner"], "expected --prism_location"),
        (["--runner=apache_beam.runners.dask.dask_runner.DaskRunner"], "got DaskRunner"),
    ],
)
def test_runners_that_download_or_lose_data_are_refused(arguments, message, capsys):
    with pytest.raises(SetupError, match=message):
        check("build", arguments)
    assert main(["build", "--output=x", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proxy", "http://me:hunter2@proxy.example:3128"),
        ("input", ["https://b.example/u.csv?X-Goog-Signature=abc"]),
        ("input", ["https://me:pw@b.example/u.csv"]),
    ],
)
def test_secrets_are_refused_where_a_job_keeps_them_and_not_repeated(name, value):
    with pytest.raises(SetupError, match=f"--{name}: expected a URL without password") as caught:
        check("build", DATAFLOW, **{name: value})
    assert "hunter2" not in str(caught.value)
    check("build", FNAPI, **{name: value})


def test_secrets_among_beam_s_own_options_are_refused():
    for argument in ("--s3_secret_access_key=x", "--s3_endpoint_url=https://a:b@host"):
        with pytest.raises(SetupError, match="expected no secret"):
            check("build", [*DATAFLOW, argument])
    check("build", [*DATAFLOW, "--service_account_email=a@p.iam.gserviceaccount.com"])


def test_options_that_a_dataset_remembers_are_looked_at_too():
    check_options(BuildOptions(output="/data/d"), FNAPI)
    check_options(BuildOptions(output="gs://b/d"), DATAFLOW)
    with pytest.raises(SetupError, match="--ca-file: expected a URI"):
        check_options(BuildOptions(output="gs://b/d", fetch=FetchOptions(ca_file="a")), DATAFLOW)


def test_paths_are_local_by_their_scheme():
    for path in ("a", "/a", "file:///a", "memory://a", "zip://x::/a.zip", "local://a"):
        assert is_local(path)
    for uri in ("gs://b", "s3://b", "https://a", "simplecache::gs://b", "zip://x::gs://b/a.zip"):
        assert not is_local(uri)


def test_urls_with_colons_and_at_signs_are_no_secrets():
    for url in ("http://host:80/@me", "http://me@host/", "gs://b/a:b@c", "http://a/?signal=1"):
        assert not has_secret(url)
    for url in ("http://:pw@host", "socks5://u:p@h:1", "https://a/b?x=1&sig=2"):
        assert has_secret(url)


class Holder(beam.DoFn):
    def __init__(self, held):
        self._held = held

    def process(self, element):
        yield element


def pipeline_of(step, values=("a", "b"), arguments=FNAPI):
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    _ = pipeline | "List" >> beam.Create(list(values)) | "Step" >> step | "End" >> beam.Map(len)
    return pipeline


def held(value):
    return beam.ParDo(Holder(value)).with_output_types(str)


def test_a_plain_pipeline_passes():
    check_pipeline(pipeline_of(held("x")))
    check_pipeline(pipeline_of(held("x"), arguments=FLINK))


def test_a_step_that_does_not_pickle_is_named_by_beam():
    with pytest.raises(RuntimeError, match=r"Unable to pickle fn .*Holder"):
        pipeline_of(held(number for number in "12"))


def test_a_large_step_is_refused_by_its_size_before_compression():
    random_bytes = random.Random(1).randbytes(1 << 20)
    for large in (bytes(1 << 20), random_bytes):
        with pytest.raises(SetupError, match="Step: expected a step of at most 1,048,576 bytes"):
            check_pipeline(pipeline_of(held(large), arguments=FLINK))
    check_pipeline(pipeline_of(held(random_bytes)))
    many = [f"{number:0100d}" for number in range(90_000)]
    with pytest.raises(SetupError, match="expected a pipeline of at most 8,388,608 bytes"):
        check_pipeline(pipeline_of(held("x"), many, FLINK))


def test_a_secret_in_a_step_or_in_a_list_is_found():
    for pipeline in (
        pipeline_of(held({"proxy": "http://me:hunter2@proxy"}), arguments=FLINK),
        pipeline_of(held("x"), ["http://me:hunter2@host/a", "b"], FLINK),
    ):
        with pytest.raises(SetupError, match="expected no URL with password") as caught:
            check_pipeline(pipeline)
        assert "hunter2" not in str(caught.value)


class Opaque:
    """Something that only a pickle can hold."""


def test_elements_that_would_be_pickled_are_refused():
    with pytest.raises(SetupError, match="End: expected elements with a plain coder"):
        check_pipeline(pipeline_of(beam.ParDo(Holder(1)).with_output_types(Opaque)))
    with pytest.raises(SetupError, match="Step: expected elements with a plain coder"):
        check_pipeline(pipeline_of(held("x"), [Opaque(), Opaque()]))


def test_keys_that_may_encode_in_two_ways_are_refused():
    pipeline = beam.Pipeline(options=PipelineOptions(FNAPI))
    keyed = beam.ParDo(Holder(1)).with_output_types(tuple[dict[str, str], str])
    _ = pipeline | "List" >> beam.Create(["a"]) | "Key" >> keyed | "Group" >> beam.GroupByKey()
    with pytest.raises(SetupError, match="Group: expected"):
        check_pipeline(pipeline)


def test_pickled_side_inputs_are_refused():
    pipeline = beam.Pipeline(options=PipelineOptions(FNAPI))
    main_input = pipeline | "List" >> beam.Create(["a"])
    side = main_input | "Side" >> beam.ParDo(Holder(1)).with_output_types(Opaque)
    _ = main_input | "End" >> beam.Map(lambda one, more: one, beam.pvalue.AsIter(side))
    with pytest.raises(SetupError, match="End: expected elements with a plain coder"):
        check_pipeline(pipeline)
