"""The BLAS inside SciPy: addresses of its matrix products, and control of its threads.

`cython_blas` is loaded without the `scipy.linalg` package around it, which would cost 0.15 s of start-up.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.machinery
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

_MODULE = "scipy.linalg.cython_blas"


@dataclass(frozen=True, slots=True)
class Blas:
    """Addresses of the Fortran matrix products and of the control of BLAS's threads.

    ``sgemm`` and ``dgemm`` take 32-bit integers. ``get_num_threads`` is ``int f(void)``, ``set_num_threads`` is ``void
    f(int)``; both are 0 if this BLAS has no such functions. The number is one for the whole process: in builds of
    OpenBLAS on POSIX threads, as SciPy's are, ``openblas_set_num_threads_local`` sets the same one.
    """

    sgemm: int
    dgemm: int
    get_num_threads: int
    set_num_threads: int


@functools.cache
def blas() -> Blas:
    """SciPy's BLAS; loads it on first use."""
    module = _cython_blas()
    get_threads, set_threads = _thread_control(module)
    return Blas(_capsule_address(module, "sgemm"), _capsule_address(module, "dgemm"), get_threads, set_threads)


def _cython_blas() -> ModuleType:
    loaded = sys.modules.get(_MODULE)
    if loaded is not None:
        return loaded
    try:
        return _extension_alone()
    except (ImportError, AttributeError, OSError):
        return importlib.import_module(_MODULE)


def _extension_alone() -> ModuleType:
    scipy = importlib.util.find_spec("scipy")
    if scipy is None or scipy.origin is None:
        raise ModuleNotFoundError("graphc needs SciPy for matrix products: pip install scipy")
    importlib.import_module("scipy")  # on Windows this makes the folder of SciPy's libraries known
    folder = Path(scipy.origin).parent / "linalg"
    spec = importlib.machinery.PathFinder.find_spec(_MODULE, [str(folder)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{_MODULE} is not in {folder}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # It has registered itself; the package, imported later, must find it unimported to bind it as its attribute.
    sys.modules.pop(_MODULE, None)
    return module


def _capsule_address(module: ModuleType, name: str) -> int:
    capsule = module.__pyx_capi__[name]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(get_pointer(capsule, get_name(capsule)))


def _thread_control(module: ModuleType) -> tuple[int, int]:
    # A lookup through the extension's own handle also searches the libraries it is linked with, and no others.
    library = ctypes.CDLL(module.__file__)
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in ("", "64_"):
            try:
                functions = (
                    getattr(library, f"{prefix}_get_num_threads{suffix}"),
                    getattr(library, f"{prefix}_set_num_threads{suffix}"),
                )
            except AttributeError:
                continue
            get_threads, set_threads = (ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions)
            return get_threads, set_threads
    return 0, 0
