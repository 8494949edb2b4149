"""Edits to a dataset, one at a time: what a disk, a hurry or a forger would do to it.

An edit returns the depth of an audit that promises to find it; None if it has changed nothing.
"""

import io
import random
from hashlib import md5, sha256

from PIL import Image

from ingest.audit.verify import Depth
from schemas.manifest import MANIFEST_FILE, commit_path, former_manifest_path, former_seal_path
from tests.building import commits_of, record_of
from tests.forging import forge_ledger, forge_shard, read_ledger, with_values

QUICK, DEFAULT, SAMPLES = Depth(quick=True), Depth(), Depth(samples="all")
READ_FOLDERS = ("plan", "ledger", "shards")
FOLDERS = (*READ_FOLDERS, "commits", "canaries", "generations", "tombstones")


class Edited:
    """A dataset that is edited and put back; `draw` decides on what and where."""

    def __init__(self, dataset, seed):
        self.dataset, self.draw = dataset, random.Random(seed)
        self.before = {path: path.read_bytes() for path in self.files()}

    def files(self):
        return sorted(path for path in self.dataset.rglob("*") if path.is_file())

    def changed(self):
        """Names of what is not as it was."""
        found = {path: path.read_bytes() for path in self.files()}
        paths = found.keys() | self.before.keys()
        return sorted(
            str(path.relative_to(self.dataset))
            for path in paths
            if found.get(path) != self.before.get(path)
        )

    def restore(self):
        for name in self.changed():
            path = self.dataset / name
            if path in self.before:
                path.write_bytes(self.before[path])
            else:
                path.unlink()

    def can_be_forged(self, commit):
        """Whether no record of a retry tells what its shard was."""
        retries = record_of(self.dataset).retries
        return commit.num_kept and commit.shard >= (retries[-1].first_shard if retries else 0)

    def folder_of(self, path):
        return str(path.relative_to(self.dataset).parent)

    def depth_of(self, path):
        """The depth that reads the bytes of a file."""
        return DEFAULT if self.folder_of(path) in READ_FOLDERS else QUICK

    def any_file(self, *folders):
        files = [one for one in self.before if not folders or self.folder_of(one) in folders]
        return self.draw.choice([one for one in files if self.before[one]])

    def any_commit(self, fits=lambda commit: True):
        return self.draw.choice([one for one in commits_of(self.dataset) if fits(one)])


def flip_a_byte(edited):
    path = edited.any_file()
    content = bytearray(edited.before[path])
    content[edited.draw.randrange(len(content))] ^= edited.draw.randrange(1, 256)
    path.write_bytes(content)
    return edited.depth_of(path)


def delete_a_file(edited):
    edited.any_file().unlink()
    return QUICK


def add_a_file(edited):
    folder = edited.dataset / edited.draw.choice(FOLDERS)
    folder.mkdir(exist_ok=True)
    number, name = edited.draw.randrange(99), edited.draw.randbytes(6).hex()
    extension = edited.draw.choice(["tar", "arrow", "parquet", "json", "partial"])
    new = edited.draw.choice([f"{number:05d}-{name}.{extension}", f"0{number}.{extension}", name])
    (folder / new).write_bytes(b"" if number % 2 else edited.before[edited.any_file()])
    return QUICK


def swap_two_files(edited):
    one = edited.any_file("shards", "ledger", "plan", "commits")
    other = edited.any_file(edited.folder_of(one))
    one.write_bytes(edited.before[other])
    other.write_bytes(edited.before[one])
    return edited.depth_of(one) if edited.before[one] != edited.before[other] else None


def replace_a_file_by_another(edited):
    path, other = edited.any_file(), edited.any_file()
    path.write_bytes(edited.before[other])
    return edited.depth_of(path) if edited.before[path] != edited.before[other] else None


def truncate_or_extend_a_file(edited):
    path = edited.any_file()
    content = edited.before[path]
    keep = edited.draw.randrange(len(content))
    path.write_bytes(
        edited.draw.choice([content[:keep], content + content[keep:], content + b"\0"])
    )
    return DEFAULT if edited.folder_of(path) == "plan" else QUICK


def kept_row(edited, table):
    words = table["outcome"].to_pylist()
    return edited.draw.choice([row for row, word in enumerate(words) if word == "kept"])


def lie_in_a_ledger(edited):
    """Any column of any row, and the digests as they were."""
    commit = edited.any_commit(lambda one: one.num_kept)
    table = read_ledger(edited.dataset, commit)
    row = edited.draw.randrange(table.num_rows)
    name = edited.draw.choice(["url", "outcome", "sha256", "detail", "attempts", "fetched_at"])
    value = {"attempts": 7, "fetched_at": 5}.get(name, "f" * 64)
    path = edited.dataset / commit.ledger_file
    forge_ledger(edited.dataset, commit, with_values(table, {name: {row: value}}))
    forged = commits_of(edited.dataset)[commit.shard].ledger_file
    content = (edited.dataset / forged).read_bytes()
    edited.restore()
    path.write_bytes(content)
    return DEFAULT


def lie_of_a_kept_sample_under_fitting_digests(edited):
    """What stands in the image's JSON, too, which only its Merkle leaf betrays."""
    commit = edited.any_commit(edited.can_be_forged)
    table = read_ledger(edited.dataset, commit)
    row = kept_row(edited, table)
    lies = {
        "sha256": edited.draw.randbytes(32).hex(),
        "url": "https://example.org/another.jpg",
        "columns": '{"caption":"another"}',
        "width_px": 1 + table["width_px"][row].as_py(),
        "phash": edited.draw.randbytes(32).hex(),
    }
    name = edited.draw.choice(sorted(lies))
    forge_ledger(edited.dataset, commit, with_values(table, {name: {row: lies[name]}}))
    return DEFAULT


def lie_of_a_failure_under_fitting_digests(edited):
    """A candidate that failed otherwise than the counts say, or was another one."""
    commit = edited.any_commit(lambda one: one.num_kept < one.num_candidates)
    table = read_ledger(edited.dataset, commit)
    words = table["outcome"].to_pylist()
    row = edited.draw.choice([row for row, word in enumerate(words) if word != "kept"])
    lies = {"outcome": "dns", "id": edited.draw.randbytes(16).hex(), "source": "x", "shard": 9999}
    name = edited.draw.choice(sorted(lies))
    forge_ledger(edited.dataset, commit, with_values(table, {name: {row: lies[name]}}))
    return DEFAULT


def lie_in_a_shard_under_fitting_digests(edited):
    """All files tell the same lie, but it is not what the image is: only decoding finds it."""
    lies = {
        "width_px": lambda row: row["width_px"] + 1,
        "pixels_sha256": lambda row: "0" * 64,
        "phash": lambda row: "f" * 64,
        "texture": lambda row: row["texture"] ^ 1,
        "md5": lambda row: "0" * 32,
        "num_frames": lambda row: row["num_frames"] + 1,
    }
    name = edited.draw.choice(sorted(lies))
    commit = edited.any_commit(edited.can_be_forged)
    forge_shard(edited.dataset, commit, lambda row, image: ({**row, name: lies[name](row)}, image))
    return SAMPLES


def reencoded(row, image):
    """Other bytes of nearly the same picture, with the digests of these bytes."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").save(buffer, "JPEG", quality=30)
    content = buffer.getvalue()
    digests = {"sha256": sha256(content).hexdigest(), "md5": md5(content).hexdigest()}
    return {**row, **digests, "num_bytes": len(content), "format": "jpeg"}, content


def reencode_an_image_under_fitting_digests(edited):
    forge_shard(edited.dataset, edited.any_commit(edited.can_be_forged), reencoded)
    return SAMPLES


def replay_what_was_before(edited):
    """The files of an earlier seal, or of one that never was, put back one by one."""
    old = {"dataset.json": former_seal_path(0), MANIFEST_FILE: former_manifest_path(0)}
    old = {name: edited.dataset / path for name, path in old.items()}
    if edited.draw.random() < 0.5 and all(path.exists() for path in old.values()):
        # The old manifest beside its old seal is no other claim than the old seal alone.
        names = edited.draw.choice([["dataset.json"], [MANIFEST_FILE], sorted(old)])
        for name in names:
            (edited.dataset / name).write_bytes(old[name].read_bytes())
        return QUICK
    commit = edited.any_commit(edited.can_be_forged)
    name = edited.draw.choice([commit_path(commit.shard), MANIFEST_FILE, "dataset.json"])
    forge_shard(edited.dataset, commit, reencoded)
    other = (edited.dataset / name).read_bytes()
    edited.restore()
    (edited.dataset / name).write_bytes(other)
    return QUICK


EDITS = {
    flip_a_byte: 40,
    delete_a_file: 20,
    add_a_file: 25,
    swap_two_files: 8,
    replace_a_file_by_another: 12,
    truncate_or_extend_a_file: 20,
    lie_in_a_ledger: 8,
    lie_of_a_kept_sample_under_fitting_digests: 8,
    lie_of_a_failure_under_fitting_digests: 6,
    lie_in_a_shard_under_fitting_digests: 5,
    reencode_an_image_under_fitting_digests: 3,
    replay_what_was_before: 12,
}
