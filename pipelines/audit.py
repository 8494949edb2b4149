"""Audit a dataset: on threads of this machine or, if asked, on Beam's workers."""

from collections.abc import Sequence
from functools import partial

import orjson

from ingest import storage
from ingest.audit.lineage import trace
from ingest.audit.verdict import AuditReport
from ingest.audit.verify import Depth, audit
from pipelines.over_shards import map_shards
from pipelines.progress import count_on_terminal
from schemas.audit_options import AuditOptions


def run_audit(options: AuditOptions, beam_arguments: Sequence[str]) -> AuditReport:
    """The report on a dataset; written as JSON, too, if a file is named.

    beam_arguments: none for threads of this machine. Raises Submitted if the runner does not wait.
    """
    over_shards = partial(map_shards, beam_arguments=beam_arguments, scratch=options.scratch)
    depth = Depth(options.quick, options.samples, options.seed, over_shards)
    with count_on_terminal("shards verified") as on_shard:
        report = audit(options.dataset, on_shard, depth=depth)
    if options.lineage and report.record is not None:
        lineage = trace(options.dataset, report.record)
        report.lineage = lineage.lines
        report.findings += lineage.findings
    if options.json_file:
        content = orjson.dumps(
            report.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        )
        storage.write_bytes(options.json_file, content)
    return report
