"""A second process that compiles kernels while this one does.

Numba compiles one function at a time in a process. Where many kernels are missing from the cache, a second process goes
through them from the end, this one from the beginning; each puts what it made into the cache on disk and looks there
before it compiles, so they meet in the middle. If the second process cannot start, or dies, this one does all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from graphc.runtime.threads import get_num_threads

__all__ = ["second_compiler"]

Texts = tuple[str, str, str]
"""Source, name and signature of a function."""

_WORTH_A_PROCESS = 6
"""Kernels: for fewer, the second process would still be importing Numba when the first is done."""

_CODE = "from graphc.runtime.second_compiler import main; main()"


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


def main() -> None:
    """Compile the functions that standard input lists, the last one first, until one is there already."""
    from graphc.runtime.loader import KernelRequest, store

    for texts in reversed(json.load(sys.stdin)):
        if not store(KernelRequest(*texts)):
            return
