import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, load_file
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.fsdp import fully_shard

from tests.train_entry.ranks import on_ranks
from train_entry.convert import convert
from train_entry.errors import CheckpointError
from train_entry.export import Entry, export_checkpoint, load_exported, main, write_safetensors
from train_entry.family import RegNetConfig
from train_entry.regnet import RegNet

ROOT = Path(__file__).parents[2]
RUN = {"config": {"seed": 0, "output": "/runs/é"}, "root": "ab" * 32, "step": 7}
SMALL = RegNetConfig(w_0=8, w_a=8, w_m=2.0, depth=3, group_width=4, stem_width=8)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = RegNet(SMALL)
        # Odd widths: two ranks do not have equally many rows.
        self.head = nn.Sequential(nn.Linear(self.trunk.width, 5), nn.BatchNorm1d(5))
        self.prototypes = nn.Linear(5, 7, bias=False)


def save_alone(state, folder):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        dcp.save(state, checkpoint_id=folder, no_dist=True)


def save(model, folder):
    model.head[1].running_mean.copy_(torch.arange(5) / 3)
    state = {"model": get_model_state_dict(model), "optimizer": {"step": torch.tensor(7)}}
    if dist.is_initialized():
        dcp.save(state, checkpoint_id=folder)
    else:
        save_alone(state, folder)
    (folder / "run.json").write_text(json.dumps(RUN))


def save_sharded(folder):
    model = Model()
    for block in (*model.trunk.stages, model.head, model.prototypes, model):
        fully_shard(block)
    save(model, folder)
    dist.barrier()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run") / "step-7"
    folder.mkdir()
    save(Model(), folder)
    return folder


def expected():
    model = Model()
    model.head[1].running_mean.copy_(torch.arange(5) / 3)
    return model.state_dict()


def assert_same(tensors, wanted):
    assert set(tensors) == set(wanted)
    for name, tensor in wanted.items():
        assert tensors[name].dtype == tensor.dtype, name
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


def test_the_library_reads_what_the_model_held(folder, tmp_path):
    export_checkpoint(folder, tmp_path / "model.safetensors")
    assert_same(load_file(tmp_path / "model.safetensors"), expected())


def test_it_is_the_same_file_from_a_checkpoint_of_two_ranks(folder, tmp_path):
    sharded = tmp_path / "step-7"
    sharded.mkdir()
    on_ranks(2, save_sharded, sharded)
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    export_checkpoint(folder, one)
    export_checkpoint(sharded, two)
    assert one.read_bytes() == two.read_bytes()


def test_the_record_of_the_run_goes_with_it(folder, tmp_path):
    export_checkpoint(folder, tmp_path / "model.safetensors")
    _, told = load_exported(tmp_path / "model.safetensors")
    assert told == {
        "format": "pt",
        "names": "ours",
        "config": json.dumps(RUN["config"]),
        "root": RUN["root"],
        "step": "7",
    }


def test_weights_are_cast_but_no_biases_norms_and_counters(folder, tmp_path):
    export_checkpoint(folder, tmp_path / "model.safetensors", torch.bfloat16)
    wanted = {
        name: tensor.bfloat16() if tensor.dim() > 1 else tensor
        for name, tensor in expected().items()
    }
    assert_same(load_file(tmp_path / "model.safetensors"), wanted)
    assert wanted["head.1.num_batches_tracked"].dtype == torch.int64


def test_a_trunk_alone_is_named_as_the_network_names_it(folder, tmp_path):
    export_checkpoint(folder, tmp_path / "trunk.safetensors", trunk_only=True)
    tensors, _ = load_exported(tmp_path / "trunk.safetensors")
    RegNet(SMALL).load_state_dict(tensors)
    assert_same(tensors, Model().trunk.state_dict())


@pytest.mark.parametrize("names", ["torchvision", "timm", "transformers", "vissl"])
def test_a_trunk_is_named_as_others_name_it(folder, tmp_path, names):
    export_checkpoint(folder, tmp_path / "trunk.safetensors", names=names)
    tensors, told = load_exported(tmp_path / "trunk.safetensors")
    assert told["names"] == names
    assert_same(tensors, convert(Model().trunk.state_dict(), "ours", names))
    assert tensors.keys() != Model().trunk.state_dict().keys()


def test_the_command_does_the_same(folder, tmp_path, capsys):
    export_checkpoint(folder, tmp_path / "a", torch.bfloat16, trunk_only=True)
    main([str(folder), str(tmp_path / "b"), "--dtype", "bfloat16", "--trunk-only"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "tensors" in capsys.readouterr().out


def test_what_the_command_cannot_read_or_write_is_told_in_a_line(folder, tmp_path, capsys):
    for checkpoint, output in ((tmp_path, tmp_path / "x"), (folder, tmp_path / "no" / "x")):
        with pytest.raises(SystemExit, match="2"):
            main([str(checkpoint), str(output)])
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_file_appears_complete_or_not_at_all(tmp_path):
    entry = Entry("a", torch.float32, "a", torch.float32, (2,))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(CheckpointError, match="expected"):
        write_safetensors(path, [entry], [torch.zeros(3)], {})
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"


def test_what_is_no_checkpoint_is_named(folder, tmp_path):
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        export_checkpoint(tmp_path / "nothing", tmp_path / "model.safetensors")
    save_alone({"other": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="expected tensors of a model"):
        export_checkpoint(tmp_path / "other", tmp_path / "model.safetensors")
    save_alone({"model.a": torch.zeros(1)}, tmp_path / "bare")
    with pytest.raises(CheckpointError, match=r"run\.json"):
        export_checkpoint(tmp_path / "bare", tmp_path / "model.safetensors")


MEASURE = """
import resource, sys
from pathlib import Path
import torch
from train_entry.export import export_checkpoint
torch.set_num_threads(1)
export_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), trunk_only=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_no_more_than_a_tensor_or_two_is_in_memory(tmp_path):
    mib, num_tensors = 8, 24
    tensors = {f"model.{n}": torch.full((mib, 2**18), n + 0.5) for n in range(num_tensors)}
    tensors["model.trunk.a"] = torch.zeros(2, 2)
    save_alone(tensors, tmp_path / "step")
    (tmp_path / "step" / "run.json").write_text("{}")
    output = tmp_path / "model.safetensors"
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "step", output],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert output.stat().st_size > num_tensors * mib * 2**20
    unit = 1024 if sys.platform == "linux" else 1
    assert int(measured.stdout) * unit < 5 * mib * 2**20


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32]
DTYPES += [torch.int16, torch.int8, torch.uint8, torch.bool]


@settings(deadline=None, max_examples=50)
@given(
    told=st.dictionaries(st.text(), st.text(), max_size=3),
    shapes=st.lists(
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)), max_size=5
    ),
)
def test_the_library_reads_all_types_and_shapes(tmp_path_factory, told, shapes):
    path = tmp_path_factory.mktemp("any") / "any.safetensors"
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"t{n}é": torch.randint(0, 2, shape, generator=generator).to(dtype)
        for n, (dtype, shape) in enumerate(shapes)
    }
    entries = [
        Entry(name, tensor.dtype, name, tensor.dtype, tuple(tensor.shape))
        for name, tensor in tensors.items()
    ]
    write_safetensors(path, entries, tensors.values(), told)
    assert_same(load(path.read_bytes()), tensors)
    assert load_exported(path)[1] == told
