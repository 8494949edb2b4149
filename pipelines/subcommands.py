"""What each sub-command of `uncurated` runs."""

import argparse
import logging

from rich.console import Console

from ingest import storage
from ingest.errors import SetupError
from pipelines.options import read_options
from schemas.audit_options import (
    AuditOptions,
    QueryOptions,
    RemoveOptions,
    RepackOptions,
    ReportOptions,
    ShowOptions,
)
from schemas.command_options import (
    BenchmarksOptions,
    CertificateOptions,
    DecontaminateOptions,
    DemoOptions,
    ForecastOptions,
    IndexOptions,
    ResizeCommandOptions,
    RetryOptions,
)
from schemas.manifest import PLAN_FILE, DatasetRecord, PlanRecord, decode
from schemas.options import BuildOptions, DatasetOptions, DerivedOptions, PlanOptions

_log = logging.getLogger(__name__)


def run_plan(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Plan a dataset."""
    from pipelines.plan import plan

    dataset = read_options(DatasetOptions, arguments).output
    record = plan(read_options(PlanOptions, arguments), dataset, beam_arguments)
    _say(f"planned {record.num_candidates:,} of {record.num_rows:,} rows in {dataset}")
    return 0


def run_build(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Build a dataset, planning it first if need be."""
    from ingest.sources import FETCHED_KINDS

    options = read_options(BuildOptions, arguments)
    plan_record = _find_plan(arguments, options.output, beam_arguments)
    if any(one.kind in FETCHED_KINDS for one in plan_record.inputs):
        _warn_of_anonymity(options)
    return _build(options, plan_record, beam_arguments)


def run_retry(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Ask anew for candidates that failed."""
    from ingest.retry import Ask
    from pipelines.retry import build_options, plan_retry

    asked = read_options(RetryOptions, arguments)
    options = build_options(asked.dataset, arguments)
    retry = plan_retry(asked.dataset, Ask.parse(asked.outcomes, asked.where), beam_arguments)
    if retry is None:
        _say(f"nothing to retry in {asked.dataset}: no candidate ended so")
        return 0
    _say(
        f"generation {retry.generation}: {retry.num_candidates:,} candidates in shards "
        f"{retry.first_shard} to {retry.first_shard + retry.num_shards - 1}"
    )
    plan_record = _find_plan(argparse.Namespace(), asked.dataset, beam_arguments)
    return _build(options, plan_record, beam_arguments, retry.num_candidates)


def run_resize(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Derive a dataset of smaller copies."""
    from pipelines.plan import plan

    asked = read_options(ResizeCommandOptions, arguments)
    options = DerivedOptions(
        output=asked.output,
        resize=asked.resize,
        inspect=asked.inspect,
        match=asked.match,
        pack=asked.pack,
    )
    plan_options = PlanOptions(
        input=(asked.dataset,), input_format="dataset", shard_candidates=asked.shard_candidates
    )
    return _build(options, plan(plan_options, asked.output, beam_arguments), beam_arguments)


def run_index(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Write an evaluation index."""
    from pipelines.index import index

    options = read_options(IndexOptions, arguments)
    record = index(options, beam_arguments)
    sets = ", ".join(
        f"{name}: {one.num_images:,} images" for name, one in sorted(record.sets.items())
    )
    _say(f"{options.output}: {sets}; sha256 {record.sha256}")
    return 0


def run_forecast(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Forecast a build from a small sample of its input."""
    from pipelines.forecast import forecast, show_forecast

    options = read_options(ForecastOptions, arguments)
    _warn_of_anonymity(options)
    show_forecast(forecast(read_options(PlanOptions, arguments), options, beam_arguments))
    return 0


def run_report(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Report what became of a dataset so far, and how hard hosts were hit."""
    from pipelines.report import report

    report(read_options(ReportOptions, arguments))
    return 0


def run_certificate(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Show what a dataset was cleaned against and how well."""
    from pipelines.certificate import show_certificate

    show_certificate(read_options(CertificateOptions, arguments))
    return 0


def run_decontaminate(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Find copies of other evaluation images in a finished dataset."""
    from pipelines.decontaminate import decontaminate

    options = read_options(DecontaminateOptions, arguments)
    record = decontaminate(options, beam_arguments)
    certificate = record.certificate
    _say(
        f"{record.num_removed:,} of {certificate.num_candidates:,} images are copies: tombstones "
        f"written; {record.num_suspects:,} were looked at"
    )
    return 0


def run_audit(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Verify a dataset; 1 if anything is wrong."""
    from pipelines.audit import run_audit as run

    report = run(read_options(AuditOptions, arguments), beam_arguments)
    for line in report.lines():
        _say(line)
    return 1 if report.findings else 0


def run_query(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Answer a question to a dataset."""
    from pipelines.query import query

    query(read_options(QueryOptions, arguments))
    return 0


def run_show(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Tell all that is known of an image; 1 if there is no such."""
    from pipelines.show import show

    return show(read_options(ShowOptions, arguments))


def run_remove(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Take samples out at once."""
    from pipelines.remove import lines_of, remove

    options = read_options(RemoveOptions, arguments)
    for line in lines_of(remove(options, beam_arguments), options.dry_run):
        _say(line)
    return 0


def run_repack(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Take removed samples out of the shards for good."""
    from pipelines.repack import lines_of, repack

    options = read_options(RepackOptions, arguments)
    receipt, is_new = repack(options, beam_arguments)
    if not is_new:
        _say(f"nothing to take out of {options.dataset}: no tombstones")
    for line in lines_of(receipt) if receipt else ():
        _say(line)
    return 0


def run_benchmarks(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """List, show or check the registry's benchmarks; 1 if a check finds something wrong."""
    from pipelines.benchmarks import run_benchmarks as run

    return run(read_options(BenchmarksOptions, arguments))


def run_demo(arguments: argparse.Namespace, beam_arguments: list[str]) -> int:
    """Run the demo."""
    from pipelines.demo import run_demo as run

    return run(read_options(DemoOptions, arguments), beam_arguments)


def print_summary(dataset: str, record: DatasetRecord) -> None:
    """Tell what a finished dataset holds, outcome by outcome."""
    from pipelines.progress import outcome_table

    Console().print(outcome_table(record))
    _say(f"dataset: {dataset}")
    _say(f"decontamination: {record.decontamination}")
    _say(f"Merkle root: {record.merkle_root}")


def _build(
    options: BuildOptions, planned: PlanRecord, beam_arguments: list[str], num_retried: int = 0
) -> int:
    """Build what is planned, with progress, and tell how it ended."""
    from pipelines.build import build
    from pipelines.progress import show_progress

    with show_progress(planned.num_candidates + num_retried, beam_arguments) as address:
        record = build(options, planned, beam_arguments, address)
    print_summary(options.output, record)
    return 0


def _find_plan(
    arguments: argparse.Namespace, dataset: str, beam_arguments: list[str]
) -> PlanRecord:
    """The plan: made from --input, or the one that is there when no input is named."""
    from pipelines.plan import plan

    if "input" in arguments:
        return plan(read_options(PlanOptions, arguments), dataset, beam_arguments)
    try:
        content = storage.read_bytes(storage.join(dataset, PLAN_FILE))
    except FileNotFoundError as error:
        raise SetupError(
            f"expected --input, or a dataset with a {PLAN_FILE}, got neither at {dataset}"
        ) from error
    return decode(PlanRecord, content)


def _warn_of_anonymity(options: BuildOptions) -> None:
    agent = options.fetch.user_agent
    if not any(sign in agent for sign in ("@", "http://", "https://")):
        _log.warning(
            "the user agent %r names nobody who can be reached: add a page or address by "
            "--user-agent before you crawl hosts that are not yours",
            agent,
        )


def _say(text: str) -> None:
    Console(soft_wrap=True).print(text, markup=False, highlight=False)
