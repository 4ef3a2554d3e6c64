"""Nodes without inputs: placeholders, variables, constants, and the run-time value of a symbolic size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply
from graphc.ir.dims import Dim, Size, symbol, unnamed_symbol
from graphc.ir.graph import Value
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.types import DType, Shape, TensorType, dtype_of, float32, int64, shape_text
from graphc.record import record

__all__ = [
    "Variable",
    "argument",
    "as_shape",
    "as_value",
    "constant",
    "dim_size",
    "is_weak",
    "parameter",
    "placeholder",
    "variable",
]


@record
class PlaceholderAttrs:
    dtype: DType
    shape: Shape
    name: str | None = None
    owner: str = field(default="", repr=False)


PLACEHOLDER = registry.add(
    OpDef(
        "placeholder",
        "An argument of the compiled function.",
        infer=lambda attrs: TensorType(attrs.dtype, attrs.shape),
        evaluate=lambda attrs: _never(attrs),
        vjp=no_gradient,
        attrs=PlaceholderAttrs,
    )
)


def _never(attrs: Any) -> Array:
    raise AssertionError("the interpreter takes leaves from its feeds")


def argument(type: TensorType, owner: str) -> Value:
    """A placeholder for an argument of a function whose graph a node holds; messages name it ``owner``."""
    return apply(PLACEHOLDER, (), PlaceholderAttrs(type.dtype, type.shape, owner=owner)).outputs[0]


class Storage:
    """The memory of a variable. The array object may change; its dtype and shape do not."""

    __slots__ = ("array", "default_update")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.default_update: Value | None = None


@record
class VariableAttrs:
    storage: Storage = field(repr=False, hash=False)
    dtype: DType
    shape: Shape
    name: str | None = None
    trainable: bool = False


VARIABLE = registry.add(
    OpDef(
        "variable",
        "State with storage: a compiled function reads it and may replace its value.",
        infer=lambda attrs: TensorType(attrs.dtype, attrs.shape),
        evaluate=lambda attrs: _never(attrs),
        vjp=no_gradient,
        attrs=VariableAttrs,
    )
)


class Variable(Value):
    """The value of a variable in a graph, and the handle of its storage."""

    __slots__ = ()

    @property
    def _storage(self) -> Storage:
        storage: Storage = self.node.attrs.storage
        return storage

    @property
    def trainable(self) -> bool:
        """Whether optimizers are to change it: True for parameters."""
        trainable: bool = self.node.attrs.trainable
        return trainable

    @property
    def value(self) -> Array:
        """A copy of what it holds. Assigning copies into its storage; the shape must be the same.

        Raises:
            ShapeError: the assigned array has another shape.
            DTypeError: the assigned array's numbers do not fit the dtype.
        """
        return self._storage.array.copy()

    @value.setter
    def value(self, value: Any) -> None:
        array = np.asarray(value)
        if array.shape != self._storage.array.shape:
            raise ShapeError(
                f"an array of shape {array.shape} was assigned to the variable {self.name!r}",
                expected=f"shape {self._storage.array.shape}",
                remedy="make a new variable where the shape should change",
            )
        if not np.can_cast(array.dtype, self.dtype.numpy, "same_kind"):
            raise DTypeError(
                f"an array of dtype {array.dtype} was assigned to the variable {self.name!r}",
                expected=f"{self.dtype}, or a dtype that converts to it without changing its kind",
                remedy=f"convert it with .astype('{self.dtype}')",
            )
        self._storage.array[...] = array

    @property
    def default_update(self) -> Value | None:
        """Its next value in every compiled function that reads it, unless ``updates`` names another."""
        return self._storage.default_update

    @default_update.setter
    def default_update(self, value: Value | None) -> None:
        self._storage.default_update = value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("value", "default_update"):
            super().__setattr__(name, value)
        object.__setattr__(self, name, value)


@record(eq=False)
class ConstantAttrs:
    """A literal. Two are equal when their dtypes, shapes and bits are."""

    array: Array = field(repr=False)

    def _key(self) -> tuple[Any, ...]:
        return (self.array.dtype.str, self.array.shape, self.array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConstantAttrs) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


CONSTANT = registry.add(
    OpDef(
        "constant",
        "A literal array.",
        infer=lambda attrs: TensorType(dtype_of(attrs.array.dtype), attrs.array.shape),
        evaluate=lambda attrs: attrs.array,
        vjp=no_gradient,
        attrs=ConstantAttrs,
        samples=lambda: [Sample(lambda: constant(np.arange(3.0)), ())],
    )
)


@record
class DimSizeAttrs:
    size: Size


DIM_SIZE = registry.add(
    OpDef(
        "dim_size",
        "The run-time value of a symbolic size, a 0-d int64.",
        infer=lambda attrs: TensorType(int64, ()),
        evaluate=lambda attrs: np.asarray(attrs.size, np.int64),
        vjp=no_gradient,
        attrs=DimSizeAttrs,
        samples=lambda: [Sample(lambda x: dim_size(x.shape[0]), (np.zeros((3, 2)),))],
    )
)


def as_shape(shape: int | Dim | Iterable[Size | str | None], what: str = "shape") -> Shape:
    """A shape from integers, sizes, names (symbols) and None (a size of its own).

    Raises:
        ShapeError: an entry is none of these, is negative, or the whole is absurdly large.
    """
    if not isinstance(shape, int | np.integer | Dim | str | Iterable):
        raise ShapeError(
            f"the {what} {shape!r}", expected="a size, or a sequence of sizes", remedy="() is that of a number"
        )
    entries = (shape,) if isinstance(shape, int | np.integer | Dim | str) else tuple(shape)
    result: list[Size] = []
    for entry in entries:
        if isinstance(entry, str) and entry:
            result.append(symbol(entry))
        elif entry is None:
            result.append(unnamed_symbol())
        elif isinstance(entry, Dim):
            result.append(entry)
        elif isinstance(entry, int | np.integer) and not isinstance(entry, bool) and entry >= 0:
            result.append(int(entry))
        else:
            raise ShapeError(
                f"the {what} {entries!r} holds {entry!r}",
                expected="sizes that are integers of at least 0, names, sizes of other values, or None",
            )
    items = 1
    for size in result:
        items *= size if isinstance(size, int) else 1
    if items >= 2**48:
        raise ShapeError(
            f"the {what} {shape_text(result)} has {items:,} items",
            expected=f"fewer than {2**48:,}",
            remedy="look for a size that was multiplied where it should be added",
        )
    return tuple(result)


def placeholder(
    shape: int | Iterable[Size | str | None], dtype: DType | str | type = "float32", name: str | None = None
) -> Value:
    """An input of the graph.

    Args:
        shape: sizes of the axes: integers, names (axes with one name have one size at run time), or None (any size).
        dtype: the dtype of the array that will be fed.
        name: shown in errors, texts and pictures.

    Raises:
        ShapeError: an entry of the shape is not a size.
        DTypeError: graphc has no such dtype.
    """
    attrs = PlaceholderAttrs(dtype_of(dtype), as_shape(shape), name)
    return apply(PLACEHOLDER, (), attrs).outputs[0]


def _storage_array(value: Any, dtype: DType | str | type | None) -> Array:
    if isinstance(value, Value):
        raise DTypeError(
            f"a variable was to start from the symbolic value {value!r}",
            expected="numbers or a NumPy array",
            remedy="compute the start with NumPy, or evaluate it first with gr.evaluate",
        )
    chosen = _literal_dtype(value) if dtype is None else dtype_of(dtype)
    return np.array(value, dtype=chosen.numpy, order="C")


def variable(
    value: Any, name: str | None = None, dtype: DType | str | type | None = None, trainable: bool = False
) -> Variable:
    """State of the graph: starts as a copy of ``value``; a compiled function may replace it through ``updates``.

    Args:
        value: an array or numbers. Python floats become float32.
        name: shown in errors, texts and pictures.
        dtype: another dtype than the array's.
        trainable: whether optimizers are to change it.
    """
    array = _storage_array(value, dtype)
    attrs = VariableAttrs(Storage(array), dtype_of(array.dtype), array.shape, name, trainable)
    result = apply(VARIABLE, (), attrs, value_class=Variable).outputs[0]
    assert isinstance(result, Variable)
    return result


def parameter(value: Any, name: str | None = None, dtype: DType | str | type | None = None) -> Variable:
    """A trainable variable; see :func:`variable`."""
    return variable(value, name, dtype, trainable=True)


def is_weak(operand: Any) -> bool:
    """Whether an operand is a Python scalar, which takes the dtype of the array that it meets."""
    return isinstance(operand, bool | int | float) and not isinstance(operand, np.generic)


def _literal_dtype(value: Any) -> DType:
    """The dtype of a literal: an array's own; float32, int64 or bool for Python's numbers and lists of them."""
    array = np.asarray(value)
    if isinstance(value, np.ndarray | np.generic):
        return dtype_of(array.dtype)
    if array.dtype.kind == "f":
        return float32
    return dtype_of(array.dtype)


def constant(value: Any, dtype: DType | str | type | None = None) -> Value:
    """A literal: a NumPy array keeps its dtype; Python floats become float32, integers int64.

    Raises:
        DTypeError: the value is not numeric, or an integer does not fit its dtype.
    """
    chosen = _literal_dtype(value) if dtype is None else dtype_of(dtype)
    try:
        array = np.array(value, dtype=chosen.numpy, order="C")
    except (OverflowError, ValueError, TypeError) as error:
        raise DTypeError(
            f"{value!r} cannot be a constant of dtype {chosen}: {error}", expected="numbers that the dtype holds"
        ) from None
    array.flags.writeable = False
    return apply(CONSTANT, (), ConstantAttrs(array)).outputs[0]


def as_value(operand: Any, dtype: DType | None = None) -> Value:
    """An operand as a value: itself if it is one, else a constant (of ``dtype`` if it is a Python scalar)."""
    if isinstance(operand, Value):
        return operand
    if isinstance(operand, Dim):
        return dim_size(operand)
    if isinstance(operand, str | bytes) or operand is None:
        raise DTypeError(
            f"{operand!r} is not a value", expected="a graphc value, a number, an array, or a list of numbers"
        )
    return constant(operand, dtype if is_weak(operand) else None)


def dim_size(size: Size) -> Value:
    """The value of a size, 0-d int64: known for an integer, bound when the function is called for a symbolic one."""
    if isinstance(size, int):
        return constant(size, int64)
    return apply(DIM_SIZE, (), DimSizeAttrs(size)).outputs[0]
