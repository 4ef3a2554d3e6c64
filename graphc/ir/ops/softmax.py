"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, RowFormula, RowStep, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import divide, multiply, subtract
from graphc.ir.ops.conversion import cast, float_dtype
from graphc.ir.ops.differentiation import stop_gradient
from graphc.ir.ops.index import AxisAttrs
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.reduce import max, sum
from graphc.ir.ops.transcendental import exp, log
from graphc.ir.types import TensorType, normalize_axis

__all__ = ["log_softmax", "softmax"]


def _infer(attrs: AxisAttrs, x: TensorType) -> TensorType:
    if not x.dtype.is_float:
        raise DTypeError(f"an operand of dtype {x.dtype}", expected="float32 or float64", remedy="cast it")
    return x


def _shifted(attrs: AxisAttrs, x: Array) -> Array:
    largest: Array = np.max(x, attrs.axis, keepdims=True, initial=-np.inf)
    return x - largest


def _evaluate_softmax(attrs: AxisAttrs, x: Array) -> Array:
    with np.errstate(all="ignore"):
        exponentials = np.exp(_shifted(attrs, x))
        return np.asarray(exponentials / np.sum(exponentials, attrs.axis, keepdims=True), x.dtype)


def _evaluate_log_softmax(attrs: AxisAttrs, x: Array) -> Array:
    with np.errstate(all="ignore"):
        shifted = _shifted(attrs, x)
        return np.asarray(shifted - np.log(np.sum(np.exp(shifted), attrs.axis, keepdims=True)), x.dtype)


def _softmax_vjp(node: Node, g: Value) -> tuple[Value]:
    product = multiply(g, node.output)
    return (subtract(product, multiply(node.output, sum(product, node.attrs.axis, keepdims=True))),)


def _log_softmax_vjp(node: Node, g: Value) -> tuple[Value]:
    return (subtract(g, multiply(exp(node.output), sum(g, node.attrs.axis, keepdims=True))),)


def _shift(node: Node) -> Value:
    (x,) = node.inputs
    if x.shape[node.attrs.axis] == 0:
        return x
    return subtract(x, stop_gradient(max(x, node.attrs.axis, keepdims=True)))


def _decompose_softmax(node: Node) -> Sequence[Value]:
    exponentials = exp(_shift(node))
    return (divide(exponentials, sum(exponentials, node.attrs.axis, keepdims=True)),)


def _decompose_log_softmax(node: Node) -> Sequence[Value]:
    shifted = _shift(node)
    return (subtract(shifted, log(sum(exp(shifted), node.attrs.axis, keepdims=True))),)


_LARGEST = RowStep("largest", "{0}", "maximum")

# Fused operations are not reassociated: the difference is that of the rounded item, whatever computed it, and the
# logarithm is not first added to the largest item, whose precision it would get.
_SHIFTED = RowStep("shifted", "fma({dtype}(-1), {largest}, {0})")


def _softmax_rows() -> RowFormula:
    return RowFormula(
        (
            _LARGEST,
            _SHIFTED,
            RowStep("exponential", "exp({shifted})", cost=10),
            RowStep("total", "{exponential}", "add"),
            RowStep("share", "{dtype}(1) / {total}"),
            RowStep("y", "{exponential} * {share}"),
        ),
        ("y",),
    )


def _log_softmax_rows() -> RowFormula:
    return RowFormula(
        (
            _LARGEST,
            _SHIFTED,
            RowStep("total", "exp({shifted})", "add", cost=10),
            RowStep("logarithm", "log({total})"),
            RowStep("y", "fma({dtype}(-1), {logarithm}, {shifted})"),
        ),
        ("y",),
    )


def _along_last(formula: RowFormula) -> Callable[[Node], RowFormula | None]:
    return lambda node: formula if node.attrs.axis == node.output.ndim - 1 else None


def _samples(build: Callable[..., Value]) -> Callable[[], list[Sample]]:
    def points(*shape: int) -> Array:
        return np.random.default_rng(4).normal(size=shape) * 3

    def make() -> list[Sample]:
        masked = np.where(points(4, 5) < -3, -np.inf, points(4, 5))
        return [
            Sample(build, (points(2, 5),), (0,), label="last axis"),
            Sample(lambda x: build(x, axis=0), (points(5, 2),), (0,), label="first axis"),
            Sample(lambda x: build(x, axis=1), (points(2, 5, 3),), (0,), label="middle axis"),
            Sample(build, (points(3, 1),), (0,), label="axis of size 1"),
            Sample(build, (points(0, 3),), (0,), label="no rows"),
            Sample(build, (points(3, 0),), (0,), label="nothing to normalise"),
            Sample(build, (points(2, 5) + 1e4,), (0,), label="large numbers"),
            Sample(build, (masked,), (), label="masked by -inf"),
        ]

    return make


def _declare(
    name: str, doc: str, evaluate: Any, vjp: Any, rows: RowFormula, decompose: Any, build: Callable[..., Value]
) -> OpDef:
    return registry.add(
        OpDef(
            name,
            doc,
            infer=_infer,
            evaluate=evaluate,
            vjp=vjp,
            attrs=AxisAttrs,
            cost=16,
            rows=_along_last(rows),
            decompose=decompose,
            samples=_samples(build),
        )
    )


def softmax(x: Operand, axis: int = -1) -> Value:
    """The exponentials of items divided by their sum along ``axis``: positive numbers that sum to 1.

    Args:
        x: at least one axis. Integers are converted to a float dtype. Items may be -inf: their share is 0.
            Where nothing is finite along the axis, the result is NaN.
        axis: the axis to normalise along.

    Raises:
        ShapeError: the axis does not exist.
    """
    return _along(SOFTMAX, x, axis)


def log_softmax(x: Operand, axis: int = -1) -> Value:
    """The logarithm of :func:`softmax`, exact where the softmax itself would be rounded to 0 or 1.

    Args:
        x: at least one axis. Integers are converted to a float dtype. Items may be -inf, and stay so.
            Where nothing is finite along the axis, the result is NaN.
        axis: the axis to normalise along.

    Raises:
        ShapeError: the axis does not exist.
    """
    return _along(LOG_SOFTMAX, x, axis)


def _along(op: OpDef, x: Operand, axis: int) -> Value:
    value = as_value(x)
    attrs = AxisAttrs(normalize_axis(axis, value.ndim))
    return apply_one(op, (cast(value, float_dtype(value.dtype)),), attrs)


SOFTMAX = _declare(
    "softmax",
    "exp(x - max x) / sum exp(x - max x) along an axis.",
    _evaluate_softmax,
    _softmax_vjp,
    _softmax_rows(),
    _decompose_softmax,
    softmax,
)
LOG_SOFTMAX = _declare(
    "log_softmax",
    "x - max x - log sum exp(x - max x) along an axis.",
    _evaluate_log_softmax,
    _log_softmax_vjp,
    _log_softmax_rows(),
    _decompose_log_softmax,
    log_softmax,
)
