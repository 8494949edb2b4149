"""Options of the commands by which a dataset is proved, looked at, questioned and taken back."""

from typing import Literal

from schemas.options import Options, option

_DATASET = "the dataset: a local folder or any fsspec URI"


class AuditOptions(Options):
    """Which dataset to audit, and how deeply."""

    dataset: str = option(..., _DATASET, positional=True, shared=True)
    quick: bool = option(
        False, "read only records, commits and listings, and no shard, ledger or plan part"
    )
    samples: str = option(
        "",
        "`all`, a share such as `1%`, or sample ids by comma: check their bytes, inclusion proofs "
        "and fingerprints too",
    )
    lineage: bool = option(
        False, "walk back to the inputs, and compare those that can be reached with their digests"
    )
    seed: int = option(0, "seed of a share of the samples", ge=0, lt=2**63)
    json_file: str = option("", "write the verdict and all that is wrong to this JSON file")
    scratch: str = option(
        "",
        "folder or URI that all workers reach, for what they find; default: a temporary one on "
        "this machine",
        speed=True,
        shared=True,
    )


class ReportOptions(Options):
    """Which dataset to report on, and what the papers shall say."""

    dataset: str = option(..., _DATASET, positional=True)
    output: str = option("", "folder or URI for the page and papers; default: DATASET/report")
    only_print: bool = option(False, "print outcomes and rates, and write no page and no papers")
    json_file: str = option("", "write the printed report to this JSON file")
    sample: int = option(2000, "images of the random sample that geography is read of", ge=0)
    contact_sheet: int = option(60, "images of that sample to show", ge=0, le=1000)
    seed: int = option(0, "seed of the random sample", ge=0, lt=2**63)
    address_countries: str = option(
        "", "MaxMind DB file (.mmdb) that tells the country of an address; default: none"
    )
    eval_index: str = option("", "the index, for its thumbnails; default: where the build had it")
    eval_set: tuple[str, ...] = option(
        (), "NAME=PATH of an evaluation set, to show its images themselves"
    )
    title: str = option("", "name of the dataset in the papers; default: its last path segment")
    license: str = option("", "licence of the collection: a URL or an SPDX identifier")
    creator: str = option("", "who made the dataset: a person or an organisation")
    contact: str = option("", "address or page for takedown requests and questions")
    url: str = option("", "home page of the dataset")


class QueryOptions(Options):
    """Which dataset to question, and how to show the answer."""

    dataset: str = option(..., _DATASET, positional=True)
    sql: str = option(
        ..., "one SELECT in DuckDB's SQL; `-` reads it from standard input", positional=True
    )
    format: Literal["table", "csv", "json", "parquet"] = option("table", "how to write the answer")
    output: str = option("", "file or URI for the answer; default: standard output")
    limit: int = option(100, "rows that a printed table shows at most; 0: all", ge=0)
    memory_mib: int = option(1024, "memory that DuckDB may take", gt=0)


class ShowOptions(Options):
    """Which image to tell of."""

    dataset: str = option(..., _DATASET, positional=True)
    image: str = option(..., "id, URL or SHA-256 of the image", positional=True)
    picture: str = option("", "write its bytes, as packed, to this file")
    proof: str = option("", "write the proof that it is in the dataset to this JSON file")
    format: Literal["text", "json"] = option("text", "how to write what is known")


class RemoveOptions(Options):
    """What to take out of a dataset, why, and on whose authority."""

    dataset: str = option(..., _DATASET, positional=True, shared=True)
    sha256: tuple[str, ...] = option((), "SHA-256 of an image's bytes, hex; or @FILE, one a line")
    md5: tuple[str, ...] = option((), "MD5 of an image's bytes, hex; or @FILE, one a line")
    url: tuple[str, ...] = option((), "URL as given or as it answered; or @FILE, one a line")
    host: tuple[str, ...] = option((), "host of the URL, such as img.example.org; or @FILE")
    domain: tuple[str, ...] = option((), "domain: that host and all hosts below it; or @FILE")
    id: tuple[str, ...] = option((), "sample id, 32 hex digits; or @FILE, one a line")
    phash: tuple[str, ...] = option((), "perceptual hash, 64 hex digits; or @FILE, one a line")
    phash_radius: int = option(31, "bits by which a perceptual hash may differ", ge=0, le=64)
    reason: str = option(..., "why, in words; it stands in the record for good")
    authority: str = option(..., "who asked for it: a court, a rights holder, a person")
    dry_run: bool = option(False, "count what would be removed, and write nothing")
    scratch: str = option(
        "",
        "folder or URI that all workers reach, for what they find; default: a temporary one on "
        "this machine",
        speed=True,
        shared=True,
    )


class RepackOptions(Options):
    """Which dataset to rid of its removed samples for good."""

    dataset: str = option(..., _DATASET, positional=True, shared=True)
    read_log: tuple[str, ...] = option(
        (), "folder of a training run, whose read logs tell whether it has read what is removed"
    )
    scratch: str = option(
        "", "local folder for shards under way; default: a temporary one", speed=True
    )
    results: str = option(
        "",
        "folder or URI that all workers reach, for what they tell; default: a temporary one on "
        "this machine",
        speed=True,
        shared=True,
    )
