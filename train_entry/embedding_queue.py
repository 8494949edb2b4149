"""Earlier embeddings that join the balanced assignment when a batch has few samples.

A assigned crops, Q places, B images of this rank, D dimensions. Source: Caron et al. 2020,
arXiv:2006.09882, section 3.1, "working with small batches".
"""

import torch
import torch.distributed as dist
from torch import Tensor


class EmbeddingQueue:
    """The last Q embeddings of each assigned crop over all ranks, newest first; the same on all."""

    def __init__(self, crops: int, places: int, dim: int, device: torch.device) -> None:
        self.places_AQD = torch.zeros(crops, places, dim, device=device)

    def mine(self) -> Tensor | None:
        """This rank's share [A, Q / ranks, D], so that each place counts once; None until full."""
        if not bool(self.places_AQD[0, -1].any()):
            return None
        return self.places_AQD[:, dist.get_rank() :: dist.get_world_size()].contiguous()

    def push(self, embeddings_ABD: Tensor) -> None:
        """Put the embeddings of a step, rank by rank, before the earlier ones. Collective."""
        gathered = [torch.empty_like(embeddings_ABD) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, embeddings_ABD.contiguous())
        num_places = self.places_AQD.shape[1]
        joined = torch.cat([*gathered, self.places_AQD], dim=1)
        self.places_AQD.copy_(joined[:, :num_places])
