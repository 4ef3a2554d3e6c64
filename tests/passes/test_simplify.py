from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gr
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph, Value
from graphc.ir.op import Array, registry
from graphc.ir.ops.assemble import CONCATENATE, PAD, SLICE, ConcatenateAttrs, PadAttrs, SliceAttrs, slice_axes
from graphc.ir.ops.reduce import SUM, ReduceAttrs
from graphc.ir.ops.shape import BROADCAST_TO, RESHAPE, TRANSPOSE, ShapeAttrs, TransposeAttrs
from graphc.ir.printer import to_text
from graphc.ir.types import DTYPES
from graphc.passes.autodiff import Autodiff
from graphc.passes.dce import Dce
from graphc.passes.rules.arithmetic import preserves
from graphc.passes.simplify import RULES, Simplify
from tests.passes.passing import (
    INTEGERS,
    NASTY,
    applied,
    check_gradients_kept,
    check_pass,
    graph_of,
    names,
    results,
    same,
)
from tests.support import calls_made

POINTS = np.array([0.5, -1.25, 2.0, 0.0, 3.0], np.float32)
"""Ordinary numbers, at which gradients are compared."""

BITS = np.array([True, False, True])


@dataclass(frozen=True)
class Case:
    """An expression, what it becomes, and how exactly it keeps its values for the nastiest numbers."""

    build: Callable[..., Any]
    expected: str
    arrays: Sequence[Array] = field(default_factory=lambda: [NASTY])
    rtol: float = 0.0
    signs: bool = True

    @property
    def is_float(self) -> bool:
        return all(array.dtype.kind == "f" for array in self.arrays)


ODD = np.abs(NASTY)
PAIR = [NASTY, NASTY[::-1].copy()]
I8 = [INTEGERS]

ELEMENTWISE = {
    # neutral operands
    "x + 0": Case(lambda x: x + 0, "x", signs=False),
    "0 + x": Case(lambda x: 0.0 + x, "x", signs=False),
    "x + -0.0": Case(lambda x: x + -0.0, "x"),
    "integer + 0": Case(lambda x: x + 0, "x", I8),
    "bool + False": Case(lambda x: x + False, "x", [BITS]),
    "x + 1": Case(lambda x: x + 1, "add(x, 1.0)"),
    "x - 0": Case(lambda x: x - 0, "x"),
    "0 - x": Case(lambda x: 0 - x, "negative(x)", signs=False),
    "0 - integer": Case(lambda x: 0 - x, "negative(x)", I8),
    "x - x": Case(lambda x: x - x, "subtract(x, x)"),
    "x * 1": Case(lambda x: x * 1, "x"),
    "1 * integer": Case(lambda x: 1 * x, "x", I8),
    "x * -1": Case(lambda x: x * -1, "negative(x)"),
    "integer * -1": Case(lambda x: x * -1, "negative(x)", I8),
    "x * 0": Case(lambda x: x * 0, "multiply(x, 0.0)"),
    "x / 1": Case(lambda x: x / 1, "x"),
    "x / -1": Case(lambda x: x / -1, "negative(x)"),
    "x / 4": Case(lambda x: x / 4, "multiply(x, 0.25)"),
    "x / -0.5": Case(lambda x: x / -0.5, "multiply(x, -2.0)"),
    "x / 3": Case(lambda x: x / 3, "divide(x, 3.0)"),
    "x / 2**127": Case(lambda x: x / 2.0**127, "divide(x, 1.7014118e+38)"),
    "x / 0": Case(lambda x: x / 0.0, "divide(x, 0.0)"),
    "x / inf": Case(lambda x: x / float("inf"), "divide(x, inf)"),
    "1 / x": Case(lambda x: 1 / x, "divide(1.0, x)"),
    # powers
    "x ** 1": Case(lambda x: x**1, "x"),
    "x ** 2": Case(lambda x: x**2, "multiply(x, x)"),
    "x ** 3": Case(lambda x: x**3, "multiply(multiply(x, x), x)", rtol=1e-6),
    "x ** 4": Case(lambda x: x**4, "power(x, 4.0)"),
    "x ** -1": Case(lambda x: x**-1, "divide(1.0, x)"),
    "x ** 0.5": Case(lambda x: x**0.5, "sqrt(x)", [ODD], rtol=1e-6),
    "x ** -0.5": Case(lambda x: x**-0.5, "rsqrt(x)", [ODD], rtol=1e-6),
    "integer ** 1": Case(lambda x: x**1, "x", I8),
    "integer ** 2": Case(lambda x: x**2, "multiply(x, x)", I8),
    "integer ** 3": Case(lambda x: x**3, "multiply(multiply(x, x), x)", I8),
    "integer ** -1": Case(lambda x: x**-1, "power(x, -1)", I8),
    "1 / sqrt(x)": Case(lambda x: 1 / gr.sqrt(x), "rsqrt(x)"),
    "2 / sqrt(x)": Case(lambda x: 2 / gr.sqrt(x), "divide(2.0, sqrt(x))"),
    # constant factors
    "x * 2 * 3": Case(lambda x: x * 2 * 3, "multiply(x, 6.0)", rtol=1e-6),
    "3 * (2 * x)": Case(lambda x: 3 * (2 * x), "multiply(x, 6.0)", rtol=1e-6),
    "x * 6 / 3": Case(lambda x: x * 6 / 3, "multiply(x, 2.0)", [NASTY[:-3]], rtol=1e-6),
    "x / 3 * 3": Case(lambda x: x / 3 * 3, "x", rtol=1e-6),
    "x / 3 / 5": Case(lambda x: x / 3 / 5, "divide(x, 15.0)", rtol=1e-6),
    "x * 2 * 3 * 4 * 5": Case(lambda x: x * 2 * 3 * 4 * 5, "multiply(x, 120.0)", [NASTY[:-3]], rtol=1e-6),
    "x * 1e30 * 1e30": Case(lambda x: x * 1e30 * 1e30, "multiply(multiply(x, 1e+30), 1e+30)"),
    "x * 1e-30 * 1e-30": Case(lambda x: x * 1e-30 * 1e-30, "multiply(multiply(x, 1e-30), 1e-30)"),
    "integer * 2 * 100": Case(lambda x: x * 2 * 100, "multiply(x, -56)", I8),
    # signs
    "-(-x)": Case(lambda x: gr.negative(-x), "x"),
    "-(-integer)": Case(lambda x: gr.negative(-x), "x", I8),
    "-(x * 3)": Case(lambda x: -(x * 3), "multiply(x, -3.0)"),
    "-(x / 3)": Case(lambda x: -(x / 3), "divide(x, -3.0)"),
    "-(integer * 3)": Case(lambda x: -(x * 3), "multiply(x, -3)", I8),
    "x + -y": Case(lambda x, y: x + -y, "subtract(x, y)", PAIR),
    "-x + y": Case(lambda x, y: -x + y, "subtract(y, x)", PAIR),
    "x - -y": Case(lambda x, y: x - -y, "add(x, y)", PAIR),
    "-x * -y": Case(lambda x, y: -x * -y, "multiply(x, y)", PAIR),
    "-x * y": Case(lambda x, y: -x * y, "negative(multiply(x, y))", PAIR),
    "x * -y": Case(lambda x, y: x * -y, "negative(multiply(x, y))", PAIR),
    "-x / -y": Case(lambda x, y: -x / -y, "divide(x, y)", PAIR),
    "-x / y": Case(lambda x, y: -x / y, "negative(divide(x, y))", PAIR),
    "x / -y": Case(lambda x, y: x / -y, "negative(divide(x, y))", PAIR),
    "-x * 3": Case(lambda x: -x * 3, "multiply(x, -3.0)"),
    "-x / 3": Case(lambda x: -x / 3, "divide(x, -3.0)"),
    "3 / -x": Case(lambda x: 3 / -x, "divide(-3.0, x)"),
    "x - y * -z": Case(lambda x, y: x - y * -x, "add(x, multiply(y, x))", PAIR),
    "signs of integers": Case(lambda x, y: x + -y * 3, "add(x, multiply(y, -3))", [INTEGERS, INTEGERS[::-1].copy()]),
    # inverse functions, conversions
    "log(exp(x))": Case(lambda x: gr.log(gr.exp(x)), "x", [NASTY[:7]], rtol=1e-6),
    "exp(log(x))": Case(lambda x: gr.exp(gr.log(x)), "exp(log(x))"),
    "float64 and back": Case(lambda x: x.astype("float64").astype("float32"), "x"),
    "float64, then bool": Case(lambda x: x.astype("float64").astype("bool"), "cast(x, dtype=bool)"),
    "float64, then int": Case(
        lambda x: x.astype("float64").astype("int32"), "cast(cast(x, dtype=float64), dtype=int32)", [POINTS]
    ),
    "int32, then int16": Case(lambda x: x.astype("int32").astype("int16"), "cast(x, dtype=int16)", I8),
    "float32, then int16": Case(lambda x: x.astype("float32").astype("int16"), "cast(x, dtype=int16)", I8),
    "int16, then float": Case(
        lambda x: x.astype("int16").astype("float32"), "cast(cast(x, dtype=int16), dtype=float32)", [POINTS]
    ),
    "int16, then uint8": Case(lambda x: x.astype("int16").astype("uint8"), "cast(x, dtype=uint8)", I8),
    # choices and logic
    "maximum(x, x)": Case(lambda x: gr.maximum(x, x), "x"),
    "minimum(x, x)": Case(lambda x: gr.minimum(x, x), "x"),
    "relu(relu(x))": Case(lambda x: gr.relu(gr.relu(x)), "relu(x)"),
    "abs(abs(x))": Case(lambda x: gr.abs(gr.abs(x)), "abs(x)"),
    "abs(abs(integer))": Case(lambda x: gr.abs(gr.abs(x)), "abs(x)", I8),
    "sign(sign(x))": Case(lambda x: gr.sign(gr.sign(x)), "sign(x)"),
    "floor(floor(x))": Case(lambda x: gr.floor(gr.floor(x)), "floor(x)"),
    "ceil(ceil(x))": Case(lambda x: gr.ceil(gr.ceil(x)), "ceil(x)"),
    "trunc(trunc(x))": Case(lambda x: gr.trunc(gr.trunc(x)), "trunc(x)"),
    "round(round(x))": Case(lambda x: gr.round(gr.round(x)), "round(x)"),
    "floor(ceil(x))": Case(lambda x: gr.floor(gr.ceil(x)), "floor(ceil(x))"),
    "stop_gradient twice": Case(lambda x: gr.stop_gradient(gr.stop_gradient(x)), "stop_gradient(x)"),
    "~~x": Case(lambda x: ~~x, "x", [BITS]),
    "~~integer": Case(lambda x: ~~x, "x", I8),
    "x & x": Case(lambda x: x & x, "x", I8),
    "x | x": Case(lambda x: x | x, "x", [BITS]),
    "x & True": Case(lambda x: x & True, "x", [BITS]),
    "x | False": Case(lambda x: x | False, "x", [BITS]),
    "integer & 1": Case(lambda x: x & 1, "bitwise_and(x, 1)", I8),
    "integer | 0": Case(lambda x: x | 0, "bitwise_or(x, 0)", I8),
    "x == x": Case(lambda x: x == x, "equal(x, x)"),
    "where(True)": Case(lambda x: gr.where(True, x, 0.0), "x"),
    "where(c, x, x)": Case(lambda x: gr.where(x > 0, x, x), "x"),
    "where(~c)": Case(lambda x: gr.where(~(x > 0), x, 1.0), "where(greater(x, 0.0), 1.0, x)"),
    # several at once
    "chain": Case(lambda x: ((x * 1 + -0.0) / 1 - 0) ** 1, "x"),
    "signs cancel at the end": Case(lambda x, y: -((-x) * y), "multiply(x, y)", PAIR),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str) -> None:
    case = ELEMENTWISE[name]
    for change in (lambda a: a, lambda a: a[:0], lambda a: a[-1], lambda a: np.stack([a, a])[:, :, None]):
        arrays = [change(array) for array in case.arrays]
        found = check_pass(case.build, arrays, Simplify(), rtol=case.rtol, signs=case.signs)
        assert found == [case.expected]
    if case.is_float:
        check_gradients_kept(case.build, [POINTS + 2 * place for place in range(len(case.arrays))], Simplify())


REPEATED = {
    "integer - integer": (lambda x: x - x, "broadcast_to(0, shape=(7,))", INTEGERS),
    "integer * 0": (lambda x: x * 0, "broadcast_to(0, shape=(7,))", INTEGERS),
    "x ** 0": (lambda x: x**0, "broadcast_to(1.0, shape=(11,))", NASTY),
    "integer ** 0": (lambda x: x**0, "broadcast_to(1, shape=(7,))", INTEGERS),
    "x & False": (lambda x: x & False, "broadcast_to(False, shape=(3,))", BITS),
    "x | True": (lambda x: x | True, "broadcast_to(True, shape=(3,))", BITS),
    "integer == itself": (lambda x: x == x, "broadcast_to(True, shape=(7,))", INTEGERS),
    "integer <= itself": (lambda x: x <= x, "broadcast_to(True, shape=(7,))", INTEGERS),
    "integer >= itself": (lambda x: x >= x, "broadcast_to(True, shape=(7,))", INTEGERS),
    "integer != itself": (lambda x: x != x, "broadcast_to(False, shape=(7,))", INTEGERS),
    "integer < itself": (lambda x: x < x, "broadcast_to(False, shape=(7,))", INTEGERS),
    "integer > itself": (lambda x: x > x, "broadcast_to(False, shape=(7,))", INTEGERS),
    "where(False)": (lambda x: gr.where(gr.zeros((3, 11), "bool"), x, 0.5), "broadcast_to(0.5, shape=(3, 11))", NASTY),
}


@pytest.mark.parametrize("name", REPEATED)
def test_results_that_are_one_number(name: str) -> None:
    build, expected, array = REPEATED[name]
    assert check_pass(build, [array], Simplify()) == [expected]
    check_pass(build, [array[:0]], Simplify(), shapes=[(0,)]) if name != "where(False)" else None


def test_square_root_is_that_of_numpy_operator() -> None:
    x = np.array([-np.inf, -0.0, -1.0], np.float32)
    graph, feeds = graph_of(lambda x: [x**0.5, x**-0.5], [x])
    (root, inverse) = results(applied(graph, Simplify()), feeds)
    with np.errstate(all="ignore"):
        same(root, x**0.5)
        same(inverse, 1 / np.sqrt(x))


BROADCAST = {
    "neutral number of a larger shape": (
        lambda x: x * gr.ones((3, 5)) + np.zeros((2, 1, 1), np.float32),
        "broadcast_to(x, shape=(2, 3, 5))",
    ),
    "exponent of a larger shape": (lambda x: x ** gr.full((3, 1), 2.0), "broadcast_to(multiply(x, x), shape=(3, 5))"),
    "factors of a larger shape": (
        lambda x: x * np.full((2, 1), 4, np.float32) * 2,
        "broadcast_to(multiply(x, 8.0), shape=(2, 5))",
    ),
    "operand that is broadcast needlessly": (
        lambda x: gr.broadcast_to(x[:1], (5,)) + x,
        "add(slice(x, starts=(0,), sizes=(1,), steps=(1,)), x)",
    ),
    "unary function": (lambda x: gr.exp(gr.broadcast_to(x, (4, 5))), "broadcast_to(exp(x), shape=(4, 5))"),
    "both operands": (
        lambda x: gr.broadcast_to(x, (5, 5)) * gr.broadcast_to(x[:, None], (4, 5, 5)),
        "broadcast_to(multiply(x, reshape(x, shape=(5, 1))), shape=(4, 5, 5))",
    ),
    "different axes": (
        lambda x: gr.broadcast_to(x, (5, 5)) + gr.broadcast_to(x[:, None], (5, 5)),
        "add(x, reshape(x, shape=(5, 1)))",
    ),
    "condition": (
        lambda x: gr.where(gr.broadcast_to(x > 0, (3, 5)), 1.0, x),
        "broadcast_to(where(greater(x, 0.0), 1.0, x), shape=(3, 5))",
    ),
    "sign of the smaller operand": (
        lambda x: (-x) * gr.broadcast_to(x, (2, 5)) * gr.reshape(gr.broadcast_to(gr.sum(x), (10,)), (2, 5)),
        "broadcast_to(negative(multiply(multiply(x, x), sum(x, axes=(0,)))), shape=(2, 5))",
    ),
}


@pytest.mark.parametrize("name", BROADCAST)
def test_broadcasting(name: str) -> None:
    build, expected = BROADCAST[name]
    assert check_pass(build, [POINTS], Simplify(), rtol=1e-6) == [expected]
    check_gradients_kept(build, [POINTS], Simplify())


def test_sign_of_a_smaller_operand_stays_there() -> None:
    found = check_pass(lambda x, y: -x * y, [POINTS, np.ones((3, 5), np.float32)], Simplify())
    assert found == ["multiply(negative(x), y)"]


def test_sign_of_a_value_in_use_stays_there() -> None:
    def build(x: Value) -> list[Value]:
        opposite = -x
        return [opposite * gr.exp(x), opposite]

    assert check_pass(build, [POINTS], Simplify()) == ["multiply(negative(x), exp(x))", "negative(x)"]


CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7
VIEWS: dict[str, tuple[Callable[..., Any], str]] = {
    "reshape twice": (lambda x: x.reshape(6, 4).reshape(3, 8), "reshape(x, shape=(3, 8))"),
    "reshape and back": (lambda x: x.reshape(6, 4).reshape(2, 3, 4), "x"),
    "transpose twice": (lambda x: x.transpose(1, 2, 0).transpose(1, 0, 2), "transpose(x, axes=(2, 1, 0))"),
    "transpose and back": (lambda x: x.transpose(1, 2, 0).transpose(2, 0, 1), "x"),
    "transpose of a product": (
        lambda x: (x[0].T @ gr.sin(x[1])).T,
        "matmul(transpose(sin({1}), axes=(1, 0)), {0})".format(
            *(f"reshape(slice(x, starts=({i}, 0, 0), sizes=(1, 3, 4), steps=(1, 1, 1)), shape=(3, 4))" for i in (0, 1))
        ),
    ),
    "transpose of products": (
        lambda x: (x @ gr.swapaxes(gr.sin(x), 1, 2)).transpose(0, 2, 1),
        "matmul(sin(x), transpose(x, axes=(0, 2, 1)))",
    ),
    "other transpose of products": (
        lambda x: (x @ gr.swapaxes(x, 1, 2)).transpose(1, 0, 2),
        "transpose(matmul(x, transpose(x, axes=(0, 2, 1))), axes=(1, 0, 2))",
    ),
    "broadcast twice": (
        lambda x: gr.broadcast_to(gr.broadcast_to(x[:1], (2, 3, 4)), (5, 2, 3, 4)),
        "broadcast_to(slice(x, starts=(0, 0, 0), sizes=(1, 3, 4), steps=(1, 1, 1)), shape=(5, 2, 3, 4))",
    ),
    "broadcast after leading axes": (
        lambda x: gr.broadcast_to(x[None, None], (5, 3, 2, 3, 4)),
        "broadcast_to(x, shape=(5, 3, 2, 3, 4))",
    ),
    "broadcast after an axis within": (
        lambda x: gr.broadcast_to(x[:, None], (2, 5, 3, 4)),
        "broadcast_to(reshape(x, shape=(2, 1, 3, 4)), shape=(2, 5, 3, 4))",
    ),
    "slice twice": (
        lambda x: x[:, 1:, ::2][:, ::-1, 1:],
        "slice(x, starts=(0, 2, 2), sizes=(2, 2, 1), steps=(1, -1, 2))",
    ),
    "slice of everything": (lambda x: x[:, :3, :], "x"),
    "reverse twice": (lambda x: gr.flip(gr.flip(x, 1), 1), "x"),
    "empty slice of a slice": (
        lambda x: x[:, 1:][:, 2:],
        "slice(x, starts=(0, 3, 0), sizes=(2, 0, 4), steps=(1, 1, 1))",
    ),
    "views of one item": (
        lambda x: gr.broadcast_to(gr.sum(x), (3, 4)).reshape(12).reshape(2, 6).T[1:],
        "broadcast_to(sum(x, axes=(0, 1, 2)), shape=(5, 2))",
    ),
    "slice of a part": (
        lambda x: gr.concatenate([x, gr.exp(x)], 1)[:, 4:6],
        "slice(exp(x), starts=(0, 1, 0), sizes=(2, 2, 4), steps=(1, 1, 1))",
    ),
    "reversed slice of a part": (
        lambda x: gr.concatenate([x, gr.exp(x)], 1)[:, 2::-2, 1:],
        "slice(x, starts=(0, 2, 1), sizes=(2, 2, 3), steps=(1, -2, 1))",
    ),
    "slice across parts": (
        lambda x: gr.concatenate([x, x], 1)[:, 2:4],
        "slice(concatenate(x, x, axis=1), starts=(0, 2, 0), sizes=(2, 2, 4), steps=(1, 1, 1))",
    ),
    "split of a concatenation": (lambda x: gr.split(gr.concatenate([x, gr.exp(x)], 0), 2)[1], "exp(x)"),
    "concatenation of one": (lambda x: apply_one(CONCATENATE, (x,), ConcatenateAttrs(1)), "x"),
    "concatenation with nothing": (lambda x: gr.concatenate([x[:0], x, x[:0]], 0), "x"),
    "concatenation of nothing": (
        lambda x: gr.concatenate([x[:0], x[:0]], 0),
        "slice(x, starts=(0, 0, 0), sizes=(0, 3, 4), steps=(1, 1, 1))",
    ),
    "pad of no width": (lambda x: apply_pad(x, 0), "x"),
    "pad of some width": (lambda x: apply_pad(x, 1), "pad(x, 0.5, low=(1, 0, 0), high=(0, 0, 0), interior=(0, 0, 0))"),
}


def apply_pad(x: Value, width: int) -> Value:
    return apply_one(PAD, (x, gr.constant(0.5, x.dtype)), PadAttrs((width, 0, 0), (0, 0, 0), (0, 0, 0)))


@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str) -> None:
    build, expected = VIEWS[name]
    assert check_pass(build, [CUBE], Simplify(), rtol=1e-6) == [expected]
    check_gradients_kept(build, [CUBE], Simplify())


def reduce(op: Any, axes: tuple[int, ...], keepdims: bool = False) -> Callable[[Value], Value]:
    return lambda x: apply_one(op, (x,), ReduceAttrs(axes, keepdims))


REDUCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "product over an axis of one item": (
        lambda x: gr.prod(x.max(1, keepdims=True), 1, keepdims=True),
        "max(x, axes=(1,), keepdims=True)",
    ),
    "over no axes": (reduce(SUM, ()), "x"),
    "over an axis of one item": (
        lambda x: gr.exp(x.max(1, keepdims=True)).sum(1),
        "reshape(exp(max(x, axes=(1,), keepdims=True)), shape=(2, 4))",
    ),
    "over an axis of one item, kept": (
        lambda x: x.max(1, keepdims=True).sum(1, keepdims=True),
        "max(x, axes=(1,), keepdims=True)",
    ),
    "sum of a broadcast": (lambda x: gr.sum(gr.broadcast_to(x, (5, 2, 3, 4)), 0), "multiply(x, 5.0)"),
    "sum of a broadcast and more": (
        lambda x: gr.sum(gr.broadcast_to(x, (5, 2, 3, 4)), (0, 2)),
        "multiply(sum(reshape(x, shape=(1, 2, 3, 4)), axes=(0, 2)), 5.0)",
    ),
    "sum over one of two broadcast axes": (
        lambda x: gr.sum(gr.broadcast_to(x[:, :1], (5, 2, 3, 4)), 0),
        "broadcast_to(multiply(slice(x, starts=(0, 0, 0), sizes=(2, 1, 4), steps=(1, 1, 1)), 5.0), shape=(2, 3, 4))",
    ),
    "sum over axes that were there": (
        lambda x: gr.sum(gr.broadcast_to(x, (5, 2, 3, 4)), 1),
        "sum(broadcast_to(x, shape=(5, 2, 3, 4)), axes=(1,))",
    ),
    "sum of no copies": (
        lambda x: gr.sum(gr.broadcast_to(x, (0, 2, 3, 4)), 0),
        "sum(broadcast_to(x, shape=(0, 2, 3, 4)), axes=(0,))",
    ),
    "max of a broadcast": (lambda x: gr.max(gr.broadcast_to(x, (5, 2, 3, 4)), 0), "x"),
    "min of a broadcast": (
        lambda x: gr.min(gr.broadcast_to(x, (5, 2, 3, 4)), 0, keepdims=True),
        "reshape(x, shape=(1, 2, 3, 4))",
    ),
    "product of a broadcast": (
        lambda x: gr.prod(gr.broadcast_to(x, (2, 2, 3, 4)), 0),
        "prod(broadcast_to(x, shape=(2, 2, 3, 4)), axes=(0,))",
    ),
    "sum of a sum": (lambda x: x.sum(1).sum(1), "sum(x, axes=(1, 2))"),
    "sum of a sum, both kept": (
        lambda x: x.sum(1, keepdims=True).sum(0, keepdims=True),
        "sum(x, axes=(0, 1), keepdims=True)",
    ),
    "sum of a kept sum": (lambda x: x.sum(1, keepdims=True).sum(0), "reshape(sum(x, axes=(0, 1)), shape=(1, 4))"),
    "kept sum of a sum": (
        lambda x: x.sum(1).sum(0, keepdims=True),
        "reshape(sum(x, axes=(0, 1), keepdims=True), shape=(1, 4))",
    ),
    "product of a product": (lambda x: gr.prod(gr.prod(x, 0), 0), "prod(x, axes=(0, 1))"),
    "max of a max": (lambda x: x.max(1).max(0), "max(max(x, axes=(1,)), axes=(0,))"),
    "max of a sum": (lambda x: x.sum(1).max(0), "max(sum(x, axes=(1,)), axes=(0,))"),
    "mean of a mean": (lambda x: x.mean(0).mean(0), "divide(sum(multiply(sum(x, axes=(0,)), 0.5), axes=(0,)), 3.0)"),
    "sum of a negative": (lambda x: gr.sum(-x, 1), "negative(sum(x, axes=(1,)))"),
    "reshape of a negative": (lambda x: -gr.reshape(-x, (6, 4)), "reshape(x, shape=(6, 4))"),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    build, expected = REDUCTIONS[name]
    assert check_pass(build, [CUBE], Simplify(), rtol=1e-5) == [expected]
    check_gradients_kept(build, [CUBE / 4], Simplify())


@pytest.mark.parametrize("function", [gr.max, gr.min, gr.sum])
def test_reductions_of_repeated_nasty_numbers(function: Callable[..., Value]) -> None:
    check_pass(lambda x: function(gr.broadcast_to(x, (3, len(NASTY))), 0), [NASTY], Simplify(), rtol=1e-6)


def test_reductions_of_bools() -> None:
    def build(x: Value) -> list[Value]:
        wide = gr.broadcast_to(x[:, None], (3, 4))
        return [gr.any(wide, 1), gr.all(wide, 1), gr.any(gr.any(wide, 0)), gr.all(gr.all(wide, 0))]

    assert check_pass(build, [BITS], Simplify()) == [
        "x",
        "x",
        "any(reshape(x, shape=(3, 1)), axes=(0, 1))",
        "all(reshape(x, shape=(3, 1)), axes=(0, 1))",
    ]


def test_sum_of_many_small_integers_wraps_as_before() -> None:
    found = check_pass(lambda x: gr.sum(gr.broadcast_to(x, (300, 7)), 0), [INTEGERS], Simplify())
    assert found == ["multiply(cast(x, dtype=int64), 300)"]


def test_products_in_use_are_not_done_twice() -> None:
    def build(x: Value) -> list[Value]:
        product = x[0].T @ x[1]
        return [product, product.T]

    assert check_pass(build, [CUBE], Simplify())[1].startswith("transpose(matmul(")


def test_reductions_in_use_are_not_done_twice() -> None:
    def build(x: Value) -> list[Value]:
        rows = x.sum(2)
        return [rows, rows.sum()]

    assert check_pass(build, [CUBE], Simplify()) == ["sum(x, axes=(2,))", "sum(sum(x, axes=(2,)), axes=(0, 1))"]


def test_constants_are_folded() -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)

    def build(x: Value) -> list[Value]:
        known = gr.constant(table)
        return [
            x + gr.exp(gr.constant(0.0)) * 2 + known.sum(),
            gr.matmul(known, known.T)[0, 1] + x,
            gr.cast(gr.constant([1.7, -1.7]), "int32"),
            gr.concatenate([known, known])[3],
        ]

    assert check_pass(build, [np.float32(3)], Simplify()) == [
        "add(add(x, 2.0), 15.0)",
        "add(14.0, x)",
        "[1, -1]",
        "[3.0, 4.0, 5.0]",
    ]


def test_folding_does_not_grow_memory() -> None:
    column, row = np.ones((300, 1), np.float32) * np.arange(300)[:, None], np.arange(300, dtype=np.float32)
    small = np.arange(8, dtype=np.float32)

    def build() -> list[Value]:
        return [
            gr.multiply(column.astype(np.float32), row),
            gr.multiply(small[:, None], small).sum(0),
            gr.cast(gr.constant(np.arange(70000.0)), "float32"),
            gr.cast(gr.constant(np.arange(70000, dtype=np.float32)), "float64"),
            gr.broadcast_to(gr.constant(small), (2, 8)),
        ]

    kinds = [text.split("(")[0] for text in check_pass(build, [], Simplify())]
    assert kinds == ["multiply", "[0.0, 28.0, 56.0, 84.0, ...]", "[0.0, 1.0, 2.0, 3.0, ...]", "cast", "broadcast_to"]


def test_what_may_fault_is_not_folded() -> None:
    graph = Graph.of([], [gr.take(np.arange(3.0), np.array([5]))])
    assert Simplify()(graph) is graph


def test_numbers_that_overflow_fold_quietly() -> None:
    assert check_pass(lambda: gr.exp(gr.constant(1000.0)) - gr.divide(gr.constant(1.0), 0.0), [], Simplify()) == ["nan"]


def test_symbolic_sizes() -> None:
    def build(x: Value) -> list[Value]:
        n, m = x.shape
        return [
            gr.broadcast_to(x[:, None], (n, 1, m)).reshape(n, m),
            x * gr.ones((n, m)) + gr.zeros((m,)),
            gr.sum(gr.broadcast_to(x, (3, n, m)), 0),
            gr.sum(gr.broadcast_to(gr.max(x), (n,)), 0),
            gr.concatenate([x, x[:0]])[:n],
            x[1:][1:],
        ]

    found = check_pass(
        build, [np.arange(12, dtype=np.float32).reshape(4, 3)], Simplify(), shapes=[("n", None)], rtol=1e-6
    )
    assert found[:3] == ["x", "x", "multiply(x, 3.0)"]
    assert found[3] == "sum(broadcast_to(max(x, axes=(0, 1)), shape=(n,)), axes=(0,))"
    assert found[4] == "x"
    assert found[5].startswith("slice(x, starts=(2, 0), sizes=(max(")


def test_sizes_without_names() -> None:
    """What has either of two open sizes that meet keeps the one that it had."""

    def build(x: Value, y: Value) -> list[Value]:
        return [-x + y, x + -y, y * gr.ones(x.shape), gr.where(True, x, y), gr.maximum(x, y) - gr.zeros_like(x), x - -y]

    graph, feeds = graph_of(build, [POINTS, 2 * POINTS], [(None,), (None,)])
    after = applied(graph, Simplify())
    assert sorted(set(names(after))) == ["add", "broadcast_to", "maximum", "subtract"]
    for found, wanted in zip(results(after, feeds), results(graph, feeds), strict=True):
        same(found, wanted)


def test_views_that_change_nothing() -> None:
    def build(x: Value) -> list[Value]:
        return [
            apply_one(RESHAPE, (x,), ShapeAttrs(x.shape)),
            apply_one(BROADCAST_TO, (x,), ShapeAttrs(x.shape)),
            apply_one(TRANSPOSE, (x,), TransposeAttrs((0, 1, 2))),
            apply_one(SLICE, (x,), SliceAttrs((0, 0, 0), (2, 3, 4), (1, 1, 1))),
        ]

    assert check_pass(build, [CUBE], Simplify()) == ["x"] * 4


def test_slices_of_symbolic_parts() -> None:
    def build(x: Value) -> list[Value]:
        joined = gr.concatenate([x, gr.exp(x)])
        return [joined[:2], joined[: x.shape[0]], joined[3:3]]

    found = check_pass(build, [POINTS], Simplify(), shapes=[("n",)])
    assert all(text.startswith("slice(concatenate(") for text in found)


def test_attributes_that_depend_on_a_size_are_not_folded() -> None:
    def build(x: Value) -> Value:
        return slice_axes(gr.constant(np.arange(10.0)), (x.shape[0],), (2,))

    (found,) = check_pass(build, [POINTS], Simplify(), shapes=[("n",)])
    assert found == "slice([0.0, 1.0, 2.0, 3.0, ...], starts=(n,), sizes=(2,), steps=(1,))"


def test_values_that_a_derivative_is_taken_by_stay() -> None:
    x = gr.placeholder((3,), name="x")
    a = gr.exp(x) * 1.0
    loss = gr.sum(gr.log(a + 0.0) * 2.0 * 3.0)
    graph = Graph.of([x], [gr.grad(loss, a)])
    text = to_text(Dce()(Simplify()(graph)))
    assert text == (
        "inputs: %x\n"
        "%x: float32[3] = placeholder()\n"
        "%0: float32[3] = exp(%x)\n"
        "%1: float32[] = constant(1.0)\n"
        "%2: float32[3] = multiply(%0, %1)\n"
        "%3: float32[3] = log(%2)\n"
        "%4: float32[] = constant(6.0)\n"
        "%5: float32[3] = multiply(%3, %4)\n"
        "%6: float32[] = sum(%5, axes=(0,))\n"
        "%7: float32[] = constant(1.0)\n"
        "%8: float32[3] = grad(%6, %7, %2, outputs=1)\n"
        "outputs: %8\n"
    )
    point = np.array([0.5, 1, 2], np.float32)
    (found,) = results(applied(graph, Simplify(), Autodiff()), {x: point})
    np.testing.assert_allclose(found, 6 / np.exp(point), 1e-6)


def test_log_of_exp_is_not_undone_where_exp_is_differentiated_by() -> None:
    x = gr.placeholder((), "float64", name="x")
    a = gr.exp(x)
    graph = Graph.of([x], [gr.grad(gr.log(a), a)])
    (found,) = results(applied(graph, Simplify(), Autodiff(), Simplify()), {x: np.array(1.5)})
    np.testing.assert_allclose(found, np.exp(-1.5))


def test_graphs_inside_nodes() -> None:
    @gr.custom_gradient
    def doubled(x: Value) -> tuple[Value, Callable[[Value], Value]]:
        return x * 1.0 + x * 1.0, lambda g: g * 2.0 * 1.0

    x = gr.placeholder((3,), name="x")
    after = Simplify()(Graph.of([x], [doubled(x)]))
    assert to_text(after) == (
        "inputs: %x\n"
        "%x: float32[3] = placeholder()\n"
        "%0: float32[3] = custom_gradient(%x, function='doubled')\n"
        "  forward:\n"
        "    inputs: %0.0\n"
        "    %0.0: float32[3] = placeholder()\n"
        "    %0.1: float32[3] = add(%0.0, %0.0)\n"
        "    outputs: %0.1\n"
        "  backward:\n"
        "    inputs: %0.2, %0.3\n"
        "    %0.2: float32[3] = placeholder()\n"
        "    %0.3: float32[3] = placeholder()\n"
        "    %0.4: float32[] = constant(2.0)\n"
        "    %0.5: float32[3] = multiply(%0.3, %0.4)\n"
        "    outputs: %0.5\n"
        "outputs: %0\n"
    )


def test_nothing_to_do_gives_the_same_graph() -> None:
    graph, _ = graph_of(lambda x: gr.exp(x) + x / 3, [POINTS])
    assert Simplify()(graph) is graph


def test_once_is_enough() -> None:
    for name, case in ELEMENTWISE.items():
        graph, _ = graph_of(case.build, case.arrays)
        once = Simplify()(graph)
        assert Simplify()(once) is once, name


def test_rules_are_of_operations_that_exist() -> None:
    assert set(RULES) <= set(registry)
    assert list(RULES) == sorted(RULES)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_preserves(source: str, target: str) -> None:
    kept = preserves(DTYPES[source], DTYPES[target])
    kind = DTYPES[source].numpy
    if kind.kind == "b":
        numbers = np.array([False, True])
    elif kind.kind == "f":
        ends = np.finfo(kind)
        numbers = np.array([0.5, -1.25, ends.max, ends.tiny, 1 + ends.eps, np.inf], kind)
    else:
        ends = np.iinfo(kind)
        numbers = np.array([ends.min, ends.min + 1, 0, 1, 3, ends.max - 1, ends.max], kind)
    with np.errstate(all="ignore"):
        there = numbers.astype(DTYPES[target].numpy)
        exact = all(int_or_self(a) == int_or_self(b) for a, b in zip(numbers, there, strict=True))
    assert kept == exact


def int_or_self(number: np.generic) -> Any:
    """A number of Python's, which compares exactly."""
    return number.item()


@given(numbers=st.lists(st.floats(width=32), min_size=1, max_size=4), c=st.floats(width=32), d=st.floats(width=32))
def test_chains_of_any_constants(numbers: list[float], c: float, d: float) -> None:
    x = np.array(numbers, np.float32)

    def build(x: Value) -> list[Value]:
        return [x + c - c, -(x * c), -x / c, (x - c) * 1.0, gr.maximum(x, c) ** 1.0, gr.where(x < d, x, x) / d]

    check_pass(build, [x], Simplify(), signs=False)


def test_work_grows_linearly() -> None:
    def work(count: int) -> int:
        x = gr.placeholder(("n", 4), name="x")
        value = x
        for number in range(count):
            value = gr.tanh(value * 1.0 + 0.0) * 2.0 * 0.5 - gr.exp(gr.negative(-value)) / (1.0 + number)
        graph = Graph.of([x], [value])
        return calls_made(lambda: Simplify()(graph))

    assert work(800) < 8.5 * work(100)
