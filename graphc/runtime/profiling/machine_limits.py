"""What this machine can do: its peak of floating-point operations and its memory bandwidth, measured once."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from graphc.ir.op import Array
from graphc.record import record
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native.loop import STATUS_WORDS, program_runner
from graphc.runtime.native.threads import get_num_threads

__all__ = ["Load", "MachineLimits", "machine_limits", "peak_load", "stream_load"]

_CHAIN = 16
"""Multiplications with an addition that follow each load; the loads of so many find room beside them."""

_ITEMS = 2048
"""Items that one task works on: they stay in the first cache."""

_REPEATS = 256
"""How often a task goes through its items."""

_STREAM_BYTES = 96 << 20
"""Of each of the two arrays that are streamed: more than the last cache of most machines."""


@record
class MachineLimits:
    """What the machine can do with a number of threads.

    Attributes:
        threads: how many took part.
        flops_float32: multiplications and additions of float32 in a second, from registers.
        flops_float64: of float64.
        bytes_per_second: read and written, by a sum of two arrays that no cache holds.
    """

    threads: int
    flops_float32: float
    flops_float64: float
    bytes_per_second: float


@record
class Load:
    """Work that nothing but the machine bounds.

    Attributes:
        run: does it once.
        amount: what it takes of what it is bound by: operations, or bytes.
        memory: what it works on.
    """

    run: Callable[[], object]
    amount: int
    memory: object


def machine_limits() -> MachineLimits:
    """The limits for the number of threads that compiled functions use. The first call takes some 0.2 s."""
    return _measured(get_num_threads())


@functools.cache
def _measured(threads: int) -> MachineLimits:
    single, double, stream = peak_load("f32", threads), peak_load("f64", threads), stream_load(threads)
    return MachineLimits(threads, _best_rate(single), _best_rate(double), _best_rate(stream))


def _peak_request(kind: str) -> KernelRequest:
    chain = "\n".join([f"            v = fma(v, {kind}(0.999), {kind}(0.001))"] * _CHAIN)
    return KernelRequest(
        f"""
def kernel(args, lo, hi):
    p0 = integer(args, 0)
    for _ in range({_REPEATS}):
        for i in range(lo, hi):
            v = load_{kind}_0(p0, i)
{chain}
            store_{kind}_0(p0, i, v)
""",
        "kernel",
    )


_STREAM = KernelRequest(
    """
def kernel(args, lo, hi):
    p0 = integer(args, 0)
    p1 = integer(args, 1)
    for i in range(lo, hi):
        store_f32_1(p1, i, load_f32_1(p1, i) + load_f32_0(p0, i))
""",
    "kernel",
)


def peak_load(kind: Literal["f32", "f64"], threads: int) -> Load:
    """Multiplications and additions on registers."""
    items = _ITEMS * threads * 4
    memory = np.ones(items, np.float32 if kind == "f32" else np.float64)
    return _load(_peak_request(kind), [memory], items, _ITEMS, amount=2 * _CHAIN * _REPEATS * items)


def stream_load(threads: int) -> Load:
    """A sum of two arrays that no cache holds, in bytes read and written."""
    arrays = [np.ones(_STREAM_BYTES // 4, np.float32) for _ in range(2)]
    items = arrays[0].size
    return _load(_STREAM, arrays, items, items // (4 * threads), amount=3 * _STREAM_BYTES)


def _load(request: KernelRequest, arrays: list[Array], items: int, chunk: int, *, amount: int) -> Load:
    """A kernel over the items of arrays, in tasks of ``chunk``."""
    table = np.array([array.ctypes.data for array in arrays], np.int64)
    program = np.array([[load([request])[0], table.ctypes.data, items, chunk]], np.int64)
    run = program_runner(program, np.zeros(STATUS_WORDS, np.int64))
    return Load(run, amount, (arrays, table))


def _best_rate(load: Load) -> float:
    """That of the shortest of some runs."""
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        load.run()
        best = min(best, time.perf_counter() - start)
    return load.amount / best
