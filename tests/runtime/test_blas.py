from __future__ import annotations

import ctypes
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from graphc.runtime import blas as module
from graphc.runtime.blas import Blas, blas


def test_addresses_are_those_of_scipy() -> None:
    scipys = importlib.import_module("scipy.linalg.cython_blas")
    assert blas().sgemm == module._capsule_address(scipys, "sgemm")
    assert blas().dgemm == module._capsule_address(scipys, "dgemm")


def test_a_product() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), np.zeros((3, 5))
    integers = [ctypes.c_int(value) for value in (5, 3, 4)]
    one, zero = ctypes.c_double(1), ctypes.c_double(0)
    n, m, k = map(ctypes.byref, integers)
    dgemm = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(blas().dgemm)
    pointers = [n, m, k, ctypes.byref(one), b.ctypes.data, n, a.ctypes.data, k, ctypes.byref(zero), c.ctypes.data, n]
    dgemm(b"N", b"N", *pointers)
    np.testing.assert_allclose(c, a @ b)


def test_threads_can_be_set_and_read() -> None:
    found = blas()
    assert found.get_num_threads
    assert found.set_num_threads
    get_threads = ctypes.CFUNCTYPE(ctypes.c_int)(found.get_num_threads)
    set_threads = ctypes.CFUNCTYPE(None, ctypes.c_int)(found.set_num_threads)
    before = get_threads()
    for count in (1, 2, 1):
        set_threads(count)
        assert get_threads() == count
    set_threads(before)


def test_the_package_around_it_is_not_imported_and_still_works() -> None:
    program = """
import sys
from graphc.runtime.blas import blas
first = blas()
assert not any(name.startswith("scipy.linalg") for name in sys.modules)
import scipy.linalg
import scipy.linalg.cython_blas
assert "sgemm" in scipy.linalg.cython_blas.__pyx_capi__
assert scipy.linalg.solve([[2.0]], [1.0]) == [0.5]
blas.cache_clear()
assert blas() == first
"""
    search = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": search}, check=True)


@pytest.mark.parametrize("error", [ImportError, AttributeError, OSError])
def test_the_ordinary_import_stands_in(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail() -> None:
        raise error("no")

    expected = blas()
    monkeypatch.delitem(sys.modules, "scipy.linalg.cython_blas", raising=False)
    monkeypatch.setattr(module, "_extension_alone", fail)
    assert blas.__wrapped__() == expected


def test_a_missing_scipy_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install scipy"):
        module._extension_alone()


def test_another_blas_has_no_thread_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.ctypes, "CDLL", lambda path: object())
    found = blas.__wrapped__()
    assert found == Blas(blas().sgemm, blas().dgemm, 0, 0)
