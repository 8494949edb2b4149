from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from ingest.errors import SetupError
from pipelines.command import COMMANDS, main
from pipelines.run import Submitted, run_pipeline


def write(text, path):
    path.write_text(text)


def pipeline_that_writes(path, *arguments):
    options = PipelineOptions(["--runner=FnApiRunner", *arguments])
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | "List" >> beam.Create(["done"]) | "Write" >> beam.Map(write, path)
    return pipeline


def test_a_pipeline_is_run_to_its_end(tmp_path):
    run_pipeline(pipeline_that_writes(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "done"


def test_a_pipeline_that_would_not_do_is_not_begun(tmp_path):
    pipeline = pipeline_that_writes(tmp_path / "file")
    opaque = pipeline | "Opaque" >> beam.Create([object(), object()])
    _ = opaque | "Take" >> beam.Map(str)
    with pytest.raises(SetupError, match="Take: expected elements with a plain coder"):
        run_pipeline(pipeline)
    assert not (tmp_path / "file").exists()


def test_nobody_waits_for_the_job_of_a_template(tmp_path):
    pipeline = pipeline_that_writes(tmp_path / "file", "--template_location=gs://bucket/job")
    with pytest.raises(Submitted, match="handed to Dataflow"):
        run_pipeline(pipeline)


def test_a_command_that_was_submitted_ends_well_and_says_so(monkeypatch, capsys):
    def submit(arguments, beam_arguments):
        raise Submitted("handed over")

    monkeypatch.setitem(COMMANDS, "plan", replace(COMMANDS["plan"], run=submit))
    assert main(["plan", "--output=x", "--input=y"]) == 0
    assert "handed over" in capsys.readouterr().out
