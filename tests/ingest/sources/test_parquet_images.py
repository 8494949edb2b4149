import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.errors import FetchError, SetupError
from ingest.sources import split_input
from ingest.spool import Spool
from ingest.stored import StoredBytes
from schemas.candidate import Carrier
from schemas.options import ConsentOptions, FetchOptions, PlanOptions
from schemas.outcome import Outcome
from tests.reading import read_input

CONTENTS = [b"picture %d" % number for number in range(50)]


def hugging_face_table():
    """As `datasets` writes images: a struct of bytes and path."""
    image = [{"bytes": one, "path": f"{n}.jpg"} for n, one in enumerate(CONTENTS)]
    fields = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"image": pa.array(image, fields), "label": range(50)})


def stored_bytes(candidates, max_bytes=1000):
    """What a work unit reads of each candidate: bytes, or the outcome of the error."""

    async def read_all(reader, spool):
        found = await asyncio.gather(*map(reader.read, candidates), return_exceptions=True)
        return [
            one.outcome if isinstance(one, FetchError) else spool.read(one.body) for one in found
        ]

    spool = Spool(0, "")
    with ThreadPoolExecutor(4) as readers:
        fetch = FetchOptions(max_image_bytes=max_bytes)
        reader = StoredBytes(candidates, spool, readers, fetch, ConsentOptions())
        found = asyncio.run(read_all(reader, spool))
    spool.close()
    return found


@pytest.mark.parametrize("row_group_size", [7, 50])
def test_a_hugging_face_file_gives_its_rows_and_then_its_bytes(tmp_path, row_group_size):
    path = tmp_path / "train.parquet"
    pq.write_table(hugging_face_table(), path, row_group_size=row_group_size)
    found = read_input(path)
    assert [one.row for one in found] == list(range(50))
    assert {one.carrier for one in found} == {Carrier.PARQUET}
    assert [json.loads(one.columns) for one in found] == [
        {"image": {"path": f"{n}.jpg"}, "label": n} for n in range(50)
    ]
    assert found[3].url == f"{path}#3"
    assert stored_bytes(found) == CONTENTS
    assert stored_bytes(found[::-3]) == CONTENTS[::-3]


def test_plain_columns_of_bytes_and_urls_are_found(tmp_path):
    urls = [f"http://a.example/{n}" for n in range(50)]
    table = pa.table({"thumb": [b"t"] * 50, "jpg": CONTENTS, "url": urls})
    pq.write_table(table, tmp_path / "t.parquet")
    # With a column of URLs it is a table to fetch, unless told otherwise.
    assert {one.carrier for one in read_input(tmp_path / "t.parquet")} == {Carrier.URL}
    found = read_input(tmp_path / "t.parquet", input_format="images")
    assert [one.url for one in found] == urls
    assert stored_bytes(found) == CONTENTS
    thumbs = read_input(tmp_path / "t.parquet", image_column="thumb")
    assert stored_bytes(thumbs) == [b"t"] * 50


def test_nulls_empty_and_large_cells_cost_themselves(tmp_path):
    table = pa.table({"image": pa.array([b"good", None, b"", b"x" * 2000], pa.large_binary())})
    pq.write_table(table, tmp_path / "t.parquet")
    found = read_input(tmp_path / "t.parquet")
    empty, large = Outcome.EMPTY, Outcome.TOO_LARGE
    assert stored_bytes(found) == [b"good", empty, empty, large]


def test_a_file_that_broke_after_planning_is_unreadable(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": CONTENTS}), path)
    found = read_input(path)
    path.write_bytes(path.read_bytes()[:-9])
    assert set(stored_bytes(found)) == {Outcome.UNREADABLE}


def test_a_file_without_bytes_is_refused(tmp_path):
    pq.write_table(pa.table({"image": ["a.jpg"]}), tmp_path / "t.parquet")
    expected = r"expected a column 'img' of bytes \(--image-column\), got image: string"
    with pytest.raises(SetupError, match=expected):
        read_input(tmp_path / "t.parquet", image_column="img")
    with pytest.raises(SetupError, match="expected a column 'url'"):
        read_input(tmp_path / "t.parquet")


def test_a_large_file_is_split_by_row_groups(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    pq.write_table(hugging_face_table(), path, row_group_size=5)
    whole = read_input(path)
    monkeypatch.setattr("ingest.sources.parquet.PIECE_BYTES", 200)
    assert len(list(split_input(str(path), PlanOptions(input=("x",))))) > 3
    assert read_input(path) == whole
