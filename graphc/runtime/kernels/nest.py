"""What kernels that loop over views have in common: axes with strides, reductions, and the text of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.dims import Size
from graphc.ir.graph import Node, Value
from graphc.ir.types import DType, Shape
from graphc.runtime.kernels.base import code
from graphc.runtime.views import View

__all__ = ["Axis", "Source", "aligned", "combined", "expression", "identity", "merged", "result_strides"]

_COMBINE = {
    "add": "{0} + {1}",
    "multiply": "{0} * {1}",
    "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})",
    "or": "{0} | {1}",
    "and": "{0} & {1}",
}


def identity(reduction: str, dtype: DType) -> str:
    """What a reduction of nothing gives, as text."""
    name = code(dtype)
    if reduction in ("add", "multiply"):
        return f"{name}({int(reduction == 'multiply')})"
    if dtype.is_bool:
        return f"b1({reduction in ('and', 'minimum')})"
    if dtype.is_float:
        return f"{name}({'-' if reduction == 'maximum' else ''}1e999)"
    bits = dtype.itemsize * 8
    low, high = (0, 2**bits - 1) if dtype.name == "uint8" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return f"{name}({low + 1} - 1)" if reduction == "maximum" else f"{name}({high})"


def combined(reduction: str, dtype: DType, total: str, item: str) -> str:
    """A total with one item more, as text."""
    return f"{code(dtype)}({_COMBINE[reduction].format(total, item)})"


@dataclass
class Axis:
    """A loop: its length, whether it is reduced, and each operand's stride."""

    size: Size
    reduced: bool
    strides: list[Size]


def aligned(view: View, space: Shape) -> list[Size]:
    """The strides of an input for the axes of the space: 0 where it is broadcast."""
    extra = len(space) - len(view.shape)
    return [0] * extra + [0 if size == 1 else stride for size, stride in zip(view.shape, view.strides, strict=True)]


def result_strides(value: Value, view: View, space: Shape) -> list[Size]:
    """The strides of an output: 0 along the axes that it is reduced over."""
    if value.node.op.reduction is None:
        return aligned(view, space)
    axes: tuple[int, ...] = value.node.attrs.axes
    if value.node.attrs.keepdims:
        return [0 if axis in axes else stride for axis, stride in enumerate(view.strides)]
    kept = iter(view.strides)
    return [0 if axis in axes else next(kept) for axis in range(len(space))]


def merged(axes: Sequence[Axis]) -> list[Axis]:
    """Without axes of size 1; neighbours that all operands step through alike as one."""
    result: list[Axis] = []
    for axis in axes:
        if axis.size == 1:
            continue
        outer = result[-1] if result else None
        if (
            outer is not None
            and outer.reduced == axis.reduced
            and all(a == b * axis.size for a, b in zip(outer.strides, axis.strides, strict=True))
        ):
            result[-1] = Axis(outer.size * axis.size, axis.reduced, axis.strides)
        else:
            result.append(axis)
    return result


class Source:
    """Lines of a kernel, and the words that it reads its sizes from."""

    def __init__(self, buffers: int) -> None:
        self.sizes: list[Size] = []
        self.header = [f"    p{i} = integer(args, {i})" for i in range(buffers)]
        self.lines: list[str] = []
        self._words = buffers
        self._names: dict[Size, str] = {}

    def size(self, size: Size, prefix: str) -> str:
        """The name of a size in the source; each is read once."""
        if size not in self._names:
            name = f"{prefix}{len(self.sizes)}"
            self.header.append(f"    {name} = integer(args, {self._words + len(self.sizes)})")
            self.sizes.append(size)
            self._names[size] = name
        return self._names[size]

    def add(self, depth: int, line: str) -> None:
        """One more line, so many loops deep."""
        self.lines.append("    " * (depth + 1) + line)

    def index(self, offset: Size, strides: Sequence[Size]) -> str:
        """The index of an item: the loops' counters ``i0``, ``i1`` ... times strides."""
        terms = []
        for axis, stride in enumerate(strides):
            if stride != 0:
                terms.append(f"i{axis}" if stride == 1 else f"i{axis} * {self.size(stride, 's')}")
        if offset != 0:
            terms.append(self.size(offset, "o"))
        return " + ".join(terms) or "0"


def expression(node: Node, names: Mapping[Value, str]) -> str:
    """What an elementwise operation computes for an item, as text, given the names of its operands."""
    assert node.op.expression is not None
    text = node.op.expression.format(*(names[value] for value in node.inputs))
    return f"{code(node.output.dtype)}({text})"
