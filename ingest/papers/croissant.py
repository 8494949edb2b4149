"""The Croissant 1.1 record of a dataset, with the RAI vocabulary and PROV-O.

Its paths are relative to the root of the dataset, where it lies: a file set that is in no archive
can only be told by its place below the record, and `..` in a pattern leads nowhere.
Sources: Croissant Format Specification 1.1, Croissant RAI Specification 1.0, W3C PROV-O.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from ingest.papers import statements
from ingest.papers.croissant_files import (
    IMAGE_FILES,
    LEDGER,
    TOMBSTONE_FILES,
    distribution,
    has_readable_images,
)
from ingest.papers.croissant_records import fields_of, image_fields, left_out, record_set
from ingest.papers.facts import Facts
from schemas.ledger import LedgerRow
from schemas.manifest import MANIFEST_FILE, Commit
from schemas.tombstone import Tombstone

Json = dict[str, Any]

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_PLAIN_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet "
    "references regex repeated replace samplingRate separator source subField transform"
)
# The official context of Croissant 1.1, and PROV-O.
CONTEXT: Json = {
    **{term: f"cr:{term}" for term in _PLAIN_TERMS.split()},
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_MOST_INPUTS = 1000
_NO_BIBTEX = re.compile(r"[{}\\\s]+")
_SPDX = re.compile(r"[A-Za-z0-9.+-]+")


def croissant(facts: Facts, seal_sha256: str, commits: Sequence[Commit]) -> bytes:
    """The bytes of croissant.json: JSON-LD with sorted keys.

    seal_sha256: of dataset.json. commits: see `distribution`.
    """
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "isLiveDataset": False,
        **_identity(facts),
        **_responsible_ai(facts),
        **_provenance(facts),
        "distribution": distribution(facts, seal_sha256, commits),
        "recordSet": _record_sets(facts, commits),
    }
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def license_url(text: str) -> str:
    """The URL of a licence that is named by its URL or SPDX identifier; other words as they are."""
    return f"https://spdx.org/licenses/{text}.html" if _SPDX.fullmatch(text) else text


def _identity(facts: Facts) -> Json:
    """Name, version and whatever the publisher has told; what is not known is left out."""
    options, survey = facts.options, facts.survey
    found: Json = {
        "name": facts.title,
        "description": statements.summary(facts),
        "version": survey.version,
        "identifier": f"merkle-root:{survey.merkle_root}",
        "keywords": ["images", "web crawl", "provenance"],
        "citeAs": _citation(facts),
    }
    if facts.end:
        found["datePublished"] = facts.end[:10]
    if options.license:
        found["license"] = license_url(options.license)
    if options.url:
        found["url"] = options.url
    if options.creator:
        found["creator"] = {"@type": "sc:Organization", "name": options.creator}
    return found


def _citation(facts: Facts) -> str:
    """BibTeX; braces and backslashes would break it, so they are left out."""
    values = {
        "title": facts.title,
        "author": facts.options.creator,
        "year": facts.end[:4] if facts.end else "",
        "url": facts.options.url,
        "version": facts.survey.version,
        "note": f"Merkle root {facts.survey.merkle_root}",
    }
    fields = [f"{name} = {{{_NO_BIBTEX.sub(' ', text)}}}" for name, text in values.items() if text]
    return f"@misc{{uncurated-{facts.survey.merkle_root[:12]}, {', '.join(fields)}}}"


def _responsible_ai(facts: Facts) -> Json:
    """The RAI vocabulary; nothing is annotated, so its words for annotation are left out."""
    frame = [moment for moment in (facts.start, facts.end) if moment]
    values: Json = {
        "dataCollection": statements.collection(facts),
        "dataCollectionType": statements.collection_types(facts),
        "dataCollectionTimeframe": frame,
        "dataCollectionMissingData": statements.missing_data(facts),
        "dataCollectionRawData": statements.raw_data(facts),
        "dataPreprocessingProtocol": statements.preprocessing(facts),
        "dataManipulationProtocol": statements.manipulation(facts),
        "personalSensitiveInformation": statements.personal_information(facts),
        "dataBiases": [*statements.biases(facts), *statements.geography(facts)],
        "dataLimitations": statements.limitations(facts),
        "dataUseCases": statements.USE_CASES,
        "dataSocialImpact": statements.SOCIAL_IMPACT,
        "dataReleaseMaintenancePlan": statements.maintenance(facts),
    }
    return {f"rai:{name}": value for name, value in values.items() if value}


def _provenance(facts: Facts) -> Json:
    inputs, num_more = facts.first_inputs(_MOST_INPUTS)
    sources: list[Json] = [
        {
            "@type": "prov:Entity",
            "name": one.uri,
            "description": f"{one.kind}, {one.num_rows:,} rows",
            **({"identifier": f"merkle-root:{one.merkle_root}"} if one.merkle_root else {}),
        }
        for one in inputs
    ]
    if num_more:
        sources.append({"@type": "prov:Entity", "name": f"{num_more:,} more inputs: plan.json"})
    agent = {
        "@type": "prov:SoftwareAgent",
        "name": "uncurated",
        "version": facts.record.build.versions.get("uncurated", "unknown"),
    }
    creator = facts.options.creator
    found = {
        "prov:wasDerivedFrom": sources,
        "prov:wasGeneratedBy": _activities(facts, agent),
        "prov:wasAttributedTo": {"@type": "prov:Agent", "name": creator} if creator else agent,
    }
    return {name: value for name, value in found.items() if value}


def _activities(facts: Facts, agent: Json) -> list[Json]:
    """The build, and each retry and repack after it."""
    index = facts.record.build.eval_index
    build: Json = {
        "@type": "prov:Activity",
        "name": "uncurated build",
        "prov:wasAssociatedWith": agent,
    }
    if facts.start:
        build["prov:startedAtTime"] = facts.start
        # The last fetch is one of the last retry.
        if not facts.record.retries:
            build["prov:endedAtTime"] = facts.end
    if index:
        build["prov:used"] = {
            "@type": "prov:Entity",
            "name": index.uri,
            "description": f"evaluation index: {facts.record.decontamination}",
            "sha256": index.sha256,
        }
    retries = [
        {
            "@type": "prov:Activity",
            "name": f"uncurated retry, generation {one.generation}",
            "description": f"{one.num_candidates:,} candidates planned anew",
            "prov:wasAssociatedWith": agent,
        }
        for one in facts.record.retries
    ]
    repacks = [
        {
            "@type": "prov:Activity",
            "name": f"uncurated repack, number {one.repack}",
            "description": f"{sum(one.removed.values()):,} images taken out",
            "prov:wasAssociatedWith": agent,
        }
        for one in facts.record.repacks
    ]
    return [build, *retries, *repacks]


def _record_sets(facts: Facts, commits: Sequence[Commit]) -> list[Json]:
    sets = [
        record_set(
            "ledger",
            "A row for every candidate, kept or not; of a candidate with rows of several "
            f"generations the last counts. {_without(LedgerRow)}",
            fields_of(LedgerRow, "ledger", {"fileSet": {"@id": LEDGER}}),
            key=("id", "generation"),
        ),
        record_set(
            "manifest",
            f"A row for each shard. {_without(Commit)}",
            fields_of(Commit, "manifest", {"fileObject": {"@id": MANIFEST_FILE}}),
            key=("shard",),
        ),
    ]
    if facts.survey.num_tombstones:
        fields = fields_of(Tombstone, "tombstones", {"fileSet": {"@id": TOMBSTONE_FILES}})
        text = "Images of the shards that were removed: leave them out."
        sets.append(record_set("tombstones", text, fields, key=("id",)))
    if has_readable_images(facts, commits):
        text = "The images of the shards; their ids lead to their rows of the ledger."
        sets.append(record_set("images", text, image_fields("images", IMAGE_FILES), key=("id",)))
    return sets


def _without(model: type[LedgerRow] | type[Commit]) -> str:
    names = ", ".join(left_out(model))
    return f"Columns that Croissant has no type for are not described here: {names}."
