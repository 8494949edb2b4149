"""A learned descriptor decides what hash and thumbnail leave open."""

import asyncio
import io

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ingest.borderline import BorderlineJudge
from ingest.errors import SetupError
from ingest.evaluation_index.descriptor import Descriptor
from ingest.evaluation_index.match import Match
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.sandbox import DecoderPool
from ingest.miniweb.pictures import evaluation_tiles
from ingest.spool import Spool
from pipelines.index import index
from schemas.command_options import IndexOptions
from schemas.options import InspectOptions, MatchOptions
from schemas.outcome import Outcome

RUNNER = ["--runner=FnApiRunner"]


def write_model(path, side_px=64, cells=8, channels=3):
    """A model that gives the mean colours of a grid of cells."""
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, side_px, side_px])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels * cells * cells])
    cell = side_px // cells
    nodes = [
        helper.make_node(
            "AveragePool", ["x"], ["z"], kernel_shape=[cell, cell], strides=[cell] * 2
        ),
        helper.make_node("Flatten", ["z"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "grid", [taken], [given])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return str(path)


def content_of(image, image_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """The folder of an index with descriptors, and its pictures."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "eval").mkdir()
    tiles = evaluation_tiles(3, 6)
    for number, tile in enumerate(tiles):
        (folder / "eval" / f"{number}.png").write_bytes(content_of(tile))
    model = write_model(folder / "model.onnx")
    options = IndexOptions(
        eval_set=(f"bench={folder / 'eval'}",),
        output=str(folder / "eval.index"),
        descriptor=model,
        canaries=0,
    )
    index(options, RUNNER)
    return folder, tiles


def decide(folder, options, match, content):
    """What the judge makes of a match of these bytes."""
    spool = Spool(0, "")
    decoders = DecoderPool(InspectOptions(decoder_processes=1), [spool.descriptor])
    try:
        opened = EvaluationIndex.open(str(folder / "eval.index"))
        judge = BorderlineJudge(opened, options, decoders)
        return asyncio.run(judge.decide(match, spool.append(content)))
    finally:
        decoders.close()
        spool.close()


def test_vectors_are_of_length_1_and_near_for_a_copy_only(indexed):
    folder, tiles = indexed
    descriptor = Descriptor(str(folder / "model.onnx"))
    assert descriptor.side_px == 64
    one, other = (descriptor.describe(np.asarray(tile.convert("RGB"))) for tile in tiles[:2])
    small = descriptor.describe(np.asarray(tiles[0].convert("RGB").resize((90, 70))))
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ small > 0.99 > one @ other
    opened = EvaluationIndex.open(str(folder / "eval.index"))
    assert opened.arrays["descriptor"].shape == (6, 192)
    assert opened.cosine("bench/0.png", one) > 0.99


def test_a_model_may_lie_at_a_uri(indexed):
    path = indexed[0] / "model.onnx"
    assert Descriptor(f"file://{path}").sha256 == Descriptor(str(path)).sha256


def test_a_borderline_copy_is_removed_and_a_stranger_is_not(indexed):
    folder, tiles = indexed
    options = MatchOptions(descriptor=str(folder / "model.onnx"), min_cosine=0.97)
    open_case = Match("bench/0.png", "identity", "plain", 70, 0.3, None, borderline=True)
    copied = decide(folder, options, open_case, content_of(tiles[0].convert("RGB"), "JPEG"))
    assert copied.outcome is Outcome.DUPLICATE_NEAR
    assert copied.cosine > 0.97
    stranger = decide(folder, options, open_case, content_of(tiles[1]))
    assert stranger.outcome is None
    assert stranger.cosine < 0.97
    assert decide(folder, options, open_case, b"\xff\xd8\xff no picture").cosine is None


def test_sure_matches_and_builds_without_a_model_are_left_as_they_are(indexed):
    folder, tiles = indexed
    content = content_of(tiles[0])
    open_case = Match("bench/0.png", "identity", "plain", 70, 0.3, None, borderline=True)
    sure = Match("bench/0.png", "identity", "plain", 3, 0.9, Outcome.DUPLICATE_NEAR)
    with_model = MatchOptions(descriptor=str(folder / "model.onnx"), min_cosine=0.5)
    assert decide(folder, with_model, sure, content) == sure
    assert decide(folder, MatchOptions(), open_case, content) == open_case


def test_another_model_than_that_of_the_index_is_refused_naming_both(indexed, tmp_path):
    folder, _ = indexed
    other = write_model(tmp_path / "other.onnx", cells=4)
    with pytest.raises(SetupError, match=r"sha256 [0-9a-f]{64}, got [0-9a-f]{64}"):
        decide(folder, MatchOptions(descriptor=other, min_cosine=0.5), None, b"")
    options = IndexOptions(
        extend=(str(folder / "eval.index"),),
        eval_set=(f"more={folder / 'eval'}",),
        output=str(tmp_path / "more.index"),
        descriptor=other,
    )
    with pytest.raises(SetupError, match="expected one model for all images"):
        index(options, RUNNER)


@pytest.mark.parametrize("content", [None, b"no model"])
def test_what_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match="--descriptor: expected an ONNX model, got"):
        Descriptor(str(path))


def test_a_model_of_another_shape_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"expected an input float32 \[1, 3, S, S\]"):
        Descriptor(write_model(tmp_path / "model.onnx", channels=1))
