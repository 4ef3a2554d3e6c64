"""Binds the arguments of a call: checks them and writes the addresses of their data where kernels look for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from graphc.record import record
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native import pyfunction

_C_CONTIGUOUS, _ALIGNED = 0x0001, 0x0100  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED
_REQUIRED_FLAGS = _C_CONTIGUOUS | _ALIGNED

# A binding table: the number of arguments, the types tuple and ndarray, the function that makes an int; then for each
# argument its dtype, its rank, the number of its relocations, its dimensions, and the words that receive its address.
_COUNT, _TUPLE_TYPE, _ARRAY_TYPE, _NEW_INT, _HEADER_WORDS = range(5)

_SOURCE = f"""
def bind(self, args):
    table = word(self + {pyfunction.DATA_OFFSET}, 0)
    new_int = word(table, {_NEW_INT})
    count = word(table, {_COUNT})
    if word(args + {pyfunction.TYPE_OFFSET}, 0) != word(table, {_TUPLE_TYPE}):
        return call_pointer_of_word(new_int, count + 1)
    if word(args + {pyfunction.SIZE_OFFSET}, 0) != count:
        return call_pointer_of_word(new_int, count + 1)
    record = table + {8 * _HEADER_WORDS}
    for index in range(count):
        array = word(args + {pyfunction.ITEMS_OFFSET}, index)
        if word(array + {pyfunction.TYPE_OFFSET}, 0) != word(table, {_ARRAY_TYPE}):
            return call_pointer_of_word(new_int, index + 1)
        if word(array + {pyfunction.DESCR_OFFSET}, 0) != word(record, 0):
            return call_pointer_of_word(new_int, index + 1)
        if int_at(array + {pyfunction.FLAGS_OFFSET}) & {_REQUIRED_FLAGS} != {_REQUIRED_FLAGS}:
            return call_pointer_of_word(new_int, index + 1)
        rank = word(record, 1)
        if int_at(array + {pyfunction.NDIM_OFFSET}) != rank:
            return call_pointer_of_word(new_int, index + 1)
        dimensions = word(array + {pyfunction.DIMENSIONS_OFFSET}, 0)
        for axis in range(rank):
            if word(dimensions, axis) != word(record, 3 + axis):
                return call_pointer_of_word(new_int, index + 1)
        relocations = word(record, 2)
        targets = record + 8 * (3 + rank)
        for k in range(relocations):
            set_word(word(targets, k), 0, word(array + {pyfunction.DATA_OFFSET}, 0))
        record = targets + 8 * relocations
    return call_pointer_of_word(new_int, 0)
"""

BINDER = KernelRequest(_SOURCE, "bind", pyfunction.SIGNATURE)
"""What checks and binds the arguments of a call."""


@record
class ArgumentSpec:
    """What an argument must be to be used as it is, and the words that receive the address of its data."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    relocations: Sequence[int]


def argument_binder(arguments: Sequence[ArgumentSpec], words: NDArray[np.int64]) -> Callable[[tuple[object, ...]], int]:
    """A function that checks a tuple of arguments and binds them: writes the addresses of their data into `words`.

    It returns 0 if all fit, else 1 + the index of the first argument that does not, or 1 + the number of arguments
    expected if they are not a tuple of that length; some words may have been written then. An argument fits if it is
    exactly an `numpy.ndarray`, no subclass, of the dtype (in native byte order) and shape of its specification,
    C-contiguous and aligned. `words` is the int64 vector that holds the kernels' tables; relocations are its
    indices. The caller
    keeps the arguments alive while the words are used. Raises ValueError for words or relocations that cannot be.
    """
    arguments = tuple(arguments)
    if words.dtype != np.int64 or words.ndim != 1 or not words.flags.c_contiguous:
        raise ValueError(f"words are {words.dtype} of shape {words.shape}; expected a contiguous vector of int64")
    for index in (index for argument in arguments for index in argument.relocations):
        if not 0 <= index < words.size:
            raise ValueError(f"relocation to word {index}; expected an index of the {words.size} words")
    if not pyfunction.supported():
        return functools.partial(_bind_in_python, arguments, words)
    table = [len(arguments), id(tuple), id(np.ndarray), pyfunction.api_address("PyLong_FromLongLong")]
    for argument in arguments:
        table += [id(argument.dtype), len(argument.shape), len(argument.relocations), *argument.shape]
        table += [words.ctypes.data + 8 * index for index in argument.relocations]
    return pyfunction.with_argument("bind_arguments", _address(), np.array(table, np.int64), keep=(words, arguments))


@functools.cache
def _address() -> int:
    [address] = load([BINDER])
    return address


def _bind_in_python(arguments: tuple[ArgumentSpec, ...], words: NDArray[np.int64], args: tuple[object, ...]) -> int:
    if type(args) is not tuple or len(args) != len(arguments):
        return len(arguments) + 1
    for index, (value, argument) in enumerate(zip(args, arguments, strict=True)):
        if type(value) is not np.ndarray or value.dtype is not argument.dtype or value.shape != argument.shape:
            return index + 1
        if not (value.flags.c_contiguous and value.flags.aligned):
            return index + 1
        words[list(argument.relocations)] = value.ctypes.data
    return 0
