"""How much a trunk has learned: k-NN accuracy of its features, of a random trunk's, of pixels."""

import torch

from train_entry.augment import normalised
from train_entry.checkpoint import Checkpoints, State
from train_entry.evaluation.nearest_neighbors import neighbor_votes
from train_entry.optimizer import make_optimizer
from train_entry.parallel import build_model

_BATCH = 500


def knn(gallery, gallery_labels, queries, labels, k=20):
    votes = neighbor_votes(gallery, gallery_labels, queries, k=k, temperature=0.1)
    return (votes.argmax(dim=1) == labels).float().mean().item()


def pixel_features(images):
    """uint8 [N, H, W, 3] as centred float vectors."""
    flat = torch.as_tensor(images).flatten(1).float() / 255
    return flat - flat.mean(dim=1, keepdim=True)


@torch.no_grad()
def trunk_features(config, ranks, gallery, queries, trained=True):
    """Features of two sets of uint8 [N, H, W, 3]; batch norm is calibrated on the gallery first."""
    model = build_model(config, ranks)
    if trained:
        state = State(model, make_optimizer(model, config.optim), None)
        state.load(Checkpoints(config.output, 1, asynchronous=False).latest(), model_only=True)
    trunk = model.trunk.train()
    model.unshard()
    norms = [module for module in trunk.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    batches = torch.as_tensor(gallery).split(_BATCH)
    for number, batch in enumerate(batches, start=1):
        for norm in norms:
            norm.momentum = 1 / number
        trunk(normalised(batch, config.crops))
    trunk.eval()
    return tuple(
        torch.cat(
            [
                trunk(normalised(batch, config.crops))
                for batch in torch.as_tensor(some).split(_BATCH)
            ]
        )
        for some in (gallery, queries)
    )
