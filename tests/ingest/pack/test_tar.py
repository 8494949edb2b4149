import io
import tarfile
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.pack.tar import member_header, write_tar
from schemas.merkle import sample_leaf
from tests.samples import samples


@given(samples)
def test_tarfile_reads_back_what_was_written(written):
    buffer = io.BytesIO()
    shard = write_tar(written, buffer)
    content = buffer.getvalue()
    assert shard.num_bytes == len(content)
    assert shard.sha256 == sha256(content).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = [(one.name, tar.extractfile(one).read()) for one in tar.getmembers()]
    expected = []
    for sample in written:
        expected += [
            (f"{sample.id}.{sample.extension}", sample.image),
            (f"{sample.id}.json", sample.provenance),
        ]
    assert members == expected


@given(samples)
def test_offsets_and_leaves_are_those_of_the_images(written):
    buffer = io.BytesIO()
    shard = write_tar(written, buffer)
    for sample, offset, leaf in zip(written, shard.offsets, shard.leaves, strict=True):
        assert buffer.getvalue()[offset : offset + len(sample.image)] == sample.image
        json_digest = sha256(sample.provenance).digest()
        assert leaf == sample_leaf(sample.id, sha256(sample.image).digest(), json_digest)


@given(st.text("abcdef0123456789.", min_size=1, max_size=100), st.integers(0, 8**11 - 1))
def test_headers_are_those_of_the_standard_library(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    parsed = tarfile.TarInfo.frombuf(member_header(name, size), "ascii", "strict")
    assert (parsed.name, parsed.size, parsed.mode, parsed.mtime) == (name, size, 0o644, 0)
    assert parsed.isreg()


def test_what_ustar_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="<= 100 bytes"):
        member_header("a" * 101, 1)
    with pytest.raises(ValueError, match="< 8 GiB"):
        member_header("a", 8**11)
