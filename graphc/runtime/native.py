"""The native executor: one compiled loop that runs a program of kernels.

A program is an int64 array of shape (steps, 4); a step is the address of a kernel, the address of its table of
arguments, the extent of its outer index, and the chunk: the part of the extent that makes one task. The tasks of a step
do not depend on the number of threads, so neither do results.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from graphc.runtime import blas, pyfunction, threads
from graphc.runtime.loader import KernelRequest, load

_setup = threading.Lock()

STEP_WORDS = 4
STATUS_WORDS = 3

# Words of the table that all runs of the process share. The first is the address of the number of threads.
_THREADS, _GOMP_PARALLEL, _THREAD_NUMBER, _TEAM_SIZE, _WORK, _TEAM_USED = range(6)
_BLAS_GET, _BLAS_SET, _LOCK, _DEPTH, _SAVED, _RUNTIME_WORDS = range(6, 12)

_RUN_SOURCE = f"""
def run(program, steps, status, runtime):
    team = word(word(runtime, {_THREADS}), 0)
    parallel = word(runtime, {_GOMP_PARALLEL})
    get_threads = word(runtime, {_BLAS_GET})
    set_threads = word(runtime, {_BLAS_SET})
    job = stack_words()
    if set_threads != 0:
        # The first of the runs under way takes BLAS's threads away, the last one gives them back.
        while not exchange(runtime + {8 * _LOCK}, 0, 1):
            pass
        if word(runtime, {_DEPTH}) == 0:
            set_word(runtime, {_SAVED}, call_int(get_threads))
            call_with_int(set_threads, 1)
        set_word(runtime, {_DEPTH}, word(runtime, {_DEPTH}) + 1)
        exchange(runtime + {8 * _LOCK}, 1, 0)
    fault = -1
    for step in range(steps):
        entry = program + {8 * STEP_WORDS} * step
        kernel = word(entry, 0)
        table = word(entry, 1)
        extent = word(entry, 2)
        chunk = word(entry, 3)
        if chunk >= extent:
            call_kernel(kernel, table, 0, extent)
        elif team == 1 or parallel == 0:
            for task in range((extent + chunk - 1) // chunk):
                call_kernel(kernel, table, task * chunk, min(extent, (task + 1) * chunk))
        else:
            set_word(job, 0, kernel)
            set_word(job, 1, table)
            set_word(job, 2, extent)
            set_word(job, 3, chunk)
            set_word(job, 4, runtime)
            set_word(runtime, {_TEAM_USED}, 1)
            fork_join(parallel, word(runtime, {_WORK}), job, team)
        if word(status, 0) != 0:
            fault = step
            break
    if set_threads != 0:
        while not exchange(runtime + {8 * _LOCK}, 0, 1):
            pass
        set_word(runtime, {_DEPTH}, word(runtime, {_DEPTH}) - 1)
        if word(runtime, {_DEPTH}) == 0:
            call_with_int(set_threads, word(runtime, {_SAVED}))
        exchange(runtime + {8 * _LOCK}, 1, 0)
    return fault
"""

# Each thread takes neighbouring tasks, and the same ones in every step: what it wrote is still in its cache. The team
# may be smaller than what was asked for.
_WORK_SOURCE = f"""
def work(job):
    kernel = word(job, 0)
    table = word(job, 1)
    extent = word(job, 2)
    chunk = word(job, 3)
    runtime = word(job, 4)
    thread = call_int(word(runtime, {_THREAD_NUMBER}))
    team = call_int(word(runtime, {_TEAM_SIZE}))
    tasks = (extent + chunk - 1) // chunk
    for task in range(tasks * thread // team, tasks * (thread + 1) // team):
        call_kernel(kernel, table, task * chunk, min(extent, (task + 1) * chunk))
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


def program_runner(program: NDArray[np.int64], status: NDArray[np.int64], uses_blas: bool = False) -> Callable[[], int]:
    """A function that runs `program` and returns the index of the step that reported a fault, or -1.

    `program` has shape (steps, 4); its chunks are positive. `status` has 3 words ``[code, value, position]``, zero
    before a run; after a fault they hold the first one. Both are used in place: changes of their contents count from
    the next run on. The GIL is released during a run. While a program that `uses_blas` runs, BLAS has one thread.
    Raises ValueError for arrays of other shapes or dtypes.
    """
    if program.shape[1:] != (STEP_WORDS,) or status.shape != (STATUS_WORDS,):
        raise ValueError(
            f"program {program.shape}, status {status.shape}; expected (steps, {STEP_WORDS}), ({STATUS_WORDS},)"
        )
    for array in (program, status):
        if array.dtype != np.int64 or not array.flags.c_contiguous:
            raise ValueError(f"a {array.dtype} array of strides {array.strides}; expected contiguous int64")
    if uses_blas:
        _control_blas()
    run, words = _run_address(), _runtime_words()
    arguments = program.ctypes.data, len(program), status.ctypes.data, words.ctypes.data
    if not pyfunction.supported():
        function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(run)
        return functools.partial(_run_through_ctypes, function, arguments, (program, status))
    api = pyfunction.api_address
    table = np.array(
        [*arguments, run, api("PyEval_SaveThread"), api("PyEval_RestoreThread"), api("PyLong_FromLongLong")], np.int64
    )
    [call] = load([KernelRequest(_CALL_SOURCE, "call_from_python", pyfunction.SIGNATURE)])
    return pyfunction.without_arguments("run_program", call, table, keep=(program, status))


def _run_through_ctypes(function: Callable[..., int], arguments: tuple[int, ...], keep: object) -> int:
    return function(*arguments)


@functools.cache
def _run_address() -> int:
    [run] = load([KernelRequest(_RUN_SOURCE, "run", "int64(int64, int64, int64, int64)")])
    return run


def _runtime_words() -> NDArray[np.int64]:
    with _setup:
        return _make_runtime_words()


@functools.cache
def _make_runtime_words() -> NDArray[np.int64]:
    words = np.zeros(_RUNTIME_WORDS, np.int64)
    words[_THREADS] = ctypes.addressof(threads.team_size())
    team = threads.team_library()
    if team is not None:
        words[_GOMP_PARALLEL] = team.gomp_parallel
        words[_THREAD_NUMBER], words[_TEAM_SIZE] = team.omp_get_thread_num, team.omp_get_num_threads
        [words[_WORK]] = load([KernelRequest(_WORK_SOURCE, "work", "void(int64)")])
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    return words


def _control_blas() -> None:
    library, words = blas.blas(), _runtime_words()
    words[_BLAS_GET], words[_BLAS_SET] = library.get_num_threads, library.set_num_threads


def _after_fork() -> None:
    """In a forked child: the team's threads are gone, and runs of other threads never end."""
    words = _make_runtime_words()
    if words[_TEAM_USED]:
        words[_GOMP_PARALLEL] = 0  # the OpenMP runtime would wait for its lost threads for ever
    words[_LOCK] = words[_DEPTH] = 0
