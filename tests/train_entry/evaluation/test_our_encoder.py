import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.train_entry.evaluation.encoding import (
    ALONE,
    ROOT,
    TOMBSTONES,
    save_checkpoint,
    small_model,
)
from tests.train_entry.evaluation.image_lists import SMALL, ImageList
from tests.train_entry.ranks import on_ranks
from train_entry.errors import CheckpointError
from train_entry.evaluation.encoder import Placement
from train_entry.evaluation.encoders import load_encoder
from train_entry.evaluation.extract import Extraction, extract
from train_entry.evaluation.our_encoder import REGIONS, TAPS
from train_entry.evaluation.rmac import regions
from train_entry.export import export_checkpoint
from train_entry.parallel import Ranks
from train_entry.regnet import RegNet

PIXELS = torch.randint(256, (3, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator())
FOUR_STAGES = {"w_0": 8, "w_a": 8, "w_m": 2.0, "depth": 7, "group_width": 8, "stem_width": 8}
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("runs") / "small"
    save_checkpoint(run, 15, seed=1, model=FOUR_STAGES)
    save_checkpoint(run, 30, model=FOUR_STAGES)
    return run


@pytest.fixture(scope="module")
def model():
    return small_model(model=FOUR_STAGES)[1].eval()


@torch.no_grad()
def maps_of(trunk, images):
    """The map of each stage, as hooks see it while the trunk itself runs."""
    maps = []
    hooks = [
        stage.register_forward_hook(lambda module, inputs, output: maps.append(output))
        for stage in trunk.stages
    ]
    features = trunk(images)
    for hook in hooks:
        hook.remove()
    return maps, features


def halves(map_BCHW, dim):
    """Means of both halves of a map of even sides, [B, C, 2] in rows."""
    two = torch.stack([half.mean(dim=(2, 3)) for half in map_BCHW.chunk(2, dim=dim)], dim=2)
    return two.flatten(1)


def test_taps_are_means_of_what_the_trunk_computes(run, model):
    images = ((PIXELS / 255 - MEAN) / STD).permute(0, 3, 1, 2)
    maps, features = maps_of(model.trunk, images)
    assert [tuple(one.shape[2:]) for one in maps] == [(24, 24), (12, 12), (6, 6), (3, 3)]
    found = load_encoder(str(run), ALONE).encode(PIXELS, TAPS)
    assert set(found) == set(TAPS)
    torch.testing.assert_close(found["pool"], features, rtol=1e-4, atol=1e-5)
    for name, dim in (("stage3_2x1", 2), ("stage3_1x2", 3)):
        torch.testing.assert_close(found[name], halves(maps[2], dim), rtol=1e-4, atol=1e-5)
    # Of three rows, the middle one counts for both halves.
    rows = torch.stack([maps[3][:, :, :2].mean(dim=(2, 3)), maps[3][:, :, 1:].mean(dim=(2, 3))], 2)
    torch.testing.assert_close(found["stage4_2x1"], rows.flatten(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[REGIONS], regions(maps[2], 3), rtol=1e-4, atol=1e-5)


def test_of_a_run_the_newest_checkpoint_is_taken(run):
    newest = run / "checkpoints" / "step-00000030"
    whole, one = load_encoder(str(run), ALONE).record, load_encoder(str(newest), ALONE).record
    assert whole == one
    assert one.name == "small/step-00000030"
    assert one.step == 30
    assert (one.merkle_root, one.tombstones) == (ROOT, TOMBSTONES)
    assert one.architecture == {**FOUR_STAGES, "se_ratio": 0.25}
    earlier = load_encoder(str(newest.with_name("step-00000015")), ALONE).record
    assert (earlier.step, earlier.sha256 != one.sha256) == (15, True)


def test_parameters_are_those_of_the_trunk(run, model):
    found = load_encoder(str(run), ALONE).record.num_parameters
    assert found == sum(one.numel() for one in model.trunk.parameters())


@pytest.mark.parametrize(
    "options", [{}, {"trunk_only": True}, {"names": "torchvision"}, {"names": "timm"}]
)
def test_an_exported_file_is_the_same_encoder(run, tmp_path, options):
    export_checkpoint(run / "checkpoints" / "step-00000030", tmp_path / "it.safetensors", **options)
    one, other = (load_encoder(str(path), ALONE) for path in (run, tmp_path / "it.safetensors"))
    assert other.record == one.record.model_copy(update={"name": "it"})
    assert torch.equal(one.encode(PIXELS)["pool"], other.encode(PIXELS)["pool"])


def test_a_file_in_bfloat16_is_another_encoder_but_near(run, tmp_path):
    folder, path = run / "checkpoints" / "step-00000030", tmp_path / "it.safetensors"
    export_checkpoint(folder, path, torch.bfloat16)
    one, other = (load_encoder(str(path), ALONE) for path in (run, path))
    assert one.record.sha256 != other.record.sha256
    torch.testing.assert_close(
        one.encode(PIXELS)["pool"], other.encode(PIXELS)["pool"], rtol=0.1, atol=0.05
    )


def test_a_state_in_bfloat16_is_computed_with_in_float32(tmp_path):
    folder = save_checkpoint(
        tmp_path / "run",
        model={**FOUR_STAGES, "precision": "bfloat16", "state_precision": "bfloat16"},
    )
    encoder = load_encoder(str(folder), ALONE)
    assert encoder.encode(PIXELS)["pool"].isfinite().all()
    assert all(one.dtype == torch.float32 for one in encoder.network.module.parameters())


def test_colours_are_normalised_as_in_training(tmp_path):
    grey = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    groups = [{"count": 2, "px": 64, "area_min": 0.1, "area_max": 1.0}]
    crops = {"groups": groups, **grey}
    folder = save_checkpoint(tmp_path / "run", model=FOUR_STAGES, crops=crops)
    model = small_model(model=FOUR_STAGES)[1].eval()
    with torch.no_grad():
        wanted = model.trunk(((PIXELS / 255 - 0.5) / 0.25).permute(0, 3, 1, 2))
    found = load_encoder(str(folder), ALONE).encode(PIXELS)["pool"]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_trunk_of_one_stage_has_no_third(tmp_path):
    model = {"w_0": 8, "w_a": 1, "w_m": 2.0, "depth": 1, "group_width": 8, "stem_width": 8}
    encoder = load_encoder(str(save_checkpoint(tmp_path / "run", model=model)), ALONE)
    assert encoder.taps == ("pool", "stage4_2x1", "stage4_1x2")
    assert encoder.chosen(("pool_norm", "stage3_2x1", "stage4_1x2")) == ("pool", "stage4_1x2")


def test_passes_in_bfloat16_give_float32_near_the_exact_ones(run):
    exact = load_encoder(str(run), ALONE).encode(PIXELS, TAPS)
    found = load_encoder(str(run), replace(ALONE, precision="bfloat16")).encode(PIXELS, TAPS)
    for tap in TAPS:
        assert found[tap].dtype == torch.float32
        torch.testing.assert_close(found[tap], exact[tap], rtol=0.1, atol=0.1)


def on_a_rank(run, exported, folder):
    rank, world = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    placement = Placement(Ranks(rank, world, torch.device("cpu")), shard=True)
    encoder = load_encoder(run, placement)
    from_file = load_encoder(exported, placement)
    own = sum(one.to_local().numel() for one in encoder.network.module.parameters())
    options = Extraction(Path(folder), batch=4, workers=0)
    taps = extract(encoder, ImageList.of(25), SMALL, TAPS, options).features.taps
    return (
        own,
        encoder.record,
        from_file.record,
        {tap: values.clone() for tap, values in taps.items()},
    )


def test_spread_over_two_ranks_it_finds_the_same(run, tmp_path):
    alone = load_encoder(str(run), ALONE)
    exported = tmp_path / "it.safetensors"
    export_checkpoint(run / "checkpoints" / "step-00000030", exported, names="timm")
    options = Extraction(tmp_path / "alone", batch=4, workers=0)
    wanted = extract(alone, ImageList.of(25), SMALL, TAPS, options).features.taps
    # Seven batches: one rank has none for the other's last pass.
    for own, record, of_file, found in on_ranks(
        2, on_a_rank, str(run), str(exported), str(tmp_path / "spread")
    ):
        assert own < 0.6 * alone.record.num_parameters
        assert record == alone.record
        assert of_file == record.model_copy(update={"name": "it"})
        for tap in TAPS:
            torch.testing.assert_close(found[tap], wanted[tap], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["nothing", "nothing.safetensors"])
def test_where_no_checkpoint_is_it_is_an_error(tmp_path, name):
    with pytest.raises(CheckpointError, match="expected"):
        load_encoder(str(tmp_path / name), ALONE)


def test_a_file_without_the_record_of_its_run_is_an_error(run, tmp_path):
    export_checkpoint(run / "checkpoints" / "step-00000030", tmp_path / "it.safetensors")
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(tmp_path / "it.safetensors"), bare)
    with pytest.raises(CheckpointError, match="expected the record of a run"):
        load_encoder(str(bare), ALONE)


def test_a_checkpoint_of_another_architecture_is_an_error(run, tmp_path):
    folder = save_checkpoint(tmp_path / "run", model=FOUR_STAGES)
    record = (folder / "run.json").read_text()
    assert '"depth": 7' in record
    (folder / "run.json").write_text(record.replace('"depth": 7', '"depth": 8'))
    with pytest.raises(CheckpointError, match="expected the trunk of its run"):
        load_encoder(str(folder), ALONE)


def test_a_plain_trunk_is_what_is_evaluated(run, model):
    encoder = load_encoder(str(run), ALONE)
    assert isinstance(encoder.network.module.trunk, RegNet)
    assert not encoder.network.module.training
