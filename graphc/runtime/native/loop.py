"""The native executor: one compiled loop that runs a program of kernels.

A program is an int64 array of shape (steps, 4); a step is the address of a kernel, the address of its table of
arguments, the extent of its outer index, and the chunk: the part of the extent that makes one task. The tasks of a step
do not depend on the number of threads, so neither do results.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native import pyfunction, threads
from graphc.runtime.native.binding import BINDER
from graphc.runtime.native.team import SHARE_SOURCE, WORKER, team

STEP_WORDS = 4
STATUS_WORDS = 3

# Words of the table that all runs of the process share. The first is the address of the number of threads.
_THREADS, _TEAM, _SHARE, _RUNTIME_WORDS = range(4)
_runtime = np.zeros(_RUNTIME_WORDS, np.int64)

_RUN_SOURCE = f"""
def run(program, steps, status, runtime):
    threads = word(word(runtime, {_THREADS}), 0)
    team = word(runtime, {_TEAM})
    share = word(runtime, {_SHARE})
    fault = -1
    for step in range(steps):
        entry = program + {8 * STEP_WORDS} * step
        kernel = word(entry, 0)
        table = word(entry, 1)
        extent = word(entry, 2)
        chunk = word(entry, 3)
        if chunk >= extent:
            call_kernel(kernel, table, 0, extent)
        elif threads == 1:
            for task in range((extent + chunk - 1) // chunk):
                call_kernel(kernel, table, task * chunk, min(extent, (task + 1) * chunk))
        else:
            call_share(share, team, kernel, table, extent, chunk)
        if word(status, 0) != 0:
            fault = step
            break
    return fault
"""

# Words of a runner's table: the arguments of run, its address, and CPython's functions for the GIL and for ints.
_PROGRAM, _STEPS, _STATUS, _RUNTIME, _RUN, _SAVE_THREAD, _RESTORE_THREAD, _NEW_INT = range(8)

_CALL_SOURCE = f"""
def call_from_python(self, argument):
    table = word(self + {pyfunction.DATA_OFFSET}, 0)
    thread = call_pointer(word(table, {_SAVE_THREAD}))
    fault = call_run(word(table, {_RUN}), word(table, {_PROGRAM}), word(table, {_STEPS}), word(table, {_STATUS}),
                     word(table, {_RUNTIME}))
    call_with_pointer(word(table, {_RESTORE_THREAD}), thread)
    return call_pointer_of_word(word(table, {_NEW_INT}), fault)
"""


_REQUESTS = (
    KernelRequest(_RUN_SOURCE, "run", "int64(int64, int64, int64, int64)"),
    KernelRequest(SHARE_SOURCE, "share", "int64(int64, int64, int64, int64, int64)"),
    KernelRequest(_CALL_SOURCE, "call_from_python", pyfunction.SIGNATURE),
)

RUNTIME_REQUESTS = (*_REQUESTS, WORKER, BINDER)
"""All functions of the runtime itself, for whoever wants to load them together with kernels."""


def program_runner(program: NDArray[np.int64], status: NDArray[np.int64]) -> Callable[[], int]:
    """A function that runs `program` and returns the index of the step that reported a fault, or -1.

    `program` has shape (steps, 4); its chunks are positive. `status` has 3 words ``[code, value, position]``, zero
    before a run; after a fault they hold the first one. Both are used in place: changes of their contents count from
    the next run on. The GIL is released during a run.
    Raises ValueError for arrays of other shapes or dtypes.
    """
    if program.shape[1:] != (STEP_WORDS,) or status.shape != (STATUS_WORDS,):
        raise ValueError(
            f"program {program.shape}, status {status.shape}; expected (steps, {STEP_WORDS}), ({STATUS_WORDS},)"
        )
    for array in (program, status):
        if array.dtype != np.int64 or not array.flags.c_contiguous:
            raise ValueError(f"a {array.dtype} array of strides {array.strides}; expected contiguous int64")
    run, call = _loaded()
    team().resize(threads.get_num_threads() - 1)
    arguments = program.ctypes.data, len(program), status.ctypes.data, _runtime.ctypes.data
    if not pyfunction.supported():
        function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(run)
        return functools.partial(_run_through_ctypes, function, arguments, (program, status))
    api = map(pyfunction.api_address, ("PyEval_SaveThread", "PyEval_RestoreThread", "PyLong_FromLongLong"))
    table = np.array([*arguments, run, *api], np.int64)
    return pyfunction.without_arguments("run_program", call, table, keep=(program, status))


def run_address() -> int:
    """The address of the loop, ``run(program, steps, status, runtime)``, for steps that run programs of their own."""
    return _loaded()[0]


def runtime_address() -> int:
    """The last argument of the loop."""
    return int(_runtime.ctypes.data)


def _run_through_ctypes(function: Callable[..., int], arguments: tuple[int, ...], keep: object) -> int:
    return function(*arguments)


@functools.cache
def _loaded() -> tuple[int, int]:
    """Addresses of ``run`` and ``call_from_python``; the shared table is ready for them."""
    run, share, call = load(_REQUESTS)
    _runtime[[_THREADS, _TEAM, _SHARE]] = ctypes.addressof(threads.team_size()), team().words.ctypes.data, share
    return run, call
