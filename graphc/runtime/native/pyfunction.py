"""Compiled code as built-in Python functions: a call costs tens of nanoseconds, a tenth of a call through ctypes.

The compiled function has CPython's own signature, ``PyObject *f(PyObject *self, PyObject *argument)``; `self` is an
int64 NumPy array that holds what the function works on. It reads objects at the offsets given here, which `supported`
checks once against known objects.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = "int64(int64, int64)"

# struct PyObject ends with its type; PyVarObject's size follows; tuple's items follow its fixed part.
_HEAD = object.__basicsize__
TYPE_OFFSET = _HEAD - 8
SIZE_OFFSET = _HEAD
ITEMS_OFFSET = tuple.__basicsize__
# struct PyArrayObject_fields of NumPy's C API: data, nd, dimensions, strides, base, descr, flags
DATA_OFFSET = _HEAD
NDIM_OFFSET = _HEAD + 8
DIMENSIONS_OFFSET = _HEAD + 16
DESCR_OFFSET = _HEAD + 40
FLAGS_OFFSET = _HEAD + 48

_METH_O, _METH_NOARGS = 0x0008, 0x0004


class _MethodDef(ctypes.Structure):
    """struct PyMethodDef of CPython's C API."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


def with_argument(name: str, address: int, table: NDArray[np.int64], keep: object = None) -> Callable[[Any], int]:
    """The compiled function at `address` as a Python function of one argument; `keep` lives as long as it does."""
    return _function(name, address, _METH_O, table, keep)


def without_arguments(name: str, address: int, table: NDArray[np.int64], keep: object = None) -> Callable[[], int]:
    """The compiled function at `address` as a Python function without arguments; `keep` lives as long as it does."""
    return _function(name, address, _METH_NOARGS, table, keep)


def api_address(name: str) -> int:
    """The address of a function of CPython's C API."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _function(name: str, address: int, flags: int, table: NDArray[np.int64], keep: object) -> Callable[..., int]:
    definition = _MethodDef(name.encode(), address, flags, None)
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    # CPython keeps, and never looks into, what it is given as the module: it owns all that the function needs.
    function: Callable[..., int] = new(ctypes.addressof(definition), table, (definition, keep))
    return function


@functools.cache
def supported() -> bool:
    """Whether this interpreter and NumPy lay out their objects as compiled code expects it."""
    if ctypes.sizeof(ctypes.c_void_p) != 8 or np.ndarray.__basicsize__ < FLAGS_OFFSET + 4:
        return False
    probe = np.zeros((3, 5, 7), np.float32)[:, :, 1:3]
    holder = (probe, None)
    address = id(probe)

    def word(place: int) -> int:
        return ctypes.c_int64.from_address(place).value

    def integer(place: int) -> int:
        return ctypes.c_int.from_address(place).value

    pairs = (
        (word(id(holder) + SIZE_OFFSET), 2),
        (word(id(holder) + ITEMS_OFFSET), address),
        (word(address + TYPE_OFFSET), id(np.ndarray)),
        (word(address + DATA_OFFSET), probe.ctypes.data),
        (integer(address + NDIM_OFFSET), 3),
        (word(address + DESCR_OFFSET), id(np.dtype(np.float32))),
        (integer(address + FLAGS_OFFSET), probe.flags.num),
    )
    if any(found != expected for found, expected in pairs):
        return False
    dimensions = word(address + DIMENSIONS_OFFSET)
    return [word(dimensions + 8 * axis) for axis in range(3)] == [3, 5, 2]
