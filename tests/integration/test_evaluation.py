"""From shards built by `uncurated` to figures: the whole way, killed, spread, and contaminated."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist

from schemas.figures import Evaluation, Figure
from schemas.manifest import decode
from tests.building import record_of, uncurated
from tests.clutter import png_of
from tests.digits import cluttered_digits
from tests.small_benchmarks import write_benchmarks
from tests.train_entry.ranks import on_ranks
from train_entry.config import CONFIG_FOLDER
from train_entry.evaluation.options import EvaluateOptions
from train_entry.evaluation.whole import evaluate
from train_entry.parallel import Ranks

# Two builds and two pretrainings by the real commands: minutes on a busy machine.
pytestmark = pytest.mark.timeout(1200)
NUM_STRANGERS, STEPS = 100, 250
SETS = (
    *("small-digits", "small-tiles", "small-copies", "small-shifted-digits"),
    *("small-styles", "small-places", "small-digit-groups"),
)
TILES = ("small-tiles", "nearest_neighbors")


def run(*command, timeout_s=600):
    finished = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return finished.returncode, finished.stdout + finished.stderr


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For all commands: another number of threads adds up gradients in another order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def definitions(folder):
    """The benchmarks of `folder`/root."""
    return write_benchmarks(folder / "root", folder / "definitions")


@pytest.fixture(scope="module")
def index(folder, definitions):
    """An evaluation index of the test set of tiles."""
    tests = folder / "test-tiles"
    tests.mkdir()
    for path in copied_tiles(folder):
        (tests / path.name).write_bytes(path.read_bytes())
    told = uncurated("index", f"--eval-set=small-tiles={tests}", f"--output={folder / 'index'}")
    assert told.returncode == 0, told.stdout + told.stderr
    return folder / "index"


def copied_tiles(folder):
    """The images of the test split, as its list names them."""
    lines = (folder / "root/small-tiles/test.csv").read_text().splitlines()[1:]
    return [folder / "root/small-tiles" / line.partition(",")[0] for line in lines]


@pytest.fixture(scope="module")
def crawl(folder, definitions):
    """What was found on the web: cluttered digits, and copies of the test tiles among them."""
    crawl = folder / "crawl"
    crawl.mkdir()
    for number, picture in enumerate(cluttered_digits()[0][:NUM_STRANGERS]):
        (crawl / f"digit-{number}.png").write_bytes(png_of(picture))
    for path in copied_tiles(folder):
        (crawl / f"copy-{path.name}").write_bytes(path.read_bytes())
    return crawl


def dataset_of(folder, name, crawl, *arguments):
    told = uncurated("build", f"--input={crawl}", f"--output={folder / name}", *arguments)
    assert told.returncode == 0, told.stdout + told.stderr
    return folder / name


def pretrained(dataset, output):
    told = [f"data={dataset}", f"output={output}", f"loader.cache={output}-cache"]
    told += [f"optim.steps={STEPS}", "optim.warmup_steps=50"]
    config = CONFIG_FOLDER / "clutter_cpu.yaml"
    code, said = run("train_entry.pretrain", config, *told)
    assert code == 0, said
    return output


@pytest.fixture(scope="module")
def clean(folder, crawl, index):
    """A dataset without the copies, and a run on it."""
    dataset = dataset_of(folder, "clean", crawl, f"--eval-index={index}")
    return dataset, pretrained(dataset, folder / "clean-run")


@pytest.fixture(scope="module")
def contaminated(folder, crawl, index):
    """A dataset with them, a run on it, and a look for them that comes too late."""
    dataset = dataset_of(folder, "dirty", crawl)
    trained = pretrained(dataset, folder / "dirty-run")
    told = uncurated("decontaminate", dataset, f"--eval-index={index}")
    assert told.returncode == 0, told.stdout + told.stderr
    return dataset, trained


def arguments(folder, definitions, model, output, *others):
    told = ["train_entry.evaluate", model, "--root", folder / "root", "--output", output]
    return [*told, "--definitions", *definitions, "--workers", 0, *others]


def evaluated(output):
    return decode(Evaluation, (output / "evaluation.json").read_bytes())


@pytest.fixture(scope="module")
def whole(folder, definitions, clean):
    """The evaluation of the clean run on all small benchmarks."""
    dataset, model = clean
    output = folder / "whole"
    told = arguments(folder, definitions, model, output, "--training-data", dataset)
    code, said = run(*told, "--benchmarks", *SETS)
    assert code == 0, said
    return output


def test_all_small_benchmarks_are_evaluated_from_a_run_on_shards_of_ours(whole, clean):
    found = evaluated(whole)
    assert found.missing == {}
    assert {one.benchmark for one in found.results} == set(SETS)
    assert found.encoder.merkle_root == record_of(clean[0]).merkle_root
    for result in found.results:
        assert any(figure.primary for figure in result.figures), result.benchmark
        # By the same names, for the page to show side by side.
        assert result.num_images.keys() == result.splits.keys()
        for figure in result.figures:
            assert figure.low is None or figure.low <= figure.value <= figure.high, figure
    values = {(one.benchmark, one.protocol): one.figures[0].value for one in found.results}
    # Far above chance, by a network of 20,000 parameters that has seen no label.
    assert values["small-digits", "linear_probe"] > 0.3
    assert values["small-tiles", "nearest_neighbors"] > 0.15
    assert values["small-copies", "copy_detection"] > 0.2
    assert values["small-styles", "style_retrieval"] > 0.4


def test_the_files_say_the_same_and_the_page_has_every_main_figure(whole):
    found = evaluated(whole)
    rows = Figure.from_table(pq.read_table(whole / "figures.parquet"))
    assert rows == [figure for result in found.results for figure in result.figures]
    page = (whole / "index.html").read_text()
    for result in found.results:
        assert result.benchmark in page
        assert result.figures[0].protocol_sha256[:12] in page


def test_two_ranks_find_exactly_what_one_finds(folder, definitions, clean, whole):
    dataset, model = clean
    output = folder / "two-ranks"
    told = arguments(folder, definitions, model, output, "--training-data", dataset)
    launch = ["train_entry.launch", "--nproc-per-node", 2, "-m"]
    code, said = run(*launch, *told, "--benchmarks", *SETS)
    assert code == 0, said
    assert same_but_fine_tuning(output) == same_but_fine_tuning(whole)


def _sees_the_report(told):
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), torch.device("cpu"))
    evaluate(EvaluateOptions.model_validate(told), ranks)
    return Path(told["output"], "index.html").exists()


def test_no_rank_leaves_before_the_report_is_written(folder, definitions, clean):
    # If one left with another code than 0 before that, torchrun would end the one that writes.
    told = {"model": str(clean[1]), "root": str(folder / "root"), "output": str(folder / "left")}
    told |= {"definitions": tuple(map(str, definitions)), "workers": 0}
    told |= {"benchmarks": ("small-digits",), "protocols": ("nearest_neighbors",)}
    assert on_ranks(2, _sees_the_report, told) == [True, True]


def same_but_fine_tuning(output):
    """All results; training over ranks adds numbers in another order."""
    found = evaluated(output)
    return [one for one in found.results if one.protocol != "fine_tune"]


def test_killed_and_started_again_it_finds_what_an_undisturbed_one_finds(
    folder, definitions, clean, whole
):
    dataset, model = clean
    output = folder / "killed"
    told = arguments(folder, definitions, model, output, "--training-data", dataset)
    command = [sys.executable, "-m", *map(str, told), "--benchmarks", *SETS]
    # Once among the features, once among the results.
    for pattern in ("features/*/part-*.json", "results/small-*.json"):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not list(output.glob(pattern)) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (output / "evaluation.json").exists()
    code, said = run(*told, "--benchmarks", *SETS)
    assert code == 0, said
    for name in ("evaluation.json", "figures.parquet", "index.html"):
        assert (output / name).read_bytes() == (whole / name).read_bytes(), name


def test_planted_copies_raise_the_score_and_the_same_line_says_so(
    folder, definitions, clean, contaminated
):
    found, pages = [], []
    for name, (dataset, model) in (("clean", clean), ("dirty", contaminated)):
        output = folder / f"{name}-tiles"
        told = arguments(folder, definitions, model, output, "--training-data", dataset)
        told += ["--compare", folder / "clean-tiles/evaluation.json"] if found else []
        code, said = run(*told, "--benchmarks", TILES[0], "--protocols", TILES[1])
        assert code == 0, said
        found.append(evaluated(output).results[0])
        pages.append((output / "index.html").read_text())
    cleaned, dirty = found
    assert dirty.figures[0].value > cleaned.figures[0].value + 0.02
    num_copies = len(copied_tiles(folder))
    assert cleaned.contamination.exact_removed == num_copies
    assert (cleaned.contamination.exact_left, dirty.contamination.exact_left) == (0, num_copies)
    assert f"CONTAMINATED: trained on {num_copies} exact" in row_of(pages[1], "small-tiles")
    assert "CONTAMINATED" not in pages[0]
    assert "clean-run" in pages[1]
    assert f"{dirty.figures[0].value:.1%}" in row_of(pages[1], "small-tiles")


def row_of(page, benchmark):
    """The first row of a table that names a benchmark."""
    rows = [row.partition("</tr>")[0] for row in page.split("<tr")[1:]]
    return next(row for row in rows if benchmark in row)


def test_a_run_is_not_evaluated_beside_data_that_it_has_not_read(
    folder, definitions, clean, contaminated
):
    told = arguments(folder, definitions, clean[1], folder / "wrong")
    code, said = run(*told, "--training-data", contaminated[0], "--benchmarks", "small-tiles")
    assert code == 2
    roots = [record_of(dataset).merkle_root for dataset in (clean[0], contaminated[0])]
    assert f"Merkle root {roots[0]}, got {roots[1]}" in said


def test_an_encoder_of_another_library_needs_a_function_alone(folder, definitions, monkeypatch):
    module = folder / "others.py"
    module.write_text(
        "import torch\n"
        "def net():\n"
        "    torch.manual_seed(1)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 16, 5, 2), torch.nn.ReLU())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    told = arguments(folder, definitions, "others:net", folder / "others")
    code, said = run(*told, "--benchmarks", "small-digits", "--protocols", "linear_probe")
    assert code == 0, said
    (result,) = evaluated(folder / "others").results
    assert result.contamination.matched is None
    assert any("no stage3_2x1" in text for text in result.deviations)


def test_what_is_not_there_is_told_and_the_rest_is_done(folder, definitions, clean):
    told = arguments(folder, definitions, clean[1], folder / "some")
    names = ["small-digits", "oxford-pets"]
    code, said = run(
        *told, "--benchmarks", *names, "--protocols", "nearest_neighbors", "linear_probe"
    )
    assert code == 1
    found = evaluated(folder / "some")
    assert {one.benchmark for one in found.results} == {"small-digits"}
    assert "oxford-pets/trainval: expected one of" in found.missing["oxford-pets--linear_probe"]
    assert json.dumps(found.missing["oxford-pets--linear_probe"])[1:40] in said


def test_a_table_that_cannot_be_read_costs_its_own_benchmark_alone(folder, definitions, clean):
    root = folder / "damaged"
    names = ["small-shifted-digits", "small-digits"]
    for name in names:
        shutil.copytree(folder / "root" / name, root / name)
    (table,) = (root / names[0]).iterdir()
    column = pq.ParquetFile(table).metadata.row_group(0).column(0)
    with table.open("r+b") as file:
        file.seek(column.data_page_offset)
        file.write(b"\xff" * 64)
    told = arguments(folder, definitions, clean[1], folder / "damaged-out", "--root", root)
    command = [*told, "--benchmarks", *names, "--protocols", "shift", "nearest_neighbors"]
    code, said = run("train_entry.launch", "--nproc-per-node", 2, "-m", *command)
    assert code == 1, said
    found = evaluated(folder / "damaged-out")
    assert {one.benchmark for one in found.results} == {"small-digits"}
    assert f"{table}: expected row 0, got" in found.missing["small-shifted-digits--shift"]


def test_wrong_arguments_are_told_with_what_was_expected(folder):
    told = ["train_entry.evaluate", "no-model", "--root", folder, "--output", folder / "none"]
    for wrong, message in (
        (["--batch", "none"], "--batch: Input should be a valid integer.*got none"),
        (["--benchmarks", "oxford-pots"], "expected ids .* got 'oxford-pots'"),
    ):
        code, said = run(*told, *wrong)
        assert code == 2
        assert re.search(message, said), said
