"""Values from nothing but their shape: ranges, constants of a shape, triangles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import Dim, Size, ceil_divide, maximum
from graphc.ir.graph import Value
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, multiply, subtract
from graphc.ir.ops.bounds import positive_part
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import equal, greater_equal, less
from graphc.ir.ops.conversion import cast, common_dtype, promoted
from graphc.ir.ops.leaves import as_value, constant, dim_size
from graphc.ir.ops.shape import as_size, broadcast_to, is_size, known_shape, reshape
from graphc.ir.types import DType, TensorType, dtype_of, float32, int64, shape_text
from graphc.record import record

__all__ = [
    "arange",
    "eye",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]

DTypeLike = DType | str | type
ShapeLike = Size | str | Iterable[Size | str]


@record
class IotaAttrs:
    size: Size
    dtype: DType


def _infer_iota(attrs: IotaAttrs) -> TensorType:
    if attrs.dtype.is_bool:
        raise DTypeError("a range of dtype bool", expected="a numeric dtype")
    return TensorType(attrs.dtype, (attrs.size,))


def _evaluate_iota(attrs: IotaAttrs) -> Array:
    assert isinstance(attrs.size, int)
    return np.arange(attrs.size, dtype=np.int64).astype(attrs.dtype.numpy)


IOTA = registry.add(
    OpDef(
        "iota",
        "The whole numbers from 0 on.",
        infer=_infer_iota,
        evaluate=_evaluate_iota,
        vjp=no_gradient,
        attrs=IotaAttrs,
        samples=lambda: [
            Sample(lambda: iota(5), ()),
            Sample(lambda: iota(1, "float32"), ()),
            Sample(lambda: iota(0, "float64"), ()),
            Sample(lambda: iota(300, "int8"), ()),
            Sample(lambda x: add(iota(x.shape[0]), x), (np.arange(7),)),
        ],
    )
)


def iota(size: Size, dtype: DTypeLike = int64) -> Value:
    """The whole numbers 0, 1, ... of shape (size,)."""
    return apply_one(IOTA, (), IotaAttrs(known_shape(size, "length")[0], dtype_of(dtype)))


def _range_length(first: Any, end: Any, step: Any) -> tuple[Size, DType]:
    """How many numbers a range has, and their dtype."""
    bounds = (first, end, step)
    if all(map(is_size, bounds)) and not isinstance(step, Dim):
        first, end, step = map(as_size, bounds)
        distance = end - first if step > 0 else first - end
        return ceil_divide(positive_part(distance), abs(step)), int64
    if all(isinstance(bound, int | float | np.number) and not isinstance(bound, bool) for bound in bounds):
        return max(0, math.ceil((end - first) / step)), float32
    raise DTypeError(
        f"arange of {bounds}",
        expected="numbers, or Dims and integers with an integer as step",
        remedy="for a start computed in the graph, add it to gr.arange(length)",
    )


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: DTypeLike | None = None) -> Value:
    """The numbers ``start``, ``start + step``, ... before ``stop``; from 0 to the first argument if it stands alone.

    Args:
        start, stop: integers, Dims, or Python floats.
        step: an integer or a Python float; not 0.
        dtype: int64 for integers and Dims, float32 where a float takes part, unless given.

    Raises:
        ShapeError: ``step`` is 0.
        DTypeError: an argument is none of these.
    """
    first, end = (0, start) if stop is None else (start, stop)
    if isinstance(step, int | float | np.number) and step == 0:
        raise ShapeError(f"arange from {first} to {end} in steps of 0", expected="a step that is not 0")
    length, natural = _range_length(first, end, step)
    chosen = natural if dtype is None else dtype_of(dtype)
    counted = iota(length, chosen)
    scaled = counted if step == 1 else multiply(counted, constant(step, chosen))
    return scaled if first == 0 else add(scaled, cast(as_value(first, chosen), chosen))


def linspace(
    start: Operand, stop: Operand, num: Size = 50, endpoint: bool = True, dtype: DTypeLike | None = None
) -> Value:
    """``num`` numbers at equal distances from ``start`` to ``stop``; both ends are exact.

    Args:
        start, stop: scalars; the result is differentiable by them.
        num: an integer or Dim.
        endpoint: whether ``stop`` is the last number, or the one after it.
        dtype: a float dtype; the one that ``start`` and ``stop`` meet in, unless given.

    Raises:
        DTypeError: the dtype is not a float, or an end is not a scalar.
    """
    met = common_dtype((start, stop))
    chosen = dtype_of(dtype) if dtype is not None else met if met.is_float else float32
    first, last = promoted((start, stop), chosen)
    if not chosen.is_float or first.ndim or last.ndim:
        raise DTypeError(
            f"linspace from {first.type} to {last.type} of dtype {chosen}", expected="scalars and a float dtype"
        )
    (size,) = known_shape(num, "length")
    count = iota(size)
    spaces = dim_size(maximum(size - 1 if endpoint else size, 1))
    step = (last - first) / cast(spaces, chosen)
    rising = add(first, multiply(step, cast(count, chosen)))
    if not endpoint:
        return rising
    # Counting from the nearer end makes the last number exactly `stop`; a single one is `start`.
    falling = subtract(last, multiply(step, cast(subtract(spaces, count), chosen)))
    return where(less(multiply(count, 2), dim_size(size)), rising, falling)


def full(shape: ShapeLike, fill_value: Operand, dtype: DTypeLike | None = None) -> Value:
    """``fill_value``, broadcast to ``shape``.

    Args:
        shape: integers, Dims and names.
        fill_value: a scalar, or what broadcasts.
        dtype: that of ``fill_value`` unless given: float32 for a Python float, int64 for an int.

    Raises:
        ShapeError: ``fill_value`` does not broadcast to the shape.
    """
    chosen = None if dtype is None else dtype_of(dtype)
    value = as_value(fill_value, chosen)
    return broadcast_to(value if chosen is None else cast(value, chosen), shape)


def zeros(shape: ShapeLike, dtype: DTypeLike = "float32") -> Value:
    """Zeros of a shape, which may hold Dims."""
    return full(shape, 0, dtype)


def ones(shape: ShapeLike, dtype: DTypeLike = "float32") -> Value:
    """Ones of a shape, which may hold Dims."""
    return full(shape, 1, dtype)


def full_like(x: Operand, fill_value: Operand, dtype: DTypeLike | None = None) -> Value:
    """``fill_value``, broadcast to the shape of ``x``, in its dtype unless another is given."""
    value = as_value(x)
    return full(value.shape, fill_value, dtype or value.dtype)


def zeros_like(x: Operand, dtype: DTypeLike | None = None) -> Value:
    """Zeros of the shape of ``x``, and of its dtype unless another is given."""
    return full_like(x, 0, dtype)


def ones_like(x: Operand, dtype: DTypeLike | None = None) -> Value:
    """Ones of the shape of ``x``, and of its dtype unless another is given."""
    return full_like(x, 1, dtype)


def _places(rows: Size, columns: Size, k: int) -> tuple[Value, Value]:
    """Row number plus ``k`` as a column, and column number as a row."""
    return add(reshape(iota(rows), (rows, 1)), k), iota(columns)


def eye(n: Size, m: Size | None = None, k: int = 0, dtype: DTypeLike = "float32") -> Value:
    """A matrix of shape (n, m) with ones on its diagonal ``k`` (above the main one if positive) and zeros elsewhere.

    Args:
        n, m: integers or Dims; m is n for None.
        k: which diagonal.
        dtype: of the result.
    """
    (rows, columns) = known_shape((n, n if m is None else m))
    row, column = _places(rows, columns, k)
    return cast(equal(row, column), dtype)


def _triangle(x: Operand, k: int, name: str) -> tuple[Value, Value, Value]:
    value = as_value(x)
    if value.ndim < 2:
        raise ShapeError(f"{name} of shape {shape_text(value.shape)}", expected="a matrix, or several: at least 2 axes")
    row, column = _places(value.shape[-2], value.shape[-1], k)
    return value, greater_equal(row, column), constant(0, value.dtype)


def tril(x: Operand, k: int = 0) -> Value:
    """The last two axes of ``x`` with zeros above the diagonal ``k`` (above the main one if positive).

    Raises:
        ShapeError: ``x`` has fewer than 2 axes.
    """
    value, kept, zero = _triangle(x, k, "tril")
    return where(kept, value, zero)


def triu(x: Operand, k: int = 0) -> Value:
    """The last two axes of ``x`` with zeros below the diagonal ``k`` (above the main one if positive).

    Raises:
        ShapeError: ``x`` has fewer than 2 axes.
    """
    value, left_out, zero = _triangle(x, k - 1, "triu")
    return where(left_out, zero, value)
