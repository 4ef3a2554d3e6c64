"""A second process that compiles kernels while this one does.

Numba compiles one function at a time in a process. Where many kernels are missing from the cache, a second process goes
through them from the end, this one from the beginning; each puts what it made into the cache on disk and looks there
before it compiles, so they meet in the middle. If the second process cannot start, or dies, this one does all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from graphc.runtime.native.threads import get_num_threads

__all__ = ["costliest_at_the_ends", "second_compiler"]

Texts = tuple[str, str, str]
"""Source, name and signature of a function."""

_WORTH_A_PROCESS = 8
"""Kernels: for fewer, the second process would still be importing Numba when the first is done."""

_CODE = f"""
import sys, types
package = types.ModuleType("graphc")  # without what users of graphc import
package.__path__ = [{str(Path(__file__).parents[2])!r}]
sys.modules["graphc"] = package
from graphc.runtime.jit.loader import store_listed
store_listed()
"""

_TILE = re.compile(r"\b(?!load|store|stack)\w+_f(?:32|64)_\d+(?:x\d+)*\(")
_TILE_COST = 1500
"""An instruction of register tiles takes as long as so many characters of other source."""


def costliest_at_the_ends(sources: Mapping[str, str]) -> list[str]:
    """The keys of sources in the order to compile them in: who begins what the other does loses little."""

    def cost(key: str) -> int:
        return len(sources[key]) + _TILE_COST * len(_TILE.findall(sources[key]))

    costliest_first = sorted(sources, key=cost, reverse=True)
    return [*costliest_first[::2], *reversed(costliest_first[1::2])]


@contextmanager
def second_compiler(missing: Sequence[Texts]) -> Iterator[None]:
    """Within it, another process compiles some of the functions, if there are many and a core for it."""
    process = _start(missing) if len(missing) >= _WORTH_A_PROCESS and get_num_threads() > 1 else None
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            process.wait()


def _start(missing: Sequence[Texts]) -> subprocess.Popen[bytes] | None:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "GRAPHC_NUM_THREADS": "1"},
        )
    except OSError:
        return None
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(list(missing)).encode())
        process.stdin.close()
    except OSError:  # it is gone already
        pass
    return process
