import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import SetupError
from ingest.evaluation_index import search
from ingest.evaluation_index.layout import FILES, MANIFEST, write_index
from ingest.evaluation_index.search import EvaluationIndex, Match
from ingest.evaluation_index.variants import VARIANTS
from schemas.outcome import Outcome

NO_DIGEST = "00" * 32


def index_of(codes, digests=(), variants_each=2):
    """An index of these codes, `variants_each` for each owner, made without any picture."""
    digests = sorted(digests)
    place = np.arange(len(codes), dtype=np.uint32)
    num_owners = max(len(digests), len(codes))
    arrays = {
        "sha256": np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        "sha256_owner": np.arange(len(digests), dtype=np.uint32),
        "codes": np.asfortranarray(np.frombuffer(b"".join(codes), np.uint64).reshape(-1, 4)),
        "owner": place // variants_each,
        "variant": (place % variants_each).astype(np.uint8),
        "texture": np.full(len(codes), 256, np.uint16),
    }
    facts = {"variants": VARIANTS, "sets": {}, "versions": {}}
    with TemporaryDirectory() as folder:
        write_index(Path(folder), arrays, [f"s/{one}" for one in range(num_owners)], facts)
        return EvaluationIndex.open(folder)


def match_codes(index, queries, radius=31, texture=256):
    codes = np.frombuffer(b"".join(queries), np.uint8).reshape(-1, 32)
    textures = np.full(len(queries), texture, np.uint16)
    return index.match([NO_DIGEST] * len(queries), codes, textures, radius)


def plain_match(codes, query, radius):
    """The definition, one code after the other."""
    best = None
    for place, code in enumerate(codes):
        distance = (int.from_bytes(code) ^ int.from_bytes(query)).bit_count()
        if distance <= 64 and (best is None or distance < best[0]):
            best = distance, place
    if best is None:
        return None
    outcome = Outcome.DUPLICATE_NEAR if best[0] <= radius else None
    return Match(f"s/{best[1] // 2}", VARIANTS[best[1] % 2], best[0], outcome)


def flipped(code, num_bits, seed):
    """The code with this many bits changed, at random places or all in one word."""
    chosen = np.random.default_rng(seed).permutation(256 if seed % 2 else 64)[:num_bits]
    bits = np.unpackbits(np.frombuffer(code, np.uint8))
    bits[chosen] ^= 1
    return np.packbits(bits).tobytes()


codes_32 = st.binary(min_size=32, max_size=32)


@settings(deadline=None, max_examples=60)
@given(
    codes=st.lists(codes_32, min_size=1, max_size=30),
    edits=st.lists(
        st.tuples(
            st.integers(0, 29), st.sampled_from([0, 1, 30, 31, 32, 63, 64]), st.integers(0, 9)
        ),
        max_size=20,
    ),
    strangers=st.lists(codes_32, max_size=5),
    radius=st.sampled_from([0, 1, 31, 32, 64]),
)
def test_search_equals_the_plain_definition_at_the_edges_too(codes, edits, strangers, radius):
    queries = [flipped(codes[place % len(codes)], bits, seed) for place, bits, seed in edits]
    queries += [flipped(codes[0], 65, 1), *strangers]
    expected = [plain_match(codes, query, radius) for query in queries]
    assert match_codes(index_of(codes), queries, radius) == expected


def test_search_in_several_blocks_equals_the_plain_definition(monkeypatch):
    monkeypatch.setattr(search, "_BLOCK_CODES", 7)
    monkeypatch.setattr(search, "_BLOCK_PAIRS", 22)
    codes = [np.random.default_rng(seed).bytes(32) for seed in range(50)]
    # Twins in other blocks: the first of equals must win.
    codes += codes[:20]
    queries = [flipped(codes[seed], seed % 70, seed) for seed in range(len(codes))]
    expected = [plain_match(codes, query, 31) for query in queries]
    assert match_codes(index_of(codes), queries) == expected


def test_distance_0_to_64_is_reported_and_only_the_radius_makes_a_copy():
    code = bytes(32)
    index = index_of([code])
    for seed in (1, 3):
        found = [match_codes(index, [flipped(code, bits, seed)])[0] for bits in (0, 31, 32, 64, 65)]
        assert [one and one.outcome for one in found] == [
            Outcome.DUPLICATE_NEAR,
            Outcome.DUPLICATE_NEAR,
            None,
            None,
            None,
        ]
        assert [one and one.distance for one in found] == [0, 31, 32, 64, None]


def test_ties_go_to_the_first_owner_then_the_first_variant():
    code = bytes(range(32))
    (found,) = match_codes(index_of([bytes(32), code, code, code]), [code])
    assert (found.name, found.variant) == ("s/0", VARIANTS[1])
    (found,) = match_codes(index_of([bytes(32), bytes(32), code, code]), [code])
    assert (found.name, found.variant) == ("s/1", VARIANTS[0])


def test_a_query_without_texture_is_looked_up_by_its_digest_alone():
    index = index_of([bytes(32)])
    assert match_codes(index, [bytes(32)], texture=95) == [None]
    assert match_codes(index, [bytes(32)], texture=96)[0].distance == 0


# Zero bytes at either end: numpy strips them from S items when it hands them out.
awkward = st.builds(
    lambda zeros, middle, ones: (bytes(zeros) + middle + bytes(ones)).ljust(32, b"\0")[:32],
    st.integers(0, 31),
    st.binary(max_size=3),
    st.integers(0, 31),
)


@settings(deadline=None, max_examples=60)
@given(
    present=st.sets(codes_32 | awkward, min_size=1, max_size=40),
    asked=st.lists(codes_32 | awkward, max_size=20),
)
def test_a_digest_is_found_if_and_only_if_it_is_there(present, asked):
    index, ordered = index_of([], present), sorted(present)
    asked = [*asked, *ordered]
    nothing = np.zeros((len(asked), 32), np.uint8), np.zeros(len(asked), np.uint16)
    found = index.match([one.hex() for one in asked], *nothing, 31)
    assert [one and one.name for one in found] == [
        f"s/{ordered.index(one)}" if one in present else None for one in asked
    ]


def test_the_exact_copy_wins_over_a_nearer_name():
    index = index_of([bytes(32)] * 4, [b"a" * 32, b"b" * 32])
    (found,) = index.match(
        [(b"b" * 32).hex()], np.zeros((1, 32), np.uint8), np.array([256], np.uint16), 31
    )
    assert found == Match("s/1", "bytes", 0, Outcome.DUPLICATE_EXACT)


def test_no_queries_give_no_matches():
    assert match_codes(index_of([bytes(32)], [bytes(32)]), []) == []
    assert match_codes(index_of([]), []) == []


def test_wrong_shapes_and_radii_are_refused_with_both_sides():
    index = index_of([bytes(32)])
    codes, textures = np.zeros((2, 32), np.uint8), np.zeros(2, np.uint16)
    with pytest.raises(ValueError, match=r"expected 1 codes of 32 bytes .* got shapes \(2, 32\)"):
        index.match([NO_DIGEST], codes, textures, 31)
    with pytest.raises(ValueError, match="expected a radius of 0 to 64 bits, got 65"):
        index.match([NO_DIGEST] * 2, codes, textures, 65)


def test_a_flipped_byte_anywhere_in_a_file_is_refused_naming_it(index_folder, tmp_path):
    for name in (MANIFEST, *FILES):
        content = (index_folder / name).read_bytes()
        for place in (0, len(content) // 3, len(content) // 2, len(content) - 1):
            copy = Path(shutil.copytree(index_folder, tmp_path / "copy", dirs_exist_ok=True))
            changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            (copy / name).write_bytes(changed)
            with pytest.raises(SetupError, match=name.replace(".", r"\.")):
                EvaluationIndex.open(str(copy))


def test_a_changed_count_in_the_manifest_is_refused(index_folder, tmp_path):
    copy = Path(shutil.copytree(index_folder, tmp_path / "copy"))
    manifest = copy / MANIFEST
    manifest.write_text(manifest.read_text().replace('"num_images": 9', '"num_images": 8'))
    with pytest.raises(SetupError, match=r"manifest\.json: expected manifest_sha256 .* altered"):
        EvaluationIndex.open(str(copy))


def test_a_cut_or_missing_file_is_refused_naming_it(index_folder, tmp_path):
    for name in FILES:
        copy = Path(shutil.copytree(index_folder, tmp_path / name))
        (copy / name).write_bytes((index_folder / name).read_bytes()[:-1])
        with pytest.raises(SetupError, match=f"{name}: expected num_bytes=.* got num_bytes="):
            EvaluationIndex.open(str(copy))
        (copy / name).unlink()
        with pytest.raises(SetupError, match=f"{name}: expected .* got no such file"):
            EvaluationIndex.open(str(copy))


def test_a_remote_index_lacking_a_file_is_refused():
    with pytest.raises(SetupError, match=r"got nothing at memory://nowhere/manifest\.json"):
        EvaluationIndex.open("memory://nowhere")


def test_the_arrays_of_a_remote_index_outlive_their_copy(bench, index_folder, pictures_folder):
    remote = EvaluationIndex.open(f"file://{index_folder}")
    assert remote.record.uri == f"file://{index_folder}"
    image = bench.picture("coffee.png")
    assert bench.look_up(remote, bench.encode(image, "JPEG")).outcome is Outcome.DUPLICATE_NEAR
