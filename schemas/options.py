"""Options, one model per concern. Each field is the flag, its help and the recorded configuration.

A field marked `speed` may change between the runs of one dataset; all others change results, are
recorded, and are refused when a later run names another value.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

Consent = Literal["honour", "record", "ignore"]
InputFormat = Literal[
    "auto", "table", "folder", "tar", "images", "img2dataset", "warc", "wat", "sitemap", "dataset"
]
Profile = Literal["small", "standard", "thorough"]
ResizeMode = Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]
Interpolation = Literal[
    "nearest", "linear", "bilinear", "cubic", "bicubic", "area", "lanczos", "lanczos4"
]


def option(default: Any, description: str, **marks: Any) -> Any:
    """A field of an options model; `...` as default makes it required.

    `speed=True`: see above; `positional=True`: an argument, no flag; `shared=True`: a file or
    folder that workers open, so that all of them must reach it; all others limit the value.
    """
    extra: dict[str, JsonValue] = {
        name: marks.pop(name) for name in ("speed", "positional", "shared") if name in marks
    }
    return Field(default, description=description, json_schema_extra=extra or None, **marks)


class Options(BaseModel):
    """Base of all options: frozen, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def recorded(self) -> dict[str, Any]:
        """The values that change results, nested as the models are."""
        recorded: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Options):
                recorded[name] = value.recorded()
            elif not is_marked(info, "speed"):
                recorded[name] = list(value) if isinstance(value, tuple) else value
        return recorded


def is_marked(info: FieldInfo, mark: str) -> bool:
    """Whether a field was declared with this mark."""
    return isinstance(info.json_schema_extra, dict) and bool(info.json_schema_extra.get(mark))


class DatasetOptions(Options):
    """Where the dataset is."""

    output: str = option(
        ..., "the dataset: a local folder or any fsspec URI", speed=True, shared=True
    )


class PlanOptions(Options):
    """Which candidates, and how many in a shard."""

    input: tuple[str, ...] = option(
        ...,
        "URL tables (parquet, csv, tsv, jsonl, txt; also .gz, .zst), WARC or WAT archives, "
        "sitemaps, tar shards, parquet files of images, folders of images or of img2dataset, "
        "finished datasets; or globs",
        shared=True,
    )
    input_format: InputFormat = option(
        "auto", "kind of all inputs; auto: by name, by what a folder holds, by a table's columns"
    )
    url_column: str = option("url", "column of the tables that holds the URL")
    image_column: str = option(
        "", "column of parquet files that holds images; default: the first of bytes, if no URLs"
    )
    archive_records: Literal["all", "images", "links"] = option(
        "all", "what to take from WARC archives: images stored in them, links of pages, or both"
    )
    sample_rate: float = option(1.0, "share of the rows to take, by hash", gt=0, le=1)
    seed: int = option(0, "seed of the sampling and of the shuffle", ge=0, lt=2**63)
    shard_candidates: int = option(10_000, "candidates in a shard, on average", gt=0)
    input_digests: Literal["sha256", "size"] = option(
        "sha256", "what to record of each input: its SHA-256, by one more reading, or only its size"
    )

    @field_validator("input")
    @classmethod
    def _some_input(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("expected at least one --input, got none")
        return tuple(sorted(set(value)))


class FetchOptions(Options):
    """Limits of one request, and how many run at once."""

    connections: int = option(512, "requests in flight in a process", speed=True, gt=0)
    timeout_s: float = option(
        30.0, "total deadline of a candidate, redirects and retries included, seconds", gt=0
    )
    connect_timeout_s: float = option(10.0, "deadline of connecting, seconds", gt=0)
    low_speed_bytes_per_s: int = option(512, "abort below this speed ...", ge=0)
    low_speed_s: int = option(10, "... for this long, seconds", gt=0)
    max_image_bytes: int = option(32 << 20, "byte cap of an image, after decompression", gt=0)
    max_redirects: int = option(5, "redirects that are followed", ge=0)
    max_attempts: int = option(2, "tries of a URL after passing failures", gt=0, lt=100)
    user_agent: str = option(
        "uncurated/0.1", "honest user agent; add a page or address where you can be reached"
    )
    allow_network: tuple[str, ...] = option(
        (), "networks (CIDR) that may be reached although they are not public"
    )
    nameserver: tuple[str, ...] = option(
        (), "ADDRESS or ADDRESS:PORT of a name server; default: the system's", speed=True
    )
    dns_queries_per_s: float = option(
        500.0, "host names looked up per second, by a process", speed=True, gt=0
    )
    ca_file: str = option(
        "",
        "PEM file of the certificate authorities to trust; default: SSL_CERT_FILE, else certifi's",
        speed=True,
        shared=True,
    )
    # Not recorded: it may hold a password.
    proxy: str = option(
        "", "URL of a proxy for all requests; those of the environment are not used", speed=True
    )


class PolitenessOptions(Options):
    """How hard a host may be asked."""

    host_requests_per_s: float = option(
        0.0,
        "requests per second to a host from the whole run, and one more for each process; 0: "
        "unlimited",
        ge=0,
    )
    fetching_processes: int = option(
        0, "processes that share that rate; 0: from the runner's workers", speed=True, ge=0
    )
    address_requests_per_s: float = option(
        0.0,
        "requests per second to an IP address from the whole run, whatever its hosts; 0: unlimited",
        ge=0,
    )
    host_connections: int = option(16, "requests in flight to a host, in a process", gt=0)
    host_wait_s: float = option(
        30.0, "longest wait for a host's turn; candidates beyond it end as `deferred`", ge=0
    )
    host_failures: int = option(
        3, "failures in a row (time-outs, no connection) after which a host is left alone", gt=0
    )
    host_pause_s: float = option(
        60.0, "how long a host is left alone at first; doubles each time it fails again", gt=0
    )
    max_crawl_delay_s: float = option(
        30.0, "longest Crawl-delay of a robots.txt that is kept to, seconds; 0: none is", ge=0
    )
    host_limits: str = option(
        "",
        'TOML file of limits by host: `["*.example.org"]`, `requests_per_s`, `connections`',
        speed=True,
        shared=True,
    )


class ConsentOptions(Options):
    """What to do with a publisher's no: honour it, only record it, or not look."""

    robots_txt: Consent = option("honour", "robots.txt (RFC 9309)")
    x_robots_tag: Consent = option("honour", "X-Robots-Tag: noai, noimageai, noindex, ...")
    tdm_reservation: Consent = option("record", "the TDMRep header tdm-reservation")
    content_usage: Consent = option("record", "the IETF AIPREF header Content-Usage")
    tdm_file: Consent = option(
        "ignore", "TDMRep's /.well-known/tdmrep.json; costs a request to each host"
    )
    ai_txt: Consent = option("ignore", "Spawning's /ai.txt; costs a request to each host")
    c2pa: Consent = option(
        "record", "the training and data mining assertion of Content Credentials in a file"
    )


class InspectOptions(Options):
    """Safety limits of decoding."""

    decoder_processes: int = option(
        0, "decoder processes of a worker; 0: one for each CPU", speed=True, ge=0
    )
    max_pixels: int = option(100_000_000, "pixels of an image, width times height", gt=0)
    decode_timeout_s: float = option(20.0, "longest decoding of an image, seconds", gt=0)
    decoder_memory_mib: int = option(1024, "memory of a decoder process, MiB", gt=63)


class MatchOptions(Options):
    """What counts as a copy of an evaluation image."""

    # Not compared by its path: its digest is recorded beside the options.
    eval_index: str = option(
        "", "index to match against (`uncurated index`); empty: none", speed=True, shared=True
    )
    match_radius: int = option(
        0,
        "largest Hamming distance of the 256-bit hashes that may be a copy; 0: up to 80, less in a "
        "large index, so that not one natural image in ten million is dropped falsely",
        ge=0,
        le=80,
    )
    min_correlation: float = option(
        0.35,
        "least correlation of aligned thumbnails up to 48 bits; rises by 1/128 for each bit more",
        ge=0,
        le=1,
    )
    # Not compared by its path: the index records the model's digest.
    descriptor: str = option(
        "", "ONNX model for borderline cases; the one of the index", speed=True, shared=True
    )
    min_cosine: float = option(
        0.0,
        "least cosine of descriptors that makes a borderline case a copy; 0: not used",
        ge=0,
        le=1,
    )


class PackOptions(Options):
    """How shards and ledgers are written."""

    preview_px: int = option(
        160, "longest side of the previews of near copies in the ledger; 0: none", ge=0, le=1024
    )
    format: Literal["tar", "arrow"] = option(
        "tar", "format of the shards: tar (WebDataset) or arrow (Arrow IPC file, memory-mappable)"
    )
    scratch: str = option(
        "", "local folder for unfinished shards; default: the system's", speed=True
    )


class ResizeOptions(Options):
    """How to derive a smaller copy."""

    size: int = option(256, "side that --resize-mode speaks of, pixels", gt=0, le=16_383)
    resize_mode: ResizeMode = option(
        "keep_ratio",
        "keep_ratio: the shorter side becomes `size`; center_crop: so, then cut to the middle "
        "square; keep_ratio_largest: the longer side becomes `size`; border: so, then made square "
        "by white; no: only encoded anew",
    )
    enlarge: bool = option(
        False, "resize, crop or border pictures too that are no larger than `size`"
    )
    downscale_interpolation: Interpolation = option("area", "how pixels are joined")
    upscale_interpolation: Interpolation = option("lanczos", "how pixels are made, if enlarged")
    encode_format: Literal["jpg", "png", "webp"] = option("jpg", "format of the copy")
    encode_quality: int = option(
        95,
        "quality of jpg and webp, 0 to 100; of png the effort of compression, 0 to 9",
        ge=0,
        le=100,
        validate_default=True,
    )
    skip_reencode: bool = option(
        False, "leave the bytes of pictures that need no resizing if they are in that format"
    )

    @field_validator("encode_quality")
    @classmethod
    def _fits_the_format(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("encode_format") == "png" and value > 9:
            raise ValueError("expected 0 to 9 for png")
        return value


class BuildOptions(DatasetOptions):
    """How to build a planned dataset."""

    fetch: FetchOptions = FetchOptions()
    politeness: PolitenessOptions = PolitenessOptions()
    consent: ConsentOptions = ConsentOptions()
    inspect: InspectOptions = InspectOptions()
    match: MatchOptions = MatchOptions()
    pack: PackOptions = PackOptions()


class DerivedOptions(BuildOptions):
    """How to build a dataset of smaller copies."""

    resize: ResizeOptions = ResizeOptions()
