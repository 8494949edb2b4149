import os
import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import (
    array_shapes,
    arrays,
    boolean_dtypes,
    floating_dtypes,
    integer_dtypes,
    unsigned_integer_dtypes,
)
from hypothesis.strategies import (
    binary,
    dictionaries,
    floats,
    integers,
    lists,
    none,
    one_of,
    recursive,
    text,
    tuples,
)

from ingest.benchmark_lists.plain_pickle import load_plain

PLAIN = recursive(
    one_of(none(), integers(), floats(allow_nan=False), text(), binary()),
    lambda inner: one_of(lists(inner), tuples(inner, inner), dictionaries(text(), inner)),
)
NUMBERS = one_of(
    integer_dtypes(endianness="?"),
    unsigned_integer_dtypes(endianness="?"),
    floating_dtypes(endianness="?"),
    boolean_dtypes(),
)


@given(value=PLAIN, protocol=integers(0, 5))
def test_containers_numbers_and_text_are_what_was_pickled(value, protocol):
    assert load_plain(pickle.dumps(value, protocol)) == value


@given(
    array=arrays(NUMBERS, array_shapes(min_dims=1, max_side=4), elements={"allow_nan": False}),
    protocol=integers(0, 5),
)
def test_arrays_become_lists_of_their_numbers(array, protocol):
    assert load_plain(pickle.dumps(array, protocol)) == array.tolist()
    by_column = np.asfortranarray(array)
    assert load_plain(pickle.dumps([by_column], protocol)) == [array.tolist()]
    if array.size:
        assert load_plain(pickle.dumps(array.flat[0], protocol)) == array.flat[0]


class Call:
    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


class Built:
    pass


HOSTILE = {
    "a command": Call(os.system, "touch hacked"),
    "an evaluation": Call(eval, "open('hacked', 'w')"),
    "an attribute": Call(getattr, "text", "format"),
    "a class": Built(),
    "a class itself": Built,
    "a module's function": np.load,
    "an array of objects": np.array([Call(os.system, "touch hacked")], object),
    "an array of texts": np.array(["text"]),
    "an array of records": np.zeros(2, [("a", "i4"), ("b", "O")]),
    "a type of objects": np.dtype(object),
    "an array with a class of its own": np.zeros(2).view(np.matrix),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_hostile_pickles_are_refused(what, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps([HOSTILE[what]], protocol)
    with pytest.raises(ValueError, match="expected a plain pickle, got"):
        load_plain(content)
    assert not list(tmp_path.iterdir())


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"


@pytest.mark.parametrize(
    "content",
    [
        # Attributes of what stands for functions and classes of numpy.
        RECONSTRUCT + b"(N}X\x08\x00\x00\x00__call__Nstb.",
        b"cnumpy\ndtype\n(N}X\x01\x00\x00\x00aNstb.",
        b"cnumpy\nndarray\n}X\x01\x00\x00\x00aNsb.",
        # Made of what is no class.
        b"cnumpy\nndarray\n)\x81.",
        b"(cnumpy\nndarray\nX\x01\x00\x00\x00ao.",
        # An object of another pickle, and of an extension.
        b"Pname\n.",
        b"\x82\x01.",
        # Bytes in another alphabet.
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
    ],
)
def test_pickles_by_hand_are_refused(content):
    with pytest.raises(ValueError, match="expected a plain pickle, got"):
        load_plain(content)


def test_no_memory_is_taken_for_what_is_not_there():
    with pytest.raises(ValueError, match="expected at most"):
        load_plain(b"Nr" + struct.pack("<I", 2**32 - 1) + b".")
    array = RECONSTRUCT + b"(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01"
    dtype = b"cnumpy\ndtype\n(X\x02\x00\x00\x00i8I00\nI01\ntR"
    # A billion times no number, and a billion numbers.
    none = b"(J\xff\xff\xff\x7fK\x00t" + dtype + b"I00\nC\x00tb."
    assert load_plain(array + none) == []
    many = b"(J\xff\xff\xff\x7ft" + dtype + b"I00\nC\x0812345678tb."
    with pytest.raises(ValueError, match="cannot reshape"):
        load_plain(array + many)
    with pytest.raises(ValueError, match="expected the bytes of numbers, got 2147483647"):
        load_plain(array + b"(K\x01t" + dtype + b"I00\nJ\xff\xff\xff\x7ftb.")


@given(content=binary())
def test_any_bytes_are_plain_or_refused(content):
    with suppress(ValueError):
        load_plain(content)
