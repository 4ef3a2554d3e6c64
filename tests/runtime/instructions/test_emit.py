from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graphc.runtime.instructions import intrinsics
from graphc.runtime.instructions.emit import KernelFunction, KernelFunctionType, instruction, types
from graphc.runtime.jit import compiler


@instruction(types.int64, types.int64, types.int64)
def difference(builder: Any, x: Any, y: Any) -> Any:
    return builder.sub(x, y)


def infer_twice(kind: Any) -> Any:
    return kind(kind), lambda builder, x: builder.add(x, x)


twice = KernelFunction("twice", 1, infer_twice)


NAMES = {"difference": difference, "twice": twice, "i8": intrinsics._COMMON["i8"]}


def test_fixed_types(of_integers: Callable[..., Callable[[int, int], int]]) -> None:
    assert of_integers("difference(x, y)", NAMES)(7, 10) == -3
    assert of_integers("difference(i8(x), True)", NAMES)(257, 0) == 0


def test_inferred_types(of_integers: Callable[..., Callable[[int, int], int]]) -> None:
    assert of_integers("twice(i8(x)) + twice(y)", NAMES)(100, 1000) == 2000 - 56


@pytest.mark.parametrize("call", ["twice(x, y)", "twice()", "twice(operand=x)"])
def test_wrong_operands(call: str, of_integers: Callable[..., Callable[[int, int], int]]) -> None:
    with pytest.raises(compiler.KernelError, match=r"twice of \d operands; expected 1"):
        of_integers(call, NAMES)


def test_functions_of_one_name_are_different(of_integers: Callable[..., Callable[[int, int], int]]) -> None:
    def named(name: str, times: int) -> KernelFunction:
        def infer(kind: Any) -> Any:
            return kind(kind), lambda builder, x: builder.mul(x, x.type(times))

        return KernelFunction(name, 1, infer)

    names = {"three": named("same", 3), "five": named("same", 5)}
    assert of_integers("three(x) + five(y)", names)(10, 100) == 530


def test_names_for_people() -> None:
    assert (twice.name, difference.name) == ("twice", "difference")
    assert str(KernelFunctionType(twice)) == "kernel function twice"
