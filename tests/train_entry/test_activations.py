from contextlib import contextmanager

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn.modules.module import register_module_forward_pre_hook

from tests.train_entry.planning import fake_ranks, one_rank, real_step, small_config
from train_entry.activations import measure_activations, measure_passes


@pytest.mark.parametrize("single_pass", [False, True])
def test_activations_are_those_that_autograd_saves_of_real_images(single_pass):
    num_images = 16
    swav = {"hidden": [64], "dim": 16, "prototypes": 32, "single_pass": single_pass}
    config = small_config(batch=num_images, swav=swav)
    saved = []
    with one_rank(config) as model:
        ignored = {one.data_ptr() for one in model.state_dict().values()}

        def save(tensor):
            storage = tensor.untyped_storage()
            # Kept alive, so that no address is used twice.
            saved[-1][storage.data_ptr()] = (tensor, storage.nbytes())
            return tensor

        model.register_forward_pre_hook(lambda *_: saved.append({}))
        with saved_tensors_hooks(save, lambda tensor: tensor):
            real_step(config, model)()
        parameters = {
            one.to_local().untyped_storage().data_ptr()
            for one in model.parameters()
            if hasattr(one, "to_local")
        }
    real = [
        sum(size for address, (_, size) in one.items() if address not in ignored | parameters)
        for one in saved
    ]
    told = [one.planned.kept * num_images for one in measure_passes(config, 1)]
    assert told == pytest.approx(real, rel=0.03)
    assert measure_activations(config, 1).planned.kept == max(told) // num_images


@contextmanager
def _each_pass_anew(model, tracker):
    """MemTracker allows for one pass through a model, so it must forget each before the next."""

    def forget(module, _):
        if module is model:
            tracker.reset_mod_stats()

    # Hooks of all modules run in the order of their making: this one before the tracker's.
    handle = register_module_forward_pre_hook(forget)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("world", "precision", "stages"),
    [
        (1, "float32", ()),
        (1, "bfloat16", (1, 2)),
        (2, "float32", (1,)),
        (2, "bfloat16", (1, 2)),
    ],
)
def test_activations_peak_as_those_of_a_real_step(world, precision, stages):
    num_images = 16
    model = {"w_0": 16, "w_a": 10, "w_m": 2.5, "depth": 6, "group_width": 8, "batch_norm_group": 0}
    config = small_config(
        batch=world * num_images,
        model={**model, "precision": precision},
        parallel={"checkpoint_stages": stages},
    )
    image = measure_activations(config, world).planned
    with fake_ranks(config, world) as model:
        step, tracker = real_step(config, model, world), MemTracker()
        step()
        tracker.track_external(model)
        with _each_pass_anew(model, tracker), tracker:
            step()
        peak = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
        begin = tracker.get_tracker_snapshot("current")[torch.device("cpu")]
    allocated = peak["Total"] - begin["Total"]
    assert 0.95 * allocated <= image.peak * num_images <= 1.2 * allocated
