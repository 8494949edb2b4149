"""SwAV: embeddings, prototypes, the balanced assignment and the loss.

B images of this rank, V crops of each, A of them with codes, N = V * B, D dimensions, K prototypes,
Q embeddings of a queue.
Source: Caron et al. 2020, arXiv:2006.09882, section 3.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax, normalize, pad

from train_entry.config import ModelConfig, SwavConfig
from train_entry.regnet import RegNet


class Prototypes(nn.Module):
    """Unit vectors that embeddings are compared with; float32 always."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dim))

    def forward(self, embeddings_ND: Tensor) -> Tensor:
        return linear(embeddings_ND, self.weight)

    @torch.no_grad()
    def normalise(self) -> None:
        """Give each prototype the length 1; rows are never split among ranks, so this is local."""
        weight = self.weight.data
        local = weight.to_local() if hasattr(weight, "to_local") else weight
        local.copy_(normalize(local.float(), dim=1))


class RowNorm(nn.Module):
    """Batch norm of rows [N, C]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x_NC: Tensor) -> Tensor:
        normed: Tensor = self.norm(x_NC[:, :, None, None])
        return normed[:, :, 0, 0]


class SwAV(nn.Module):
    """Trunk, head and prototypes."""

    def __init__(self, model: ModelConfig, swav: SwavConfig) -> None:
        super().__init__()
        self.trunk = RegNet(model)
        widths = [self.trunk.width, *swav.hidden, swav.dim]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            norm = [RowNorm(outputs)] if swav.head_batch_norm else []
            layers += [nn.Linear(inputs, outputs), *norm, nn.ReLU()]
        # None after the last layer.
        del layers[-2 if swav.head_batch_norm else -1 :]
        self.head = nn.Sequential(*layers)
        self.prototypes = Prototypes(swav.dim, swav.prototypes)

    def forward(
        self, images: Sequence[Tensor], queue_QD: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embeddings [N, D] of length 1 and scores [N + Q, K], crop by crop, float32.

        images: N crops of one size, [N, 3, px, px]; or some of several sizes, which then go through
        as one batch, the smaller ones padded. queue_QD: embeddings whose scores are wanted, too.
        """
        features = self.trunk(images[0]) if len(images) == 1 else self._padded(images)
        embeddings_ND = normalize(self.head(features).float(), dim=1)
        compared = embeddings_ND if queue_QD is None else torch.cat([embeddings_ND, queue_QD])
        return embeddings_ND, self.prototypes(compared)

    def _padded(self, images: Sequence[Tensor]) -> Tensor:
        largest = max(one.shape[-1] for one in images)
        padded = [pad(one, (0, largest - one.shape[-1]) * 2) for one in images]
        sizes = [(len(one), one.shape[-1]) for one in images]
        batch = torch.cat(padded).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.trunk(batch, sizes)
        return features


@torch.no_grad()
def balanced_assignment(
    scores_BK: Tensor, *, epsilon: float, rounds: int, group: dist.ProcessGroup | None = None
) -> Tensor:
    """Soft assignment of samples to prototypes that uses all prototypes equally.

    scores_BK: cosine similarities, B samples of this rank by K prototypes; computed in float32.
    epsilon: entropy weight, > 0, no unit; smaller is sharper. rounds: Sinkhorn rounds, >= 1.
    Returns float32 [B, K] without gradient; rows sum to 1. Collective: every rank of the group must
    call it; None: this rank alone. Raises ValueError if epsilon or rounds is out of range.
    Source: Caron et al. 2020, arXiv:2006.09882, section 3.1.
    """
    if epsilon <= 0 or rounds < 1:
        raise ValueError(f"expected epsilon > 0 and rounds >= 1, got {epsilon} and {rounds}")
    scores_BK = scores_BK.float()
    highest = scores_BK.max()
    _reduce(highest, group, dist.ReduceOp.MAX)
    # exp(0) at most, and at least exp(-2 / 0.03) = 1e-29 for cosines: no overflow, no lost row.
    plan_BK = torch.exp((scores_BK - highest) / epsilon)
    tiny = torch.finfo(torch.float32).tiny
    for _ in range(rounds):
        # The scale of the whole cancels out, so that prototypes and samples may both sum to 1.
        totals_K = plan_BK.sum(dim=0)
        _reduce(totals_K, group)
        plan_BK /= totals_K.clamp_(min=tiny)
        plan_BK /= plan_BK.sum(dim=1, keepdim=True).clamp_(min=tiny)
    return plan_BK


def swav_loss(
    scores_VBK: Tensor,
    codes_ABK: Tensor,
    temperature: float,
    *,
    first_crop: int = 0,
    num_crops: int | None = None,
) -> Tensor:
    """Mean cross entropy of each code under the predictions of all *other* crops, nats.

    The codes are those of the first A of `num_crops` crops; the scores, those from `first_crop` on.
    Where these are not all crops, the loss is their part of the mean. Source: as above, equation 2.
    """
    num_codes, num_scored = len(codes_ABK), len(scores_VBK)
    predicted_VBK = log_softmax(scores_VBK / temperature, dim=2)
    losses = [
        -(codes_ABK[a] * predicted_VBK[v]).sum(dim=1).mean()
        for a in range(num_codes)
        for v in range(num_scored)
        if first_crop + v != a
    ]
    return torch.stack(losses).sum() / (num_codes * ((num_crops or num_scored) - 1))


@torch.no_grad()
def prototype_usage(scores_BK: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """How evenly samples choose their nearest prototypes: entropy, 1 the largest possible."""
    num_prototypes = scores_BK.shape[1]
    counts_K = torch.bincount(scores_BK.argmax(dim=1), minlength=num_prototypes).float()
    _reduce(counts_K, group)
    total = counts_K.sum()
    share_K = counts_K / total
    entropy = -torch.special.xlogy(share_K, share_K).sum()
    usage: Tensor = entropy / total.clamp(max=num_prototypes).log().clamp(min=math.log(2))
    return usage


def _reduce(
    tensor: Tensor,
    group: dist.ProcessGroup | None,
    operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM,
) -> None:
    if group is not None:
        dist.all_reduce(tensor, operation, group=group)
