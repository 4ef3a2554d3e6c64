"""What LLVM is told of which loops."""

from __future__ import annotations

import pytest
from numba import types

from graphc.runtime.instructions import intrinsics
from graphc.runtime.jit.frontend import lowered

INTERLEAVED, WHOLE = "llvm.loop.interleave.count", "llvm.loop.unroll.disable"


def marked_loops(body: str, hint: str) -> int:
    """How many loops of a kernel with this body are marked so; it has no loops that are marked otherwise."""
    source = "def kernel(args, lo, hi):\n    p = integer(args, 0)\n" + body
    scope = intrinsics.namespace(source)
    exec(source, scope)
    signature = types.void(types.CPointer(types.int64), types.int64, types.int64)
    text = lowered(scope["kernel"], "kernel", signature)
    marks = [line.partition(" ")[0] for line in text.splitlines() if line.startswith("!") and hint in line]
    loops = [line for line in text.splitlines() if line.startswith("!") and any(f", {mark} " in line for mark in marks)]
    assert text.count("!llvm.loop ") == len(loops)
    return len(loops)


@pytest.mark.parametrize(
    ("value", "loops"),
    [("a", 0), ("f32(a * a)", 0), ("f32(exp(a))", 1), ("f32(sigmoid(a))", 1), ("f32(f32(1) / f32(tanh(a)))", 1)],
)
def test_long_chains_of_operations(value: str, loops: int) -> None:
    body = f"    for i in range(lo, hi):\n        a = load_f32_0(p, i)\n        store_f32_0(p, i, {value})\n"
    assert marked_loops(body, INTERLEAVED) == loops


def test_only_the_innermost_loop() -> None:
    body = """
    for i in range(lo, hi):
        b = f32(exp(load_f32_0(p, i)))
        for j in range(8):
            store_f32_0(p, i * 8 + j, f32(exp(f32(load_f32_0(p, i * 8 + j) + b))))
        for j in range(8):
            store_f32_0(p, i * 8 + j, f32(load_f32_0(p, i * 8 + j) + b))
"""
    assert marked_loops(body, INTERLEAVED) == 1


@pytest.mark.parametrize(("lane", "loops"), [("lane(k)", 1), ("k", 0)])
def test_a_loop_that_is_to_become_a_vector(lane: str, loops: int) -> None:
    body = f"""
    for i in range(lo, hi):
        for k in range(8):
            j = i * 8 + {lane}
            store_f32_0(p, j, f32(load_f32_0(p, j) * f32(2)))
"""
    assert marked_loops(body, WHOLE) == loops
