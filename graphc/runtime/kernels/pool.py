"""Pooling: maxima and sums of windows, and their adjoints, on operands of any layout.

The inner loop runs along the axis on which the pooled operand is dense: a pooled one; or another (the batch, where it
lies innermost), along which all windows are alike. The axes that remain are divided into tasks: so no two tasks add to
one item of a gradient, and each item is summed in the order of the windows.

Small windows whose items all exist are computed in registers. All others are computed in the memory of the result, one
of their items after another.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from textwrap import indent

from graphc.ir.dims import Size, product
from graphc.ir.graph import Node
from graphc.ir.ops.pool import PoolAttrs, Windows
from graphc.ir.ops.window import places
from graphc.runtime.kernels.axes import read_words
from graphc.runtime.kernels.base import Kernel, code, view_kernel_for
from graphc.runtime.kernels.registers import lanes
from graphc.runtime.views import View

_SMALL = 32
"""Items of the largest windows that are written out one by one."""

_SHORT = 64
"""Windows of the longest rows that are done a vector at a time; LLVM does a few vectors of longer ones together."""

LEAVES_OUT_THE_LAST = frozenset({"max_pool"})
"""Operations whose kernel is not given the place of its last result where nobody uses that."""


def _times(index: str, factor: str) -> str:
    if "0" in (index, factor):
        return "0"
    return index if factor == "1" else factor if index == "1" else f"{index} * {factor}"


def _sum(*terms: str) -> str:
    return " + ".join(term for term in terms if term != "0") or "0"


def _loop(header: str, body: str) -> str:
    return f"{header}:\n{indent(body, '    ')}"


class _Source:
    """Pieces of a kernel's text, and the words that they read.

    In the text, ``o0``, ``o1`` ... number the windows along the pooled axes. Window ``o0`` starts at position ``s0``,
    which may lie outside; those of its items that exist are ``f0`` to before ``l0``. The inner loop does ``count``
    windows, numbered ``i``. Operand 2 begins at ``base2`` for the indices of all other axes; the part of it that
    belongs to the windows of the inner loop, at ``w2``.

    Attributes:
        pooled: the number of the operand that is pooled, or is the gradient by such a one.
        inner: the axis that the inner loop runs along.
        across: the same among the pooled axes; None if it is not one of them.
        windows: the geometry, where it is windows and not bins.
    """

    def __init__(self, attrs: PoolAttrs, views: Sequence[View], pooled: int) -> None:
        self.attrs, self.views, self.pooled = attrs, views, pooled
        self.windows = attrs if isinstance(attrs, Windows) else None
        self.rank = len(attrs.inputs)
        view = views[pooled]
        self._lead = len(view.shape) - self.rank
        dense = [a for a, stride in enumerate(view.strides) if stride == 1 and view.shape[a] != 1]
        self.inner = dense[-1] if dense else len(view.shape) - 1
        self.across = self.inner - self._lead if self.inner >= self._lead else None
        self._words: dict[Size, str] = {}

    def word(self, size: Size) -> str:
        """A size in the text; each is read once. 0 and 1 are written out: they decide how items are loaded."""
        return str(size) if size in (0, 1) else self._words.setdefault(size, f"n{len(self._words)}")

    def stride(self, number: int, axis: int) -> str:
        """The stride of an operand along a pooled axis."""
        return self.word(self.views[number].strides[self._lead + axis])

    def flat(self, axis: int, index: str) -> str:
        """What an index along a pooled axis adds to a flat position."""
        return _times(index, self.word(product(self.attrs.inputs[axis + 1 :])))

    def load(self, number: int, index: str) -> str:
        return f"load_{code(self.views[number].buffer.dtype)}_{number}(p{number}, {index})"

    def store(self, number: int, index: str, value: str) -> str:
        return f"store_{code(self.views[number].buffer.dtype)}_{number}(p{number}, {index}, {value})"

    # --- the inner loop ----------------------------------------------------------------------------------------------

    def index(self, number: int, start: str = "") -> str:
        """Where the item of window ``i`` is that belongs to the operand's item at ``start`` in the first window."""
        step = _times("i", self.word(self.views[number].strides[self.inner]))
        if number == self.pooled:
            step = _times(step, self._windows_apart())
        return _sum(start or f"w{number}", step)

    def place(self, start: str) -> str:
        """The same for a flat position."""
        return start if self.across is None else _sum(start, _times(self.flat(self.across, "i"), self._windows_apart()))

    def _windows_apart(self) -> str:
        """The distance of the windows of an inner loop; bins are done one at a time."""
        if self.across is None:
            return "1"
        return str(self.windows.strides[self.across]) if self.windows else "0"

    def _begin(self, number: int) -> str:
        """The line that says where the part of an operand is that belongs to the windows of the inner loop."""
        counter = "s" if number == self.pooled else "o"
        steps = (_times(f"{counter}{axis}", self.stride(number, axis)) for axis in range(self.rank))
        return f"w{number} = {_sum(f'base{number}', *steps)}\n"

    # --- loops over windows ------------------------------------------------------------------------------------------

    def clipped(self, axis: int) -> bool:
        """Whether windows may reach beyond the axis."""
        if self.windows is None:
            return False
        kernel, stride = self.windows.kernel[axis], self.windows.strides[axis]
        room = places(self.attrs.inputs[axis], kernel, stride, self.windows.dilations[axis])
        return self.windows.padding[axis] > 0 or self.attrs.outputs[axis] != room

    def _bounds(self, axis: int) -> str:
        """Lines for the start of window ``o``, and for its items that exist."""
        size, count = self.word(self.attrs.inputs[axis]), self.word(self.attrs.outputs[axis])
        start = f"s{axis}"
        if self.windows is None:
            return f"""\
{start} = o{axis} * {size} // {count}
f{axis} = 0
l{axis} = ((o{axis} + 1) * {size} + {count} - 1) // {count} - {start}
"""
        kernel, gap = self.windows.kernel[axis], self.windows.dilations[axis]
        step, low = _times(f"o{axis}", str(self.windows.strides[axis])), self.windows.padding[axis]
        first, last = "0", str(kernel)
        if self.clipped(axis):
            first = f"max(-{start}, 0)" if gap == 1 else f"max(({gap - 1} - {start}) // {gap}, 0)"
            last = f"{size} - {start}" if gap == 1 else f"({size} - {start} + {gap - 1}) // {gap}"
            last = f"min({last}, {kernel})"
        return f"{start} = {step}{f' - {low}' if low else ''}\nf{axis} = {first}\nl{axis} = {last}\n"

    def each_window(self, body: str) -> str:
        """``body`` for all windows, ``count`` at a time."""
        body = "".join(map(self._begin, range(len(self.views)))) + body
        if self.across is None:
            body = f"count = {self.word(self.views[self.pooled].shape[self.inner])}\n{body}"
        else:
            body = self._along(self.across, body)
        for axis in reversed(range(self.rank)):
            if axis != self.across:
                body = _loop(f"for o{axis} in range({self.word(self.attrs.outputs[axis])})", self._bounds(axis) + body)
        return body

    def _along(self, axis: int, body: str) -> str:
        """``body`` for the windows along an axis: at once for those whose items all exist, else for one by one."""
        total, count = self.word(self.attrs.outputs[axis]), "1"
        if self.windows is not None:
            if not self.clipped(axis):
                return f"o{axis} = 0\n{self._bounds(axis)}count = {total}\n{body}"
            stride, low = self.windows.strides[axis], self.windows.padding[axis]
            reach = self.windows.dilations[axis] * (self.windows.kernel[axis] - 1)
            whole = f"({self.word(self.attrs.inputs[axis])} - {reach + 1 - low}) // {stride} + 1"
            count = f"max(min({whole}, {total}) - o{axis}, 1) if o{axis} >= {-(-low // stride)} else 1"
        lines = f"{self._bounds(axis)}count = {count}\n{body}o{axis} += count\n"
        return f"o{axis} = 0\n{_loop(f'while o{axis} < {total}', lines)}"

    def at_once(self, body: str) -> str:
        """``body`` for ``count`` windows, each on its own and of items that all exist.

        Rows of an image are short: where vectors do not divide one, the last vector goes back over windows that are
        done, lest they be done one by one.
        """
        plain = _loop("for i in range(count)", body)
        total = 0 if self.across is None else self.attrs.outputs[self.across]
        if not isinstance(total, int) or not 4 <= total <= _SHORT:
            return plain
        together = min(lanes("f32"), 1 << (total.bit_length() - 1))
        if total % together < 2:
            return plain
        vector = _loop(f"for k in range({together})", f"i = start + lane(k)\n{body}")
        lines = f"start = min(part * {together}, count - {together})\n{vector}"
        vectors = _loop(f"for part in range((count + {together - 1}) // {together})", lines)
        return _loop(f"if count >= {together}", vectors) + _loop("else", plain)

    def each_item(self, body: str) -> str:
        """``body`` for each item of ``count`` windows; the first has it ``at`` this place in the pooled operand."""
        gaps = self.windows.dilations if self.windows else (1,) * self.rank
        items = [_times(f"k{axis}", str(gap)) for axis, gap in enumerate(gaps)]
        steps = (_times(item, self.stride(self.pooled, axis)) for axis, item in enumerate(items))
        lines = f"at = {_sum(f'w{self.pooled}', *steps)}\n"
        if "place" in body:
            lines += f"place = {_sum('corner', *(self.flat(axis, item) for axis, item in enumerate(items)))}\n"
        lines += body
        for axis in reversed(range(self.rank)):
            lines = _loop(f"for k{axis} in range(f{axis}, l{axis})", lines)
        return lines

    def corner(self) -> str:
        """The line for the flat position at which the first of ``count`` windows starts."""
        return f"corner = {_sum(*(self.flat(axis, f's{axis}') for axis in range(self.rank)))}\n"

    def small(self) -> list[tuple[str, str]]:
        """For each item of small windows, its offset from the first in the pooled operand, and in flat positions."""
        if self.windows is None or not _small(self.windows):
            return []
        items = []
        for numbers in itertools.product(*map(range, self.windows.kernel)):
            steps = [str(k * gap) for k, gap in zip(numbers, self.windows.dilations, strict=True)]
            offsets = [_times(step, self.stride(self.pooled, axis)) for axis, step in enumerate(steps)]
            items.append((_sum(*offsets), _sum(*(self.flat(axis, step) for axis, step in enumerate(steps)))))
        return items

    def whole_or_not(self, in_registers: str, in_memory: str) -> str:
        """Lines for windows that are small and whole, if there are such, and for others."""
        clipped = [axis for axis in range(self.rank) if self.clipped(axis)]
        if not (in_registers and clipped and self.windows):
            return in_registers or in_memory
        items = " + ".join(f"l{axis} - f{axis}" for axis in clipped)
        whole = sum(self.windows.kernel[axis] for axis in clipped)
        return _loop(f"if {items} == {whole}", in_registers) + _loop("else", in_memory)

    # --- loops over positions ----------------------------------------------------------------------------------------

    def each_place(self, body: str) -> str:
        """``body`` for all windows, whatever their items."""
        begin = "".join(self._begin(number) for number in range(len(self.views)) if number != self.pooled)
        if self.across is None:
            inner = self.word(self.views[self.pooled].shape[self.inner])
        else:
            inner = self.word(self.attrs.outputs[self.across])
            begin = f"o{self.across} = 0\n{begin}"
        body = begin + _loop(f"for i in range({inner})", body)
        for axis in reversed(range(self.rank)):
            if axis != self.across:
                body = _loop(f"for o{axis} in range({self.word(self.attrs.outputs[axis])})", body)
        return body

    def index_of(self, place: str) -> str:
        """Where the pooled operand's item is whose flat position is ``place``."""
        view = self.views[self.pooled]
        axes: list[tuple[Size, Size]] = []
        for size, stride in zip(self.attrs.inputs, view.strides[self._lead :], strict=True):
            if axes and axes[-1][1] == stride * size:
                axes[-1] = (axes[-1][0] * size, stride)
            else:
                axes.append((size, stride))
        terms = [f"base{self.pooled}"]
        for size, stride in reversed(axes[1:]):
            terms.append(_times(f"{place} % {self.word(size)}", self.word(stride)))
            place = f"({place} // {self.word(size)})"
        terms.append(_times(place, self.word(axes[0][1])))
        return _sum(*terms, _times("i", self.word(view.strides[self.inner])) if self.across is None else "0")

    def zeros(self) -> str:
        """Lines that fill the pooled operand, which is a result, with zeros."""
        view = self.views[self.pooled]
        counters = [f"q{axis}" if axis != self.across else "i" for axis in range(self.rank)]
        steps = [_times(counter, self.stride(self.pooled, axis)) for axis, counter in enumerate(counters)]
        if self.across is None:
            steps.append(_times("i", self.word(view.strides[self.inner])))
        zero = self.store(self.pooled, _sum(f"base{self.pooled}", *steps), f"{code(view.buffer.dtype)}(0)")
        lines = _loop(f"for i in range({self.word(view.shape[self.inner])})", f"{zero}\n")
        for axis in reversed(range(self.rank)):
            if axis != self.across:
                lines = _loop(f"for q{axis} in range({self.word(self.attrs.inputs[axis])})", lines)
        return lines

    # --- the whole ---------------------------------------------------------------------------------------------------

    def kernel(self, node: Node, body: str, work: Size) -> Kernel:
        """The kernel that does ``body`` for each index of the axes that are neither pooled nor the inner loop's."""
        units = [axis for axis in range(self._lead) if axis != self.inner]
        lines = "rest = unit\n"
        for axis in reversed(units):
            size = self.word(self.views[self.pooled].shape[axis])
            lines += f"j{axis} = rest % {size}\nrest = rest // {size}\n" if axis != units[0] else f"j{axis} = rest\n"
        for number, view in enumerate(self.views):
            steps = (_times(f"j{axis}", self.word(view.strides[axis])) for axis in units)
            lines += f"base{number} = {_sum(self.word(view.offset), *steps)}\n"
        loop = indent(_loop("for unit in range(lo, hi)", lines + body), "    ")
        words = read_words(*(f"p{number}" for number in range(len(self.views))), *self._words.values())
        extent = product(self.views[self.pooled].shape[axis] for axis in units)
        return Kernel(
            node.op.name, f"def kernel(args, lo, hi):\n{words}\n{loop}", extent, tuple(self._words), work=work
        )


def _items(node: Node) -> Size:
    """About how many items all windows have together."""
    attrs: PoolAttrs = node.attrs
    lead = product(node.inputs[0].shape[: -len(attrs.inputs)])
    return lead * (
        product(attrs.outputs) * math.prod(attrs.kernel) if isinstance(attrs, Windows) else product(attrs.inputs)
    )


def _small(attrs: PoolAttrs) -> bool:
    """Whether windows have so few items that these are written out one by one."""
    return isinstance(attrs, Windows) and math.prod(attrs.kernel) <= _SMALL


@view_kernel_for("max_pool")
def max_pool(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The first maximum of each window, or its last NaN; and its flat position, if that has a place."""
    source = _Source(node.attrs, [*inputs, *outputs], 0)
    if len(outputs) == 1:
        return _reduced(node, source, "maximum({}, {})", "-1e999")
    values, found = source.index(1), source.index(2)
    wins = "(item > best) | (item != item)"
    in_registers = ""
    for offset, steps in source.small():
        item = source.load(0, source.index(0, _sum("w0", offset)))
        if not in_registers:
            in_registers = f"best, place = {item}, i32(0)\n"
            continue
        in_registers += f"item = {item}\nplace = where({wins}, i32({steps}), place)\nbest = maximum(best, item)\n"
    if in_registers:
        place = f"i32(i32({source.place('corner')}) + place)"
        in_registers += f"{source.store(1, values, 'best')}\n{source.store(2, found, place)}\n"
        in_registers = source.at_once(in_registers)
    visit = f"""\
for i in range(count):
    item = {source.load(0, source.index(0, "at"))}
    best = {source.load(1, values)}
    before = {source.load(2, found)}
    {source.store(1, values, "maximum(best, item)")}
    {source.store(2, found, f"where({wins} | (before < i32(0)), i32({source.place('place')}), before)")}
"""
    in_memory = f"""\
for i in range(count):
    {source.store(1, values, f"{code(node.inputs[0].dtype)}(-1e999)")}
    {source.store(2, found, "i32(-1)")}
{source.each_item(visit)}"""
    body = source.each_window(source.corner() + source.whole_or_not(in_registers, in_memory))
    return source.kernel(node, body, 3 * _items(node))


@view_kernel_for("sum_pool")
def sum_pool(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The sum of each window."""
    return _reduced(node, _Source(node.attrs, [*inputs, *outputs], 0), "{} + {}", "0")


def _reduced(node: Node, source: _Source, combined: str, identity: str) -> Kernel:
    """All items of each window ``combined``, two at a time."""
    result = source.index(1)
    items = [source.load(0, source.index(0, _sum("w0", offset))) for offset, _ in source.small()]
    in_registers = ""
    if items:
        total = functools.reduce(combined.format, items)
        in_registers = source.at_once(f"{source.store(1, result, total)}\n")
    more = combined.format(source.load(1, result), source.load(0, source.index(0, "at")))
    visit = f"for i in range(count):\n    {source.store(1, result, more)}\n"
    in_memory = f"""\
for i in range(count):
    {source.store(1, result, f"{code(node.outputs[0].dtype)}({identity})")}
{source.each_item(visit)}"""
    return source.kernel(node, source.each_window(source.whole_or_not(in_registers, in_memory)), _items(node))


def _gradient(node: Node, source: _Source, added: str) -> Kernel:
    """Zeros, to which each window in turn adds what is ``added`` to its items."""
    number = source.pooled
    at = source.index(number, "at")
    more = f"{source.load(number, at)} + {added}"
    visit = f"for i in range(count):\n    {source.store(number, at, more)}\n"
    corner = source.corner() if "place" in added else ""
    body = source.zeros() + source.each_window(corner + source.each_item(visit))
    return source.kernel(node, body, node.output.size + 2 * _items(node))


@view_kernel_for("sum_pool_grad")
def sum_pool_grad(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The sum, for each item, of the cotangents of the windows that it belongs to."""
    source = _Source(node.attrs, [*inputs, *outputs], 1)
    return _gradient(node, source, source.load(0, source.index(0)))


@view_kernel_for("max_pool_grad")
def max_pool_grad(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The sum, for each item, of the cotangents of the windows that found it."""
    source = _Source(node.attrs, [*inputs, *outputs], 2)
    g, found = source.load(0, source.index(0)), source.load(1, source.index(1))
    if source.across is None and _small(node.attrs):
        # Asking each item whether it was found is a vector operation; going to the one that was is not.
        return _gradient(node, source, f"where({found} == i32(place), {g}, {code(node.output.dtype)}(0))")
    at = source.index_of("place")
    body = f"place = i64({found})\nif place >= 0:\n    {source.store(2, at, f'{source.load(2, at)} + {g}')}\n"
    return source.kernel(node, source.zeros() + source.each_place(body), node.output.size + 4 * node.inputs[0].size)


@view_kernel_for("max_pool_pick")
def max_pool_pick(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The items at the positions that were found; 0 where none was."""
    source = _Source(node.attrs, [*inputs, *outputs], 0)
    body = f"""\
place = i64({source.load(1, source.index(1))})
item = {code(node.output.dtype)}(0)
if place >= 0:
    item = {source.load(0, source.index_of("place"))}
{source.store(2, source.index(2), "item")}
"""
    return source.kernel(node, source.each_place(body), 4 * node.output.size)
