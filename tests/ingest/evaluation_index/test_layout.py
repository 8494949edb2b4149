import json
import shutil
from pathlib import Path

import pytest

from ingest import storage
from ingest.errors import SetupError
from ingest.evaluation_index.layout import (
    ARRAYS,
    CANARIES,
    INDEX_FORMAT,
    MANIFEST,
    NAMES,
    IndexManifest,
    read_manifest,
)
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.variants import VARIANTS
from schemas.manifest import FINGERPRINT_VERSION, decode, encode
from schemas.outcome import Outcome


@pytest.fixture
def copy(index_folder, tmp_path):
    return Path(shutil.copytree(index_folder, tmp_path / "copy"))


def change(folder, **fields):
    """Another manifest, sealed as if it had been written so."""
    manifest = decode(IndexManifest, (folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(encode(manifest.model_copy(update=fields).sealed()))


def test_the_files_of_an_index_are_those_of_its_format(index_folder):
    expected = {MANIFEST, NAMES, CANARIES, *(f"{name}.npy" for name in ARRAYS)}
    assert {path.name for path in index_folder.iterdir()} >= expected
    assert set(read_manifest(index_folder).files) >= expected - {MANIFEST}


def test_a_flipped_byte_anywhere_in_a_file_is_refused_naming_it(index_folder, copy):
    for path in sorted(index_folder.iterdir()):
        content = path.read_bytes()
        for place in (0, len(content) // 3, len(content) // 2, len(content) - 1):
            changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            (copy / path.name).write_bytes(changed)
            with pytest.raises(SetupError, match=path.name.replace(".", r"\.")):
                EvaluationIndex.open(str(copy))
        (copy / path.name).write_bytes(content)
    assert EvaluationIndex.open(str(copy)).record.sha256


def test_a_cut_or_missing_file_is_refused_naming_it(index_folder, copy):
    for name in sorted(read_manifest(index_folder).files):
        content = (index_folder / name).read_bytes()
        (copy / name).write_bytes(content[:-1])
        with pytest.raises(SetupError, match=f"{name}: expected num_bytes=.* got num_bytes="):
            EvaluationIndex.open(str(copy))
        (copy / name).unlink()
        with pytest.raises(SetupError, match=f"{name}: expected .* got no such file"):
            EvaluationIndex.open(str(copy))
        (copy / name).write_bytes(content)


def test_a_changed_count_in_the_manifest_is_refused(copy):
    manifest = copy / MANIFEST
    manifest.write_text(manifest.read_text().replace('"num_images": 9', '"num_images": 8'))
    with pytest.raises(SetupError, match=r"manifest\.json: expected manifest_sha256 .* altered"):
        EvaluationIndex.open(str(copy))


def test_a_manifest_without_one_of_the_files_is_refused_naming_all(copy):
    files = read_manifest(copy).files
    change(copy, files={name: one for name, one in files.items() if name != "box.npy"})
    with pytest.raises(SetupError, match=r"expected files .*'box\.npy'.*, got \["):
        EvaluationIndex.open(str(copy))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other-1"}, f"expected {INDEX_FORMAT}, got format other-1"),
        (
            {"fingerprint": "other-v9"},
            f"expected fingerprint {FINGERPRINT_VERSION}, got other-v9",
        ),
        ({"variants": VARIANTS[:-1]}, r"expected variants \('identity', .* got \('identity', "),
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_another_version_is_refused_with_both_sides(copy, remote, fields, message):
    change(copy, **fields)
    with pytest.raises(SetupError, match=message):
        EvaluationIndex.open(f"file://{copy}" if remote else str(copy))


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"format": "older"}'])
def test_a_manifest_of_something_else_is_refused(tmp_path, content, remote):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(SetupError, match=f"expected {INDEX_FORMAT}, got"):
        EvaluationIndex.open(f"file://{tmp_path}" if remote else str(tmp_path))


def test_unknown_fields_are_refused(copy):
    fields = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**fields, "extra": 1}))
    with pytest.raises(SetupError, match=f"(?s)expected {INDEX_FORMAT}, got .*extra"):
        EvaluationIndex.open(str(copy))


def test_what_is_no_index_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SetupError, match=r"expected an evaluation index with manifest\.json"):
            EvaluationIndex.open(str(path))


def test_a_remote_index_lacking_a_file_is_refused():
    with pytest.raises(SetupError, match=r"got nothing at memory://nowhere/manifest\.json"):
        EvaluationIndex.open("memory://nowhere")


def test_an_index_is_read_from_any_store(index, index_folder):
    for path in index_folder.iterdir():
        storage.write_bytes(f"memory://indexes/real/{path.name}", path.read_bytes())
    remote = EvaluationIndex.open("memory://indexes/real")
    assert remote.record.sha256 == index.record.sha256
    assert remote.record.uri == "memory://indexes/real"


def test_the_arrays_of_a_remote_index_outlive_their_copy(bench, index_folder):
    remote = EvaluationIndex.open(f"file://{index_folder}")
    assert remote.record.uri == f"file://{index_folder}"
    image = bench.picture("coffee.png")
    assert bench.look_up(remote, bench.encode(image, "JPEG")).outcome is Outcome.DUPLICATE_NEAR
