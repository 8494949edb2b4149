"""Run a pipeline: check it, submit it, wait for it."""

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, TestOptions

from pipelines.preflight import check_pipeline


class Submitted(Exception):
    """The runner goes on without us; the message says what to do next."""


def run_pipeline(pipeline: beam.Pipeline) -> None:
    """Run a pipeline to its end.

    Raises SetupError if it would not do on this runner, and Submitted if there is no waiting for
    it: the job of a Flex Template begins when its launcher has ended.
    """
    check_pipeline(pipeline)
    options = pipeline.options
    result = pipeline.run()
    if options.view_as(TestOptions).dry_run:
        raise Submitted("dry run: the pipeline was checked, nothing was submitted")
    if options.view_as(GoogleCloudOptions).template_location:
        raise Submitted("handed to Dataflow; when that job is done, the same launch goes on")
    result.wait_until_finish()
