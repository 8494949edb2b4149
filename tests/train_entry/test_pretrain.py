import re

import pytest

from train_entry.config import CONFIG_FOLDER, load_config
from train_entry.pretrain import main

_LINE = re.compile(r"  ([\w.]+): .*\((?:required|default (.*))\)")


@pytest.fixture
def told(capsys):
    assert main(["--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    return dict(match.groups() for match in map(_LINE.fullmatch, lines) if match)


def test_help_tells_each_key_with_a_default_that_the_command_line_takes(told):
    given = [f"{key}={default}" for key, default in told.items() if default is not None]
    needed = [
        *("output=run", "data.dataset=data", "data.batch=8", "model.w_0=192", "model.w_a=76.82"),
        *("model.w_m=2.19", "model.depth=17", "model.group_width=56"),
    ]
    config = load_config(str(CONFIG_FOLDER / "smoke_cpu.yaml"), [*given, *needed])
    assert [(one.count, one.px) for one in config.crops.groups] == [(2, 160), (4, 96)]
    assert config.swav.hidden == (8192, 8192)


def test_help_names_all_keys_of_a_configuration(told):
    values = load_config(
        str(CONFIG_FOLDER / "smoke_cpu.yaml"), ["output=run", "data=data"]
    ).model_dump()
    names = {
        f"{section}.{name}" if isinstance(value, dict) else section
        for section, value in values.items()
        for name in (value if isinstance(value, dict) else [""])
    }
    assert told.keys() == names
