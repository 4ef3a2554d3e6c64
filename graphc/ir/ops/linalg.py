"""Products of matrices and vectors."""

from __future__ import annotations

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import product
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, NoAttrs, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import multiply
from graphc.ir.ops.conversion import promoted
from graphc.ir.ops.shape import expand_dims, reshape, squeeze, swapaxes, transpose
from graphc.ir.types import TensorType, broadcast_shapes, shape_text, unify

__all__ = ["dot", "matmul", "outer"]


def _infer_matmul(attrs: NoAttrs, a: TensorType, b: TensorType) -> TensorType:
    if a.dtype != b.dtype:
        raise DTypeError(f"operands of dtypes {a.dtype} and {b.dtype}", expected="one dtype", remedy="cast one of them")
    if a.rank < 2 or b.rank < 2:
        raise ShapeError(
            f"operands of shapes {shape_text(a.shape)} and {shape_text(b.shape)}", expected="at least 2 axes each"
        )
    if unify(a.shape[-1], b.shape[-2]) is None:
        raise ShapeError(
            f"shapes {shape_text(a.shape)} and {shape_text(b.shape)} do not chain: {a.shape[-1]} columns of the first "
            f"meet {b.shape[-2]} rows of the second",
            expected="the last axis of the first operand to equal the second-last of the second",
            remedy="transpose an operand with gr.swapaxes(x, -1, -2), or check the layer sizes",
        )
    return TensorType(a.dtype, (*broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))


def _matmul_vjp(node: Node, g: Value) -> tuple[Value, Value]:
    a, b = node.inputs
    return matmul(g, swapaxes(b, -1, -2)), matmul(swapaxes(a, -1, -2), g)


def _points(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def _matmul_samples() -> list[Sample]:
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "matrices": ((2, 3), (3, 4)),
        "vectors": ((3,), (3,)),
        "vector and matrix": ((3,), (3, 4)),
        "matrix and vector": ((2, 3), (3,)),
        "batches": ((5, 2, 3), (5, 3, 4)),
        "batch and matrix": ((5, 6, 2, 3), (3, 4)),
        "matrix and batch": ((2, 3), (5, 3, 4)),
        "batch and vector": ((5, 2, 3), (3,)),
        "vector and batch": ((3,), (5, 3, 4)),
        "broadcast batches": ((5, 1, 2, 3), (1, 6, 3, 4)),
        "sizes of 1": ((1, 1), (1, 1)),
        "no rows": ((0, 3), (3, 4)),
        "nothing to sum": ((2, 0), (0, 4)),
        "no batches": ((0, 2, 3), (0, 3, 4)),
    }
    samples = [
        Sample(matmul, (_points(1, *a), _points(2, *b)), (0, 1), label=label) for label, (a, b) in shapes.items()
    ]
    a, b = _points(1, 2, 3), _points(2, 3, 4)
    return [
        *samples,
        Sample(matmul, ((9 * a).astype("int32"), (9 * b).astype("int32")), label="int32"),
        Sample(matmul, (a > 0, b > 0), label="bool"),
    ]


MATMUL = registry.add(
    OpDef(
        "matmul",
        "Products of the matrices that the last two axes hold; the axes before them broadcast.",
        infer=_infer_matmul,
        evaluate=lambda attrs, a, b: np.matmul(a, b),
        vjp=_matmul_vjp,
        samples=_matmul_samples,
    )
)


def matmul(a: Operand, b: Operand) -> Value:
    """The matrix product ``a @ b``, with NumPy's rules.

    Args:
        a: shape (..., m, k), or (k,): a vector is a row, whose axis the result lacks.
        b: shape (..., k, n), or (k,): a vector is a column, whose axis the result lacks.

    Returns:
        Shape (..., m, n), where the axes before the last two are broadcast together. The dtype is the one that the
        operands' meet in; of bools, whether any of the products is true.

    Raises:
        ShapeError: an operand is 0-d, the ``k`` differ, or the axes before the last two do not broadcast.
    """
    left, right = promoted((a, b))
    if left.ndim == 0 or right.ndim == 0:
        raise ShapeError(
            f"matmul: shapes {shape_text(left.shape)} and {shape_text(right.shape)}",
            expected="at least 1 axis each",
            remedy="multiply by a scalar with *",
        )
    if left.ndim == 1:
        return squeeze(matmul(expand_dims(left, 0), right), -1 if right.ndim == 1 else -2)
    if right.ndim == 1:
        return squeeze(matmul(left, expand_dims(right, 1)), -1)
    if left.ndim > 2 and right.ndim == 2 and unify(left.shape[-1], right.shape[0]) is not None:
        # One tall product is faster than many, and so is its gradient, which need not be summed over the batch.
        rows = reshape(left, (product(left.shape[:-1]), left.shape[-1]))
        return reshape(apply_one(MATMUL, (rows, right)), (*left.shape[:-1], right.shape[1]))
    return apply_one(MATMUL, (left, right))


def dot(a: Operand, b: Operand) -> Value:
    """NumPy's dot product: the sum of products over the last axis of ``a`` and the second-last (or only) one of ``b``.

    Args:
        a: shape (..., k), or 0-d: then the operands are multiplied.
        b: shape (..., k, n) or (k,), or 0-d.

    Returns:
        The axes of ``a`` without its last, then those of ``b`` without its second-last (or only) one.

    Raises:
        ShapeError: the ``k`` differ.
    """
    left, right = promoted((a, b))
    if left.ndim == 0 or right.ndim == 0:
        return multiply(left, right)
    if right.ndim <= 2:
        return matmul(left, right)
    inner = right.ndim - 2
    others = [axis for axis in range(right.ndim) if axis != inner]
    free = tuple(right.shape[axis] for axis in others)
    columns = reshape(transpose(right, (inner, *others)), (right.shape[inner], product(free)))
    return reshape(matmul(left, columns), (*left.shape[:-1], *free))


def outer(a: Operand, b: Operand) -> Value:
    """All products of an item of ``a`` with an item of ``b``: shape (size of a, size of b); operands are flattened."""
    left, right = promoted((a, b))
    return multiply(reshape(left, (left.size, 1)), reshape(right, (1, right.size)))
