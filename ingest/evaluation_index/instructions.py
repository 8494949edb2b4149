"""How functions are compiled, and two processor instructions that numba has no name for."""

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function, compiled at its first call, with its machine code in numba's cache.

    That lies beside the source or in the user's cache folder. If neither can be written, each
    process compiles anew, in some ten seconds; NUMBA_CACHE_DIR names another folder.
    """
    try:
        return njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]  # numba has no types
    except RuntimeError:
        return njit(nogil=True)(function)  # type: ignore[no-any-return]  # numba has no types


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def prefetch(typing_context: Any, address: Any) -> Any:
    """Start to load the cache line at an address that is needed some hundred loads later."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # For reading, to be kept in all caches, data.
        builder.call(function, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.intp), emit


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def count_ones(typing_context: Any, word: Any) -> Any:
    """How many bits of a uint64 are set, as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit
