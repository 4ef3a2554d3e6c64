"""Operations that updates of variables are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, NoAttrs, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, multiply
from graphc.ir.ops.conversion import promoted
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.linalg import matmul
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.shape import transpose
from graphc.ir.types import TensorType, shape_text, unify

__all__ = ["gemm"]


def _infer(
    attrs: NoAttrs, c: TensorType, a: TensorType, b: TensorType, alpha: TensorType, beta: TensorType
) -> TensorType:
    types = (c, a, b, alpha, beta)
    if len({type.dtype for type in types}) != 1 or not c.dtype.is_float:
        raise DTypeError(
            f"operands of dtypes {', '.join(str(type.dtype) for type in types)}",
            expected="one float dtype",
            remedy="cast them with .astype",
        )
    shapes = f"c of shape {shape_text(c.shape)}, a of {shape_text(a.shape)} and b of {shape_text(b.shape)}"
    if (c.rank, a.rank, b.rank) != (2, 2, 2):
        raise ShapeError(shapes, expected="three matrices")
    pairs = ((a.shape[1], b.shape[0]), (c.shape[0], a.shape[0]), (c.shape[1], b.shape[1]))
    if any(unify(left, right) is None for left, right in pairs):
        raise ShapeError(shapes, expected="shapes (m, n), (m, k) and (k, n)")
    if alpha.rank or beta.rank:
        raise ShapeError(
            f"alpha of shape {shape_text(alpha.shape)} and beta of {shape_text(beta.shape)}", expected="scalars"
        )
    return c


def _evaluate(attrs: NoAttrs, c: Array, a: Array, b: Array, alpha: Array, beta: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(beta * c + alpha * np.matmul(a, b), c.dtype)


def _vjp(node: Node, g: Value) -> Sequence[Value]:
    c, a, b, alpha, beta = node.inputs
    scaled = multiply(alpha, g)
    return (
        multiply(beta, g),
        matmul(scaled, transpose(b)),
        matmul(transpose(a), scaled),
        sum(multiply(g, matmul(a, b))),
        sum(multiply(g, c)),
    )


def _decompose(node: Node) -> Sequence[Value]:
    c, a, b, alpha, beta = node.inputs
    return (add(multiply(beta, c), multiply(alpha, matmul(a, b))),)


def _points(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def _samples() -> list[Sample]:
    shapes = {"matrices": (2, 3, 4), "sizes of 1": (1, 1, 1), "nothing to sum": (2, 0, 3), "no rows": (0, 2, 3)}
    scalars = np.array(-0.5), np.array(0.9)
    return [
        Sample(gemm, (_points(1, m, n), _points(2, m, k), _points(3, k, n), *scalars), (0, 1, 2, 3, 4), label=label)
        for label, (m, k, n) in shapes.items()
    ] + [
        Sample(
            lambda c, a, b: gemm(c, transpose(a), transpose(b), 0.25),
            (_points(1, 2, 4), _points(2, 3, 2), _points(3, 4, 3)),
            (0, 1, 2),
            label="transposed operands",
        )
    ]


GEMM = registry.add(
    OpDef(
        "gemm",
        "beta * c + alpha * (a @ b), the general product of BLAS (Dongarra et al. 1990, level 3).",
        infer=_infer,
        evaluate=_evaluate,
        vjp=_vjp,
        decompose=_decompose,
        samples=_samples,
    )
)


def gemm(c: Operand, a: Operand, b: Operand, alpha: Operand = 1.0, beta: Operand = 1.0) -> Value:
    """``beta * c + alpha * (a @ b)``: a product of matrices that is added to a matrix without being stored.

    Args:
        c: shape (m, n), float32 or float64.
        a: shape (m, k).
        b: shape (k, n).
        alpha: a scalar.
        beta: a scalar.

    Returns:
        Shape (m, n), of the dtype that ``c``, ``a`` and ``b`` meet in.

    Raises:
        ShapeError: the shapes do not fit, or ``alpha`` or ``beta`` is not a scalar.
        DTypeError: the dtype is not a float.
    """
    matrices = promoted((c, a, b))
    scalars = (as_value(scalar, matrices[0].dtype) for scalar in (alpha, beta))
    return apply_one(GEMM, (*matrices, *scalars))
