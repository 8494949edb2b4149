"""eu-summary.md: the tables of the EU template for the public summary of training content.

Regulation (EU) 2024/1689, Article 53(1)(d); the template is of the AI Office. It speaks of a model
and its provider; a dataset can fill the rows on data alone, so all others say what is to be added.
"""

from ingest.papers import statements
from ingest.papers.facts import Facts
from ingest.papers.markdown import document, escape, table
from ingest.papers.top_domains import leading_domains, required_domains
from schemas.outcome import Outcome

_ADD = "(the provider must add this)"
_BANDS = (
    (1_000_000, "less than 1 million images"),
    (1_000_000_000, "1 million to 1 billion images"),
)
_LAST_BAND = "more than 1 billion images"
# More of them would drown the summary; the CSV has all that are known.
_SHOWN_DOMAINS = 1000
_MOST_INPUTS = 100
_ROWS = ("item", "content")


def eu_summary(facts: Facts) -> bytes:
    """The file."""
    lines = [
        f"# Public summary of training content: {escape(facts.title)}",
        "",
        "For Article 53(1)(d) of Regulation (EU) 2024/1689, after the template of the AI Office. "
        "Filled in from the seal and the ledger of one dataset; a provider puts it together with "
        "those of all others that the model was trained on, and updates it at least every six "
        "months.",
        "",
        *_general(facts),
        *_data_sources(facts),
        *_crawling(facts),
        *_domains(facts),
        *_processing(facts),
    ]
    return document(lines)


def size_band(num_images: int) -> str:
    """The template's band for so many images."""
    return next((words for end, words in _BANDS if num_images < end), _LAST_BAND)


def _general(facts: Facts) -> list[str]:
    survey, options = facts.survey, facts.options
    rows = [
        ("Provider and contact", f"{options.creator or _ADD}; {options.contact or _ADD}"),
        ("Model", _ADD),
        ("Dataset", f"{facts.title}, version {survey.version}, Merkle root {survey.merkle_root}"),
        ("Modality", "image"),
        ("Size band (image)", size_band(survey.num_kept)),
        ("Images", f"{survey.num_kept:,}"),
        ("Bytes of the images", f"{survey.kept_bytes:,}"),
        ("Type of content", "images of all kinds found on the web, without any content filter"),
        ("Latest date of acquisition", facts.end[:10] if facts.end else "nothing was fetched"),
        ("Other modalities", "none; URLs and pass-through columns stand in the ledger"),
    ]
    return ["## 1. General information", "", *table(_ROWS, rows), ""]


def _data_sources(facts: Facts) -> list[str]:
    inputs, num_more = facts.first_inputs(_MOST_INPUTS)
    carriers = sorted(facts.survey.carriers.items())
    return [
        "## 2. Data sources",
        "",
        "### 2.1, 2.2 Datasets and files that were taken as they are",
        "",
        f"The bytes of {facts.num_stored:,} candidates lay in files of the inputs below, and "
        f"{facts.num_fetched:,} candidates are URLs that the inputs named. Which inputs are "
        "publicly available (2.1) and which were had from third parties (2.2), the provider must "
        "add.",
        "",
        *table(("carrier", "candidates"), carriers),
        "",
        *table(("kind", "input", "rows"), [(one.kind, one.uri, one.num_rows) for one in inputs]),
        "",
        *([f"And {num_more:,} more, which `plan.json` names.", ""] if num_more else []),
    ]


def _crawling(facts: Facts) -> list[str]:
    survey = facts.survey
    modes = "; ".join(f"{name}: {mode}" for name, mode in sorted(survey.consent.modes.items()))
    period = f"{facts.start} to {facts.end}" if facts.start else "none"
    refused = survey.consent.num_refused
    rows = [
        ("Crawler", facts.user_agent if facts.num_fetched else "none was used"),
        ("Purpose", "collecting training images"),
        (
            "Opt-outs",
            f"{modes or 'not on record'} (honoured, only recorded, or ignored)",
        ),
        ("Refused by publishers", f"{refused:,} candidates were left out"),
        ("Rate", f"The crawler {statements.rate(facts)}."),
        ("Access", f"no passwords, paywalls or CAPTCHAs are passed; {_addresses(facts)}"),
        ("Period of collection", period),
        ("Kind of content", "image files that the inputs link to, with the headers of the answer"),
        ("Modality", f"image: {survey.num_kept:,} images, {survey.kept_bytes:,} bytes"),
    ]
    head = ["### 2.3 Data crawled and scraped from online sources", ""]
    return [*head, *table(_ROWS, rows), ""]


def _addresses(facts: Facts) -> str:
    allowed = facts.built("fetch").get("allow_network") or ()
    return f"public addresses only{', and ' + ', '.join(allowed) if allowed else ''}"


def _domains(facts: Facts) -> list[str]:
    domains = facts.survey.domains
    num_all, num_small = required_domains(domains.num_kept_domains)
    leading = leading_domains(facts)
    shown = leading[:_SHOWN_DOMAINS]
    about = "at least " if domains.error else ""
    lines = [
        "#### Top 10 % of the registered domains, by bytes of images scraped",
        "",
        f"Images came from {about}{domains.num_kept_domains:,} registered domains (public suffix "
        f"list: {escape(domains.suffix_list)}). The top 10 % are {num_all:,}; small and medium "
        f"enterprises list the top 5 % or 1,000, whichever is lower, here {num_small:,}.",
        "",
    ]
    if len(leading) < num_all:
        lines += [f"Only the first {len(leading):,} are known: the survey lists no more.", ""]
    if len(shown) < len(leading):
        lines += [f"The first {len(shown):,} of {len(leading):,}; all are in the CSV.", ""]
    if domains.error:
        lines += [f"Bytes of a domain may be too low by {domains.error:,} at most.", ""]
    rows = [
        (rank, one.domain, one.kept_bytes, one.num_kept, one.num_refused)
        for rank, one in enumerate(shown, 1)
    ]
    header = ("rank", "domain", "bytes", "images", "refused by the publisher")
    tail = [
        "",
        f"`top-domains.csv` has all {len(domains.top):,} domains that the survey lists.",
        "",
        "### 2.4, 2.5, 2.6 User data, synthetic data, other sources",
        "",
        "None was collected from users or made on purpose; generated images of the web may be "
        f"among the crawled ones. Else: {_ADD}",
        "",
    ]
    return [*lines, *table(header, rows), *tail]


def _processing(facts: Facts) -> list[str]:
    survey = facts.survey
    consent = survey.consent
    removed = survey.outcomes.get(Outcome.REMOVED, 0)
    signals = [
        (one.signal, one.mode, one.num_candidates, one.num_kept, one.num_refused)
        for one in consent.signals[:_MOST_INPUTS]
    ]
    return [
        "## 3. Data processing",
        "",
        "### 3.1 Reservations of rights for text and data mining",
        "",
        "Before and with each request the crawler looks for the signals of 2.3 that are not "
        f"ignored. robots.txt was had for {consent.num_robots_known:,} candidates; "
        f"{consent.num_refused:,} were left out because a rule that is honoured says no. The rule, "
        "and digest and time of the file, are in the ledger. `opt-outs.csv` has all signals and "
        "rules.",
        "",
        *table(("signal", "mode", "candidates", "kept", "refused"), signals),
        "",
        "### 3.2 Removal of illegal content",
        "",
        "Nothing was looked for by content. " + escape(statements.maintenance(facts)),
        "",
        "Removals go by SHA-256, MD5, perceptual hash, URL, host, domain or id, also from lists "
        f"that authorities or hotlines keep. So far: {survey.num_tombstones:,} images by "
        f"tombstone, {removed:,} for good.",
        "",
        "### 3.3 Other information",
        "",
        escape(statements.manipulation(facts)),
        "",
        "CSV files beside this one have an apostrophe before texts that a spreadsheet would take "
        "for a formula (first sign = + - @, tab or carriage return).",
    ]
