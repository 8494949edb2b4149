import copy
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers, lists

from ingest.errors import SetupError
from ingest.questions import check_proof
from ingest.questions.proof import encode_proof, make_proof, proof_digest
from ingest.questions.sealed import read_sealed
from tests.building import commits_of
from tests.train_entry.datasets import content_of, make_dataset, seal

SCRIPT = Path(check_proof.__file__)
# Fields that no root binds: a forger may change them, if he makes the proof's own digest anew.
UNBOUND = {"format", "num_leaves", "num_shards", "record_sha256", "proof_sha256"}

REFUSALS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def make(folder, counts, kind="tar"):
    """A dataset with so many samples in each shard; (id, shard, image) of each sample."""
    images = [content_of(number) for number in range(sum(counts))]
    rest = iter(images)
    shards = [[next(rest) for _ in range(count)] for count in counts]
    ids = make_dataset(folder, shards, kind)
    numbers = [shard for shard, count in enumerate(counts) for _ in range(count)]
    return list(zip(ids, numbers, images, strict=True))


def run(tmp_path, proof, image, *root):
    """The finished script, run by a Python that sees nothing of ours."""
    (tmp_path / "proof.json").write_bytes(encode_proof(proof))
    (tmp_path / "image.jpg").write_bytes(image)
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, "proof.json", "image.jpg", *root],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def verify_here(folder, monkeypatch, proof, image, root):
    """Run the script in this process, which is faster; raises what it raises."""
    (folder / "proof.json").write_bytes(encode_proof(proof))
    (folder / "image.jpg").write_bytes(image)
    arguments = [str(SCRIPT), str(folder / "proof.json"), str(folder / "image.jpg"), root]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        patch.setattr(sys, "tracebacklimit", 1000, raising=False)
        runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """A proof with long paths, its image, and the root."""
    folder = tmp_path_factory.mktemp("proved")
    samples = make(folder, [3, 5, 0, 6, 2, 1])
    sample_id, shard, image = samples[9]
    sealed = read_sealed(str(folder))
    return make_proof(sealed, sample_id, shard), image, sealed.seal.merkle_root


def test_a_proof_is_verified_without_us(proved, tmp_path):
    proof, image, root = proved
    finished = run(tmp_path, proof, image, root)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == (
        f"valid: image {proof['image_sha256']} is sample {proof['id']} of dataset {root}\n"
    )


def test_without_a_root_it_says_what_is_left_to_compare(proved, tmp_path):
    finished = run(tmp_path, *proved[:2])
    assert finished.returncode == 0
    assert "no root was given: compare this one with that of a place you trust" in finished.stdout


def test_the_script_has_at_most_30_lines_of_code_and_needs_only_python():
    lines = [line for line in SCRIPT.read_text().split('"""')[::2] for line in line.splitlines()]
    assert len([line for line in lines if line.strip()]) <= 30
    imports = [line.split()[1] for line in lines if line.startswith(("import ", "from "))]
    assert set(imports) <= set(sys.stdlib_module_names)


def alterations(proof):
    """(what was done, the altered proof) for each field."""
    for name, value in proof.items():
        others = [None, {}]
        if isinstance(value, int):
            others += [value + 1, value - 1, -1, value + 2**40, str(value)]
        elif isinstance(value, str):
            others += [("1" if value[0] == "0" else "0") + value[1:], value[:-2], value + "00", ""]
        else:
            others += [value[1:], value[::-1], [*value, value[0]]]
            others += [
                [*value[:at], f"{int(one, 16) ^ 1:064x}", *value[at + 1 :]]
                for at, one in enumerate(value)
            ]
        for other in others:
            yield f"{name}: {other}", {**copy.deepcopy(proof), name: other}
        yield f"without {name}", {key: one for key, one in proof.items() if key != name}


def is_refused(tmp_path, monkeypatch, proof, image, root):
    try:
        verify_here(tmp_path, monkeypatch, proof, image, root)
    except REFUSALS:
        return True
    return False


def test_each_altered_field_is_found(proved, tmp_path, monkeypatch):
    proof, image, root = proved
    verify_here(tmp_path, monkeypatch, proof, image, root)
    found = {
        what: is_refused(tmp_path, monkeypatch, other, image, root)
        for what, other in alterations(proof)
    }
    assert [what for what, refused in found.items() if not refused] == []
    assert len(found) > 100


def test_a_forger_who_makes_the_digest_anew_is_found_by_the_root(proved, tmp_path, monkeypatch):
    proof, image, root = proved
    missed = []
    for what, other in alterations(proof):
        forged = {**other, "proof_sha256": proof_digest(other)}
        if what.partition(":")[0].removeprefix("without ") not in UNBOUND and not is_refused(
            tmp_path, monkeypatch, forged, image, root
        ):
            missed.append(what)
    assert missed == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda proof, image, root: (proof, image + b" ", root), "SHA-256 of the image: expected"),
        (lambda proof, image, root: (proof, image, "0" * 64), "Merkle root: expected"),
        (lambda proof, image, root: (proof | {"shard": 0}, image, root), "proof_sha256: expected"),
    ],
)
def test_what_differs_is_told_in_one_line(change, told, proved, tmp_path):
    finished = run(tmp_path, *change(*proved))
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert told in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_a_proof_says_which_seal_it_is_about(proved):
    assert json.loads(encode_proof(proved[0]))["record_sha256"]


def test_each_sample_of_1_to_40_shards_is_proved(tmp_path, monkeypatch):
    counts = [1, 3, 0, 1] + [shard % 2 for shard in range(36)]
    samples = make(tmp_path, counts)
    commits = commits_of(tmp_path)
    for num_shards in range(1, 41):
        seal(tmp_path, commits[:num_shards])
        sealed = read_sealed(str(tmp_path))
        for sample_id, shard, image in samples:
            if shard < num_shards:
                proof = make_proof(sealed, sample_id, shard)
                verify_here(tmp_path, monkeypatch, proof, image, sealed.seal.merkle_root)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=lists(integers(0, 9), min_size=1, max_size=6))
def test_each_sample_of_shards_of_any_size_is_proved(counts, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("data")
    samples = make(folder, counts)
    sealed = read_sealed(str(folder))
    for sample_id, shard, image in samples:
        proof = make_proof(sealed, sample_id, shard)
        verify_here(folder, monkeypatch, proof, image, sealed.seal.merkle_root)


def test_arrow_and_tar_shards_give_the_same_proof(tmp_path):
    proofs = []
    for kind in ("tar", "arrow"):
        (sample_id, shard, _), *_ = make(tmp_path / kind, [3, 2], kind)
        proof = make_proof(read_sealed(str(tmp_path / kind)), sample_id, shard)
        # The seal names the shards' files.
        proofs.append({k: v for k, v in proof.items() if not k.endswith(("record_sha256", "of"))})
    left, right = ({k: v for k, v in one.items() if k != "proof_sha256"} for one in proofs)
    assert left == right


def test_no_byte_of_a_shard_is_read(tmp_path):
    (sample_id, shard, _), *_ = make(tmp_path, [2, 2])
    for one in (tmp_path / "shards").iterdir():
        one.unlink()
    assert make_proof(read_sealed(str(tmp_path)), sample_id, shard)["id"] == sample_id


def test_a_ledger_that_is_not_the_manifests_is_refused_with_both_roots(tmp_path):
    (sample_id, _, _), *_ = make(tmp_path, [2])
    (commit,) = commits_of(tmp_path)
    path = tmp_path / commit.ledger_file
    ledger = pq.read_table(path)
    urls = pc.replace_substring(ledger["url"], "example.org", "example.net")
    pq.write_table(ledger.set_column(ledger.column_names.index("url"), "url", urls), path)
    with pytest.raises(SetupError, match=rf"expected the Merkle root {commit.merkle_root}, got"):
        make_proof(read_sealed(str(tmp_path)), sample_id, 0)


def test_a_manifest_that_is_not_the_seals_is_refused_with_both_roots(tmp_path):
    (sample_id, shard, _), *_ = make(tmp_path, [2, 2])
    commits = commits_of(tmp_path)
    root = read_sealed(str(tmp_path)).seal.merkle_root
    pq.write_table(
        type(commits[0]).to_table([commits[0], commits[1].model_copy(update={"shard": 7})]),
        tmp_path / "manifest.parquet",
    )
    with pytest.raises(SetupError, match=f"expected the Merkle root {root}, got"):
        make_proof(read_sealed(str(tmp_path)), sample_id, shard)


def test_what_is_not_kept_has_no_proof(tmp_path):
    make(tmp_path, [2])
    with pytest.raises(SetupError, match=f"expected the kept sample {'0' * 32}, got none"):
        make_proof(read_sealed(str(tmp_path)), "0" * 32, 0)
