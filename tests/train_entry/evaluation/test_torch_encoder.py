from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model, RegNetModel
from transformers import RegNetConfig as TransformersConfig

from tests.train_entry.evaluation.encoding import ALONE
from train_entry.errors import ConfigError
from train_entry.evaluation.encoder import weights_sha256
from train_entry.evaluation.torch_encoder import TorchEncoder, make_torch_encoder

PIXELS = torch.randint(256, (3, 28, 28, 3), dtype=torch.uint8, generator=torch.Generator())
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
IMAGES = ((PIXELS / 255 - MEAN) / STD).permute(0, 3, 1, 2)


class Output(nn.Module):
    """A module that answers with whatever a function makes of the images."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


def pool(encoder, placement=ALONE):
    return encoder.placed(placement, "name").encode(PIXELS)["pool"]


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28 * 3, 4))


def made_by_a_function():
    return TorchEncoder(linear(), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), name="mine")


def made_without_numbers():
    return linear()


def made_of_nothing():
    return 3


def made_of_something(layers):
    return layers


def test_rows_are_features():
    with torch.no_grad():
        wanted = linear()(IMAGES)
    torch.testing.assert_close(pool(TorchEncoder(linear())), wanted, rtol=1e-4, atol=1e-5)


def test_of_a_map_the_mean_is_taken():
    found = pool(TorchEncoder(Output(lambda images: images)))
    torch.testing.assert_close(found, IMAGES.mean(dim=(2, 3)))


def test_of_tokens_the_first_is_taken():
    found = pool(TorchEncoder(Output(lambda images: images.flatten(2).transpose(1, 2))))
    torch.testing.assert_close(found, IMAGES[:, :, 0, 0])


def test_a_regnet_of_transformers_gives_its_pooled_output():
    config = TransformersConfig(
        embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], groups_width=8, layer_type="y"
    )
    torch.manual_seed(0)
    model = RegNetModel(config).eval()
    with torch.no_grad():
        wanted = model(IMAGES).pooler_output.mean(dim=(2, 3))
    torch.testing.assert_close(pool(TorchEncoder(model)), wanted)


def test_a_vision_transformer_is_called_as_one_says():
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    torch.manual_seed(0)
    model = Dinov2Model(config).eval()
    with torch.no_grad():
        output = model(IMAGES)
    torch.testing.assert_close(pool(TorchEncoder(model)), output.pooler_output)
    means = TorchEncoder(model, lambda m, images: m(images).last_hidden_state.mean(dim=1))
    torch.testing.assert_close(pool(means), output.last_hidden_state.mean(dim=1))


def test_it_is_in_evaluation_mode_and_learns_nothing():
    module = nn.Sequential(nn.Dropout(0.9), nn.Conv2d(3, 4, 3))
    encoder = TorchEncoder(module)
    assert torch.equal(pool(encoder), pool(encoder))
    assert not any(one.requires_grad for one in module.parameters())


def test_a_function_is_found_by_its_name():
    encoder = make_torch_encoder(f"{__name__}:made_by_a_function").placed(ALONE, "elsewhere")
    assert encoder.record.name == "mine"
    assert encoder.record.num_parameters == 28 * 28 * 3 * 4 + 4
    assert encoder.record.sha256 == weights_sha256(linear().state_dict())
    with torch.no_grad():
        wanted = linear()((PIXELS / 255 - 0.5).permute(0, 3, 1, 2) / 0.5)
    torch.testing.assert_close(encoder.encode(PIXELS)["pool"], wanted, rtol=1e-4, atol=1e-5)


def test_a_module_alone_is_called_as_its_function_is():
    name = f"{__name__}:made_without_numbers"
    assert make_torch_encoder(name).placed(ALONE, name).record.name == name


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (f"{__name__}:made_of_nothing", "expected a torch module or a TorchEncoder, got int"),
        (f"{__name__}:nothing", "expected package.module:function"),
        (f"{__name__}:made_of_something", "no arguments: missing a required argument: 'layers'"),
        (f"{__name__}:PIXELS", "expected a function that needs no arguments"),
        ("no_such_module:function", "expected package.module:function"),
    ],
)
def test_what_makes_no_encoder_is_refused(reference, message):
    with pytest.raises(ConfigError, match=message):
        make_torch_encoder(reference)


@pytest.mark.parametrize(
    ("function", "got"),
    [(lambda images: images[:, 0, 0, 0], r"\(3,\)"), (lambda images: "features", "str")],
)
def test_output_that_is_no_features_is_refused(function, got):
    with pytest.raises(ConfigError, match=f"expected features .*, got {got}"):
        pool(TorchEncoder(Output(function)))


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda images: images.mean(dim=(0, 2, 3)).unsqueeze(0), r"\(1, 3\)"),
        (lambda images: images[:, :0, 0, 0], r"\(3, 0\)"),
    ],
)
def test_output_that_is_no_row_for_each_image_is_refused(function, got):
    with pytest.raises(ConfigError, match=f"name: pool: expected .* each of 3 images, got {got}"):
        pool(TorchEncoder(Output(function)))


def test_taps_that_are_listed_must_be_given():
    listed = TorchEncoder(linear(), lambda m, images: {"pool": m(images)}, taps=("pool", "map"))
    with pytest.raises(ConfigError, match="name: expected features of map, got pool"):
        listed.placed(ALONE, "name").encode(PIXELS, ("pool", "map"))


def test_only_models_of_ours_are_spread_over_ranks():
    with pytest.raises(ConfigError, match="expected a checkpoint of ours, got name"):
        TorchEncoder(linear()).placed(replace(ALONE, shard=True), "name")


def test_passes_in_bfloat16_are_near():
    exact = pool(TorchEncoder(linear()))
    found = pool(TorchEncoder(linear()), replace(ALONE, precision="bfloat16"))
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)


def test_the_digest_of_weights_is_of_names_types_shapes_and_bytes():
    state = {"a": torch.arange(6.0), "b": torch.ones(2)}
    same = {"b": torch.ones(2), "a": torch.arange(6.0), "norm.num_batches_tracked": torch.tensor(7)}
    assert weights_sha256(state) == weights_sha256(same)
    others = (
        {"a": torch.arange(6.0), "c": torch.ones(2)},
        {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)},
        {"a": torch.arange(6), "b": torch.ones(2)},
        {"a": torch.arange(6.0), "b": torch.tensor([1.0, 2.0])},
    )
    assert len({weights_sha256(one) for one in (state, *others)}) == 5
