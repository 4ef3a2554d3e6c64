"""Python's operators and NumPy's methods on values. Each calls the public function of the same meaning."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from graphc.errors import DTypeError, GraphError
from graphc.ir.dims import Dim
from graphc.ir.source import user_location
from graphc.ir.types import DType

if TYPE_CHECKING:
    from graphc.ir.graph import Value

__all__ = ["Operand", "Operators"]

Operand: TypeAlias = Any
"""A value, a Python scalar, a NumPy array, or a nested list of numbers."""

Axes: TypeAlias = int | Sequence[int] | None


def _call(function: str, *arguments: Any, **options: Any) -> Value:
    """Call a public function; looked up late, because operations are declared in terms of values."""
    result: Value = getattr(importlib.import_module("graphc.ir.ops"), function)(*arguments, **options)
    return result


class Operators:
    """What every value can do. Operands follow NumPy's promotion and broadcasting; Python scalars are weak."""

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's arrays leave `array + value` to the value
    __hash__ = object.__hash__

    def __add__(self, other: Operand) -> Value:
        return _call("add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return _call("add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return _call("subtract", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return _call("subtract", other, self)

    def __mul__(self, other: Operand) -> Value:
        return _call("multiply", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return _call("multiply", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return _call("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return _call("divide", other, self)

    def __floordiv__(self, other: Operand) -> Value:
        return _call("floor_divide", self, other)

    def __rfloordiv__(self, other: Operand) -> Value:
        return _call("floor_divide", other, self)

    def __mod__(self, other: Operand) -> Value:
        return _call("mod", self, other)

    def __rmod__(self, other: Operand) -> Value:
        return _call("mod", other, self)

    def __pow__(self, other: Operand) -> Value:
        return _call("power", self, other)

    def __rpow__(self, other: Operand) -> Value:
        return _call("power", other, self)

    def __matmul__(self, other: Operand) -> Value:
        return _call("matmul", self, other)

    def __rmatmul__(self, other: Operand) -> Value:
        return _call("matmul", other, self)

    def __and__(self, other: Operand) -> Value:
        return _call("bitwise_and", self, other)

    def __rand__(self, other: Operand) -> Value:
        return _call("bitwise_and", other, self)

    def __or__(self, other: Operand) -> Value:
        return _call("bitwise_or", self, other)

    def __ror__(self, other: Operand) -> Value:
        return _call("bitwise_or", other, self)

    def __xor__(self, other: Operand) -> Value:
        return _call("bitwise_xor", self, other)

    def __rxor__(self, other: Operand) -> Value:
        return _call("bitwise_xor", other, self)

    def __lt__(self, other: Operand) -> Value:
        return _call("less", self, other)

    def __le__(self, other: Operand) -> Value:
        return _call("less_equal", self, other)

    def __gt__(self, other: Operand) -> Value:
        return _call("greater", self, other)

    def __ge__(self, other: Operand) -> Value:
        return _call("greater_equal", self, other)

    def __eq__(self, other: object) -> Value:  # type: ignore[override]
        """Elementwise, as in NumPy. Sets and mappings of values go by identity."""
        if isinstance(other, Operators | np.ndarray | np.generic | int | float | list | Dim):
            return _call("equal", self, other)
        return NotImplemented

    def __ne__(self, other: object) -> Value:  # type: ignore[override]
        """Elementwise, as in NumPy. Sets and mappings of values go by identity."""
        if isinstance(other, Operators | np.ndarray | np.generic | int | float | list | Dim):
            return _call("not_equal", self, other)
        return NotImplemented

    def __neg__(self) -> Value:
        return _call("negative", self)

    def __abs__(self) -> Value:
        return _call("abs", self)

    def __invert__(self) -> Value:
        return _call("bitwise_not", self)

    def __pos__(self: Value) -> Value:  # type: ignore[misc]
        return self

    def __getitem__(self, key: Any) -> Value:
        """Basic indexing: integers, slices, ``...`` and ``None``."""
        return _call("index", self, key)

    def __setitem__(self, key: Any, item: Any) -> NoReturn:
        raise DTypeError(
            f"an item of {self!r} was assigned, but a symbolic value never changes",
            expected="a new value, made from the old one",
            remedy="choose with gr.where(mask, new, old), add at indices with gr.index_add or gr.scatter_add, or keep "
            "state in a gr.variable that gr.compile updates",
            location=user_location(),
        )

    def __len__(self: Value) -> int:  # type: ignore[misc]
        """The size of the first axis, where it is an integer."""
        return self._first_size("len() of")

    def __iter__(self: Value) -> Iterator[Value]:  # type: ignore[misc]
        """The items along the first axis, where its size is an integer."""
        return (self[position] for position in range(self._first_size("a loop over, or an unpacking of,")))

    def _first_size(self: Value, what: str) -> int:  # type: ignore[misc]
        """The size of the first axis."""
        if self.shape and not isinstance(self.shape[0], Dim):
            return self.shape[0]
        raise DTypeError(
            f"{what} {self!r}, " + ("whose first size is symbolic" if self.shape else "which has no axes"),
            expected="a first axis whose size is known while the graph is built",
            remedy="use .shape, .ndim, operations on whole axes, or gr.scan to go along an axis"
            if self.shape
            else "use .ndim, which is 0",
            location=user_location(),
        )

    def __contains__(self, item: object) -> NoReturn:
        raise GraphError(
            f"whether {self!r} contains an item was asked for, but a symbolic value has no items while the graph is "
            "built",
            expected="a list or a set of values, by identity",
            remedy="ask in the graph: gr.any(value == item)",
            location=user_location(),
        )

    def __bool__(self) -> NoReturn:
        raise GraphError(
            f"the truth of {self!r} was asked for, but a symbolic value has none while the graph is built",
            expected="a Python bool in `if`, `while`, `assert`, `and`, `or`, `not`, `in` and chained comparisons",
            remedy="choose with gr.where(condition, a, b); combine conditions with &, | and ~; compute one of two"
            " graphs with gr.cond, repeat with gr.while_loop; look for a value in a list by `is`",
            location=user_location(),
        )

    def _no_number(self) -> NoReturn:
        raise GraphError(
            f"{self!r} was asked for its number, but a symbolic value has none while the graph is built",
            expected="operations of graphc on it, in place of those of Python and NumPy",
            remedy="compile it with gr.compile, or evaluate it with gr.evaluate(value, feeds)",
            location=user_location(),
        )

    __float__ = __int__ = __index__ = __complex__ = _no_number

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._no_number()

    def __format__(self, spec: str) -> str:
        """The value's own text; numbers to be formatted are not there yet."""
        return str(self) if not spec else self._no_number()

    @property
    def T(self) -> Value:
        """The axes in reverse order."""
        return _call("transpose", self)

    def astype(self, dtype: DType | str | type) -> Value:
        """The same numbers in another dtype."""
        return _call("cast", self, dtype)

    def reshape(self, *shape: Any) -> Value:
        """The same items in another shape; one size may be -1."""
        return _call("reshape", self, shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape)

    def flatten(self, start_axis: int = 0) -> Value:
        """The axes from ``start_axis`` on as one."""
        return _call("flatten", self, start_axis)

    def ravel(self) -> Value:
        """All axes as one."""
        return _call("flatten", self)

    def transpose(self, *axes: Any) -> Value:
        """The axes in another order; reversed where none is given."""
        return _call("transpose", self, *axes)

    def swapaxes(self, axis1: int, axis2: int) -> Value:
        """Two axes exchanged."""
        return _call("swapaxes", self, axis1, axis2)

    def squeeze(self, axis: Axes = None) -> Value:
        """Without axes of size 1."""
        return _call("squeeze", self, axis)

    def dot(self, other: Operand) -> Value:
        """NumPy's dot product."""
        return _call("dot", self, other)

    def clip(self, min: Operand = None, max: Operand = None) -> Value:
        """Limited to a range."""
        return _call("clip", self, min, max)

    def cumsum(self, axis: int | None = None) -> Value:
        """Sums of the items up to each."""
        return _call("cumsum", self, axis)

    def take(self, indices: Operand, axis: int | None = None) -> Value:
        """Items at indices along an axis."""
        return _call("take", self, indices, axis)

    def round(self) -> Value:
        """Rounded to whole numbers, halves to even."""
        return _call("round", self)

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The sum over axes; over all for None."""
        return _call("sum", self, axis, keepdims=keepdims)

    def prod(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The product over axes; over all for None."""
        return _call("prod", self, axis, keepdims=keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The mean over axes; over all for None."""
        return _call("mean", self, axis, keepdims=keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The largest item over axes; over all for None."""
        return _call("max", self, axis, keepdims=keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The smallest item over axes; over all for None."""
        return _call("min", self, axis, keepdims=keepdims)

    def any(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """Whether any item is true over axes; over all for None."""
        return _call("any", self, axis, keepdims=keepdims)

    def all(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """Whether all items are true over axes; over all for None."""
        return _call("all", self, axis, keepdims=keepdims)

    def var(self, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Value:
        """The variance over axes; over all for None."""
        return _call("var", self, axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Value:
        """The standard deviation over axes; over all for None."""
        return _call("std", self, axis, ddof=ddof, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Value:
        """The place of the largest item, the first among equals; of the flat array for None."""
        return _call("argmax", self, axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Value:
        """The place of the smallest item, the first among equals; of the flat array for None."""
        return _call("argmin", self, axis, keepdims=keepdims)
