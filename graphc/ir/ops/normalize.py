"""Rows brought to unit variance: what layer, group, instance and root-mean-square normalization have in common.

With ``r = 1 / sqrt(mean(d**2) + eps)``, where ``d`` is the row, less its mean where it is centred, the result is
``y = r * d``. Its gradient is ``r * (g - mean(g) - y * mean(g * y))``, without ``mean(g)`` where it is not centred
(Ba, Kiros, Hinton, Layer Normalization, 2016; Zhang, Sennrich, Root Mean Square Layer Normalization, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply, apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, RowFormula, RowStep, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, divide, multiply, negative, subtract
from graphc.ir.ops.declare import same_dtype
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.statistics import mean, size_value
from graphc.ir.ops.transcendental import rsqrt
from graphc.ir.types import TensorType, shape_text, unify
from graphc.record import record

__all__: list[str] = []  # the public functions stand in normalization.py


@record
class NormalizeAttrs:
    """``centered``: whether the mean of a row is taken away."""

    centered: bool = True


def _row_statistics(x: TensorType) -> TensorType:
    return TensorType(x.dtype, (*x.shape[:-1], 1))


def _infer(attrs: NormalizeAttrs, x: TensorType, eps: TensorType) -> tuple[TensorType, TensorType]:
    if not same_dtype((x, eps)).is_float:
        raise DTypeError(f"an operand of dtype {x.dtype}", expected="float32 or float64", remedy="cast it")
    if not x.shape:
        raise ShapeError("an operand of shape ()", expected="at least one axis")
    if eps.shape:
        raise ShapeError(f"eps of shape {shape_text(eps.shape)}", expected="a scalar, shape ()")
    return x, _row_statistics(x)


def _mean(rows: Array) -> Array:
    means: Array = np.sum(rows, -1, keepdims=True) / rows.dtype.type(rows.shape[-1])
    return means


def _evaluate(attrs: NormalizeAttrs, x: Array, eps: Array) -> tuple[Array, Array]:
    deviation = x
    if attrs.centered:
        deviation = x - _mean(x)
        deviation = deviation - _mean(deviation)  # what rounding left of a large mean
    rstd = 1 / np.sqrt(_mean(deviation * deviation) + eps)
    return deviation * rstd, rstd


def _vjp(node: Node, g: Value | None, g_rstd: Value | None) -> tuple[Value, Value]:
    y, rstd = node.outputs
    terms_x, terms_eps = [], []
    if g is not None:
        terms_x.append(normalize_grad(g, y, rstd, node.attrs.centered))
        terms_eps.append(sum(multiply(g, y), -1, keepdims=True))
    if g_rstd is not None:
        scaled = multiply(g_rstd, rstd)
        terms_x.append(negative(multiply(y, divide(multiply(scaled, rstd), size_value(y.shape[-1], y.dtype)))))
        terms_eps.append(scaled)
    return reduce(add, terms_x), multiply(reduce(add, terms_eps), multiply(multiply(rstd, rstd), -0.5))


def _decompose(node: Node) -> Sequence[Value]:
    x, eps = node.inputs
    deviation = subtract(x, mean(x, -1, keepdims=True)) if node.attrs.centered else x
    rstd = rsqrt(add(mean(multiply(deviation, deviation), -1, keepdims=True), eps))
    return multiply(deviation, rstd), rstd


_TOTAL = RowStep("total", "{0}", "add")


def _rows(node: Node) -> RowFormula:
    """The corrected two-pass algorithm (Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983).

    The mean is the sum of ``shift`` and ``rest``, which is what rounding left of it. Where they are taken away stands a
    fused operation, which is not reassociated: a sum of both would be rounded to the precision of a large mean.
    """
    if node.attrs.centered:
        deviations: tuple[RowStep, ...] = (
            _TOTAL,
            RowStep("shift", "{total} / {size}"),
            RowStep("deviation", "fma({dtype}(-1), {shift}, {0})"),
            RowStep("left", "{deviation}", "add"),
            RowStep("rest", "{left} / {size}"),
        )
        variance, result = (
            "maximum({squares} / {size} - {rest} * {rest}, {dtype}(0))",
            "fma({deviation}, {rstd}, -{rest} * {rstd})",
        )
    else:
        deviations = (RowStep("deviation", "{0}"),)
        variance, result = "{squares} / {size}", "{deviation} * {rstd}"
    return RowFormula(
        (
            *deviations,
            RowStep("squares", "{deviation} * {deviation}", "add"),
            RowStep("rstd", f"rsqrt({variance} + {{1}})"),
            RowStep("y", result),
        ),
        ("y", "rstd"),
    )


def _points(*shape: int) -> Array:
    return np.random.default_rng(6).normal(size=shape) * 2 + 1


def _samples() -> list[Sample]:
    eps = np.array(0.1)
    shapes = {"rows": (3, 5), "one row": (4,), "planes": (2, 3, 4), "rows of size 1": (3, 1)}
    return [
        *(Sample(normalize, (_points(*shape), eps), (0, 1), label=label) for label, shape in shapes.items()),
        Sample(normalize, (_points(0, 3), eps), (0,), label="no rows"),
        Sample(normalize, (_points(3, 0), eps), (), label="empty rows"),
        Sample(lambda x, eps: normalize(x, eps, False), (_points(3, 5), eps), (0, 1), label="not centred"),
        Sample(normalize, (_points(2, 9) + 1e4, eps), (), label="large mean"),
        Sample(normalize, (np.full((2, 3), 7.0), eps), (0,), label="equal items"),
    ]


NORMALIZE = registry.add(
    OpDef(
        "normalize",
        "Rows of mean 0 (where centred) and variance 1, and 1 / sqrt(variance + eps) of each row.",
        infer=_infer,
        evaluate=_evaluate,
        vjp=_vjp,
        attrs=NormalizeAttrs,
        cost=6,
        rows=_rows,
        decompose=_decompose,
        samples=_samples,
    )
)


def normalize(x: Value, eps: Operand, centered: bool = True) -> tuple[Value, Value]:
    """Each row along the last axis, less its mean where ``centered``, divided by its root mean square.

    Args:
        x: a float dtype and at least one axis.
        eps: a scalar that is added to the mean square.
        centered: whether the mean is taken away.

    Returns:
        The rows; and what they were multiplied by, ``1 / sqrt(mean square + eps)``, with a last axis of size 1.

    Raises:
        ShapeError: ``x`` is 0-d, or ``eps`` is not.
        DTypeError: the dtype is not a float.
    """
    y, rstd = apply(NORMALIZE, (x, as_value(eps, x.dtype)), NormalizeAttrs(centered)).outputs
    return y, rstd


# --- the gradient --------------------------------------------------------------------------------


def _infer_grad(attrs: NormalizeAttrs, g: TensorType, y: TensorType, rstd: TensorType) -> TensorType:
    same_dtype((g, y, rstd))
    for found, expected in ((g.shape, y.shape), (rstd.shape, _row_statistics(y).shape)):
        if len(found) != len(expected) or any(unify(*sizes) is None for sizes in zip(found, expected, strict=True)):
            raise ShapeError(f"an operand of shape {shape_text(found)}", expected=f"shape {shape_text(expected)}")
    return y


def _evaluate_grad(attrs: NormalizeAttrs, g: Array, y: Array, rstd: Array) -> Array:
    projected = g - y * _mean(g * y)
    result: Array = rstd * (projected - _mean(g) if attrs.centered else projected)
    return result


def _projected(g: Value, y: Value, centered: bool) -> Value:
    result = subtract(g, multiply(y, mean(multiply(g, y), -1, keepdims=True)))
    return subtract(result, mean(g, -1, keepdims=True)) if centered else result


def _decompose_grad(node: Node) -> Sequence[Value]:
    g, y, rstd = node.inputs
    return (multiply(rstd, _projected(g, y, node.attrs.centered)),)


def _grad_rows(node: Node) -> RowFormula:
    products = RowStep("products", "{0} * {1}", "add")
    slope = RowStep("slope", "{products} / {size}")
    if not node.attrs.centered:
        return RowFormula((products, slope, RowStep("dx", "{2} * ({0} - {slope} * {1})")), ("dx",))
    mean = RowStep("mean", "{total} / {size}")
    return RowFormula((_TOTAL, products, mean, slope, RowStep("dx", "{2} * ({0} - {mean} - {slope} * {1})")), ("dx",))


def _grad_vjp(node: Node, c: Value) -> tuple[Value, Value, Value]:
    """The operator on ``g`` is symmetric; by ``y`` it is quadratic."""
    g, y, rstd = node.inputs
    centered = node.attrs.centered
    by_y = add(
        multiply(c, mean(multiply(g, y), -1, keepdims=True)), multiply(g, mean(multiply(c, y), -1, keepdims=True))
    )
    by_rstd = sum(multiply(c, _projected(g, y, centered)), -1, keepdims=True)
    return normalize_grad(c, y, rstd, centered), negative(multiply(rstd, by_y)), by_rstd


def _grad_samples() -> list[Sample]:
    def sample(*shape: int, centered: bool = True, label: str = "") -> Sample:
        g, y, rstd = _points(*shape)[::-1] - 1, _points(*shape), _points(*shape[:-1], 1)
        return Sample(lambda g, y, r: normalize_grad(g, y, r, centered), (g, y, rstd), (0, 1, 2), label=label)

    return [
        sample(3, 5, label="rows"),
        sample(3, 5, centered=False, label="not centred"),
        sample(4, label="one row"),
        sample(2, 3, 4, label="planes"),
        sample(3, 1, label="rows of size 1"),
        sample(0, 3, label="no rows"),
        sample(3, 0, label="empty rows"),
    ]


NORMALIZE_GRAD = registry.add(
    OpDef(
        "normalize_grad",
        "The cotangent of the rows that normalize took, for that of the rows y that it gave.",
        infer=_infer_grad,
        evaluate=_evaluate_grad,
        vjp=_grad_vjp,
        attrs=NormalizeAttrs,
        cost=6,
        rows=_grad_rows,
        decompose=_decompose_grad,
        samples=_grad_samples,
    )
)


def normalize_grad(g: Value, y: Value, rstd: Value, centered: bool) -> Value:
    """``rstd * (g - mean(g) - y * mean(g * y))`` along the last axis, without ``mean(g)`` where not ``centered``."""
    return apply_one(NORMALIZE_GRAD, (g, y, rstd), NormalizeAttrs(centered))
