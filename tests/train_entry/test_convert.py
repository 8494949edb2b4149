"""Names of torchvision, timm and VISSL are written down by hand: those packages replace torch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import RegNetConfig as TransformersConfig
from transformers import RegNetForImageClassification, RegNetModel

from train_entry.convert import ALL_NAMES, convert, load_trunk, rename, vissl_trunk
from train_entry.errors import CheckpointError
from train_entry.family import FAMILY, RegNetConfig
from train_entry.regnet import RegNet

# Two stages: two blocks of 16 channels, one of 32.
SMALL = RegNetConfig(w_0=16, w_a=6, w_m=2, depth=3, group_width=8, stem_width=8)

CONVOLUTIONS, NORMS, GATES = {}, {}, {}
CONVOLUTIONS["torchvision"] = """
    stem.0
    trunk_output.block1.block1-0.proj.0 trunk_output.block1.block1-0.f.a.0
    trunk_output.block1.block1-0.f.b.0 trunk_output.block1.block1-0.f.c.0
    trunk_output.block1.block1-1.f.a.0 trunk_output.block1.block1-1.f.b.0
    trunk_output.block1.block1-1.f.c.0
    trunk_output.block2.block2-0.proj.0 trunk_output.block2.block2-0.f.a.0
    trunk_output.block2.block2-0.f.b.0 trunk_output.block2.block2-0.f.c.0
"""
NORMS["torchvision"] = """
    stem.1
    trunk_output.block1.block1-0.proj.1 trunk_output.block1.block1-0.f.a.1
    trunk_output.block1.block1-0.f.b.1 trunk_output.block1.block1-0.f.c.1
    trunk_output.block1.block1-1.f.a.1 trunk_output.block1.block1-1.f.b.1
    trunk_output.block1.block1-1.f.c.1
    trunk_output.block2.block2-0.proj.1 trunk_output.block2.block2-0.f.a.1
    trunk_output.block2.block2-0.f.b.1 trunk_output.block2.block2-0.f.c.1
"""
GATES["torchvision"] = """
    trunk_output.block1.block1-0.f.se.fc1 trunk_output.block1.block1-0.f.se.fc2
    trunk_output.block1.block1-1.f.se.fc1 trunk_output.block1.block1-1.f.se.fc2
    trunk_output.block2.block2-0.f.se.fc1 trunk_output.block2.block2-0.f.se.fc2
"""
CONVOLUTIONS["timm"] = """
    stem.conv
    s1.b1.downsample.conv s1.b1.conv1.conv s1.b1.conv2.conv s1.b1.conv3.conv
    s1.b2.conv1.conv s1.b2.conv2.conv s1.b2.conv3.conv
    s2.b1.downsample.conv s2.b1.conv1.conv s2.b1.conv2.conv s2.b1.conv3.conv
"""
NORMS["timm"] = """
    stem.bn
    s1.b1.downsample.bn s1.b1.conv1.bn s1.b1.conv2.bn s1.b1.conv3.bn
    s1.b2.conv1.bn s1.b2.conv2.bn s1.b2.conv3.bn
    s2.b1.downsample.bn s2.b1.conv1.bn s2.b1.conv2.bn s2.b1.conv3.bn
"""
GATES["timm"] = """
    s1.b1.se.fc1 s1.b1.se.fc2 s1.b2.se.fc1 s1.b2.se.fc2 s2.b1.se.fc1 s2.b1.se.fc2
"""
CONVOLUTIONS["vissl"] = """
    _feature_blocks.conv1.stem.0
    _feature_blocks.res2.block1-0.proj _feature_blocks.res2.block1-0.f.a.0
    _feature_blocks.res2.block1-0.f.b.0 _feature_blocks.res2.block1-0.f.c
    _feature_blocks.res2.block1-1.f.a.0 _feature_blocks.res2.block1-1.f.b.0
    _feature_blocks.res2.block1-1.f.c
    _feature_blocks.res3.block2-0.proj _feature_blocks.res3.block2-0.f.a.0
    _feature_blocks.res3.block2-0.f.b.0 _feature_blocks.res3.block2-0.f.c
"""
NORMS["vissl"] = """
    _feature_blocks.conv1.stem.1
    _feature_blocks.res2.block1-0.bn _feature_blocks.res2.block1-0.f.a.1
    _feature_blocks.res2.block1-0.f.b.1 _feature_blocks.res2.block1-0.f.final_bn
    _feature_blocks.res2.block1-1.f.a.1 _feature_blocks.res2.block1-1.f.b.1
    _feature_blocks.res2.block1-1.f.final_bn
    _feature_blocks.res3.block2-0.bn _feature_blocks.res3.block2-0.f.a.1
    _feature_blocks.res3.block2-0.f.b.1 _feature_blocks.res3.block2-0.f.final_bn
"""
GATES["vissl"] = """
    _feature_blocks.res2.block1-0.f.se.excitation.0 _feature_blocks.res2.block1-0.f.se.excitation.2
    _feature_blocks.res2.block1-1.f.se.excitation.0 _feature_blocks.res2.block1-1.f.se.excitation.2
    _feature_blocks.res3.block2-0.f.se.excitation.0 _feature_blocks.res3.block2-0.f.se.excitation.2
"""


def _tensors(names: str) -> set[str]:
    """All tensors of the small net in someone's names."""
    statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return (
        {f"{module}.weight" for module in CONVOLUTIONS[names].split()}
        | {f"{module}.{leaf}" for module in NORMS[names].split() for leaf in statistics}
        | {f"{module}.{leaf}" for module in GATES[names].split() for leaf in ("weight", "bias")}
    )


def _random_trunk(config: RegNetConfig = SMALL, seed: int = 0) -> RegNet:
    torch.manual_seed(seed)
    trunk = RegNet(config)
    for name, tensor in trunk.state_dict().items():
        if name.endswith(("norm.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("bias", "running_mean")):
            tensor.normal_(std=0.1)
    return trunk


def _transformers_config(config: RegNetConfig) -> TransformersConfig:
    stages = config.stages()
    return TransformersConfig(
        embedding_size=config.stem_width,
        hidden_sizes=[stage.width for stage in stages],
        depths=[stage.depth for stage in stages],
        groups_width=stages[0].group_width,
        layer_type="y",
    )


@pytest.mark.parametrize("names", ["torchvision", "timm", "vissl"])
def test_our_tensors_get_exactly_the_names_that_others_have(names):
    assert set(rename(RegNet(SMALL).state_dict(), "ours", names).values()) == _tensors(names)


def test_transformers_has_the_names_that_our_tensors_get():
    theirs = RegNetModel(_transformers_config(SMALL)).state_dict()
    ours = convert(RegNet(SMALL).state_dict(), "ours", "transformers")
    assert {name: one.shape for name, one in ours.items()} == {
        name: one.shape for name, one in theirs.items()
    }


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("group_width", [8, 4])
def test_outputs_equal_those_of_transformers(training, group_width):
    config = SMALL.model_copy(update={"group_width": group_width})
    theirs = RegNetModel(_transformers_config(config)).train(training)
    for tensor in theirs.buffers():
        tensor.data = tensor.data + torch.rand_like(tensor.float()).to(tensor.dtype)
    ours = RegNet(config).train(training)
    load_trunk(ours, theirs.state_dict(), "transformers")
    images = torch.randn(4, 3, 64, 64)
    expected = theirs(images).pooler_output.flatten(1)
    torch.testing.assert_close(ours(images), expected, rtol=0, atol=1e-5)
    after = convert(ours.state_dict(), "ours", "transformers")
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.parametrize("source", ALL_NAMES)
@pytest.mark.parametrize("target", ALL_NAMES)
def test_there_and_back_again_all_is_as_before(source, target):
    state = convert(_random_trunk().state_dict(), "ours", source)
    there = convert(state, source, target)
    back = convert(there, target, source)
    assert len(there) == len(state)
    assert list(back) == list(state)
    assert all(back[name] is state[name] for name in state)


@given(
    stage=st.integers(0, 20),
    block=st.integers(0, 200),
    part=st.sampled_from(["reduce.conv.weight", "gate.excite.bias", "shortcut.norm.running_var"]),
    names=st.sampled_from(ALL_NAMES),
)
def test_blocks_of_any_number_are_found_again(stage, block, part, names):
    key = f"stages.{stage}.{block}.{part}"
    (theirs,) = rename([key], "ours", names).values()
    assert rename([theirs], names, "ours") == {theirs: key}


def test_weights_reach_the_module_they_belong_to():
    source, target = _random_trunk(seed=1), RegNet(SMALL)
    for names in ALL_NAMES:
        load_trunk(target, convert(source.state_dict(), "ours", names), names)
        for name, tensor in source.state_dict().items():
            assert torch.equal(target.state_dict()[name], tensor), (names, name)


def test_groups_of_blocks_in_the_names_of_the_10b_are_passed_over():
    plain = "_feature_blocks.res4.block3-9.f.se.excitation.2.bias"
    grouped = "_feature_blocks.res4.block3-part1.block3-9.f.se.excitation.2.bias"
    ours = "stages.2.9.gate.excite.bias"
    assert rename([grouped, plain], "vissl", "ours") == {grouped: ours, plain: ours}


@pytest.mark.parametrize(
    ("names", "key"),
    [
        ("torchvision", "fc.weight"),
        ("timm", "head.fc.bias"),
        ("transformers", "classifier.1.weight"),
    ],
)
def test_a_classifier_is_left_out(names, key):
    assert rename([key], names, "ours") == {}


def test_a_whole_classification_model_of_transformers_is_read():
    theirs = RegNetForImageClassification(_transformers_config(SMALL))
    trunk = RegNet(SMALL)
    load_trunk(trunk, theirs.state_dict(), "transformers")
    expected = theirs.regnet.embedder.embedder.convolution.weight
    assert torch.equal(trunk.stem.conv.weight, expected)


@pytest.mark.parametrize("names", ALL_NAMES)
def test_unknown_names_are_refused_with_an_example_of_known_ones(names):
    state = {**convert(RegNet(SMALL).state_dict(), "ours", names), "layer1.0.conv1.weight": None}
    (known,) = rename(["stages.0.0.expand.conv.weight"], "ours", names).values()
    with pytest.raises(CheckpointError) as raised:
        convert(state, names, "ours")
    assert known in str(raised.value)
    assert "got layer1.0.conv1.weight" in str(raised.value)


def test_numbers_that_contradict_each_other_are_no_name():
    for key in (
        "_feature_blocks.res2.block2-0.proj.weight",
        "_feature_blocks.res1.block0-0.bn.bias",
    ):
        with pytest.raises(CheckpointError):
            rename([key], "vissl", "ours")
    with pytest.raises(CheckpointError):
        rename(["trunk_output.block1.block2-0.f.a.0.weight"], "torchvision", "ours")


def test_missing_and_left_over_tensors_are_named():
    state = convert(RegNet(SMALL).state_dict(), "ours", "timm")
    del state["s1.b2.conv3.bn.bias"]
    state["s1.b3.conv1.conv.weight"] = state["s1.b2.conv1.conv.weight"]
    with pytest.raises(CheckpointError) as raised:
        load_trunk(RegNet(SMALL), state, "timm")
    message = str(raised.value)
    assert "missing stages.0.1.expand.norm.bias" in message
    assert "left over stages.0.2.reduce.conv.weight" in message


def test_a_tensor_of_another_shape_is_refused_with_both_shapes():
    state = dict(RegNet(SMALL).state_dict())
    state["stem.conv.weight"] = torch.zeros(4, 3, 3, 3)
    expected = r"stem.conv.weight: expected \(8, 3, 3, 3\), got \(4, 3, 3, 3\)"
    with pytest.raises(CheckpointError, match=expected):
        load_trunk(RegNet(SMALL), state, "ours")


def test_files_without_batch_counts_are_read():
    state = convert(_random_trunk().state_dict(), "ours", "timm")
    older = {name: one for name, one in state.items() if "num_batches" not in name}
    load_trunk(RegNet(SMALL), older, "timm")


def test_the_trunk_of_a_vissl_checkpoint_is_found_or_its_absence_told():
    trunk = {"_feature_blocks.conv1.stem.0.weight": torch.zeros(1)}
    whole = {"classy_state_dict": {"base_model": {"model": {"trunk": trunk, "heads": {}}}}}
    assert vissl_trunk(whole) is trunk
    with pytest.raises(CheckpointError, match=r"classy_state_dict\.base_model.*got model, epoch"):
        vissl_trunk({"model": {}, "epoch": 1})
    with pytest.raises(CheckpointError, match="got Tensor"):
        vissl_trunk({"classy_state_dict": torch.zeros(1)})


def test_all_tensors_of_the_largest_model_have_names_everywhere():
    with torch.device("meta"):
        keys = list(RegNet(FAMILY["rg_10b"]).state_dict())
    for names in ALL_NAMES:
        assert len(set(rename(keys, "ours", names).values())) == len(keys)
