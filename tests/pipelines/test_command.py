import json

import pytest

from ingest.errors import SetupError
from pipelines.command import COMMANDS, main
from pipelines.options import check_rest, num_fetching_processes
from pipelines.progress import Tally
from schemas.options import BuildOptions, PolitenessOptions
from tests.building import HOST, build, ledger_of, picture_site, pictures, uncurated, write_urls


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command):
    finished = uncurated(command, "--help")
    assert finished.returncode == 0
    assert f"uncurated {command}" in finished.stdout
    assert "examples:" in finished.stdout


def test_the_commands_and_the_version_are_listed():
    assert all(command in uncurated("--help").stdout for command in COMMANDS)
    assert uncurated("--version").stdout.startswith("0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["build", "--outptu=x"],
            "expected a flag of this command or of Beam, got --outptu=x; did",
        ),
        (["certificate", "x", "--fast"], "expected a flag of this command, got --fast"),
        (["audit", "x", "--fast"], "expected a flag of this command or of Beam, got --fast"),
        (["build", "--output=x"], "expected --input, or a dataset with a plan.json, got neither"),
        (["plan", "--input=x.csv"], "--output: expected a value, got none"),
        (["plan", "--input=x.csv", "--output=x", "--sample-rate=2"], "--sample-rate: Input should"),
        (["build", "--output=x", "--decoder-memory-mib=1"], "--decoder-memory-mib: Input should"),
        (["build", "--input=x.csv", "--output=x"], "got nothing at x.csv"),
        (["build", "--output=x", "--eval-index=y"], "got neither at x"),
    ],
)
def test_wrong_commands_are_told_in_one_sentence_with_both_sides(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_flags_are_accepted_with_dashes_and_with_underscores(serve, tmp_path):
    web = serve(picture_site(3))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, f"/{n}") for n in range(3)])
    record = build(tmp_path / "d", f"--input={table}", "--shard_candidates=1")
    assert record.num_shards == 3
    assert record.plan.options["shard_candidates"] == 1


def test_a_wrong_network_is_refused_before_anything_is_fetched(serve, tmp_path):
    web = serve(picture_site(1))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, "/0")])
    finished = uncurated(
        "build", f"--input={table}", f"--output={tmp_path / 'd'}", "--allow-network=localhost"
    )
    assert finished.returncode == 2
    assert "expected a network such as 127.0.0.0/8, got 'localhost'" in " ".join(
        finished.stderr.split()
    )
    assert web.requests() == []


def test_a_folder_of_images_is_built_without_a_network(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, picture in enumerate(pictures(20)):
        (folder / f"{number}.bin").write_bytes(picture.content)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "note.txt").write_text("no image")
    finished = uncurated("build", f"--input={folder}", f"--output={tmp_path / 'd'}")
    assert finished.returncode == 0, finished.stderr
    assert "user agent" not in finished.stderr
    record = json.loads((tmp_path / "d/dataset.json").read_bytes())
    assert record["outcomes"] == {"kept": 20, "empty": 1, "not_an_image": 1}
    assert {json.loads(row["columns"])["path"] for row in ledger_of(tmp_path / "d")} >= {"0.bin"}


def test_malformed_rows_stay_in_the_ledger(serve, tmp_path):
    web = serve(picture_site(1))
    urls = [web.url(HOST, "/0"), "", "ftp://a/x", "nonsense"]
    record = build(tmp_path / "d", f"--input={write_urls(tmp_path / 'urls.csv', urls)}")
    assert record.outcomes == {"kept": 1, "malformed_row": 1, "invalid_url": 2}


def test_without_an_index_everything_says_not_decontaminated(serve, tmp_path):
    web = serve(picture_site(1))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, "/0")])
    finished = uncurated(
        "build", f"--input={table}", f"--output={tmp_path / 'd'}", "--allow-network=127.0.0.0/8"
    )
    assert "not decontaminated" in finished.stdout
    record = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert record["decontamination"] == "not decontaminated"
    assert record["build"]["eval_index"] is None


def test_plain_progress_is_lines_and_no_control_codes(serve, tmp_path):
    web = serve(picture_site(1))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, "/0")])
    finished = uncurated(
        "build", f"--input={table}", f"--output={tmp_path / 'd'}", "--allow-network=127.0.0.0/8"
    )
    assert "\x1b" not in finished.stdout + finished.stderr
    assert "names nobody who can be reached" in " ".join(finished.stderr.split())


def test_the_runner_is_fnapi_unless_named():
    models = COMMANDS["build"].models
    assert check_rest([], models, True) == ["--runner=FnApiRunner"]
    named = ["--runner=DataflowRunner", "--project=p"]
    assert check_rest(named, models, True) == named


def test_processes_that_share_a_rate_come_from_the_workers():
    polite = PolitenessOptions(host_requests_per_s=1.0)
    local = ["--runner=FnApiRunner"]
    assert num_fetching_processes(local, polite) == 1
    assert num_fetching_processes([*local, "--direct_num_workers=3"], polite) == 3
    remote = ["--runner=DataflowRunner"]
    assert num_fetching_processes([*remote, "--max_num_workers=9"], polite) == 9
    with pytest.raises(SetupError, match="expected --fetching-processes or --max_num_workers"):
        num_fetching_processes(remote, polite)
    assert num_fetching_processes(remote, PolitenessOptions()) == 1
    many = PolitenessOptions(host_requests_per_s=1.0, fetching_processes=5)
    assert num_fetching_processes(remote, many) == 5


def test_progress_tells_share_rates_and_time_left():
    now = iter([0.0, 10.0])
    tally = Tally(1000, now=lambda: next(now))
    tally.add(b'[{"kept": 150, "dns": 100}, 5000000]')
    line = tally.line()
    assert line.split("  ") == [
        " 25.0% of 1,000",
        "25 images/s",
        "0.5 MB/s",
        "30 s left",
        "kept 150, dns 100",
    ]


def test_options_have_one_name_everywhere():
    from schemas.options import Options

    names: list[str] = []

    def collect(model):
        for name, info in model.model_fields.items():
            nested = info.annotation
            if isinstance(nested, type) and issubclass(nested, Options):
                collect(nested)
            else:
                names.append(name)

    collect(BuildOptions)
    assert len(names) == len(set(names))
