"""Flags from options models."""

import argparse
import subprocess
import sys
from typing import Literal

import pytest

from schemas.options import Options, option
from train_entry.command_line import add_options


class _Told(Options):
    what: str = option(..., "what to look at", positional=True)
    names: tuple[str, ...] = option((), "some names")
    side_px: int = option(224, "side, pixels", gt=0)
    fast: bool = option(False, "sooner, 50 % of the time")
    kind: Literal["a", "b"] = option("a", "which")
    scale: float | None = option(None, "a factor")


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, _Told)
    return _Told.model_validate(vars(parser.parse_args(arguments)))


def test_what_is_not_given_has_the_default_of_the_model():
    assert parse("x") == _Told(what="x")


def test_flags_are_named_and_typed_as_the_fields():
    told = parse("x", "--names", "p", "q", "--side-px", "32", "--fast", "--kind", "b")
    assert told == _Told(what="x", names=("p", "q"), side_px=32, fast=True, kind="b")
    assert parse("x", "--no-fast", "--scale", "0.5").scale == 0.5


def test_a_word_that_is_none_of_the_choices_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse("x", "--kind", "c")
    assert "--kind: invalid choice: 'c'" in capsys.readouterr().err


def test_help_tells_the_default():
    parser = argparse.ArgumentParser()
    add_options(parser, _Told)
    text = " ".join(parser.format_help().split())
    assert "side, pixels (default 224)" in text
    assert "sooner, 50 % of the time" in text


_LEFT_AT_WORK = """
import atexit
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from train_entry.command_line import leave
from train_entry.parallel import joined_ranks

atexit.register(print, "tidied up")
with joined_ranks("cpu"):
    layer = fully_shard(torch.nn.Linear(2, 2))  # Which keeps the group, and so its threads.
    tensors = list(torch.zeros(1000).unbind())
    dist.all_reduce_coalesced(tensors, async_op=True)
print("done", end=" ")
leave(75)
"""


def test_ranks_end_with_their_code_whatever_the_threads_of_gloo_still_do():
    # With `sys.exit` some abort: a thread lets go of a thousand tensors while Python ends.
    ranks = [
        subprocess.Popen([sys.executable, "-c", _LEFT_AT_WORK], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [rank.communicate(timeout=200)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [75] * 3
    assert told == ["done tidied up\n"] * 3
