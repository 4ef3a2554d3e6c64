"""From nodes to steps: where each value lies, and which kernels compute it.

Rearrangements of items (reshape, transpose, broadcast, slice) cost nothing: their results are views of the operand's
memory, which kernels read through strides. Concatenation and padding write pieces of one buffer. Kernels that need
dense operands get a copy where a view is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from graphc.errors import GraphError
from graphc.ir.build import apply_one, rebuild
from graphc.ir.dims import Size, product
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.ops.leaves import constant, placeholder
from graphc.ir.source import origin
from graphc.ir.types import DType, Shape
from graphc.runtime.control import CONTROL, Part, reading
from graphc.runtime.kernels.base import Kernel, kernels, view_kernels
from graphc.runtime.kernels.conv import (
    IMAGES,
    batch_innermost,
    conv_kernel,
    flat_views,
    is_batch_innermost,
    is_flat,
    padded_view,
)
from graphc.runtime.kernels.gemm import gemm_kernel, integer_matmul_kernel
from graphc.runtime.kernels.index import additions, indices_check
from graphc.runtime.kernels.loops import block_count, kept_sizes, loop_kernel, loop_space, result_order
from graphc.runtime.kernels.pool import LEAVES_OUT_THE_LAST
from graphc.runtime.kernels.rows import RowBody, goes_by_rows, row_formula, row_kernel
from graphc.runtime.layout import Layouts, operand_order
from graphc.runtime.program import Call, Step
from graphc.runtime.views import (
    Buffer,
    Place,
    View,
    broadcast_view,
    contiguous_strides,
    reshape_view,
    slice_view,
    transpose_view,
    whole,
    window_view,
)

__all__ = ["Lowered", "lower", "with_buffers"]

_LEAVES: dict[str, Place] = {"placeholder": "input", "variable": "variable", "constant": "constant", "dim_size": "size"}


class Lowered:
    """The steps of a graph in an order that respects what each reads and writes.

    Attributes:
        steps: in that order; the last ones write variables.
        commits: steps which copy the whole of a buffer into a variable, as its next value.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.commits: list[Step] = []
        self._views: dict[Value, View] = {}
        self._batch_innermost: dict[Value, View] = {}
        self._layouts = Layouts(graph)
        self._parts = _parts(graph)
        self._turned = _turned(graph, self._parts)
        self._results = frozenset(graph.results)
        self._node: Node
        self._state = {variable: place for place, (variable, _) in enumerate(graph.updates)}
        for node in graph.nodes:
            self._node = node
            with origin(node.origin):
                self._lower(node)
        self._finish()

    def _finish(self) -> None:
        """Bring results where they belong: outputs into buffers of their own, next values into the variables."""
        handed_out: dict[Buffer, Buffer] = {}
        for position, value in enumerate(self.graph.outputs):
            view = self._views[value]
            if view.is_whole and view.buffer.place == "arena" and view.buffer not in handed_out:
                handed_out[view.buffer] = replace(view.buffer, place="output", position=position)
            else:
                output = Buffer(value.dtype, value.size, "output", value, position)
                self._node = value.node
                self._copy(view, whole(output, value.shape))
        written = {self._views[variable].buffer for variable, _ in self.graph.updates}
        pending: list[tuple[View, View]] = []
        for variable, value in self.graph.updates:
            source, target = self._views[value], self._views[variable]
            self._node = value.node
            if (source.buffer in written and source.buffer is not target.buffer) or (
                source.buffer is target.buffer and not source.is_whole
            ):
                source = self._copy(source, whole(self._new(value.dtype, value.size), value.shape))
            pending.append((source, target))
        for source, target in pending:
            if source.buffer is not target.buffer:
                self._copy(source, target)
                if source.is_whole:
                    self.commits.append(self.steps[-1])
        if handed_out:
            moved = {step: with_buffers(step, handed_out) for step in self.steps}
            self.steps = [moved[step] for step in self.steps]
            self.commits = [moved[step] for step in self.commits]

    # --- values and buffers ---------------------------------------------------------------------------------------

    def _used(self, value: Value) -> bool:
        return bool(self.graph.users[value]) or value in self._results

    def _new(self, dtype: DType, items: Size, source: Value | None = None) -> Buffer:
        return Buffer(dtype, items, "arena", source)

    def _result(self, value: Value, order: Sequence[int] | None = None) -> View:
        """Fresh memory for a value, its axes from the outermost to the innermost in ``order``."""
        view = whole(self._new(value.dtype, value.size, value), value.shape, order)
        self._views[value] = view
        return view

    def _result_like(self, value: Value, operands: Sequence[View]) -> View:
        """Fresh memory for a value, laid out as its operands are unless its readers ask for another layout."""
        return self._result(value, self._layouts.order(value, operand_order(operands, value.ndim)))

    def _step(
        self,
        name: str,
        reads: Sequence[Buffer],
        writes: Sequence[Buffer],
        make: Callable[[Mapping[int, int]], Kernel],
        shareable: Sequence[tuple[int, int]] = (),
        faults: bool = False,
        calls: tuple[Call, ...] = (),
    ) -> None:
        self.steps.append(Step(name, self._node, tuple(reads), tuple(writes), make, tuple(shareable), faults, calls))

    def _copy(self, source: View, target: View) -> View:
        """Write one view's items to another's place."""
        inside = placeholder(source.shape, source.buffer.dtype)
        body = Graph.of((inside,), (inside,))
        self._loops("copy", body, [source], [target])
        return target

    def _dense(self, view: View) -> Buffer:
        """The view's items as a whole buffer."""
        if view.is_whole:
            return view.buffer
        return self._copy(view, whole(self._new(view.buffer.dtype, _items(view.shape)), view.shape)).buffer

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _lower(self, node: Node) -> None:
        name = node.op.name
        if name in _LEAVES:
            value, place, position = node.output, _LEAVES[name], -1
            if name == "placeholder" and value in self._state:
                place, position = "carry", self._state[value]
            elif name == "placeholder":
                position = _position(value, self.graph.inputs)
            self._views[value] = whole(Buffer(value.dtype, value.size, place, value, position), value.shape)
        elif node.op.view:
            self._views[node.output] = self._view(node)
        elif name == "fused":
            self._body(node, node.attrs.body)
        elif node.op.expression is not None or node.op.reduction is not None or row_formula(node) is not None:
            self._body(node, _body_of(node))
        elif name == "concatenate":
            self._concatenate(node)
        elif name == "pad":
            self._pad(node)
        elif name in ("matmul", "gemm"):
            self._product(node)
        elif name in ("index_add", "scatter_add"):
            self._additions(node)
        elif name in CONTROL:
            self._control(node)
        elif name in kernels:
            self._structured(node)
        elif name == "conv" and is_flat(node):
            self._flat_convolution(node)
        elif name in view_kernels:
            self._strided(node)
        else:
            raise GraphError(f"the operation {name!r} has no kernel", location=node.location)

    def _view(self, node: Node) -> View:
        view, shape = self._views[node.inputs[0]], node.output.shape
        match node.op.name:
            case "transpose":
                return transpose_view(view, node.attrs.axes)
            case "broadcast_to":
                return broadcast_view(view, shape)
            case "slice":
                return slice_view(view, node.attrs.starts, shape, node.attrs.steps)
            case "sliding_window":
                return window_view(view, node.attrs.axes, node.attrs.strides, node.attrs.dilations, shape)
            case "reshape":
                made = reshape_view(view, shape)
                return made if made is not None else whole(self._dense(view), shape)
        raise GraphError(f"the rearrangement {node.op.name!r} has no view", location=node.location)

    def _body(self, node: Node, body: Graph) -> None:
        inputs = [self._views[value] for value in node.inputs]
        if goes_by_rows(body):
            self._rows(node, RowBody(body), inputs)
            return
        order = operand_order(inputs, len(loop_space(body)))
        outputs = []
        for value, inside in zip(node.outputs, body.outputs, strict=True):
            own = order and result_order(inside, order)
            if value in self._parts and inside.node.op.reduction is None:
                outputs.append(self._part(value, own))
            else:
                outputs.append(self._result(value, self._layouts.order(value, own)))
        self._loops(node.op.name, body, inputs, outputs)

    def _loops(self, name: str, body: Graph, inputs: list[View], outputs: list[View]) -> None:
        """Steps for a body of elementwise operations and reductions."""
        blocks = block_count(body, inputs, outputs)
        made = outputs
        if blocks is not None:
            shape = (blocks, *kept_sizes(body))
            made = [
                whole(self._new(value.dtype, product(shape)), shape) if value.node.op.reduction else view
                for value, view in zip(body.outputs, outputs, strict=True)
            ]
        self._step(
            name,
            [view.buffer for view in inputs],
            [view.buffer for view in made],
            lambda shared: loop_kernel(name, body, inputs, made, shared, partial=blocks is not None),
            _shareable(body, inputs, made),
        )
        for value, partial, output in zip(body.outputs, made, outputs, strict=True):
            if partial is not output:
                self._combine(value.node, partial, output)

    def _rows(self, node: Node, rows: RowBody, inputs: Sequence[View]) -> None:
        """The step for a body that goes by rows; along these, operands lie densely or are repeated."""
        inputs = [
            whole(self._dense(view), view.shape) if view.shape and view.strides[-1] not in (0, 1) else view
            for view in inputs
        ]
        outputs = [
            self._part(value, None) if value in self._parts and step.items else self._result(value)
            for value, step in zip(node.outputs, rows.results, strict=True)
        ]
        self._step(
            node.op.name,
            [view.buffer for view in inputs],
            [view.buffer for view in outputs],
            lambda shared: row_kernel(node.op.name, rows, inputs, outputs, shared),
            [pair for pair in _shareable(rows.body, inputs, outputs) if rows.shareable(*pair)],
        )

    def _combine(self, node: Node, partial: View, output: View) -> None:
        """The step that reduces the partial results of all blocks to one."""
        inside = placeholder(partial.shape, partial.buffer.dtype)
        result = apply_one(node.op, (inside,), replace(node.attrs, axes=(0,), keepdims=False))
        body = Graph.of((inside,), (result,))
        if node.attrs.keepdims:
            kept = [axis for axis in range(len(output.shape)) if axis not in node.attrs.axes]
            output = replace(output, shape=result.shape, strides=tuple(output.strides[axis] for axis in kept))
        self._step(
            "combine",
            [partial.buffer],
            [output.buffer],
            lambda shared: loop_kernel("combine", body, [partial], [output], shared),
        )

    def _concatenate(self, node: Node) -> None:
        target = self._views.get(node.output)
        if target is None:
            target = self._result_like(node.output, [self._views[value] for value in node.inputs])
        for value, starts in _part_starts(node):
            if self._views[value].buffer is not target.buffer:
                self._copy(self._views[value], slice_view(target, starts, value.shape, (1,) * value.ndim))

    def _part(self, value: Value, order: tuple[int, ...] | None) -> View:
        """The place, in a concatenation, of a value that nothing else reads."""
        whole_value, starts = self._parts[value]
        if whole_value not in self._views:
            self._result(whole_value, self._layouts.order(whole_value, order))
        view = slice_view(self._views[whole_value], starts, value.shape, (1,) * value.ndim)
        self._views[value] = view
        return view

    def _turned_part(self, value: Value) -> View | None:
        """The place, in a concatenation, of a value that only a transpose reads, whose result is a part of it."""
        if value not in self._turned:
            return None
        node = self._turned[value]
        back = [node.attrs.axes.index(axis) for axis in range(value.ndim)]
        self._views[value] = transpose_view(self._part(node.output, None), back)
        return self._views[value]

    def _pad(self, node: Node) -> None:
        value, filler = node.inputs
        target = self._result_like(node.output, [self._views[value]])
        self._copy(broadcast_view(self._views[filler], node.output.shape), target)
        steps = tuple(gap + 1 for gap in node.attrs.interior)
        self._copy(self._views[value], slice_view(target, node.attrs.low, value.shape, steps))

    def _product(self, node: Node) -> None:
        views = [self._views[value] for value in node.inputs]
        order = self._layouts.order(node.output) if node.op.name == "matmul" and node.output.ndim == 2 else None
        target = self._result(node.output, order)
        if order == (1, 0):
            target = transpose_view(target, order)
            views = [transpose_view(view, order) for view in reversed(views)]
        if not node.output.dtype.is_float:
            a, b = views
            self._step(
                "matmul", [a.buffer, b.buffer], [target.buffer], lambda shared: integer_matmul_kernel(a, b, target)
            )
            return
        first = 1 if node.op.name == "gemm" else 0
        a, b = views[first : first + 2]
        if not first:
            self._step("matmul", [a.buffer, b.buffer], [target.buffer], lambda shared: gemm_kernel(a, b, target))
            return
        c, alpha, beta = (self._dense(views[i]) for i in (0, 3, 4))
        self._step(
            "gemm",
            [c, a.buffer, b.buffer, alpha, beta],
            [target.buffer],
            lambda shared: gemm_kernel(a, b, target, whole(c, target.shape), bool(shared)),
            [(0, 0)] if a.buffer is not c and b.buffer is not c else [],
        )

    def _images(self, value: Value) -> View:
        """Images, (N, C, *S), batch-innermost; copied once for all that read them."""
        if value not in self._batch_innermost:
            view = self._views[value]
            if not is_batch_innermost(view):
                order = batch_innermost(value.ndim)
                view = self._copy(view, whole(self._new(value.dtype, value.size), value.shape, order))
            self._batch_innermost[value] = view
        return self._batch_innermost[value]

    def _additions(self, node: Node) -> None:
        """Additions at indices. A step of its own checks the indices: what it lets pass may be written in place."""
        x, indices, updates = (self._dense(self._views[value]) for value in node.inputs)
        target = self._result(node.output).buffer
        self._step("check_indices", [indices], [], lambda shared: indices_check(node), faults=True)
        self._step(
            node.op.name,
            [x, indices, updates],
            [target],
            lambda shared: additions(node, bool(shared)),
            [(0, 0)] if x is not indices and x is not updates else [],
        )

    def _control(self, node: Node) -> None:
        control = CONTROL[node.op.name](node, self._results)
        sources = {part.memory: value for value, part in zip(node.outputs, control.results, strict=True)}
        writes = [self._new(type.dtype, type.size, sources[place]) for place, type in enumerate(control.memory)]

        def at(part: Part, shape: Shape) -> View:
            return View(writes[part.memory], shape, contiguous_strides(shape), part.offset)

        for value, part in zip(node.outputs, control.results, strict=True):
            self._views[value] = at(part, value.shape)
        for place, part in control.starts:
            value = node.inputs[place]
            self._copy(self._views[value], at(part, value.shape))
        operands = [self._views[node.inputs[place]] for place in control.reads]
        operands = [view if view.contiguous else whole(self._dense(view), view.shape) for view in operands]
        calls = tuple(reading(call, operands) for call in control.calls)
        reads, kernel = [view.buffer for view in operands], control.kernel
        self._step(node.op.name, reads, writes, lambda shared: kernel, faults=kernel.faults, calls=calls)

    def _structured(self, node: Node) -> None:
        reads = [self._dense(self._views[value]) for value in node.inputs]
        writes = [self._result(value).buffer for value in node.outputs]
        kernel = kernels[node.op.name](node)
        self._step(node.op.name, reads, writes, lambda shared: kernel, faults=kernel.faults)

    def _padded_images(self, value: Value, padding: Sequence[tuple[int, int]]) -> View:
        """Images batch-innermost, without gaps, with zeros around them."""
        target = padded_view(value.shape, padding, lambda items: self._new(value.dtype, items))
        if target.shape == value.shape:
            images = self._images(value)
            return images if images.lies_like(target) else self._copy(images, target)
        zero, all_items = constant(0, value.dtype), (target.buffer.items,)
        self._copy(
            broadcast_view(whole(Buffer(value.dtype, 1, "constant", zero), ()), all_items),
            whole(target.buffer, all_items),
        )
        starts = (0, 0, *(low for low, _ in padding))
        self._copy(self._views[value], slice_view(target, starts, value.shape, (1,) * value.ndim))
        return target

    def _flat_convolution(self, node: Node) -> None:
        """A convolution of few images, whose rows of places are computed as one."""
        images = self._padded_images(node.inputs[0], node.attrs.padding)
        weight, *bias = (self._views[value] for value in node.inputs[1:])
        window, value = weight.shape[2:], node.output
        flat = flat_views(
            node.attrs, images, window, lambda items: self._new(value.dtype, items, value), value.shape[1]
        )
        self._views[value] = flat.result
        kernel = conv_kernel("conv", flat.attrs, flat.x, weight, flat.y, *bias)
        reads = [view.buffer for view in (images, weight, *bias)]
        self._step("conv", reads, [flat.result.buffer], lambda shared: kernel)

    def _strided(self, node: Node) -> None:
        images = IMAGES.get(node.op.name, frozenset())
        inputs = [self._images(v) if i in images else self._views[v] for i, v in enumerate(node.inputs)]
        if images:
            order = batch_innermost(node.output.ndim) if node.op.name != "conv_weight" else None
            outputs = [self._result(value, order) for value in node.outputs]
        else:
            values = node.outputs
            if node.op.name in LEAVES_OUT_THE_LAST and not self._used(values[-1]):
                values = values[:-1]
            outputs = [self._turned_part(value) or self._result_like(value, inputs) for value in values]
        kernel = view_kernels[node.op.name](node, inputs, outputs)
        reads, writes = [view.buffer for view in inputs], [view.buffer for view in outputs]
        self._step(node.op.name, reads, writes, lambda shared: kernel, faults=kernel.faults)


def _part_starts(node: Node) -> Iterator[tuple[Value, list[Size]]]:
    """The operands of a concatenation, and where each starts."""
    start: Size = 0
    for value in node.inputs:
        yield value, [start if axis == node.attrs.axis else 0 for axis in range(value.ndim)]
        start = start + value.shape[node.attrs.axis]


def _parts(graph: Graph) -> dict[Value, tuple[Value, list[Size]]]:
    """The values that one concatenation alone reads, which may be computed where they belong in it."""
    results = set(graph.results)
    return {
        value: (node.output, starts)
        for node in graph.nodes
        if node.op.name == "concatenate"
        for value, starts in _part_starts(node)
        if len(graph.users[value]) == 1 and value not in results
    }


def _turned(graph: Graph, parts: Collection[Value]) -> dict[Value, Node]:
    """The values that one transpose alone reads, which makes a part of a concatenation of them."""
    results = set(graph.results)
    return {
        node.inputs[0]: node
        for node in graph.nodes
        if node.op.name == "transpose" and node.output in parts
        if len(graph.users[node.inputs[0]]) == 1 and node.inputs[0] not in results
    }


def lower(graph: Graph) -> Lowered:
    """The steps that compute a graph.

    Raises:
        GraphError: an operation has no kernel.
    """
    return Lowered(graph)


def _items(shape: Shape) -> Size:
    items: Size = 1
    for size in shape:
        items = items * size
    return items


def _position(value: Value, values: Sequence[Value]) -> int:
    return next(i for i, other in enumerate(values) if other is value)


def _body_of(node: Node) -> Graph:
    """A single node as a body."""
    arguments = [placeholder(value.shape, value.dtype) for value in node.inputs]
    return Graph.of(arguments, rebuild(node, arguments).outputs)


def _shareable(body: Graph, inputs: Sequence[View], outputs: Sequence[View]) -> list[tuple[int, int]]:
    """Which results may overwrite which operands: those that lie alike, item by item, in a buffer read no other way."""
    pairs = []
    for w, (value, output) in enumerate(zip(body.outputs, outputs, strict=True)):
        if value.node.op.reduction is not None or not output.is_dense:
            continue
        for r, view in enumerate(inputs):
            alike = view.is_dense and view.lies_like(output) and view.buffer.dtype == output.buffer.dtype
            alone = sum(other.buffer is view.buffer for other in inputs) == 1
            if alike and alone:
                pairs.append((w, r))
    return pairs


def with_buffers(step: Step, moved: Mapping[Buffer, Buffer]) -> Step:
    """The same step with some buffers replaced."""
    return replace(
        step,
        reads=tuple(moved.get(buffer, buffer) for buffer in step.reads),
        writes=tuple(moved.get(buffer, buffer) for buffer in step.writes),
    )
