"""Integers of running kernels: their operators are Python's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graphc.runtime.instructions.emit import instruction, types
from graphc.runtime.instructions.vectors import Word, loop

NUMBERS = [0, 1, 2, 3, 7, 8, 63, 1000003, 2**31 - 1, 2**31, 2**45 + 1, 2**51 - 1]
SIGNED = [*NUMBERS, *(-number for number in NUMBERS)]


Compile = Callable[..., Callable[[int, int], int]]


def emitting(operation: Callable[[Word, Word], Word]) -> dict[str, Any]:
    """The name of a function of kernels that an operation writes."""

    @instruction(types.int64, types.int64, types.int64)
    def emitted(builder: Any, a: Any, b: Any) -> Any:
        return operation(Word(builder, a), Word(builder, b)).value

    return {"emitted": emitted}


def test_division_is_that_of_python(of_integers: Compile) -> None:
    quotient, rest = (
        of_integers("emitted(x, y)", emitting(each)) for each in (lambda a, b: a // b, lambda a, b: a % b)
    )
    for divisor in NUMBERS[1:]:
        for number in SIGNED:
            for near in (number - 1, number, number + 1):
                assert quotient(near, divisor) == near // divisor
                assert rest(near, divisor) == near % divisor
        for times in (1, 2, 12345):
            for near in (times * divisor - 1, times * divisor, times * divisor + 1):
                if abs(near) < 2**52:
                    assert quotient(near, divisor) == near // divisor


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda a, b: a + b - a * 3, lambda a, b: b - 2 * a),
        (lambda a, b: a.at_most(b), min),
        (lambda a, b: a.at_least(b), max),
        (lambda a, b: -a & 15, lambda a, b: -a & 15),
        (lambda a, b: a // 4, lambda a, b: a // 4),
        (lambda a, b: a % 8, lambda a, b: a % 8),
        (lambda a, b: (a + b).opaque(), lambda a, b: a + b),
        (lambda a, b: a.select(a < b, 5, b), lambda a, b: 5 if a < b else b),
        (lambda a, b: a.select(a.is_zero(), 1, 0), lambda a, b: int(a == 0)),
        (lambda a, b: a.select(a.within(b), 1, 0), lambda a, b: int(0 <= a < b) if b >= 0 else None),
    ],
)
def test_operators(
    operation: Callable[[Word, Word], Word], expected: Callable[[int, int], int | None], of_integers: Compile
) -> None:
    function = of_integers("emitted(x, y)", emitting(operation))
    for a in (-9, -1, 0, 1, 4, 100):
        for b in (-3, 0, 1, 4, 99):
            if (wanted := expected(a, b)) is not None:
                assert function(a, b) == wanted


@pytest.mark.parametrize("unrolled", [1, 4])
@pytest.mark.parametrize("constant", [False, True])
def test_loop_runs_so_many_times_and_moves_its_numbers(of_integers: Compile, unrolled: int, constant: bool) -> None:
    def total(count: Word, step: Word) -> Word:
        builder = count.builder
        slot = builder.alloca(count.value.type)
        zero = Word(builder, 0)
        builder.store(zero.value, slot)

        def body(number: Word) -> None:
            builder.store((Word(builder, builder.load(slot)) + number).value, slot)

        loop(count, [(zero + 1, Word(builder, 3) if constant else step)], body, unrolled)
        return Word(builder, builder.load(slot))

    function = of_integers("emitted(x, y)", emitting(total))
    for count in (-5, -2, -1, 0, 1, 2, 4, 7, 8, 21):
        assert function(count, 3) == sum(1 + 3 * i for i in range(count))
