import io
from hashlib import sha256

import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.pack import arrow
from ingest.pack.arrow import batches, write_arrow
from ingest.pack.tar import write_tar
from schemas.shard import ArrowSample
from tests.samples import made_up_sample, samples


def write(written):
    buffer = io.BytesIO()
    return write_arrow(written, buffer), buffer.getvalue()


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(arrow, "BATCH_ROWS", 3)
    monkeypatch.setattr(arrow, "BATCH_BYTES", 6000)


@given(samples)
@settings(deadline=None)
def test_pyarrow_reads_back_what_was_written(written):
    shard, content = write(written)
    assert shard.num_bytes == len(content)
    assert shard.sha256 == sha256(content).hexdigest()
    table = pa.ipc.open_file(content).read_all()
    assert table.schema.equals(ArrowSample.arrow_schema(), check_metadata=True)
    expected = [{**vars(one), "provenance": one.provenance.decode()} for one in written]
    assert table.to_pylist() == expected


@given(samples, st.integers(1, 4), st.integers(1, 4000))
def test_offsets_are_those_of_the_images(written, batch_rows, batch_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "BATCH_ROWS", batch_rows)
        patch.setattr(arrow, "BATCH_BYTES", batch_bytes)
        shard, content = write(written)
    for sample, offset in zip(written, shard.offsets, strict=True):
        assert content[offset : offset + len(sample.image)] == sample.image


@given(samples)
def test_leaves_are_those_of_a_tar(written):
    assert write(written)[0].leaves == write_tar(written, io.BytesIO()).leaves


@given(samples)
def test_the_same_samples_give_the_same_bytes_however_they_come(written):
    assert write(written) == write(iter(written))


def test_a_mapped_shard_gives_images_without_a_copy(tmp_path):
    written = [made_up_sample(number, bytes([number]) * 5000) for number in range(50)]
    with (tmp_path / "shard.arrow").open("wb", buffering=0) as file:
        shard = write_arrow(written, file)
    with pa.memory_map(str(tmp_path / "shard.arrow")) as mapped:
        base = mapped.read_buffer().address
        before = pa.total_allocated_bytes()
        (batch,) = pa.ipc.open_file(mapped).read_all().to_batches()
        _, starts, images = batch["image"].buffers()
        assert pa.total_allocated_bytes() == before
        places = memoryview(starts).cast("q")[:50]
        assert [images.address + start - base for start in places] == shard.offsets
        del batch, images, starts, places


def test_batches_are_bounded_by_rows_and_bytes(small_batches):
    assert list(batches([1] * 7, int)) == [[1, 1, 1], [1, 1, 1], [1]]
    assert list(batches([4000, 2000, 1], int)) == [[4000, 2000], [1]]
    assert list(batches([1, 9000, 9000, 1], int)) == [[1], [9000], [9000], [1]]
    assert list(batches([], int)) == []


def test_no_more_than_one_batch_is_in_memory(small_batches):
    class Counted(bytes):
        alive = most = 0

        def __del__(self):
            Counted.alive -= 1

    def stream():
        for number in range(50):
            Counted.alive += 1
            Counted.most = max(Counted.most, Counted.alive)
            image = Counted(bytes(1000))
            yield made_up_sample(number, image)
            del image

    write_arrow(stream(), io.BytesIO())
    # The sample that did not fit any more is there too.
    assert Counted.most <= 3 + 1
    assert Counted.alive == 0


def test_an_empty_shard_has_columns_and_no_rows():
    shard, content = write([])
    assert shard.offsets == shard.leaves == []
    table = pa.ipc.open_file(content).read_all()
    assert table.num_rows == 0
    assert table.schema.names == list(ArrowSample.model_fields)


def test_buffers_are_not_compressed():
    written = [made_up_sample(1, bytes(100_000))]
    assert written[0].image in write(written)[1]
