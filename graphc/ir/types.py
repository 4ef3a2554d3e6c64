"""Types of values: a dtype and a shape. Promotion and broadcasting follow NumPy."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Dim, Size, product, symbols
from graphc.record import record

__all__ = [
    "DTYPES",
    "DType",
    "Shape",
    "TensorType",
    "bool_",
    "broadcast_shapes",
    "collect_constraints",
    "dtype_of",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "normalize_axes",
    "normalize_axis",
    "promote",
    "shape_text",
    "uint8",
    "unify",
    "unify_types",
]

Shape: TypeAlias = tuple[Size, ...]
"""Sizes of the axes, outermost first."""


@record(eq=False)
class DType:
    """The type of an array's items. Compares equal to itself alone; there is one object for each of :data:`DTYPES`."""

    name: str
    numpy: np.dtype[Any] = field(repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype_of, (self.name,)

    @property
    def itemsize(self) -> int:
        """Bytes of one item."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        """Whether it is float32 or float64."""
        return self.numpy.kind == "f"

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer type; bool is not."""
        return self.numpy.kind in "iu"

    @property
    def is_bool(self) -> bool:
        """Whether it is bool."""
        return self.numpy.kind == "b"

    def __str__(self) -> str:
        return self.name


float32 = DType("float32", np.dtype(np.float32))
float64 = DType("float64", np.dtype(np.float64))
int8 = DType("int8", np.dtype(np.int8))
int16 = DType("int16", np.dtype(np.int16))
int32 = DType("int32", np.dtype(np.int32))
int64 = DType("int64", np.dtype(np.int64))
uint8 = DType("uint8", np.dtype(np.uint8))
bool_ = DType("bool", np.dtype(np.bool_))

DTYPES = {dtype.name: dtype for dtype in (float32, float64, int8, int16, int32, int64, uint8, bool_)}
"""Every dtype that a value may have, by name."""
_BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES.values()}


def dtype_of(dtype: DType | str | type | np.dtype[Any] | None) -> DType:
    """The :class:`DType` for a name, a NumPy dtype or a Python scalar type.

    Raises:
        DTypeError: graphc has no such dtype.
    """
    if isinstance(dtype, DType):
        return dtype
    try:
        numpy = np.dtype(dtype) if dtype is not None else None  # NumPy reads None as float64
    except (TypeError, ValueError, SyntaxError):
        numpy = None
    found = _BY_NUMPY.get(numpy) if numpy is not None else None
    if found is None:
        raise DTypeError(
            f"the dtype {dtype!r} is not one that graphc has",
            expected="one of " + ", ".join(DTYPES) + ", in native byte order",
            remedy="convert the array with .astype, for instance .astype('float32')",
        )
    return found


def promote(*dtypes: DType) -> DType:
    """The dtype that NumPy gives a result of arrays of these dtypes."""
    return dtype_of(np.result_type(*(dtype.numpy for dtype in dtypes)))


@record
class TensorType:
    """The type of a value: the dtype of its items and its shape."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        """How many axes a value of this type has."""
        return len(self.shape)

    @property
    def size(self) -> Size:
        """How many items a value of this type has."""
        return product(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def shape_text(shape: Iterable[Size]) -> str:
    """A shape as Python writes a tuple, symbols by name."""
    parts = list(map(str, shape))
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


Constraint: TypeAlias = tuple[Size, Size]

_constraints: ContextVar[list[Constraint] | None] = ContextVar("constraints", default=None)


@contextmanager
def collect_constraints() -> Iterator[list[Constraint]]:
    """Within it, every pair of sizes that :func:`unify` could only assume to be equal is added to the list it gives."""
    found: list[Constraint] = []
    token = _constraints.set(found)
    try:
        yield found
    finally:
        _constraints.reset(token)


def _has_unnamed(size: Size) -> bool:
    return isinstance(size, Dim) and any(symbol.unnamed for symbol in symbols(size))


def unify(left: Size, right: Size) -> Size | None:
    """The size that two sizes which must be equal stand for, or None where they are not known to be equal.

    Two sizes are equal when their expressions are. A size that comes from a ``None`` in a placeholder's shape is
    assumed to equal whatever it meets; the assumption is checked when the function is called.
    """
    if left == right:
        return left
    if not (_has_unnamed(left) or _has_unnamed(right)):
        return None
    found = _constraints.get()
    if found is not None:
        found.append((left, right))
    return right if _has_unnamed(left) else left


def unify_types(left: TensorType, right: TensorType) -> bool:
    """Whether two types are equal, as far as is known: see :func:`unify`."""
    return (left.dtype, left.rank) == (right.dtype, right.rank) and all(
        unify(a, b) is not None for a, b in zip(left.shape, right.shape, strict=True)
    )


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that NumPy's rules give when arrays of these shapes meet.

    Raises:
        ShapeError: two sizes of one axis differ and neither is 1.
    """
    if shapes and all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    rank = max(map(len, shapes), default=0)
    result: list[Size] = []
    for axis in range(rank):
        size: Size = 1
        for shape in shapes:
            position = axis - rank + len(shape)
            other = shape[position] if position >= 0 else 1
            if other == 1 or other == size:
                continue
            if size == 1:
                size = other
                continue
            common = unify(size, other)
            if common is None:
                raise _broadcast_error(shapes, size, other)
            size = common
        result.append(size)
    return tuple(result)


def _broadcast_error(shapes: Sequence[Shape], left: Size, right: Size) -> ShapeError:
    symbolic = isinstance(left, Dim) or isinstance(right, Dim)
    return ShapeError(
        f"shapes {' and '.join(map(shape_text, shapes))} do not broadcast: {left} meets {right}",
        expected="sizes of an axis, counted from the right, to be equal or 1",
        remedy=(
            "give sizes that are always equal the same name in their placeholders"
            if symbolic
            else "reshape, or insert an axis with [:, None], where a size should repeat"
        ),
    )


def normalize_axis(axis: int, rank: int, what: str = "axis") -> int:
    """``axis`` counted from the front.

    Raises:
        ShapeError: there is no such axis.
        DTypeError: it is not an integer.
    """
    try:
        position = operator.index(axis) if not isinstance(axis, bool) else None
    except TypeError:
        position = None
    if position is None:
        raise DTypeError(f"{what} {axis!r} is a {type(axis).__name__}", expected="an integer")
    if not -rank <= position < rank:
        raise ShapeError(
            f"{what} {position} does not exist in an array of {rank} axes",
            expected=f"an integer from {-rank} to {rank - 1}" if rank else "no axis: the array is 0-d",
        )
    return position % rank


def normalize_axes(axes: int | Iterable[int] | None, rank: int) -> tuple[int, ...]:
    """Axes counted from the front, in rising order; all of them for None.

    Raises:
        ShapeError: an axis does not exist or stands twice.
        DTypeError: an axis is not an integer.
    """
    if axes is None:
        return tuple(range(rank))
    given = tuple(axes) if isinstance(axes, Iterable) else (axes,)
    result = tuple(sorted(normalize_axis(axis, rank) for axis in given))
    if len(set(result)) != len(result):
        raise ShapeError(f"axes {given} name one axis twice", expected="each axis once")
    return result
