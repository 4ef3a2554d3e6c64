from __future__ import annotations

import gc
import weakref

import numpy as np

from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native import pyfunction

# Returns the object that it is given as an argument, or itself where there is none, with one more reference.
IDENTITY = """
def identity(self, argument):
    result = argument if argument != 0 else self
    set_word(result, 0, word(result, 0) + 1)
    return result
"""


def test_this_interpreter_is_supported() -> None:
    assert pyfunction.supported()


def test_calls() -> None:
    [address] = load([KernelRequest(IDENTITY, "identity", pyfunction.SIGNATURE)])
    table = np.zeros(3, np.int64)
    one = pyfunction.with_argument("one", address, table)
    value = object()
    assert one(value) is value
    none = pyfunction.without_arguments("none", address, table)
    assert none() is table
    assert one.__name__ == "one"


def test_it_owns_what_it_needs() -> None:
    [address] = load([KernelRequest(IDENTITY, "identity", pyfunction.SIGNATURE)])
    table, companion = np.zeros(3, np.int64), np.zeros(1)
    watched = [weakref.ref(table), weakref.ref(companion)]
    function = pyfunction.with_argument("kept", address, table, keep=(companion,))
    del table, companion
    gc.collect()
    assert all(reference() is not None for reference in watched)
    assert function("text") == "text"
    del function
    gc.collect()
    assert all(reference() is None for reference in watched)


def test_other_layouts_are_noticed(monkeypatch) -> None:
    for name in ("TYPE_OFFSET", "SIZE_OFFSET", "DATA_OFFSET", "NDIM_OFFSET", "DESCR_OFFSET", "FLAGS_OFFSET"):
        with monkeypatch.context() as patch:
            patch.setattr(pyfunction, name, getattr(pyfunction, name) + 8)
            assert not pyfunction.supported.__wrapped__(), name
    monkeypatch.setattr(pyfunction.ctypes, "sizeof", lambda kind: 4)
    assert not pyfunction.supported.__wrapped__()


def test_addresses_of_the_c_api() -> None:
    import ctypes

    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_longlong)(pyfunction.api_address("PyLong_FromLongLong"))
    assert make(-12345) == -12345
