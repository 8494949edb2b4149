"""Colours and blur of crops, batched, on the device that has the pixels; the same code everywhere.

B crops, C = 3 channels, H and W pixels, P parameters (`train_entry.crops.Parameters`). Values are 0
to 1 until they are normalised. Definitions are those of the usual transforms (factors blend with
black, the mean grey and the grey picture; hue is shifted in HSV); grey is ITU-R BT.601.
"""

from collections.abc import Callable
from functools import partial
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import pad

from train_entry.config import CropsConfig
from train_entry.crops import Parameters

_Change = Callable[[Tensor, Tensor], Tensor]

_GREY = (0.299, 0.587, 0.114)
_AT = {name: index for index, name in enumerate(Parameters._fields)}
# Beyond three standard deviations a Gaussian has 0.3 % of its weight.
_BLUR_REACH = 3.0


@torch.no_grad()
def augment(images_BHWC: Tensor, parameters_BP: Tensor, config: CropsConfig) -> Tensor:
    """The crops as float32 [B, 3, H, W], channels last, on their device.

    images_BHWC: uint8. parameters_BP: float32, on the CPU, so that the host knows which crops each
    change concerns and never waits for the device.
    """
    x_BCHW = _from_bytes(images_BHWC)
    _jitter(x_BCHW, parameters_BP)
    _change(x_BCHW, parameters_BP[:, _AT["grey"]] > 0, lambda some, _: _grey(some).expand_as(some))
    blur_B = parameters_BP[:, _AT["blur_px"]]
    reach = round(_BLUR_REACH * config.blur_max_px)
    _change(x_BCHW, blur_B > 0, lambda some, chosen: _blur(some, _on(blur_B[chosen], some), reach))
    return _normalise(x_BCHW, config)


def normalised(images_BHWC: Tensor, config: CropsConfig) -> Tensor:
    """Whole uint8 images as a trained trunk wants them: float32 [B, 3, H, W], channels last."""
    return _normalise(_from_bytes(images_BHWC), config)


def _from_bytes(images_BHWC: Tensor) -> Tensor:
    return images_BHWC.permute(0, 3, 1, 2).float().div_(255)


def _normalise(x_BCHW: Tensor, config: CropsConfig) -> Tensor:
    # Not `new_tensor`, which waits for the device.
    mean = _on(torch.tensor(config.mean), x_BCHW)[:, None, None]
    std = _on(torch.tensor(config.std), x_BCHW)[:, None, None]
    return x_BCHW.sub_(mean).div_(std)


def _jitter(x_BCHW: Tensor, parameters_BP: Tensor) -> None:
    """Brightness, contrast, saturation and hue, in each crop's own order, in place."""
    changes = (_brighten, _contrast, _saturate, _shift_hue)
    orders = torch.tensor(list(permutations(range(len(changes)))))
    order_B = parameters_BP[:, _AT["order"]].long()
    place_B4 = torch.where(order_B[:, None] >= 0, orders[order_B.clamp(min=0)], -1)
    for place in range(len(changes)):
        for number, change in enumerate(changes):
            chosen_B = place_B4[:, place] == number
            _change(x_BCHW, chosen_B, partial(_by_number, change, parameters_BP[:, number]))


def _by_number(change: _Change, told_B: Tensor, some: Tensor, chosen: Tensor) -> Tensor:
    """What becomes of the chosen crops if each is changed by its own number."""
    return change(some, _on(told_B[chosen], some)[:, None, None, None])


def _change(x_BCHW: Tensor, which_B: Tensor, change: _Change) -> None:
    """Replace some crops by what becomes of them, in place."""
    chosen = which_B.nonzero()[:, 0]
    if len(chosen):
        there = _on(chosen, x_BCHW)
        x_BCHW[there] = change(x_BCHW[there], chosen)


def _on(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, non_blocking=True)


def _grey(x_BCHW: Tensor) -> Tensor:
    red, green, blue = x_BCHW.unbind(dim=1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue).unsqueeze(1)


def _brighten(x_BCHW: Tensor, factor: Tensor) -> Tensor:
    return (x_BCHW * factor).clamp_(0, 1)


def _contrast(x_BCHW: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(x_BCHW).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, x_BCHW, factor).clamp_(0, 1)


def _saturate(x_BCHW: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_grey(x_BCHW), x_BCHW, factor).clamp_(0, 1)


def _shift_hue(x_BCHW: Tensor, turns: Tensor) -> Tensor:
    """Hue moved on by some turns; saturation and value of HSV stay as they are."""
    value, smallest = x_BCHW.amax(dim=1), x_BCHW.amin(dim=1)
    chroma = value - smallest
    red, green, blue = x_BCHW.unbind(dim=1)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixths = hue + 6 * turns[:, 0]
    channels = []
    for offset in (5.0, 3.0, 1.0):
        k = torch.remainder(offset + sixths, 6)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1))
    return torch.stack(channels, dim=1)


def _blur(x_BCHW: Tensor, deviation_B: Tensor, reach: int) -> Tensor:
    """Gaussian blur of each crop by its own deviation, pixels; edges are continued."""
    places = torch.arange(-reach, reach + 1, device=x_BCHW.device)
    weights = torch.exp(-0.5 * (places[:, None] / deviation_B).square())
    weights = (weights / weights.sum(dim=0))[:, :, None, None, None]
    for dim, sides in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        size = x_BCHW.shape[dim]
        padded = pad(x_BCHW, sides, mode="replicate")
        # Sums of shifted pictures: a grouped convolution would need a kernel for each crop.
        x_BCHW = weights[0] * padded.narrow(dim, 0, size)
        for shift in range(1, 2 * reach + 1):
            x_BCHW.addcmul_(weights[shift], padded.narrow(dim, shift, size))
    return x_BCHW
