import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import StorageError
from ingest.storage.retry import Passing, Patience, persist


class Clock:
    """A clock that only pauses advance."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, pause_s):
        self.pauses.append(pause_s)
        self.now += pause_s


def failing(num_times, error, then="answer"):
    calls = []

    def request():
        calls.append(1)
        if len(calls) <= num_times:
            raise error
        return then

    return request, calls


def test_a_failure_that_passes_is_not_seen():
    clock = Clock()
    request, calls = failing(3, Passing("status 503"))
    assert persist("read gs://b/x", request, clock=clock, sleep=clock.sleep) == "answer"
    assert len(calls) == 4
    assert len(clock.pauses) == 3


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError, StorageError, ValueError])
def test_an_answer_is_not_asked_for_again(error):
    request, calls = failing(1, error("answer"))
    with pytest.raises(error):
        persist("read gs://b/x", request)
    assert len(calls) == 1


def test_the_last_error_says_what_was_tried_and_how_often():
    clock = Clock()
    request, calls = failing(10**9, Passing("status 503: unavailable"))
    with pytest.raises(StorageError) as caught:
        persist("read gs://b/x", request, Patience(60), clock, clock.sleep)
    assert str(caught.value) == (
        "read gs://b/x: expected an answer within 60 s of the first failure, "
        f"got {len(calls)} failures; the last: status 503: unavailable"
    )
    assert clock.now <= 60
    assert len(calls) >= 5


@given(attempt=st.integers(1, 10**6), fraction=st.floats(0, 1, exclude_max=True))
def test_pauses_grow_up_to_a_bound(attempt, fraction):
    patience = Patience(first_s=0.1, longest_s=15)
    assert 0 <= patience.pause_s(attempt, fraction) <= 15
    assert patience.pause_s(attempt, fraction) <= patience.pause_s(attempt + 1, fraction)
