"""The files of a dataset as a Croissant record names them."""

from collections.abc import Sequence
from typing import Any

from ingest.papers.facts import Facts
from schemas.image_formats import EXTENSIONS
from schemas.manifest import BUILD_FILE, DATASET_FILE, MANIFEST_FILE, PLAN_FILE, Commit
from schemas.tombstone import TOMBSTONES

Json = dict[str, Any]

LEDGER, SHARDS, IMAGE_FILES = "ledger-files", "shard-files", "image-files"
TOMBSTONE_FILES = "tombstone-files"
PARQUET, TAR = "application/x-parquet", "application/x-tar"
_ARROW = "application/vnd.apache.arrow.file"
# Of all others it is the format's name.
_MEDIA_TYPES = {"ico": "image/vnd.microsoft.icon"}
# Beyond that, shards are in file sets, and the manifest has the digest of each.
MOST_LISTED = 100
# mlcroissant holds all images of a record set in memory at once.
MOST_IMAGE_BYTES = 4 << 30


def distribution(facts: Facts, seal_sha256: str, commits: Sequence[Commit]) -> list[Json]:
    """All file objects and file sets; their paths are relative to the root of the dataset.

    commits: those of a dataset of few shards, whose files are then named one by one; else none.
    """
    record = facts.record
    files = [
        _file(DATASET_FILE, "application/json", seal_sha256, "the seal: options, totals, digests"),
        _file(PLAN_FILE, "application/json", record.plan_sha256, "how the candidates were chosen"),
        _file(BUILD_FILE, "application/json", record.build_sha256, "how the shards were built"),
        _file(
            MANIFEST_FILE,
            PARQUET,
            record.manifest_sha256,
            "a row for each shard, with path, size and SHA-256 of the shard and its ledger part",
        ),
        _file_set(
            LEDGER,
            PARQUET,
            [one.ledger_file for one in commits] or ["ledger/*.parquet"],
            "a row for every candidate; only the files that manifest.parquet names count",
        ),
    ]
    if facts.survey.num_tombstones:
        files.append(
            _file_set(
                TOMBSTONE_FILES,
                PARQUET,
                [f"{TOMBSTONES}/*.parquet"],
                "images of the shards that every reader must leave out",
            )
        )
    return files + _shards(facts, commits)


def has_readable_images(facts: Facts, commits: Sequence[Commit]) -> bool:
    """Whether mlcroissant can read the images, and would read no image that was removed.

    It can open tars that are named one by one, no Arrow files, and knows of no tombstones.
    """
    return (
        bool(_filled(commits))
        and _shard_format(facts) == "tar"
        and not facts.survey.num_tombstones
        and facts.record.image_bytes <= MOST_IMAGE_BYTES
    )


def _shards(facts: Facts, commits: Sequence[Commit]) -> list[Json]:
    ending = _shard_format(facts)
    encoding = TAR if ending == "tar" else _ARROW
    if not commits:
        text = "the images; only the files that manifest.parquet names count"
        return [_file_set(SHARDS, encoding, [f"shards/*.{ending}"], text)]
    shards = [
        {
            **_file(one.shard_file, encoding, one.shard_sha256, f"{one.num_kept:,} images"),
            "contentSize": f"{one.shard_bytes} B",
        }
        for one in commits
    ]
    if not has_readable_images(facts, commits):
        return shards
    patterns = [f"*.{extension}" for extension in sorted(EXTENSIONS.values())]
    images = _file_set(IMAGE_FILES, "", patterns, "the image files in the shards")
    images["encodingFormat"] = [_MEDIA_TYPES.get(word, f"image/{word}") for word in EXTENSIONS]
    images["containedIn"] = [{"@id": one.shard_file} for one in _filled(commits)]
    return [*shards, images]


def _filled(commits: Sequence[Commit]) -> list[Commit]:
    return [one for one in commits if one.num_kept]


def _shard_format(facts: Facts) -> str:
    return str(facts.built("pack").get("format", "tar"))


def _file(path: str, encoding: str, sha256: str, description: str) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path.rpartition("/")[2],
        "description": description,
        "contentUrl": path,
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _file_set(name: str, encoding: str, includes: list[str], description: str) -> Json:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": description,
        "encodingFormat": encoding,
        "includes": includes,
    }
