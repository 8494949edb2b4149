"""Pickles of containers, numbers, text and arrays of numbers, from whom one need not trust.

Nothing that a pickle names is imported: it gets stand-ins for what numpy's arrays are made of,
which decode numbers and can do nothing else, and which have no attributes that it could change.
"""

import io
import pickle
import pickletools
import re
from typing import Any

import numpy as np

_NUMBER = re.compile(r"[biuf][1248]")
_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def load_plain(content: bytes) -> Any:
    """What was pickled; arrays as lists. Raises ValueError for anything else, or if broken."""
    try:
        for opcode, number, _ in pickletools.genops(content):
            # The place of a later number is made at once, whatever memory that takes.
            if opcode.name.endswith("PUT") and (number or 0) > len(content):
                raise ValueError(f"expected at most {len(content)} objects, got {opcode.name}")
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except _ERRORS as error:
        raise ValueError(f"expected a plain pickle, got {error}") from error


class _Dtype:
    """A type of numbers."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        if not _NUMBER.fullmatch(code):
            raise pickle.UnpicklingError(f"expected a type of numbers, got {code!r}")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, order, *others = state
        if order not in ("<", ">", "=", "|") or any(others[:3]):
            raise pickle.UnpicklingError(f"expected a type of numbers, got {state!r}")
        self.order = order

    def decode(self, raw: Any, shape: Any, order: Any) -> Any:
        """The numbers that are stored so, as a list of lists, or a single one."""
        stored = raw.encode("latin1") if isinstance(raw, str) else raw
        # Of a number, `bytes` would make so many.
        if not isinstance(stored, bytes | bytearray):
            raise pickle.UnpicklingError(f"expected the bytes of numbers, got {raw!r:.40}")
        numbers = np.frombuffer(stored, self.order + self.code)
        # Any shape with a zero fits no numbers, a billion lists of none too.
        return numbers.reshape(shape, order=order).tolist() if len(numbers) else []


class _Array(list[Any]):
    """An array whose numbers come after it."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_column, raw = state
        self[:] = _checked(dtype).decode(raw, shape, "F" if by_column else "C")


class _ArrayType:
    __slots__ = ()


class _Reconstruct:
    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> _Array:
        return _Array()


class _MakeDtype:
    __slots__ = ()

    def __call__(self, code: Any, align: Any = False, copy: Any = False) -> _Dtype:
        return _Dtype(code)


class _Scalar:
    __slots__ = ()

    def __call__(self, dtype: Any, raw: Any) -> Any:
        return _checked(dtype).decode(raw, (), "C")


class _FromBuffer:
    __slots__ = ()

    def __call__(self, raw: Any, dtype: Any, shape: Any, order: Any) -> Any:
        return _checked(dtype).decode(raw, shape, order)


class _NoBytes:
    """How no bytes are written before protocol 3."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


class _Encode:
    """How bytes are written before protocol 3."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"expected latin1, got {encoding!r}")
        return str(text).encode("latin1")


_STAND_INS = {
    "numpy.ndarray": _ArrayType(),
    "numpy.dtype": _MakeDtype(),
    "_codecs.encode": _Encode(),
    "__builtin__.bytes": _NoBytes(),
    # Of numpy 1 and 2.
    "numpy.core.multiarray._reconstruct": _Reconstruct(),
    "numpy._core.multiarray._reconstruct": _Reconstruct(),
    "numpy.core.multiarray.scalar": _Scalar(),
    "numpy._core.multiarray.scalar": _Scalar(),
    "numpy.core.numeric._frombuffer": _FromBuffer(),
    "numpy._core.numeric._frombuffer": _FromBuffer(),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[f"{module}.{name}"]
        except KeyError as error:
            raise pickle.UnpicklingError(
                f"expected containers, numbers, text and arrays, got {module}.{name}"
            ) from error


def _checked(dtype: Any) -> _Dtype:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError(f"expected a type of numbers, got {type(dtype).__name__}")
    return dtype
