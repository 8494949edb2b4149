"""The table of sub-commands: their flags, their examples, and what each runs."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.subcommands import (
    run_audit,
    run_benchmarks,
    run_build,
    run_certificate,
    run_decontaminate,
    run_demo,
    run_forecast,
    run_index,
    run_plan,
    run_query,
    run_remove,
    run_repack,
    run_report,
    run_resize,
    run_retry,
    run_show,
)
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
from schemas.options import BuildOptions, DatasetOptions, Options, PlanOptions


@dataclass(frozen=True)
class Command:
    """A sub-command; `run` gets its flags and what is left for Beam, and returns the exit code.

    beam_on_demand: it runs on Beam only if a flag of Beam is given, else without importing it.
    """

    summary: str
    models: tuple[type[Options], ...]
    run: Callable[[argparse.Namespace, list[str]], int]
    examples: tuple[str, ...]
    takes_beam: bool = False
    beam_on_demand: bool = False


COMMANDS = {
    "demo": Command(
        "the whole story on a miniature web on this machine, in about a minute",
        (DemoOptions,),
        run_demo,
        ("uncurated demo", "uncurated demo --output /tmp/demo"),
        takes_beam=True,
    ),
    "index": Command(
        "write an evaluation index, which `build` matches against",
        (IndexOptions,),
        run_index,
        (
            "uncurated index --eval-set imagenet=/data/imagenet/val --output eval.index",
            "uncurated index --eval-set a=a.tar --eval-set b=b.parquet --output eval.index",
            "uncurated index --extend eval.index --eval-set new=new.tar --output more.index",
            "uncurated index --eval-set a=a.tar --background crawl/ --output eval.index",
        ),
        takes_beam=True,
    ),
    "plan": Command(
        "choose, shuffle and shard the candidates of a dataset",
        (PlanOptions, DatasetOptions),
        run_plan,
        (
            "uncurated plan --input urls.parquet --output DATASET",
            "uncurated plan --input 'lists/*.csv.gz' --sample-rate 0.01 --output DATASET",
        ),
        takes_beam=True,
    ),
    "build": Command(
        "fetch, inspect, decontaminate, pack and seal a dataset; run again to continue",
        (PlanOptions, BuildOptions),
        run_build,
        (
            "uncurated build --input urls.parquet --output DATASET",
            "uncurated build --input urls.parquet --eval-index eval.index --output DATASET \\",
            "    --user-agent 'mybot/1.0 (+https://example.org/bot)' --host-requests-per-s 2",
            "uncurated build --output DATASET                # continue a planned dataset",
        ),
        takes_beam=True,
    ),
    "forecast": Command(
        "fetch a small sample and tell what the whole will bring, take and cost",
        (PlanOptions, ForecastOptions),
        run_forecast,
        (
            "uncurated forecast --input urls.parquet --host-requests-per-s 2",
            "uncurated forecast --input urls.parquet --eval-index eval.index --output DATASET \\",
            "    --candidates 10000 --prices my-prices.toml",
        ),
        takes_beam=True,
    ),
    "report": Command(
        "show outcomes, bytes and rates beside the forecast, and the hosts hit hardest",
        (ReportOptions,),
        run_report,
        (
            "uncurated report DATASET",
            "uncurated report DATASET --json-file report.json",
            'uncurated report DATASET --creator "Example Lab" --contact data@example.org',
        ),
    ),
    "retry": Command(
        "ask anew for candidates that failed, in new shards; what is finished stays as it is",
        (RetryOptions,),
        run_retry,
        (
            "uncurated retry DATASET",
            "uncurated retry DATASET --outcomes dns,timeout,http_429,deferred",
            """uncurated retry DATASET --outcomes timeout --where "url LIKE '%.example.org/%'" """,
        ),
        takes_beam=True,
    ),
    "resize": Command(
        "derive a dataset of smaller copies, each with the digest of its original",
        (ResizeCommandOptions,),
        run_resize,
        (
            "uncurated resize DATASET --output SMALLER --size 256",
            "uncurated resize DATASET --output SMALLER --size 224 --resize-mode center_crop \\",
            "    --encode-format webp --encode-quality 90 --format arrow",
        ),
        takes_beam=True,
    ),
    "certificate": Command(
        "show against what a dataset was cleaned, what was found, and how well it was looked",
        (CertificateOptions,),
        run_certificate,
        (
            "uncurated certificate DATASET",
            "uncurated certificate DATASET --html removed.html --eval-set imagenet=/data/val",
        ),
    ),
    "decontaminate": Command(
        "find copies of other evaluation images in a finished dataset, by its ledger",
        (DecontaminateOptions,),
        run_decontaminate,
        ("uncurated decontaminate DATASET --eval-index new.index",),
        takes_beam=True,
    ),
    "benchmarks": Command(
        "list and show the known benchmarks, check their files, and prepare lists of their labels",
        (BenchmarksOptions,),
        run_benchmarks,
        (
            "uncurated benchmarks list",
            "uncurated benchmarks show imagenet-1k           # with the layouts to put on disk",
            "uncurated benchmarks check --root /data/benchmarks --benchmark imagenet-1k",
            "uncurated benchmarks prepare --root /data/benchmarks  # labels from annotation files",
        ),
    ),
    "query": Command(
        "answer a SELECT over ledger, plan, manifest, tombstones, removals and seal",
        (QueryOptions,),
        run_query,
        (
            "uncurated query DATASET 'SELECT outcome, count(*) FROM ledger GROUP BY 1 ORDER BY 2'",
            "uncurated query DATASET 'SHOW TABLES'           # ledger, ledger_all, kept, plan, ...",
            "uncurated query DATASET 'DESCRIBE ledger'       # the columns of one",
            "uncurated query DATASET 'SELECT id, url, width_px FROM kept WHERE width_px > 4000' \\",
            "    --format parquet --output large.parquet   # or csv, json: streamed, whole values",
            "uncurated query gs://BUCKET/DATASET - < question.sql",
        ),
    ),
    "show": Command(
        "tell all that is known of one image, give its bytes and a proof that it is in the dataset",
        (ShowOptions,),
        run_show,
        (
            "uncurated show DATASET https://img.example.org/1.jpg",
            "uncurated show DATASET 0f1e2d3c4b5a69788796a5b4c3d2e1f0 --format json",
            "uncurated show DATASET ID --picture image.jpg --proof proof.json",
            "python -I check_proof.py proof.json image.jpg ROOT   # without us: 30 lines of Python",
        ),
    ),
    "remove": Command(
        "take samples out at once, by hash, URL, host, id or likeness; every reader obeys",
        (RemoveOptions,),
        run_remove,
        (
            "uncurated remove DATASET --sha256 @partner-list.txt --reason 'illegal material' \\",
            "    --authority 'hotline example.org, case 4711'",
            "uncurated remove DATASET --domain example.org --url https://a.example/1.jpg \\",
            "    --reason 'withdrawn by the rights holder' --authority 'Example Ltd' --dry-run",
            "uncurated remove DATASET --phash @hashes.txt --phash-radius 20 --reason ... \\",
            "    --authority ...",
        ),
        takes_beam=True,
        beam_on_demand=True,
    ),
    "repack": Command(
        "take removed samples out of the shards for good: the next version, with a receipt",
        (RepackOptions,),
        run_repack,
        (
            "uncurated repack DATASET",
            "uncurated repack DATASET --read-log runs/seer-10b   # which runs had read them",
        ),
        takes_beam=True,
        beam_on_demand=True,
    ),
    "audit": Command(
        "recompute everything that a dataset claims; exit code 1 names what is wrong",
        (AuditOptions,),
        run_audit,
        (
            "uncurated audit DATASET",
            "uncurated audit DATASET --quick                 # records and listings, in seconds",
            "uncurated audit DATASET --quick --samples 1%    # and some images, by range requests",
            "uncurated audit DATASET --lineage               # and back to the inputs' digests",
            "uncurated audit DATASET --samples all --direct_num_workers=4 \\",
            "    --direct_running_mode=multi_processing      # or any runner of Beam",
        ),
        takes_beam=True,
        beam_on_demand=True,
    ),
}
