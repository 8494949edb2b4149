import pytest
import torch

from train_entry.family import FAMILY, RegNetConfig
from train_entry.regnet import RegNet

# Trunk parameters; equal to those of torchvision, transformers and timm (8GF: of the first two).
PARAMETERS = {
    "rg_8gf": 37_364_472,
    "rg_16gf": 80_565_140,
    "rg_32gf": 141_333_770,
    "rg_64gf": 276_457_786,
    "rg_128gf": 637_419_894,
    "rg_256gf": 1_272_156_138,
    "rg_10b": 9_323_934_872,
}
TINY = RegNetConfig(w_0=16, w_a=8, w_m=2.2, depth=5, group_width=8, stem_width=16)


@pytest.mark.parametrize("name", FAMILY)
def test_each_member_of_the_family_has_the_published_number_of_parameters(name):
    with torch.device("meta"):
        model = RegNet(FAMILY[name])
    assert sum(one.numel() for one in model.parameters()) == PARAMETERS[name]


def test_the_10b_has_the_published_stages():
    stages = FAMILY["rg_10b"].stages()
    assert [stage.width for stage in stages] == [2020, 4040, 11110, 28280]
    assert [stage.depth for stage in stages] == [2, 7, 17, 1]
    assert {stage.group_width for stage in stages} == {1010}


def test_features_are_the_average_of_the_last_map():
    model = RegNet(TINY).eval()
    images = torch.randn(3, 3, 64, 96)
    assert model(images).shape == (3, model.width)
    shifted = images.roll(model.stride, dims=3)
    assert not torch.equal(model(images), model(shifted))


def test_padding_is_left_out_of_the_average_alone():
    torch.manual_seed(0)
    model = RegNet(TINY).eval()
    large, small = torch.randn(2, 3, 64, 64), torch.randn(3, 3, 32, 32)
    padded = torch.nn.functional.pad(small, (0, 32, 0, 32))
    together = model(torch.cat([large, padded]), [(2, 64), (3, 32)])
    torch.testing.assert_close(together[:2], model(large))
    whole = model(padded)
    assert not torch.allclose(together[2:], whole)
    # What the padding adds to the average of the whole map is the share of its places.
    side = -(-32 // model.stride)
    assert together[2:].shape == whole.shape
    assert side * model.stride == 32
