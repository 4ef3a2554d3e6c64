"""What LLVM is told of loops that it would make too little of.

It interleaves the iterations of short loops only. Where an iteration is a long chain of operations, each of which waits
for the one before, as those of an exponential are, the processor would hold few iterations at a time; some that
alternate fill it, and share the constants that they load.

A loop whose number of iterations it knows, and which is small, it writes out before it looks for vectors. One that is
written so that it becomes a vector, as its `lane` tells, stays a loop until then.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphc.runtime.instructions.emit import INT, LANE, mark_loop

__all__ = ["hint_loops"]

_LONG = 12
"""How many operations on floating-point numbers an iteration of a long loop has at least."""

_SIDE_BY_SIDE = 4
"""Iterations."""

_MOVES = {"load", "phi", "bitcast"}


def hint_loops(module: ir.Module) -> None:
    """Mark the innermost loops of a module that Numba has written."""
    for function in module.functions:
        number = {block: i for i, block in enumerate(function.blocks)}
        loops = [
            (number[target], last)
            for block, last in number.items()
            for target in block.terminator.operands
            if number.get(target, len(number)) <= last
        ]
        for first, last in loops:
            if any(loop != (first, last) and first <= loop[0] and loop[1] <= last for loop in loops):
                continue
            body = [each for block in function.blocks[first : last + 1] for each in block.instructions]
            branch = function.blocks[last].terminator
            if any(LANE in each.metadata for each in body):
                mark_loop(module, branch, "llvm.loop.unroll.disable")
            elif sum(map(_is_arithmetic, body)) >= _LONG:
                mark_loop(module, branch, "llvm.loop.interleave.count", ir.Constant(INT, _SIDE_BY_SIDE))


def _is_arithmetic(instruction: Any) -> bool:
    floating = isinstance(instruction.type, ir.FloatType | ir.DoubleType) or instruction.opname == "fcmp"
    return floating and instruction.opname not in _MOVES
