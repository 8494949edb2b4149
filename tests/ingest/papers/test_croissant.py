import json
from hashlib import sha256

import pytest

from ingest.papers.croissant import CONTEXT, license_url
from ingest.papers.croissant_records import fields_of, left_out
from ingest.papers.write import make_papers
from schemas.ledger import LedgerRow
from schemas.manifest import Commit
from tests.building import commits_of, record_of
from tests.ingest.papers.examples import HOSTILE, report_of, survey_of, told_options
from tests.train_entry.datasets import add_tombstones, make_dataset, pictures, seal

# Foreign code: rdflib, pandas and mlcroissant itself warn of their own future.
pytestmark = pytest.mark.filterwarnings("ignore")
IMAGES = pictures(110)


@pytest.fixture
def dataset(tmp_path):
    make_dataset(tmp_path / "made-up", [IMAGES[:60], IMAGES[60:], []])
    return tmp_path / "made-up"


def write(dataset, options=None, **changes):
    """The Croissant record of a dataset, written where it lies; its path."""
    record = record_of(dataset)
    survey = survey_of(record, **changes)
    options = options or told_options(dataset)
    papers = make_papers(str(dataset), record, survey, report_of(record), options)
    path = dataset / "croissant.json"
    path.write_bytes(papers["croissant.json"])
    return path


def load(path):
    import mlcroissant

    return mlcroissant.Dataset(jsonld=str(path))


def issues(loaded):
    found = loaded.metadata.ctx.issues
    return found.errors, found.warnings


def test_it_validates_without_an_error_or_a_warning(dataset):
    assert issues(load(write(dataset))) == (set(), set())


def test_the_context_is_the_official_one_and_prov():
    from mlcroissant._src.core.context import Context, CroissantVersion
    from mlcroissant._src.core.rdf import make_context

    official = make_context(Context(conforms_to=CroissantVersion.V_1_1))
    assert {**official, "prov": "http://www.w3.org/ns/prov#"} == CONTEXT


def test_only_what_the_publisher_did_not_tell_is_warned_of(dataset):
    options = told_options(dataset, license="", creator="", url="", contact="")
    errors, warnings = issues(load(write(dataset, options)))
    assert not errors
    assert len(warnings) == 1
    assert "license" in next(iter(warnings))


def test_ledger_and_manifest_are_read_through_it(dataset):
    loaded = load(write(dataset))
    ledger = list(loaded.records("ledger"))
    assert len(ledger) == len(IMAGES) + 3
    kept = [one for one in ledger if one["ledger/outcome"] == b"kept"]
    assert {one["ledger/sha256"].decode() for one in kept} == {
        sha256(image).hexdigest() for image in IMAGES
    }
    assert all(isinstance(one["ledger/length_bytes"], int) for one in kept)
    assert [one["ledger/redirects"] for one in kept] == [[]] * len(kept)
    manifest = list(loaded.records("manifest"))
    assert [one["manifest/shard_sha256"].decode() for one in manifest] == [
        one.shard_sha256 for one in commits_of(dataset)
    ]


def test_images_are_read_out_of_tars_with_their_ids(dataset, tmp_path, monkeypatch):
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path / "cache"))
    loaded = load(write(dataset))
    ids = {one["ledger/id"] for one in loaded.records("ledger") if one["ledger/outcome"] == b"kept"}
    images = list(loaded.records("images"))
    assert {one["images/id"] for one in images} == ids
    assert {one["images/image"].size for one in images} == {(48, 48)}


def test_a_changed_manifest_is_noticed(dataset):
    path = write(dataset)
    (dataset / "manifest.parquet").write_bytes(b"other")
    with pytest.raises(Exception, match="Download") as raised:
        list(load(path).records("manifest"))
    assert "not identical" in str(raised.value.__cause__)


def test_removed_images_are_listed_and_no_images_are_offered(dataset):
    gone = [one["id"] for one in ledger_ids(dataset)][:1]
    add_tombstones(dataset, gone, dict.fromkeys(gone, 0))
    path = write(dataset, num_kept=len(IMAGES) - 1, num_tombstones=1)
    loaded = load(path)
    assert not issues(loaded)[0]
    assert [one["tombstones/id"].decode() for one in loaded.records("tombstones")] == gone
    assert "images" not in {one["@id"] for one in json.loads(path.read_bytes())["recordSet"]}


def ledger_ids(dataset):
    import pyarrow.parquet as pq

    return pq.read_table(dataset / commits_of(dataset)[0].ledger_file).to_pylist()


def test_arrow_shards_are_named_but_not_read(tmp_path):
    make_dataset(tmp_path, [IMAGES[:3]], "arrow")
    record = record_of(tmp_path)
    build = record.build.model_copy(update={"options": {"pack": {"format": "arrow"}}})
    record = record.model_copy(update={"build": build})
    survey = survey_of(record)
    papers = make_papers(str(tmp_path), record, survey, report_of(record), told_options(tmp_path))
    content = json.loads(papers["croissant.json"])
    assert [one["@id"] for one in content["recordSet"]] == ["ledger", "manifest"]
    encodings = {
        one["encodingFormat"] for one in content["distribution"] if "shards/" in one["@id"]
    }
    assert encodings == {"application/vnd.apache.arrow.file"}


def test_an_empty_dataset_validates(tmp_path):
    seal(tmp_path, [])
    assert issues(load(write(tmp_path, carriers={}))) == (set(), set())


def test_hostile_texts_validate_and_come_back(dataset):
    options = told_options(dataset, title=HOSTILE, creator=HOSTILE, contact=HOSTILE)
    loaded = load(write(dataset, options))
    assert not issues(loaded)[0]
    assert loaded.metadata.name == HOSTILE


def test_descriptions_are_those_of_the_models():
    for model in (LedgerRow, Commit):
        fields = fields_of(model, "x", {"fileSet": {"@id": "files"}})
        found = {one["name"]: one["description"] for one in fields}
        told = {name: info.description for name, info in model.model_fields.items()}
        assert found == {name: told[name] for name in told if name not in left_out(model)}
    assert left_out(LedgerRow) == ["thumbnail"]
    assert left_out(Commit) == ["outcomes", "exact_copies", "near_copies"]


def test_many_shards_are_file_sets_whose_digests_the_manifest_has(dataset, monkeypatch):
    monkeypatch.setattr("ingest.papers.write.MOST_LISTED", 2)
    path = write(dataset)
    content = json.loads(path.read_bytes())
    sets = {
        one["@id"]: one["includes"]
        for one in content["distribution"]
        if one["@type"] == "cr:FileSet"
    }
    assert sets == {"ledger-files": ["ledger/*.parquet"], "shard-files": ["shards/*.tar"]}
    loaded = load(path)
    assert issues(loaded) == (set(), set())
    assert len(list(loaded.records("ledger"))) == len(IMAGES) + 3


def test_responsible_ai_words_are_those_of_the_vocabulary(dataset):
    content = json.loads(write(dataset).read_bytes())
    words = {name.removeprefix("rai:") for name in content if name.startswith("rai:")}
    assert words == {
        "dataCollection",
        "dataCollectionType",
        "dataCollectionTimeframe",
        "dataCollectionMissingData",
        "dataCollectionRawData",
        "dataPreprocessingProtocol",
        "dataManipulationProtocol",
        "personalSensitiveInformation",
        "dataBiases",
        "dataLimitations",
        "dataUseCases",
        "dataSocialImpact",
        "dataReleaseMaintenancePlan",
    }
    assert content["rai:dataCollectionTimeframe"] == [
        "2025-10-09T08:53:20Z",
        "2025-10-10T08:53:20Z",
    ]


def test_a_licence_is_named_by_its_url():
    assert license_url("CC-BY-4.0") == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert license_url("https://example.org/terms") == "https://example.org/terms"
