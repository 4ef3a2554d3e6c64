"""From kernel source to the address of its machine code: memory first, then the cache on disk, then the compiler.

Fresh and cached kernels take the same way into memory, so what a first process tests is what a second one runs. Numba
and LLVM are imported only when a kernel must be compiled.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import importlib.util
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graphc.runtime.jit.cache import KernelCache, default_folder
from graphc.runtime.jit.image import Image, place
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.processor import description

_COMPILER_FILES = ("compiler.py", "frontend.py", "loop_hints.py", "codegen.py", "object_file.py", "image.py")
"""What makes machine code of a source, beside :mod:`graphc.runtime.instructions`."""


@dataclass(slots=True)
class LoaderStatistics:
    """What `load` did in this process so far; times in seconds."""

    memory_hits: int = 0
    disk_hits: int = 0
    compiled: int = 0
    compile_seconds: float = 0.0
    link_seconds: float = 0.0


@dataclass(slots=True)
class _State:
    lock: threading.RLock = field(default_factory=threading.RLock)
    addresses: dict[str, int] = field(default_factory=dict)
    statistics: LoaderStatistics = field(default_factory=LoaderStatistics)
    caches: dict[Path, KernelCache] = field(default_factory=dict)


_state = _State()


def _forget_lock() -> None:
    """In a forked child: the thread that held the lock may be gone."""
    _state.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


def load(requests: Sequence[KernelRequest]) -> list[int]:
    """Addresses of the functions that `requests` describe, in their order; they stay valid as long as the process.

    Raises `graphc.runtime.jit.compiler.KernelError` if a source cannot be compiled. May be called from several threads.
    """
    keys = [_key(request) for request in requests]
    with _state.lock:
        addresses = _state.addresses
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in addresses}
        _state.statistics.memory_hits += len(keys) - len(missing)
        if missing:
            _link(_obtain_all(missing))
        return [addresses[key] for key in keys]


def store(request: KernelRequest) -> bool:
    """Compile a function into the cache on disk without loading it; False if it is there already."""
    key = _key(request)
    if disk_cache().get(key) is not None:
        return False
    _obtain(key, request)
    return True


def store_listed() -> None:
    """What a second process does: store the functions in standard input, the last one first, until one exists."""
    gc.disable()  # as the first process does
    for texts in reversed(json.load(sys.stdin)):
        if not store(KernelRequest(*texts)):
            return


def statistics() -> LoaderStatistics:
    """Counts and times of this process; the object is live."""
    return _state.statistics


def disk_cache() -> KernelCache:
    """The cache that the environment asks for at this moment."""
    folder = default_folder()
    with _state.lock:
        cache = _state.caches.get(folder)
        if cache is None:
            cache = _state.caches[folder] = KernelCache(folder)
            if cache.problem is not None:
                warnings.warn(
                    f"{cache.problem}. Kernels are compiled anew in every process.", RuntimeWarning, stacklevel=4
                )
        return cache


def _obtain_all(missing: dict[str, KernelRequest]) -> dict[str, Image]:
    """The machine code of functions: from the cache as far as it has them, the others compiled."""
    cache = disk_cache()
    found = {key: kernel for key in missing if (kernel := cache.get(key)) is not None}
    _state.statistics.disk_hits += len(found)
    absent = {key: request for key, request in missing.items() if key not in found}
    if absent:
        from graphc.runtime.jit.second_compiler import costliest_at_the_ends, second_compiler

        absent = {key: absent[key] for key in costliest_at_the_ends({key: absent[key].source for key in absent})}
        collecting = gc.isenabled()
        gc.disable()  # Numba makes a great many objects that live until the function is compiled
        try:
            with second_compiler([(each.source, each.name, each.signature) for each in absent.values()]):
                found.update({key: _obtain(key, request) for key, request in absent.items()})
        finally:
            if collecting:
                gc.enable()
    return found


def _obtain(key: str, request: KernelRequest) -> Image:
    cache = disk_cache()
    kernel = cache.get(key)
    if kernel is not None:
        _state.statistics.disk_hits += 1
        return kernel
    start = time.perf_counter()
    from graphc.runtime.jit import compiler  # imports Numba, which a process with a warm cache never needs

    kernel = compiler.compile_kernel(request.source, request.name, request.signature)
    _state.statistics.compiled += 1
    _state.statistics.compile_seconds += time.perf_counter() - start
    cache.put(key, kernel)
    return kernel


def _link(kernels: dict[str, Image]) -> None:
    start = time.perf_counter()
    _state.addresses.update(zip(kernels, place(list(kernels.values())), strict=True))
    _state.statistics.link_seconds += time.perf_counter() - start


def _key(request: KernelRequest) -> str:
    digest = hashlib.sha256(environment())
    for text in (request.name, request.signature, request.source):
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()


@functools.cache
def environment() -> bytes:
    """Digest of all that decides a kernel's machine code besides its source.

    The package's own version is not in it: the code that turns a source into machine code is, byte for byte.
    """
    parts = [sys.version, _version_text("numba"), _version_text("llvmlite"), description()]
    digest = hashlib.sha256("\n".join(parts).encode())
    for path in _generator_files():
        digest.update(path.read_bytes())
    return digest.digest()


def _generator_files() -> list[Path]:
    here = Path(__file__).parent
    return [*(here / name for name in _COMPILER_FILES), *sorted((here.parent / "instructions").glob("*.py"))]


def _version_text(package: str) -> str:
    """What a package says of its version, without importing it; :mod:`importlib.metadata` takes 30 ms for this."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed"
    return Path(spec.origin).with_name("_version.py").read_text()
