import json
import subprocess
import sys

import pyarrow.parquet as pq


def test_the_demo_ends_well_and_every_url_becomes_what_the_world_expects(tmp_path):
    output = tmp_path / "demo"
    command = [sys.executable, "-m", "pipelines.command", "demo", "--output", str(output)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "every byte verified" in finished.stdout
    expected = pq.read_table(output / "urls.parquet").to_pylist()
    ledger = pq.read_table(output / "dataset" / "ledger").to_pylist()
    found = {row["row"]: row for row in ledger}
    wrong = [
        (row["url"], row["expectation"], found[number]["outcome"], found[number]["detail"])
        for number, row in enumerate(expected)
        if found[number]["outcome"] != row["expectation"]
    ]
    assert wrong == []
    assert len(found) == len(ledger) == len(expected)
    record = json.loads((output / "dataset" / "dataset.json").read_text())
    assert record["num_kept"] >= 300
    assert sum(record["outcomes"].values()) == record["num_candidates"] == len(expected)
    captions = {json.loads(row["columns"])["caption"] for row in ledger}
    assert captions == {row["caption"] for row in expected}
