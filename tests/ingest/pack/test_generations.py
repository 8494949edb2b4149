from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.pack.conservation import check_complete, parts_digest, totals
from schemas.manifest import Commit, PlanRecord, RetryRecord, generation_of

WORDS = ("kept", "timeout", "dns", "http_404")


def digest(text):
    return sha256(text.encode()).hexdigest()


def commit(shard, outcomes):
    count = sum(outcomes.values())
    digests = {
        name: digest(f"{name} {shard}")
        for name in ("build_sha256", "plan_sha256", "shard_sha256", "ledger_sha256", "merkle_root")
    }
    return Commit(
        shard=shard,
        plan_file="",
        shard_file="",
        shard_bytes=0,
        ledger_file="",
        ledger_bytes=0,
        num_candidates=count,
        num_kept=outcomes.get("kept", 0),
        image_bytes=0,
        outcomes=outcomes,
        **digests,
    )


@st.composite
def histories(draw):
    """A plan, retries and commits that hang together, and what became of each candidate."""
    fates = draw(st.lists(st.sampled_from(WORDS), max_size=30))
    rows = [commit(0, {word: fates.count(word) for word in WORDS if word in fates})]
    plan = PlanRecord(
        options={},
        inputs=(),
        num_rows=len(fates),
        num_candidates=len(fates),
        num_shards=1,
        parts_sha256=parts_digest([rows[0].plan_sha256]),
    )
    retries = []
    for generation in range(1, draw(st.integers(0, 3)) + 1):
        again = [place for place, word in enumerate(fates) if word in ("timeout", "dns")]
        before = [fates[place] for place in again]
        for place in again:
            fates[place] = draw(st.sampled_from(WORDS))
        after = [fates[place] for place in again]
        rows.append(commit(generation, {word: after.count(word) for word in set(after)}))
        retries.append(
            RetryRecord(
                generation=generation,
                outcomes=("timeout", "dns"),
                where="",
                first_shard=generation,
                num_shards=1,
                num_candidates=len(again),
                superseded={word: before.count(word) for word in set(before)},
                parts_sha256=parts_digest([rows[-1].plan_sha256]),
                seal_sha256="",
                merkle_root="",
            )
        )
    return plan, retries, rows, fates


@given(histories())
@settings(derandomize=True)
def test_the_last_outcomes_of_all_generations_add_up_to_the_plan(history):
    plan, retries, rows, fates = history
    check_complete(plan, retries, (), rows)
    found = totals(rows, retries)
    assert found["num_candidates"] == plan.num_candidates
    assert found["outcomes"] == {word: fates.count(word) for word in WORDS if word in fates}
    assert found["num_kept"] == fates.count("kept")
    assert [generation_of(row.shard, retries) for row in rows] == list(range(len(rows)))


@given(histories(), st.sampled_from(["timeout", "dns"]), st.integers(-2, 2).filter(bool))
@settings(derandomize=True)
def test_a_false_count_of_superseded_outcomes_is_noticed(history, word, error):
    plan, retries, rows, _ = history
    if not retries:
        return
    superseded = dict(retries[-1].superseded)
    superseded[word] = superseded.get(word, 0) + error
    retries[-1] = retries[-1].model_copy(update={"superseded": superseded})
    with pytest.raises(AssertionError):
        check_complete(plan, retries, (), rows)
