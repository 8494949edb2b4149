from hashlib import sha256
from pathlib import Path

from ingest.audit.verify import audit
from tests.building import ledger_of, shards_of
from tests.ledgers import make_ledger_dataset

NUM_ROWS = 300


def made(folder, seed=0):
    make_ledger_dataset(folder, NUM_ROWS, seed, shard_candidates=100, num_pictures=60)
    return folder


def test_a_made_up_dataset_passes_an_audit(tmp_path):
    report = audit(str(made(tmp_path / "d")))
    assert report.findings == []


def test_the_images_are_where_its_ledger_says(tmp_path):
    folder = made(tmp_path / "d")
    shards = {int(Path(name).name[:5]): content for name, content in shards_of(folder).items()}
    kept = [row for row in ledger_of(folder) if row["outcome"] == "kept"]
    assert len(kept) > NUM_ROWS / 2
    for row in kept:
        begin = row["offset_bytes"]
        content = shards[row["shard"]][begin : begin + row["length_bytes"]]
        assert sha256(content).hexdigest() == row["sha256"]


def test_the_same_seed_makes_the_same_dataset(tmp_path):
    first, second, other = (
        made(tmp_path / name, seed) for name, seed in zip("abc", (1, 1, 2), strict=True)
    )
    assert shards_of(first) == shards_of(second)
    assert ledger_of(first) == ledger_of(second)
    assert shards_of(first).keys() != shards_of(other).keys()
