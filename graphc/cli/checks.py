"""What ``graphc doctor`` looks at, one function for each."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from graphc._version import __version__

__all__ = ["Check", "checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found about one thing.

    Attributes:
        name: what was looked at.
        status: ``"ok"``; ``"optional"`` where something is missing that few need; or ``"problem"``.
        found: what there is.
        remedy: what to do; empty where all is well.
    """

    name: str
    status: Literal["ok", "optional", "problem"]
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.status:<8}  {self.name:<10}  {self.found}"
        return f"{line}\n{'':<22}-> {self.remedy}" if self.remedy else line


def checks() -> Iterator[Check]:
    """All checks, in the order in which later ones build on earlier ones."""
    for name, look in _CHECKS.items():
        try:
            yield from look(name)
        except Exception as error:  # whatever is broken is what the user wants to be told
            yield Check(name, "problem", f"{type(error).__name__}: {error}", "reinstall graphc: pip install -U graphc")


def _versions(name: str) -> Iterator[Check]:
    yield Check(name, "ok", f"graphc {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in ("numpy", "scipy", "llvmlite", "numba"):
        try:
            importlib.import_module(package)
        except Exception as error:  # Numba raises plain errors of many kinds where NumPy is too new for it
            yield Check(package, "problem", f"cannot be imported: {error}", f"pip install -U graphc {package}")
        else:
            yield Check(package, "ok", importlib.metadata.version(package))


def _processor(name: str) -> Iterator[Check]:
    import llvmlite.binding as llvm

    from graphc.runtime import processor
    from graphc.runtime.kernels.registers import registers

    known = [
        each for each in ("sse4_2", "avx", "avx2", "fma", "avx512f", "asimd", "sve") if each in processor.features()
    ]
    bits = 8 * registers().bytes
    found = f"{llvm.get_host_cpu_name()}: {', '.join(known) or 'no vector extensions known'}; vectors of {bits} bits"
    yield Check(name, "ok", found)


def _threads(name: str) -> Iterator[Check]:
    from graphc.runtime.native.threads import cgroup_quota, get_num_threads

    usable = len(os.sched_getaffinity(0))
    quota = cgroup_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    limit = f"limited to {quota} by its control group" if quota < usable else "without a limit by its control group"
    try:
        threads = get_num_threads()
    except ValueError as error:
        yield Check(name, "problem", str(error), "unset GRAPHC_NUM_THREADS, or set it to a number")
        return
    found = f"{threads} threads; {os.cpu_count()} cores, {usable} for this process, {limit}"
    if threads > min(usable, quota):
        yield Check(name, "problem", found, "unset GRAPHC_NUM_THREADS: more threads than cores wait for each other")
    else:
        yield Check(name, "ok", found)


def _blas(name: str) -> Iterator[Check]:
    import numpy as np

    build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    library = f"{build.get('name', 'unknown')} {build.get('version', '')}".strip()
    yield Check(name, "ok", f"not used by compiled functions; {library} of NumPy by the reference interpreter")


def _interpreter(name: str) -> Iterator[Check]:
    from graphc.runtime.native.pyfunction import supported

    if supported():
        yield Check(name, "ok", "arguments are bound natively")
    else:
        found = "this interpreter lays its objects out in another way: calls take some microseconds more"
        yield Check(name, "optional", found, "use CPython 3.11 or newer, 64 bits")


def _cache(name: str) -> Iterator[Check]:
    from graphc.runtime.jit.cache import KernelCache, default_folder

    cache = KernelCache(default_folder())
    if cache.problem is not None:
        yield Check(name, "problem", cache.problem, "every process compiles anew; or set GRAPHC_CACHE_DIR to a folder")
        return
    try:
        with tempfile.TemporaryFile(dir=cache.path):
            pass
    except OSError as error:
        yield Check(name, "problem", f"{cache.path} cannot be written: {error.strerror}", f"chmod 700 {cache.path}")
        return
    count, damaged = len(cache.entries()), len(cache.verify())
    found = f"{cache.path}: private, writable, {count} kernels"
    if damaged:
        yield Check(name, "problem", f"{found}, {damaged} of them damaged", "graphc cache clear")
    else:
        yield Check(name, "ok", f"{found}, none damaged")


def _compiler(name: str) -> Iterator[Check]:
    import numpy as np

    import graphc as gr

    x = gr.placeholder(("n", 3))
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = gr.compile([x], (x @ x.T).sum(axis=1) + 1.0)(array)
    if np.allclose(found, (array @ array.T).sum(axis=1) + 1):
        yield Check(name, "ok", "a small graph was compiled, ran, and gave the right numbers")
    else:
        yield Check(name, "problem", f"a small graph gave wrong numbers: {found}", "graphc cache clear, then report it")


def _pictures(name: str) -> Iterator[Check]:
    from graphc.viz.render import find_graphviz

    program = find_graphviz()
    if program is not None:
        yield Check(name, "ok", f"SVG and HTML built in; PNG by {program}")
    else:
        yield Check(name, "optional", "SVG and HTML built in; no Graphviz for PNG", "pip install 'graphc[png]'")


_CHECKS: dict[str, Callable[[str], Iterator[Check]]] = {
    "versions": _versions,
    "processor": _processor,
    "threads": _threads,
    "BLAS": _blas,
    "calls": _interpreter,
    "cache": _cache,
    "compiler": _compiler,
    "pictures": _pictures,
}
