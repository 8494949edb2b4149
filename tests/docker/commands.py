"""What must hold of a command that starts the trainer, wherever it is written."""

from importlib.util import find_spec
from pathlib import Path

from torch.distributed.run import parse_args, parse_min_max_nnodes

from train_entry.config import CONFIG_FOLDER, load_config
from train_entry.parallel import check_ranks


def check_command(words):
    """The options of torchrun in `python -m LAUNCHER OPTIONS -m MODULE CONFIG KEY=VALUE ...`.

    The modules exist, torchrun knows its options, the configuration takes each value, and the run
    can be divided among so many ranks.
    """
    assert words[:2] == ["python", "-m"]
    trainer = words.index("-m", 2)
    launcher, module, config = words[2], words[trainer + 1], words[trainer + 2]
    assert find_spec(launcher)
    assert find_spec(module)
    told = parse_args(words[3:])
    assert (told.module, told.training_script) == (True, module)
    path = CONFIG_FOLDER / Path(config).name
    assert config in (f"/opt/uncurated/configs/{path.name}", f"train_entry/configs/{path.name}")
    settings = load_config(str(path), words[trainer + 3 :])
    _, num_nodes = parse_min_max_nnodes(told.nnodes)
    check_ranks(settings, num_nodes * int(told.nproc_per_node))
    return dict(word.split("=", 1) for word in words[3:trainer])
