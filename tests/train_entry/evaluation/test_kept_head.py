import pytest
import torch
from torch import nn

from tests.train_entry.evaluation.encoding import save_checkpoint, small_model
from train_entry.errors import CheckpointError
from train_entry.evaluation.kept_head import load_kept_head
from train_entry.export import export_checkpoint

WITH_NORM = {"swav": {"hidden": [24, 16], "dim": 8, "prototypes": 32, "head_batch_norm": True}}
PLAIN = {"swav": {"hidden": [24, 16], "dim": 8, "prototypes": 32}}


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("sections", [PLAIN, WITH_NORM], ids=["plain", "norm"])
def test_the_first_layer_is_that_of_the_run_with_its_batch_norm_or_a_new_one(
    tmp_path, sections, exported
):
    folder = save_checkpoint(tmp_path / "run", **sections)
    _, model = small_model(**sections)
    model.eval()
    path = tmp_path / "run"
    if exported:
        path = tmp_path / "model.safetensors"
        export_checkpoint(folder, path)
    layer = load_kept_head(str(path)).eval()
    features = torch.randn(6, model.trunk.width, generator=torch.Generator().manual_seed(0))
    # A new batch norm has seen nothing, and changes nothing but by its epsilon.
    norm = model.head[1] if sections is WITH_NORM else lambda rows: rows / (1 + 1e-5) ** 0.5
    wanted = norm(model.head[0](features))
    torch.testing.assert_close(layer(features), wanted.relu())
    assert [type(one) for one in layer][::2] == [nn.Linear, nn.ReLU]


def test_there_is_none_in_a_trunk_or_in_an_encoder_of_another_library(tmp_path):
    folder = save_checkpoint(tmp_path / "run")
    export_checkpoint(folder, tmp_path / "trunk.safetensors", trunk_only=True)
    assert load_kept_head(str(tmp_path / "trunk.safetensors")) is None
    assert load_kept_head("package.module:function") is None


def test_a_model_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        load_kept_head(str(tmp_path / "nothing"))
