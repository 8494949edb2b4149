"""Hundreds of edits to real datasets, one at a time: the depth that promises to, finds each."""

import io
from dataclasses import replace

import pytest

from ingest.audit.verify import audit
from ingest.miniweb.pictures import evaluation_tiles
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Page, image_page
from tests.building import HOST, build, picture_site, pictures, record_of, uncurated, write_urls
from tests.edits import DEFAULT, EDITS, QUICK, SAMPLES, Edited, reencoded
from tests.forging import forge_shard

NUM_PICTURES, NUM_COPIES, NUM_DEAD = 74, 6, 20
NUM_EARLY, NUM_LATE = 20, 8
# Several builds by the real command: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)


def build_tar(folder):
    """50 tar shards, matched against an index with canaries, and later decontaminated."""
    for name, tiles in (("first", (0, 3)), ("later", (3, 6))):
        (folder / name).mkdir()
        for number, tile in list(enumerate(evaluation_tiles(5, 6)))[slice(*tiles)]:
            tile.save(folder / name / f"{number}.png")
        index = f"--output={folder / name}.index"
        sets = f"--eval-set={name}={folder / name}"
        assert uncurated("index", sets, index, "--canaries=6", "--profile=small").returncode == 0
    site = picture_site(NUM_PICTURES)
    for number, tile in enumerate(evaluation_tiles(5, NUM_COPIES)):
        buffer = io.BytesIO()
        tile.save(buffer, "PNG")
        site.add(HOST, f"/copy-{number}", Page(body=buffer.getvalue()))
    paths = [f"/copy-{number}" for number in range(NUM_COPIES)]
    paths += [f"/{number}" for number in range(NUM_PICTURES + NUM_DEAD)]
    with MiniWeb(site) as web:
        urls = write_urls(folder / "urls.csv", [web.url(HOST, path) for path in paths])
        index = f"--eval-index={folder / 'first.index'}"
        record = build(folder / "tar", f"--input={urls}", "--shard-candidates=2", index)
    later = ("decontaminate", folder / "tar", f"--eval-index={folder / 'later.index'}")
    assert uncurated(*later).returncode == 0
    assert list((folder / "tar" / "tombstones").iterdir())
    assert record.num_shards == 50
    return folder / "tar"


def build_arrow(folder):
    """A few Arrow shards, some of them by a retry."""
    site = picture_site(NUM_EARLY)
    for number, picture in enumerate(pictures(NUM_EARLY + NUM_LATE)[NUM_EARLY:]):
        page = image_page(picture.content, picture.media_type)
        site.add(HOST, f"/late-{number}", replace(page, num_failures=1))
    with MiniWeb(site) as web:
        paths = [f"/{number}" for number in range(NUM_EARLY + 4)]
        paths += [f"/late-{number}" for number in range(NUM_LATE)]
        urls = write_urls(folder / "urls.csv", [web.url(HOST, path) for path in paths])
        limits = ("--shard-candidates=5", "--max-attempts=1", "--format=arrow")
        build(folder / "arrow", f"--input={urls}", *limits)
        finished = uncurated("retry", folder / "arrow", "--outcomes=http_5xx")
    assert finished.returncode == 0, finished.stderr
    assert record_of(folder / "arrow").retries[0].num_candidates == NUM_LATE
    return folder / "arrow"


@pytest.fixture(scope="module", params=[build_tar, build_arrow], ids=["tar", "arrow"])
def edited(request, tmp_path_factory):
    """A dataset that each test leaves as it was."""
    return Edited(request.param(tmp_path_factory.mktemp("mutations")), seed=11)


def findings_of(edited, depth):
    return audit(str(edited.dataset), depth=depth).findings


@pytest.mark.parametrize("depth", [QUICK, DEFAULT, SAMPLES])
def test_a_sound_dataset_has_no_findings_at_any_depth(edited, depth):
    report = audit(str(edited.dataset), depth=depth)
    assert report.findings == []
    assert report.num_samples == (report.record.num_kept if depth is SAMPLES else 0)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_every_edit_is_found(edited, edit):
    missed = []
    for number in range(EDITS[edit]):
        while (depth := edit(edited)) is None:
            edited.restore()
        changed = edited.changed()
        assert changed, f"{edit.__name__} {number} changed nothing"
        if not findings_of(edited, depth):
            missed.append((number, changed))
        edited.restore()
    assert missed == []


def test_there_are_hundreds_of_edits_in_all():
    assert 2 * sum(EDITS.values()) >= 300


def test_only_decoding_finds_a_lie_that_all_files_tell(edited):
    """So the forger of these tests is a good one."""
    commit = edited.any_commit(edited.can_be_forged)
    forge_shard(edited.dataset, commit, reencoded)
    found = [findings_of(edited, depth) for depth in (QUICK, DEFAULT, SAMPLES)]
    edited.restore()
    assert found[:2] == [[], []]
    assert any("pixels_sha256 of the decoded image" in str(one) for one in found[2])
