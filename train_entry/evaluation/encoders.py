"""Which encoder is meant by a path or a name."""

from pathlib import Path

from train_entry.evaluation.encoder import Encoder, Placement
from train_entry.evaluation.our_encoder import load_ours
from train_entry.evaluation.torch_encoder import make_torch_encoder


def load_encoder(model: str, placement: Placement) -> Encoder:
    """The encoder of a run, checkpoint, exported file or `package.module:function`.

    Collective if it is to be sharded. Raises ConfigError or CheckpointError.
    """
    if ":" in model and not Path(model).exists():
        return make_torch_encoder(model).placed(placement, model)
    return load_ours(Path(model), placement)
