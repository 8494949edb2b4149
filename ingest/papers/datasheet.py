"""DATASHEET.md: the questions of "Datasheets for Datasets", answered from seal and survey.

Source: Gebru et al. 2021, Communications of the ACM 64 (12). What only the publisher can know is
said to be missing, never made up.
"""

from ingest.papers import statements
from ingest.papers.facts import Facts, share_of
from ingest.papers.markdown import document, escape, question, table
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome

_MOST_INPUTS = 100
_MOST_ROWS = 30
_NOT_KNOWN = "Not on record: the publisher must add this."


def datasheet(facts: Facts) -> bytes:
    """The file; numbers of the random sample have their 95 % interval."""
    survey = facts.survey
    lines = [
        f"# Datasheet of {escape(facts.title)}",
        "",
        escape(statements.summary(facts)),
        "",
        f"Made by `uncurated report` from dataset.json, manifest and ledger of version "
        f"{escape(survey.version)}. After Gebru et al., Datasheets for Datasets (2021).",
        "",
        *_motivation(facts),
        *_composition(facts),
        *_metadata(facts),
        *_collection(facts),
        *_preprocessing(facts),
        *_uses(),
        *_distribution(facts),
        *_maintenance(facts),
    ]
    return document(lines)


def _motivation(facts: Facts) -> list[str]:
    creator = facts.options.creator
    return [
        "## Motivation",
        "",
        *question("For what purpose was the dataset created?", _NOT_KNOWN),
        *question(
            "Who created the dataset, and on behalf of whom?",
            f"{creator}." if creator else f"{_NOT_KNOWN} (--creator)",
        ),
        *question("Who funded its creation?", _NOT_KNOWN),
    ]


def _composition(facts: Facts) -> list[str]:
    survey = facts.survey
    outcomes = [
        (outcome.value, count, f"{count / max(1, survey.num_candidates):.1%}", outcome.explanation)
        for outcome, count in facts.ranked_outcomes()
    ]
    return [
        "## Composition",
        "",
        *question(
            "What do the instances represent?", "Image files, as they lay at places of the web."
        ),
        *question(
            "How many instances are there?",
            f"{survey.num_kept:,} images, {survey.kept_bytes:,} bytes. What became of all "
            f"{survey.num_candidates:,} candidates:",
        ),
        *table(("outcome", "candidates", "share", "meaning"), outcomes),
        "",
        f"Images among the kept ones that a tombstone names, and so count no longer: "
        f"{survey.num_tombstones:,}.",
        "",
        *question(
            "Does the dataset contain all possible instances, or is it a sample?",
            statements.raw_data(facts),
        ),
        *question(
            "What data does each instance consist of? Is there a label?",
            "The bytes of an image file, and a row of provenance with "
            f"{len(LedgerRow.model_fields)} columns: URL, times, addresses, digests, opt-out "
            "signals, size, pass-through columns of the input. There are no labels.",
        ),
        *question("Is any information missing?", statements.missing_data(facts)),
        *question(
            "Are there recommended splits? Are there relations between instances?",
            "No. Which host, domain and input an image is from stands in the ledger.",
        ),
        *question("Are there errors, noise or redundancies?", *statements.limitations(facts)),
        *question(
            "Is the dataset self-contained?",
            "Yes: the shards hold the bytes of all images. The URLs are evidence, not needed.",
        ),
    ]


def _metadata(facts: Facts) -> list[str]:
    """What the files are, and what may concern people."""
    survey = facts.survey
    return [
        "Formats, pixel modes and EXIF years of the images:",
        "",
        *_counts("format", survey.formats, survey.num_kept),
        *_counts("pixel mode", survey.modes, survey.num_kept),
        *_counts("EXIF year", survey.exif_years, survey.num_kept),
        escape(f"Of more than one frame: {share_of(survey.num_animated, survey.num_kept)}."),
        "",
        *question(
            "Might the dataset be confidential, offensive or distressing?",
            "It may: nothing was filtered by content. What could be fetched without a password, or "
            "lay in the inputs, is in it.",
        ),
        *question(
            "Does it identify subpopulations?",
            "Not by itself. Where images come from could be estimated so:",
            *(statements.geography(facts) or ["No evidence was asked for."]),
        ),
        *question(
            "Can persons be identified? Is there sensitive data?",
            *statements.personal_information(facts),
        ),
        *question("Which biases are known?", *statements.biases(facts)),
    ]


def _collection(facts: Facts) -> list[str]:
    consent = facts.survey.consent
    inputs, num_more = facts.first_inputs(_MOST_INPUTS)
    rows = [(one.kind, one.uri, one.num_rows) for one in inputs]
    return [
        "## Collection process",
        "",
        *question("How was the data acquired?", statements.collection(facts)),
        *table(("kind of input", "URI", "rows"), rows),
        "",
        *([f"And {num_more:,} more, which `plan.json` names.", ""] if num_more else []),
        *question("What was the sampling strategy?", statements.raw_data(facts)),
        *question(
            "Who was involved, and how were they compensated?",
            "A program; nobody labelled or looked at images. Else: " + _NOT_KNOWN,
        ),
        *question(
            "Over what timeframe was the data collected?",
            f"{facts.start} to {facts.end}." if facts.start else "Nothing was fetched.",
        ),
        *question("Were ethical review processes conducted?", _NOT_KNOWN),
        *question(
            "Did publishers and individuals consent, and how can they refuse?",
            "Individuals were not asked. What publishers said, and what was done about it:",
        ),
        *table(("signal asked for", "how the build acts"), sorted(consent.modes.items())),
        "",
        *table(
            ("signal seen", "mode", "candidates", "kept", "refused"),
            (
                (one.signal, one.mode, one.num_candidates, one.num_kept, one.num_refused)
                for one in consent.signals[:_MOST_ROWS]
            ),
        ),
        "",
        f"{consent.num_refused:,} candidates were left out because their publisher said no; "
        f"robots.txt was had for {consent.num_robots_known:,}. All signals and rules: "
        "`opt-outs.csv`.",
        "",
    ]


def _preprocessing(facts: Facts) -> list[str]:
    versions = sorted(facts.record.build.versions.items())
    return [
        "## Preprocessing, cleaning, labelling",
        "",
        *question(
            "Was any preprocessing or cleaning done?",
            *statements.preprocessing(facts),
            statements.manipulation(facts),
        ),
        *question(
            "Was the raw data saved?",
            "The original bytes are those of the dataset named in dataset.json."
            if facts.is_resized
            else "Yes: the packed bytes are the raw ones.",
        ),
        *question("Is the software available?", "Yes: uncurated, with these versions:"),
        *table(("software", "version"), versions),
        "",
    ]


def _uses() -> list[str]:
    return [
        "## Uses",
        "",
        *question("Has the dataset been used already?", _NOT_KNOWN),
        *question("What could it be used for?", *statements.USE_CASES),
        *question("What may impact future uses?", statements.SOCIAL_IMPACT),
        *question(
            "Are there tasks for which it should not be used?",
            "Recognising or profiling persons; anything that needs labels, rights or consent that "
            "nobody has given.",
        ),
    ]


def _distribution(facts: Facts) -> list[str]:
    options = facts.options
    return [
        "## Distribution",
        "",
        *question(
            "How and when is the dataset distributed?",
            f"Home page: {options.url}." if options.url else f"{_NOT_KNOWN} (--url)",
        ),
        *question(
            "Under which licence?",
            f"The collection: {options.license}."
            if options.license
            else f"{_NOT_KNOWN} (--license)",
            "The licence of a collection gives no rights in the images: these stay with their "
            "owners.",
        ),
        *question("Do export controls or other rules apply?", _NOT_KNOWN),
        *question(
            "How is it proved to be unchanged?",
            f"Merkle root {facts.record.merkle_root}; SHA-256 of the manifest "
            f"{facts.record.manifest_sha256}. uncurated audit recomputes all of it.",
        ),
        "CSV files beside this one have an apostrophe before texts that a spreadsheet would take "
        "for a formula (first sign = + - @, tab or carriage return).",
        "",
    ]


def _maintenance(facts: Facts) -> list[str]:
    removed = facts.survey.outcomes.get(Outcome.REMOVED, 0)
    return [
        "## Maintenance",
        "",
        *question(
            "Who maintains the dataset, and how can they be reached?", statements.maintenance(facts)
        ),
        *question(
            "Is there an erratum? Will the dataset be updated?",
            f"{len(facts.record.retries):,} retries were added to the first crawl; "
            f"{removed:,} images have been taken out for good. Each version has its own seal.",
        ),
        *question(
            "Are there limits on how long data of persons is kept? Will old versions be kept?",
            _NOT_KNOWN,
        ),
        *question(
            "How can others extend it?",
            "By building a dataset of their own that takes this one as an input; its lineage is "
            "recorded and can be proved.",
        ),
    ]


def _counts(name: str, counts: dict[str, int], total: int) -> list[str]:
    """A table of the most frequent words, and a line for the rest."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [(word, count, f"{count / max(1, total):.1%}") for word, count in ordered[:_MOST_ROWS]]
    rest = sum(count for _, count in ordered[_MOST_ROWS:])
    if rest:
        rows.append((f"{len(ordered) - _MOST_ROWS} others", rest, f"{rest / max(1, total):.1%}"))
    return [*table((name, "images", "share"), rows), ""]
