"""Survey: what a finished dataset holds, counted from its ledger and a random sample of it.

The page, the data sheet, the Croissant record and the tables for regulators are all made from this
one document and the seal, so that they cannot disagree.
"""

from pydantic import BaseModel, ConfigDict, Field

from schemas.manifest import Document


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Histogram(_Part):
    """Counts in bins; bin k holds the values from edges[k] to below edges[k + 1]."""

    edges: tuple[float, ...] = Field(description="ascending, one more than counts")
    counts: tuple[int, ...]


class Ranking(_Part):
    """The most frequent of many names, exact unless `error` is not 0."""

    top: dict[str, int] = Field(description="falling by count, then by name")
    num_names: int = Field(description="distinct names; a lower bound if error is not 0")
    total: int = Field(description="of all names, those that are not listed included")
    error: int = Field(default=0, description="by how much a count may be too low at most")


class Domain(_Part):
    """What came of one registered domain, such as `example.co.uk`."""

    domain: str
    num_candidates: int
    num_kept: int
    kept_bytes: int
    num_refused: int = Field(description="candidates whose publisher said no")


class Domains(_Part):
    """The registered domains that gave most bytes, by the public suffix list."""

    top: tuple[Domain, ...] = Field(description="falling by kept_bytes, then by name")
    num_domains: int = Field(description="domains of candidates; a lower bound if error is not 0")
    num_kept_domains: int = Field(description="those that gave an image; the same")
    suffix_list: str = Field(description="version of the public suffix list")
    error: int = Field(default=0, description="bytes by which a domain may be too low at most")


class CountryShare(_Part):
    """One country among the images that could be placed, with its 95 % interval (Wilson)."""

    country: str = Field(description="ISO 3166-1 alpha-2, upper case")
    num_images: int
    low: float = Field(description="least share of the located images")
    high: float = Field(description="largest share of the located images")


class Located(_Part):
    """Countries by one kind of evidence."""

    evidence: str = Field(description="`gps`: EXIF position; `domain`: country code; `address`")
    num_asked: int = Field(description="images of the sample that were looked at")
    num_located: int
    countries: tuple[CountryShare, ...] = Field(description="falling by num_images, then by name")
    note: str = Field(description="what this evidence can and cannot tell, and by which table")


class ConsentSignal(_Part):
    """One kind of opt-out signal, and what became of the candidates that had it."""

    signal: str = Field(
        description="where it was seen and its value, such as `x-robots-tag: noai`; "
        "`other`: of all kinds behind the first thousand"
    )
    mode: str = Field(
        description="`honour`, `record`, `ignore`: how the build was told to act, or `unknown`"
    )
    num_candidates: int
    num_kept: int
    num_refused: int


class Consent(_Part):
    """What publishers said, and what was done about it."""

    signals: tuple[ConsentSignal, ...] = Field(description="falling by num_candidates")
    rules: Ranking = Field(description="rules that decided against fetching or keeping")
    num_robots_known: int = Field(description="candidates whose robots.txt was had (digest kept)")
    num_refused: int = Field(description="candidates that ended as robots or opt_out")
    modes: dict[str, str] = Field(description="the consent options of the build")


class Survey(Document):
    """What a finished dataset holds; of a candidate that was tried again, its last row counts."""

    dataset: str
    version: str = Field(description="version of the dataset, MAJOR.MINOR.PATCH")
    merkle_root: str
    seed: int = Field(description="seed of the random sample")
    num_candidates: int
    outcomes: dict[str, int] = Field(description="candidates by last outcome, tombstones unheeded")
    num_kept: int = Field(description="images in the shards that no tombstone names")
    num_tombstones: int = Field(description="images in the shards that a tombstone names")
    # All that follows is of the kept images without tombstones, but where it says `candidates`.
    kept_bytes: int
    formats: dict[str, int]
    modes: dict[str, int]
    num_animated: int = Field(description="images of more than one frame")
    num_bytes: Histogram
    width_px: Histogram
    height_px: Histogram
    aspect_ratio: Histogram = Field(description="width by height, as stored")
    exif_years: dict[str, int] = Field(description="year of the EXIF date, `none`, or `invalid`")
    exif_orientations: dict[str, int] = Field(description="`1` to `8`, or `none`")
    last_modified_years: dict[str, int] = Field(
        description="year of Last-Modified, `none`, or `invalid`"
    )
    fetched_days: dict[str, int] = Field(description="candidates by day of their last request, UTC")
    http_statuses: dict[str, int] = Field(description="candidates by status of the last answer")
    carriers: dict[str, int] = Field(description="candidates by carrier: `url`, `file`, ...")
    hosts: Ranking = Field(description="candidates by host of the URL as given")
    suffixes: Ranking = Field(description="candidates by last label of the host (TLD)")
    domains: Domains
    consent: Consent
    decoder_warnings: Ranking
    geography: tuple[Located, ...]
    num_sampled: int = Field(description="images of the random sample that geography was read of")
    exif_fields: dict[str, int] = Field(
        description="images of the sample that have any: `gps`, `camera`, `serial`, `author`, "
        "`copyright`, `date`"
    )
