import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ingest.errors import SetupError
from ingest.evaluation_index.match import Query
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.decode import inspect_image
from ingest.miniweb.pictures import evaluation_tiles
from pipelines.command import main
from pipelines.index import index
from schemas.command_options import IndexOptions
from schemas.options import MatchOptions
from schemas.outcome import Outcome
from tests.building import pictures, uncurated

RUNNER = ("--runner=FnApiRunner",)
NEAR, EXACT = Outcome.DUPLICATE_NEAR, Outcome.DUPLICATE_EXACT


def save(folder, images):
    folder.mkdir(parents=True)
    for name, image in images.items():
        image.save(folder / name, "PNG")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Three folders of evaluation images; the first has a flat, a broken and another file too."""
    folder, tiles = tmp_path_factory.mktemp("sets"), evaluation_tiles(4, 12)
    for name, start in (("a", 0), ("b", 5), ("c", 8)):
        some = tiles[start : {"a": 5, "b": 8, "c": 12}[name]]
        save(folder / name, {f"{number:02d}.png": tile for number, tile in enumerate(some)})
    Image.new("RGB", (100, 100), (9, 9, 9)).save(folder / "a" / "flat.png")
    (folder / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (folder / "a" / "labels.txt").write_text("no image")
    (folder / "text").mkdir()
    (folder / "text" / "labels.txt").write_text("no image")
    return folder


def build(output, sets, *names, **options):
    """The record of an index of these sets; no canaries unless asked for."""
    chosen = IndexOptions(
        eval_set=tuple(f"{name}={sets / name}" for name in names),
        output=str(output),
        **{"canaries": 0, **options},
    )
    return index(chosen, RUNNER)


@pytest.fixture(scope="module")
def both(sets, tmp_path_factory):
    output = tmp_path_factory.mktemp("both") / "index"
    build(output, sets, "a", "b", canaries=3)
    return output


def files_of(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def counts_of(folder):
    return json.loads((Path(folder) / "manifest.json").read_text())["sets"]


def look_up(index_, content):
    found = inspect_image(content, 10**9)
    query = Query(bytes.fromhex(found.sha256), bytes.fromhex(found.pixels_sha256), found.views)
    return index_.match([query], MatchOptions())[0]


def test_the_record_is_that_of_the_written_index(both, sets, tmp_path):
    record = build(tmp_path / "again", sets, "b", "a", canaries=3)
    assert record.sha256 == EvaluationIndex.open(str(both)).record.sha256
    assert record.uri == str(tmp_path / "again")
    counts = counts_of(both)
    assert (counts["a"]["num_images"], counts["b"]["num_images"]) == (7, 3)
    assert (counts["a"]["num_exact_only"], counts["a"]["num_unreadable"]) == (1, 1)
    assert (counts["a"]["num_canaries"], counts["b"]["num_canaries"]) == (3, 3)


@pytest.mark.parametrize("unit_images", [1, 4])
def test_units_of_any_size_and_workers_give_the_same_files(both, sets, tmp_path, unit_images):
    chosen = IndexOptions(
        eval_set=(f"b={sets / 'b'}", f"a={sets / 'a'}"),
        output=str(tmp_path / "index"),
        canaries=3,
        unit_images=unit_images,
    )
    index(chosen, [*RUNNER, "--direct_num_workers=2", "--direct_running_mode=multi_threading"])
    assert files_of(tmp_path / "index") == files_of(both)


def test_extending_gives_the_files_of_building_at_once(both, sets, tmp_path):
    build(tmp_path / "a", sets, "a", canaries=3)
    build(tmp_path / "c", sets, "c", canaries=3)
    build(tmp_path / "more", sets, "b", canaries=3, extend=(str(tmp_path / "a"),))
    assert files_of(tmp_path / "more") == files_of(both)
    merged = (str(tmp_path / "c"), f"file://{both}")
    build(tmp_path / "merged", sets, canaries=3, extend=merged)
    build(tmp_path / "at once", sets, "c", "b", "a", canaries=3)
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "at once")


def test_an_index_cannot_be_extended_by_a_set_that_it_has(both, sets, tmp_path):
    with pytest.raises(
        SetupError, match=f"once, got 'b' in --eval-set or --root and in --extend {both}"
    ):
        build(tmp_path / "index", sets, "b", extend=(str(both),))
    copy = shutil.copytree(both, tmp_path / "copy")
    with pytest.raises(SetupError, match=f"'a' in --extend {both} and in --extend {copy}"):
        build(tmp_path / "index", sets, extend=(str(both), str(copy)))
    assert not (tmp_path / "index").exists()


def test_the_same_index_is_accepted_again_and_another_refused(both, sets, tmp_path):
    output = shutil.copytree(both, tmp_path / "index")
    build(output, sets, "a", "b", canaries=3)
    with pytest.raises(SetupError, match="expected a new folder or the same index, got another"):
        build(output, sets, "c")
    assert files_of(output) == files_of(both)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


def disc(seed):
    """A disc that differs from others in its grain alone: a hub."""
    drawn = Image.new("L", (256, 256), 20)
    ImageDraw.Draw(drawn).ellipse((30, 40, 200, 220), 200)
    grain = np.random.default_rng(seed).normal(0, 6, (64, 64)).astype(np.float32)
    coarse = np.asarray(Image.fromarray(grain).resize((256, 256)))
    return Image.fromarray(np.clip(np.asarray(drawn) + coarse, 0, 255).astype(np.uint8))


def test_hubs_are_demoted_by_backgrounds_and_found_by_their_bytes(sets, tmp_path):
    tiles = evaluation_tiles(4, 3)
    eval_set = save(tmp_path / "hub", {"disc": disc(0), "tile": tiles[0]})
    save(tmp_path / "crawl", {f"{seed}": disc(seed) for seed in range(1, 9)})
    save(tmp_path / "more", {f"{seed}": disc(seed) for seed in range(9, 25)})
    backgrounds = tuple(str(tmp_path / name) for name in ("crawl", "more"))
    build(tmp_path / "index", tmp_path, "hub", background=backgrounds, unit_images=3)
    opened = EvaluationIndex.open(str(tmp_path / "index"))
    calibration = opened.manifest.calibration
    assert all(name.startswith("hub/disc ") for name in calibration.demoted)
    assert calibration.num_hits < calibration.num_hits_before
    assert opened.num_codes_of("hub/tile") > 0
    disc(99).save(tmp_path / "other.png")
    match = look_up(opened, (tmp_path / "other.png").read_bytes())
    assert match is None or match.outcome is None
    assert look_up(opened, (eval_set / "disc").read_bytes()).outcome is EXACT


def test_the_command_indexes_two_sets_and_extends_them(sets, tmp_path):
    first, more = tmp_path / "first", tmp_path / "more"
    finished = uncurated(
        "index", f"--eval-set=a={sets / 'a'}", f"--eval-set=b={sets / 'b'}",
        "--profile=small", "--canaries=2", f"--output={first}",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    record = EvaluationIndex.open(str(first)).record
    printed = " ".join(finished.stdout.split())
    assert "a: 7 images, b: 3 images" in printed
    assert record.sha256 in printed.replace(" ", "")
    finished = uncurated(
        "index", f"--extend={first}", f"--eval-set=c={sets / 'c'}", f"--background={sets / 'b'}",
        "--profile=small", f"--output={more}",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    manifest = EvaluationIndex.open(str(more)).manifest
    assert sorted(manifest.sets) == ["a", "b", "c"]
    assert manifest.profiles == ("small",)
    assert manifest.calibration.num_hits == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--eval-set=nothing"], "expected NAME=PATH"),
        (["--eval-set=a={sets}/a", "--eval-set=a={sets}/b"], "each name once, got 'a' twice"),
        (["--eval-set=a=/no/such/place"], "got nothing at /no/such/place"),
        (["--eval-set=a={sets}/a/labels.txt"], "expected a folder, .tar or .parquet"),
        (["--eval-set=a={empty}"], "expected images, got none in {empty}, but 0 other"),
        (["--eval-set=a={sets}/text"], "expected images in each set, got none in a"),
        (["--eval-set=a={sets}/a", "--extend={sets}"], "expected an evaluation index with"),
        (
            ["--eval-set=a={sets}/a", "--extend={both}"],
            "got 'a' in --eval-set or --root and in --extend",
        ),
        (["--eval-set=a={sets}/a", "--background={sets}/text"], "--background: expected images"),
        (["--eval-set=a={sets}/a", "--background={empty}"], "got none in {empty}"),
        (["--eval-set=a={sets}/a", "--background=/nowhere"], "got nothing at /nowhere"),
        (["--eval-set=a={sets}/a", "--hub-hits=-1"], "--hub-hits: Input should be"),
        ([], "expected --eval-set"),
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(sets, both, tmp_path, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    places = {"sets": sets, "empty": tmp_path / "empty", "both": both}
    arguments = [argument.format(**places) for argument in arguments]
    assert main(["index", *arguments, f"--output={tmp_path / 'index'}", "--canaries=0"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert message.format(**places) in told
    assert "Traceback" not in told
    assert "while running" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_an_unknown_profile_is_refused_naming_all(capsys):
    with pytest.raises(SystemExit):
        main(["index", "--eval-set=a=b", "--output=x", "--profile=huge"])
    assert "'huge' (choose from 'small', 'standard', 'thorough')" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{sets}/a", "--output: expected a new folder or an index"),
        ("memory://index", "--output: expected a local folder, got memory://index"),
        ("{both}", "expected a new folder or the same index, got another in"),
    ],
)
def test_an_output_that_holds_something_else_is_refused(sets, both, capsys, output, message):
    output = output.format(sets=sets, both=both)
    assert main(["index", f"--eval-set=c={sets / 'c'}", f"--output={output}"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_crawled_pictures_are_no_copies_of_evaluation_images(both):
    opened = EvaluationIndex.open(str(both))
    found = [look_up(opened, picture.content) for picture in pictures(40)]
    assert [match for match in found if match is not None and match.outcome is not None] == []


@pytest.fixture
def root(sets, tmp_path):
    """Two benchmarks of the registry, laid out as it knows: one of them exact only."""
    shutil.copytree(sets / "b", tmp_path / "caltech-101" / "all")
    shutil.copytree(sets / "c", tmp_path / "mnist" / "test")
    return tmp_path


def test_benchmarks_below_a_root_are_indexed_with_their_rules(root, tmp_path):
    record = index(IndexOptions(root=str(root), output=str(tmp_path / "x"), canaries=0), RUNNER)
    assert sorted(record.sets) == ["caltech-101", "mnist"]
    assert not record.sets["mnist"].rule.perceptual
    assert record.sets["mnist"].num_codes == 0
    assert record.sets["mnist"].num_exact_only == record.sets["mnist"].num_images == 4
    assert record.sets["caltech-101"].num_codes > 20
    opened = EvaluationIndex.open(str(tmp_path / "x"))
    assert opened.num_codes_of("caltech-101/all/00.png") > 10
    one = index(
        IndexOptions(root=str(root), benchmark=("mnist",), output=str(tmp_path / "y"), canaries=0),
        RUNNER,
    )
    assert sorted(one.sets) == ["mnist"]


def test_a_set_that_is_trained_on_has_nothing_to_index(root, tmp_path):
    options = IndexOptions(root=str(root), benchmark=("mp16",), output=str(tmp_path / "x"))
    with pytest.raises(SetupError, match=r"--benchmark: expected evaluation sets, got mp16, which"):
        index(options, RUNNER)


def test_a_benchmark_that_is_not_there_is_named_with_its_places(root, tmp_path):
    options = IndexOptions(root=str(root), benchmark=("dtd",), output=str(tmp_path / "x"))
    with pytest.raises(SetupError, match=r"dtd/val: expected one of .* got nothing"):
        index(options, RUNNER)
    unknown = IndexOptions(root=str(root), benchmark=("imagenet",), output=str(tmp_path / "x"))
    with pytest.raises(SetupError, match=r"--benchmark: expected one of \d+ benchmarks, got"):
        index(unknown, RUNNER)
    with pytest.raises(SetupError, match="--root: expected folders of benchmarks"):
        index(IndexOptions(root=str(tmp_path / "none"), output=str(tmp_path / "x")), RUNNER)


def test_parts_in_a_scratch_folder_are_not_made_again(sets, tmp_path, monkeypatch):
    scratch, one, other = tmp_path / "scratch", tmp_path / "one", tmp_path / "other"
    build(one, sets, "b", scratch=str(scratch), unit_images=2)
    assert len(list(scratch.glob("*.done"))) == 2

    def fail(*arguments):
        raise AssertionError

    monkeypatch.setattr("ingest.evaluation_index.parts.fingerprint_set", fail)
    build(other, sets, "b", scratch=str(scratch), unit_images=2)
    assert (one / "manifest.json").read_bytes() == (other / "manifest.json").read_bytes()


def test_what_was_demoted_is_told_by_an_index_that_takes_it_over(sets, tmp_path):
    strangers = save(
        tmp_path / "background",
        {
            f"{number}.png": Image.open(sets / "b" / "00.png").resize((200 + number, 170))
            for number in range(30)
        },
    )
    build(tmp_path / "one", sets, "b", background=(str(strangers),), hub_hits=1)
    first = EvaluationIndex.open(str(tmp_path / "one")).record.calibration
    assert first.demoted
    build(tmp_path / "two", sets, "c", extend=(str(tmp_path / "one"),))
    second = EvaluationIndex.open(str(tmp_path / "two")).record.calibration
    assert second.demoted == first.demoted
    assert second.num_images == 0
