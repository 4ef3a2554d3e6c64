"""Conversion: ``cast``, and the promotion of operands to the dtype that they meet in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.build import apply_one
from graphc.ir.graph import Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.leaves import as_value, is_weak
from graphc.ir.types import DType, TensorType, dtype_of, float32
from graphc.record import record

__all__ = ["cast"]


@record
class CastAttrs:
    dtype: DType


def _cast_array(attrs: CastAttrs, x: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        return x.astype(attrs.dtype.numpy)


CAST = registry.add(
    OpDef(
        "cast",
        "The same numbers in another dtype; to bool, whether they are not zero.",
        infer=lambda attrs, x: TensorType(attrs.dtype, x.shape),
        evaluate=_cast_array,
        vjp=lambda node, g: (cast(g, node.inputs[0].dtype),),
        attrs=CastAttrs,
        expression="{0}",
        samples=lambda: [
            Sample(lambda x: cast(x, "float64"), (np.linspace(-2, 2, 6).reshape(2, 3).astype(np.float32),)),
            Sample(lambda x: cast(x, "int32"), (np.linspace(-9, 9, 6).reshape(2, 3),)),
            Sample(lambda x: cast(x, "bool"), (np.array([0.0, 2.0, np.nan, -0.0]),)),
            Sample(lambda x: cast(x, "uint8"), (np.array([1, 2, 300], np.int64),)),
            Sample(lambda x: cast(x, "float32"), (np.array(1.3),)),
        ],
    )
)


def cast(x: Operand, dtype: DType | str | type) -> Value:
    """``x`` converted to ``dtype``: itself where it has that dtype.

    Raises:
        DTypeError: graphc has no such dtype.
    """
    value, chosen = as_value(x), dtype_of(dtype)
    return value if value.dtype == chosen else apply_one(CAST, (value,), CastAttrs(chosen))


def common_dtype(operands: Sequence[Operand]) -> DType:
    """The dtype that the operands meet in: NumPy's promotion, in which Python scalars are weak."""
    scalars = [operand for operand in operands if is_weak(operand)]
    strong = {as_value(operand).dtype for operand in operands if not is_weak(operand)}
    if not strong:
        return next(as_value(kind(0)).dtype for kind in (float, int, bool) if any(type(o) is kind for o in operands))
    if len(strong) == 1:
        (only,) = strong
        if only.is_float or not scalars:  # nearly always: NumPy need not be asked
            return only
    samples = [np.empty(0, dtype.numpy) for dtype in strong]
    return _at_least_float32(np.result_type(*samples, *scalars))


def _at_least_float32(dtype: np.dtype[Any]) -> DType:
    return float32 if dtype == np.float16 else dtype_of(dtype)


def float_dtype(dtype: DType) -> DType:
    """The dtype in which NumPy computes a transcendental function of ``dtype``, at least float32."""
    return _at_least_float32(np.result_type(dtype.numpy, np.float16))


def beside(operand: Operand, other: Operand) -> Value:
    """An operand as a value; a Python scalar has the dtype in which it meets the other operand."""
    return as_value(operand, common_dtype((operand, other)) if is_weak(operand) else None)


def promoted(operands: Sequence[Operand], dtype: DType | None = None) -> tuple[Value, ...]:
    """The operands as values of one dtype: ``dtype``, or the one that they meet in."""
    chosen = dtype or common_dtype(operands)
    return tuple(cast(as_value(operand, chosen), chosen) for operand in operands)
