import hashlib
import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.train_entry.evaluation.digit_images import joined
from tests.train_entry.evaluation.image_lists import SMALL, ImageList
from tests.train_entry.ranks import on_ranks
from train_entry.errors import ConfigError, DataError
from train_entry.evaluation.encoder import Placement
from train_entry.evaluation.extract import Extraction, cache_key, extract
from train_entry.evaluation.together import Unreadable
from train_entry.evaluation.torch_encoder import TorchEncoder
from train_entry.parallel import Ranks

COUNT, BATCH = 38, 4
ALONE = Placement(Ranks(0, 1, torch.device("cpu")))
IMAGES = ImageList.of(COUNT)
TAPS = ("pool", "halves")


def forward(calls, module, images_BCHW):
    calls.append(len(images_BCHW))
    maps = module(images_BCHW)
    return {"pool": maps.mean(dim=(2, 3)), "halves": maps.mean(dim=3)}


def small_encoder(placement=ALONE, calls=None, call=forward, seed=0):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 6, 5, stride=4), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2))
    calls = [] if calls is None else calls
    return TorchEncoder(module, partial(call, calls), taps=TAPS).placed(placement, "small")


def found(folder, images=IMAGES, taps=TAPS, encoder=None, **options):
    options = Extraction(Path(folder), **{"batch": BATCH, "workers": 0, **options})
    return extract(encoder or small_encoder(), images, SMALL, taps, options)


def expected(images=IMAGES):
    """By hand, batch by batch."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 5, stride=4), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2))
    mean, std = (torch.tensor(one)[:, None, None] for one in MEAN_STD)
    pools, halves = [], []
    for begin in range(0, len(images.names), BATCH):
        places = range(begin, min(begin + BATCH, len(images.names)))
        pixels = np.stack([SMALL(images.content(one), images.names[one]) for one in places])
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            maps = module((batch - mean) / std)
        pools.append(maps.mean(dim=(2, 3)))
        halves.append(maps.mean(dim=3))
    return {"pool": torch.cat(pools), "halves": torch.cat(halves)}


MEAN_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def files(folder):
    """Every file of a cache with its digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def record_path(folder, number):
    return next(Path(folder).rglob(f"part-{number:05d}.json"))


def test_features_are_those_of_a_plain_loop(tmp_path):
    features = found(tmp_path).features
    assert list(features.names) == IMAGES.names
    assert features.fields == IMAGES.fields
    for tap, wanted in expected().items():
        assert features.taps[tap].dtype == torch.float32
        torch.testing.assert_close(features.taps[tap], wanted, rtol=1e-5, atol=1e-6)


def test_nothing_is_computed_twice(tmp_path):
    first, calls = found(tmp_path), []
    again = found(tmp_path, encoder=small_encoder(calls=calls))
    assert calls == []
    assert torch.equal(first.features.taps["pool"], again.features.taps["pool"])


def test_workers_find_the_same_bits(tmp_path):
    found(tmp_path / "alone", batch=1)
    found(tmp_path / "workers", batch=1, workers=2)
    assert files(tmp_path / "alone") == files(tmp_path / "workers")


def on_a_rank(folder, workers=0):
    rank, world = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    placement, calls = Placement(Ranks(rank, world, torch.device("cpu"))), []
    features = found(folder, encoder=small_encoder(placement, calls), workers=workers).features
    return features.taps["pool"].numpy().tobytes(), sum(calls)


def test_two_ranks_share_the_work_and_find_the_same_bits(tmp_path):
    torch.set_num_threads(1)
    found(tmp_path / "one")
    (one, computed), (two, computed_too) = on_ranks(2, on_a_rank, str(tmp_path / "two"))
    assert one == two
    assert files(tmp_path / "one") == files(tmp_path / "two")
    # One blank image more, of the rank that makes the files.
    assert (computed, computed_too) == (COUNT // BATCH // 2 * BATCH + BATCH + 1, 18)


def die_at_the_sixth(calls, module, images_BCHW):
    if len(calls) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(calls, module, images_BCHW)


def work_until_killed(folder):
    torch.set_num_threads(1)
    found(folder, encoder=small_encoder(call=die_at_the_sixth))


def test_killed_and_taken_up_again_is_as_if_nothing_had_happened(tmp_path):
    torch.set_num_threads(1)
    child = multiprocessing.get_context("spawn").Process(
        target=work_until_killed, args=(str(tmp_path / "killed"),)
    )
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    done = len(list((tmp_path / "killed").rglob("part-*.json")))
    # The last one may or may not have been written when it died.
    assert done in (4, 5)
    calls = []
    found(tmp_path / "killed", encoder=small_encoder(calls=calls))
    assert sum(calls) == 1 + COUNT - done * BATCH
    found(tmp_path / "whole")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_damaged_part_alone_is_computed_again(tmp_path):
    found(tmp_path)
    before = files(tmp_path)
    path = next(tmp_path.rglob("pool.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    calls = []
    found(tmp_path, encoder=small_encoder(calls=calls))
    assert calls == [1, COUNT % BATCH]
    assert files(tmp_path) == before


def test_a_file_that_is_gone_is_made_again(tmp_path):
    found(tmp_path)
    before = files(tmp_path)
    next(tmp_path.rglob("halves.npy")).unlink()
    found(tmp_path)
    assert files(tmp_path) == before


def test_another_tap_is_added_to_what_is_there(tmp_path):
    found(tmp_path, taps=["pool"])
    features = found(tmp_path).features
    assert len(list(tmp_path.iterdir())) == 1
    torch.testing.assert_close(features.taps["halves"], expected()["halves"], rtol=1e-5, atol=1e-6)


def test_images_that_cannot_be_decoded_are_left_out_and_told(tmp_path):
    images = ImageList.of(COUNT, bad=(0, 7, COUNT - 1))
    extracted = found(tmp_path, images)
    assert set(extracted.bad) == {"0000.png", "0007.png", "0037.png"}
    # Nothing of an address: the records of two runs are the same bytes.
    assert set(extracted.bad.values()) == {"expected an image, got bytes that no decoder knows"}
    kept = [one for one in range(COUNT) if one not in (0, 7, COUNT - 1)]
    assert extracted.features.names == [images.names[one] for one in kept]
    assert extracted.features.fields["label"] == [one % 3 for one in kept]
    wanted = expected()["pool"][kept]
    torch.testing.assert_close(extracted.features.taps["pool"], wanted, rtol=1e-5, atol=1e-6)
    assert found(tmp_path, images).bad == extracted.bad


def test_the_box_of_an_image_is_what_is_encoded(tmp_path):
    boxes = [(0, 0, 30 + one % 4, 36) for one in range(COUNT)]
    boxed = ImageList.of(COUNT, box=boxes)
    torch.manual_seed(0)
    pixels = SMALL(boxed.content(5), boxed.names[5], boxes[5])
    wanted = small_encoder().encode(torch.from_numpy(pixels)[None])["pool"][0]
    assert not torch.allclose(found(tmp_path / "whole").features.taps["pool"][5], wanted)
    features = found(tmp_path / "boxed", boxed).features
    torch.testing.assert_close(features.taps["pool"][5], wanted, rtol=1e-5, atol=1e-6)


def test_pool_before_a_batch_norm_is_pool_and_taps_that_are_not_there_are_left_out(tmp_path):
    features = found(tmp_path, taps=["pool_norm", "stage4_2x1"]).features
    assert set(features.taps) == {"pool", "pool_norm"}
    assert features.taps["pool_norm"] is features.taps["pool"]
    assert set(found(tmp_path, taps=["stage4_2x1"]).features.taps) == {"pool"}


def test_features_are_mapped_and_rows_can_be_read_in_any_order(tmp_path):
    values = found(tmp_path).features.taps["pool"]
    places = torch.tensor([37, 0, 12])
    assert torch.equal(values[places], torch.stack([values[37], values[0], values[12]]))


def test_the_key_is_another_one_for_all_that_changes_features(tmp_path):
    encoder = small_encoder()
    bfloat = small_encoder(replace(ALONE, precision="bfloat16"))
    key = partial(cache_key, encoder, IMAGES, SMALL, BATCH)
    keys = {
        key(),
        cache_key(small_encoder(seed=1), IMAGES, SMALL, BATCH),
        cache_key(bfloat, IMAGES, SMALL, BATCH),
        cache_key(encoder, ImageList.of(COUNT - 1), SMALL, BATCH),
        cache_key(encoder, IMAGES, replace(SMALL, view=1), BATCH),
        cache_key(encoder, IMAGES, SMALL, BATCH + 1),
    }
    assert len(keys) == 6
    assert key() == cache_key(small_encoder(), ImageList.of(COUNT), replace(SMALL), BATCH)


def test_an_error_of_the_encoder_is_not_swallowed(tmp_path):
    def broken(calls, module, images_BCHW):
        if len(images_BCHW) > 1:
            raise ConfigError("expected better")
        return forward(calls, module, images_BCHW)

    with pytest.raises(ConfigError, match="expected better"):
        found(tmp_path, encoder=small_encoder(call=broken))


@pytest.mark.parametrize("workers", [0, 2])
def test_files_that_cannot_be_read_end_it_and_what_was_computed_is_kept(tmp_path, workers):
    gone = replace(IMAGES, gone=(21,))
    with pytest.raises(Unreadable, match=r"^0021\.png: expected an image, got no such file$"):
        found(tmp_path / "gone", gone, batch=1, workers=workers)
    assert len(list((tmp_path / "gone").rglob("part-*.json"))) == 21
    found(tmp_path / "gone", batch=1)
    found(tmp_path / "whole", batch=1)
    assert files(tmp_path / "gone") == files(tmp_path / "whole")


def told_of_a_file_that_is_gone(folder):
    """With weights whole, then spread: the reason, and the features that are found afterwards."""
    told = []
    for spread in (False, True):
        with joined(spread) as encoder:
            cache = f"{folder}/{spread}"
            with pytest.raises(Unreadable) as caught:
                found(cache, replace(IMAGES, gone=(5,)), ["pool"], encoder)
            pool = found(cache, IMAGES, ["pool"], encoder).features.taps["pool"]
            told.append((str(caught.value), pool.numpy().tobytes()))
    return told


def test_all_ranks_are_told_of_a_file_that_one_cannot_read_and_are_together_again(tmp_path):
    one, two = on_ranks(2, told_of_a_file_that_is_gone, str(tmp_path))
    assert one == two
    assert {reason for reason, _ in one} == {"0005.png: expected an image, got no such file"}


def test_no_images_are_an_error(tmp_path):
    with pytest.raises(DataError, match="expected images, got none"):
        found(tmp_path, ImageList.of(0))
