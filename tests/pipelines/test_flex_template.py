import json
import re

import pytest

from pipelines.command import COMMANDS
from pipelines.flex_template import (
    METADATA,
    command_line,
    launch,
    main,
    metadata,
    split_values,
)
from pipelines.options import add_flags

BY_NAME = {one["name"]: one for one in metadata()["parameters"]}


def test_the_file_is_what_the_options_say():
    assert main(["--check"]) == 0
    assert json.loads(METADATA.read_text()) == metadata()


def test_a_stale_file_is_told(tmp_path, monkeypatch, capsys):
    stale = tmp_path / "flex_template.json"
    monkeypatch.setattr("pipelines.flex_template.METADATA", stale)
    stale.write_text("{}")
    assert main(["--check"]) == 1
    assert "flex_template.json is not what" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--chek"])
    assert stale.read_text() == "{}"
    assert main([]) == 0
    assert stale.read_text() == METADATA.read_text()


def test_parameters_have_what_the_console_asks_for():
    for parameter in BY_NAME.values():
        assert re.fullmatch("[a-z][a-z0-9_]*", parameter["name"])
        assert parameter["label"]
        assert parameter["helpText"]
        assert isinstance(parameter["isOptional"], bool)
        for pattern in parameter.get("regexes", ()):
            assert re.fullmatch(pattern, parameter.get("defaultValue", "")) or (
                "defaultValue" not in parameter
            )
        if "enumOptions" in parameter:
            words = [option["value"] for option in parameter["enumOptions"]]
            assert parameter["defaultValue"] in words
    assert [name for name, one in BY_NAME.items() if not one["isOptional"]] == ["output"]
    assert BY_NAME["robots_txt"]["enumOptions"][0]["value"] == "honour"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("output", "gs://bucket/dataset", "/tmp/dataset"),
        ("input", "gs://b/a.csv,s3://b/{x,y}.csv", "urls.csv"),
        ("input", "gs://b/a.csv\ngs://b/b.csv\n", "gs://b/a.csv\nb.csv"),
        ("seed", "12", "1.5"),
        ("sample_rate", "1e-3", "half"),
    ],
)
def test_patterns_tell_good_values_from_bad_ones(name, good, bad):
    (pattern,) = BY_NAME[name]["regexes"]
    assert re.fullmatch(pattern, good)
    assert not re.fullmatch(pattern, bad)


def test_values_come_by_comma_or_by_line():
    assert split_values("a, b,,c") == ["a", "b", "c"]
    assert split_values("a,b\n c\n") == ["a,b", "c"]
    assert split_values("x/{a,b}.csv,y") == ["x/{a,b}.csv", "y"]
    assert split_values("") == []


def test_a_launch_becomes_a_command_that_the_parser_takes():
    words = command_line(
        [
            "--input=gs://b/a.csv,gs://b/b.csv",
            "--output=gs://b/d",
            "--host_limits=",
            "--allow_network=",
            "--shard_candidates=100",
            "--timeout_s=7",
            "--runner=DataflowRunner",
        ]
    )
    assert words == [
        "build",
        "--input=gs://b/a.csv",
        "--input=gs://b/b.csv",
        "--output=gs://b/d",
        "--shard_candidates=100",
        "--timeout_s=7",
        "--runner=DataflowRunner",
    ]


@pytest.mark.parametrize("command", ["plan", "build"])
def test_all_defaults_of_the_template_are_accepted_by_its_commands(command):
    import argparse

    parser = argparse.ArgumentParser(allow_abbrev=False)
    for model in COMMANDS[command].models:
        add_flags(parser, model)
    defaults = [
        f"--{name}={one.get('defaultValue', '')}"
        for name, one in BY_NAME.items()
        if name != "command"
    ]
    found, *words = command_line([f"--command={command}", "--output=gs://b/d", *defaults])
    assert found == command
    parser.parse_args(words)


def test_a_launch_runs_its_command_without_what_only_the_launcher_knows(monkeypatch):
    ran = []
    monkeypatch.setattr("pipelines.command.main", lambda words: ran.append(words) or 0)
    words = ["--output=gs://b/d", "--runner=DataflowRunner", "--job_name=a", "--launcher_thing=1"]
    assert launch(["--command=build", *words]) == 0
    assert ran == [["build", *words[:-1]]]
