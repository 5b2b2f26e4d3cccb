"""Asks the processor for memory before it is needed.

The rows, index and payment ids of a partition are far larger than the caches, and the next
merchant is anyone. Waiting for memory would cost more than all arithmetic. So a batch looks a few
events ahead: what they will need is under way while the present one is worked on. It changes no
result.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from features.compiler import JIT, inlined
from features.duplicates import COUNTS, Seen
from features.keys import Keys
from features.layout import ROW

_ROW_BYTES: Final = ROW.itemsize
_INTRINSIC: Final = "llvm.prefetch.p0"
LINE: Final = 64
"""Bytes that come at once."""

_1, _32 = np.uint64(1), np.uint64(32)
_TAG = np.uint64(0xFFFFFFFF00000000)
_ROW_BITS = np.uint64(0xFFFFFFFF)
_GONE = np.uint64(0xFFFFFFFF)


def _prefetch_line(typing_context: Any, array: Any, at: Any) -> Any:  # noqa: ARG001  # numba's
    """Tell numba how to ask for the line that holds byte `at` of a contiguous array."""
    signature = types.none(array, types.int64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, word = ir.IntType(8), ir.IntType(32)
        bytes_of_it = builder.bitcast(data, byte.as_pointer())
        place = builder.gep(bytes_of_it, [args[1]], source_etype=byte)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), word, word, word])
        function = builder.module.globals.get(_INTRINSIC)
        if function is None:
            function = ir.Function(builder.module, kind, _INTRINSIC)
        to_read, near, data_cache = word(0), word(3), word(1)
        builder.call(function, [place, to_read, near, data_cache])
        return context.get_dummy_value()

    return signature, generate


def _nothing(array: NDArray[Any], at: np.int64) -> None:
    """Do nothing: only compiled kernels wait for memory."""


_prefetch: Callable[[NDArray[Any], np.int64], None] = (
    cast(Any, intrinsic(_prefetch_line)) if JIT else _nothing
)


@inlined
def _foresee_id(table: NDArray[np.uint64], hashed: np.uint64) -> None:
    slot = ((hashed >> _32) * np.uint64(len(table))) >> _32
    _prefetch(table, np.int64(slot) * 16)


@inlined
def foresee_slots(keys: Keys, seen: Seen, merchant: np.uint64, payment: np.uint64) -> None:
    """Ask for the slots in which a merchant and a payment id will be looked up, by their hashes."""
    slot = merchant & (np.uint64(len(keys.slots)) - _1)
    _prefetch(keys.slots, np.int64(slot) * 8)
    if seen.state[COUNTS] > 0:
        _foresee_id(seen.table_0, payment)
    if seen.state[COUNTS + 1] > 0:
        _foresee_id(seen.table_1, payment)
    if seen.state[COUNTS + 2] > 0:
        _foresee_id(seen.table_2, payment)
    if seen.state[COUNTS + 3] > 0:
        _foresee_id(seen.table_3, payment)


@inlined
def row_foreseen(keys: Keys, merchant: np.uint64) -> np.int64:
    """Return the row that the slot of a merchant most likely stands for, or -1."""
    entry = keys.slots[merchant & (np.uint64(len(keys.slots)) - _1)]
    if (entry & _TAG) == (merchant & _TAG) and (entry & _ROW_BITS) != _GONE:
        return np.int64((entry & _ROW_BITS) - _1)
    return np.int64(-1)


@inlined
def foresee_row(keys: Keys, table: NDArray[np.uint8], row: np.int64) -> None:
    """Ask for a row, and where the id of its merchant stands."""
    _prefetch(keys.place, row * 8)
    foresee(table, row * _ROW_BYTES, _ROW_BYTES)


@inlined
def foresee(array: NDArray[Any], at: int | np.int64, size: int) -> None:
    """Ask for `size` bytes of an array, from byte `at` on."""
    for byte in range(at, at + size, LINE):
        _prefetch(array, np.int64(byte))
