"""Loops over time steps: one node that holds the graph of a step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.build import apply
from graphc.ir.closure import close
from graphc.ir.dims import Dim, Size, bind
from graphc.ir.graph import BoundGraph, Graph, Node, Value
from graphc.ir.interpret import run_body
from graphc.ir.op import Array, OpDef, Sample, Trimmed, registry
from graphc.ir.ops.arithmetic import add, multiply
from graphc.ir.ops.conversion import cast
from graphc.ir.ops.leaves import as_value, is_weak, placeholder
from graphc.ir.ops.scan_gradient import scan_vjp
from graphc.ir.ops.transcendental import tanh
from graphc.ir.trees import Tree, flatten
from graphc.ir.types import TensorType, promote, unify, unify_types

__all__ = ["scan"]


@dataclass(frozen=True, eq=False, slots=True)
class ScanAttrs:
    """A step as a graph: from constants, state and slices to the next state and outputs, in this order.

    Attributes:
        body: the step.
        carries: how many values the state has.
        slices: how many arrays are sliced along their first axis, one slice for each step.
        length: the number of steps.
        reverse: whether the steps go from the last slice to the first.
    """

    body: Graph
    carries: int
    slices: int
    length: Size
    reverse: bool = False

    @property
    def constants(self) -> int:
        """How many inputs are the same for all steps."""
        return len(self.body.inputs) - self.carries - self.slices


def _infer(attrs: ScanAttrs, *types: TensorType) -> tuple[TensorType, ...]:
    body: Graph = attrs.body
    first = attrs.constants + attrs.carries
    steps = [TensorType(type.dtype, type.shape[1:]) for type in types[first:]]
    expected = [value.type for value in body.inputs]
    if [*types[:first], *steps] != expected:
        raise ShapeError(
            f"operands of types {', '.join(map(str, types))}",
            expected=f"for a step that takes {', '.join(map(str, expected))}",
        )
    for type in types[first:]:
        if unify(type.shape[0], attrs.length) is None:
            raise ShapeError(f"slices of {type}", expected=f"{attrs.length} of them, one for each step")
    carried = expected[attrs.constants : first]
    for before, after in zip(carried, body.outputs[: attrs.carries], strict=True):
        if not unify_types(before, after.type):
            raise ShapeError(f"a step that makes {after.type} of a state of type {before}", expected="equal types")
    outputs = [value.type for value in body.outputs[attrs.carries :]]
    return (*carried, *(TensorType(type.dtype, (attrs.length, *type.shape)) for type in outputs))


def _evaluate(attrs: Any, *arrays: Array) -> tuple[Array, ...]:
    body: BoundGraph = attrs.body
    first = len(arrays) - attrs.carries - attrs.slices
    constants, carry, xs = (
        arrays[:first],
        list(arrays[first : first + attrs.carries]),
        arrays[len(arrays) - attrs.slices :],
    )
    stacked = [
        np.empty((attrs.length, *(bind(size, body.sizes) for size in value.shape)), value.dtype.numpy)
        for value in body.graph.outputs[attrs.carries :]
    ]
    steps = range(attrs.length)
    for step in reversed(steps) if attrs.reverse else steps:
        results = run_body(body, [*constants, *carry, *(x[step] for x in xs)])
        carry = list(results[: attrs.carries])
        for array, result in zip(stacked, results[attrs.carries :], strict=True):
            array[step] = result
    return (*carry, *stacked)


def _trim(node: Node, live: Collection[int]) -> Trimmed | None:
    attrs = node.attrs
    body: Graph = attrs.body
    first, carries = attrs.constants, attrs.carries
    needed = {place for place in live if place < carries}
    outputs = [place for place in range(carries, len(body.outputs)) if place in live]
    while True:
        trimmed = Graph.of((), [body.outputs[place] for place in (*sorted(needed), *outputs)])
        used = {value for value in body.inputs if value.node in set(trimmed.nodes)}
        more = {place for place in range(carries) if body.inputs[first + place] in used} - needed
        if not more:
            break
        needed |= more
    kept = [*sorted(needed), *outputs]
    inputs = [
        place
        for place, value in enumerate(body.inputs)
        if (place - first in needed if first <= place < first + carries else value in used)
    ]
    if len(kept) == len(body.outputs) and len(inputs) == len(body.inputs):
        return None
    graph = Graph.of([body.inputs[place] for place in inputs], [body.outputs[place] for place in kept])
    slices = sum(place >= first + carries for place in inputs)
    return Trimmed(replace(attrs, body=graph, carries=len(needed), slices=slices), tuple(inputs), tuple(kept))


def _merge(node: Node, other: Node) -> tuple[ScanAttrs, tuple[int, ...]] | None:
    """One loop for two with the same steps and other outputs."""
    attrs, others = node.attrs, other.attrs
    same = (attrs.carries, attrs.slices, attrs.length, attrs.reverse)
    if same != (others.carries, others.slices, others.length, others.reverse):
        return None
    body, added = attrs.body, others.body.outputs[attrs.carries :]
    pairs = zip(
        (*body.inputs, *body.outputs[: attrs.carries]),
        (*others.body.inputs, *others.body.outputs[: attrs.carries]),
        strict=True,
    )
    if any(left is not right for left, right in pairs):
        return None
    outputs = list(body.outputs)
    places = {value: place for place, value in enumerate(outputs) if place >= attrs.carries}
    for value in added:
        if value not in places:
            places[value] = len(outputs)
            outputs.append(value)
    merged = replace(attrs, body=Graph.of(body.inputs, outputs))
    return merged, (*range(attrs.carries), *(places[value] for value in added))


def _samples() -> list[Sample]:
    rng = np.random.default_rng(11)
    w, h, xs = rng.normal(size=(3, 3)) * 0.5, rng.normal(size=(2, 3)), rng.normal(size=(4, 2, 3))

    def recurrent(reverse: bool) -> Callable[..., Any]:
        def build(w: Value, h: Value, xs: Value) -> Any:
            def step(h: Value, x: Value) -> tuple[Value, Value]:
                new = tanh(add(h @ w, x))
                return new, multiply(new, x)

            return scan(step, h, xs, reverse=reverse)

        return build

    def nested(w: Value, h: Value) -> Any:
        def outer(h: Value, _: None) -> tuple[Value, None]:
            return scan(lambda g, w: (tanh(add(multiply(g, w), 0.5)), None), h, w)[0], None

        return scan(outer, h, None, length=3)[0]

    return [
        Sample(recurrent(False), (w, h, xs), (0, 1, 2)),
        Sample(recurrent(True), (w, h, xs), (0, 1, 2), label="from the end"),
        Sample(recurrent(False), (w, h, xs[:0]), (0, 1, 2), label="no steps"),
        Sample(recurrent(False), (w, h[:0], xs[:, :0]), (0, 1, 2), label="no items"),
        Sample(nested, (w, h[0]), (0, 1), label="nested"),
        Sample(lambda x: scan(lambda s, x: (add(s, x), s), 0.0, x), (xs[:, 0, 0],), (0,), label="0-d state"),
        Sample(lambda x: scan(lambda _, x: (None, multiply(x, x)), None, x)[1], (xs,), (0,), label="no state"),
    ]


SCAN = registry.add(
    OpDef(
        "scan",
        "A step applied once for each slice, with a state that goes from step to step.",
        infer=_infer,
        evaluate=_evaluate,
        vjp=scan_vjp,
        attrs=ScanAttrs,
        trim=_trim,
        merge=_merge,
        samples=_samples,
    )
)


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: Size | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Apply a step to each slice of ``xs`` along its first axis, with a state handed on from step to step.

    It has the meaning of JAX's ``lax.scan``.

    The result is that of::

        ys = []
        for x in xs:
            carry, y = step(carry, x)
            ys.append(y)
        return carry, np.stack(ys)

    ``step`` is called once, with symbolic values, to make the graph of a step: neither the graph nor the time to
    compile it grows with the number of steps, and the steps run without a return to Python. Its gradient is a scan too,
    from the other end. ``step`` may use values from around it, variables too; what it computes from those alone is
    computed once, before the first step. Random numbers that do not depend on its arguments are therefore the same in
    all steps: draw those of all steps at once, and pass them in ``xs``.

    Args:
        step: from the state and a slice to the next state, of the same structure, dtypes and shapes, and an output.
        init: the state before the first step: values, in tuples, lists and dicts, or None. Python's numbers take the
            dtype that the step makes of them.
        xs: arrays of the same size along their first axis, in tuples, lists and dicts; or None, and the step gets None.
        length: the number of steps; needed where ``xs`` holds no array.
        reverse: go from the last slice to the first; the outputs stand where their slices do.

    Returns:
        The last state, and the outputs of all steps, stacked along a new first axis.

    Raises:
        ShapeError: the first axes differ, or the step gives a state of another shape.
        DTypeError: the step gives a state of another dtype.
        GraphError: the number of steps is not known, ``step`` does not return a pair, or it changes the structure of
            the state.
    """
    carried, carry_tree = flatten(init)
    sliced, slice_tree = flatten(xs)
    arrays = [as_value(leaf) for leaf in sliced]
    length = _length(arrays, list(slice_tree.paths("xs")), length)
    slices = [placeholder(value.shape[1:], value.dtype) for value in arrays]

    def run(before: Any) -> tuple[Any, Any]:
        made = step(before, slice_tree.build(slices))
        if not (isinstance(made, tuple) and len(made) == 2):
            raise GraphError(
                f"scan: the step returned {made!r}",
                expected="a pair: the next state and an output (None where there is none)",
            )
        return made

    state = initial_state(carried, carry_tree, lambda before: run(before)[0])
    before = [placeholder(value.shape, value.dtype) for value in state]
    made = run(carry_tree.build(before))
    after, output_tree, outputs = next_state(before, carry_tree, made[0], "scan: the step"), *_outputs(made[1])
    captured, (after, outputs), inside = close([*before, *slices], after, outputs)
    body = Graph.of([*inside, *before, *slices], [*after, *outputs])
    attrs = ScanAttrs(body, len(before), len(slices), length, reverse)
    results = apply(SCAN, (*captured, *state, *arrays), attrs).outputs
    return carry_tree.build(results[: len(before)]), output_tree.build(results[len(before) :])


def _outputs(tree: Any) -> tuple[Tree, list[Value]]:
    leaves, structure = flatten(tree)
    return structure, [as_value(leaf) for leaf in leaves]


def initial_state(leaves: Sequence[Any], structure: Tree, step: Callable[[Any], Any]) -> list[Value]:
    """The state before the first step. Python's numbers take the dtypes that the step gives them."""
    state = [as_value(leaf) for leaf in leaves]
    weak = [is_weak(leaf) for leaf in leaves]
    if any(weak):
        made, found = flatten(step(structure.build([placeholder(value.shape, value.dtype) for value in state])))
        if found == structure:
            kinds = [as_value(leaf, old.dtype).dtype for leaf, old in zip(made, state, strict=True)]
            for place, (kind, old) in enumerate(zip(kinds, state, strict=True)):
                if weak[place] and promote(kind, old.dtype) == kind:
                    state[place] = cast(old, kind)
    return state


def next_state(before: Sequence[Value], structure: Tree, made: Any, who: str) -> list[Value]:
    """The leaves of a state that a step made.

    Raises:
        GraphError: it has not the structure and the types of the state before.
    """
    leaves, found = flatten(made)
    if found != structure:
        raise GraphError(
            f"{who} made a state of the structure {found}", expected=f"that of the state before it: {structure}"
        )
    after = [as_value(leaf, old.dtype) for leaf, old in zip(leaves, before, strict=True)]
    for path, old, new in zip(structure.paths("state"), before, after, strict=True):
        if new.dtype != old.dtype:
            raise DTypeError(
                f"{who} made {path} of type {new.type}",
                expected=f"{old.type}, as it was before the step",
                remedy=f"start with {new.dtype}, or convert it with .astype('{old.dtype}')",
                location=new.node.location,
            )
        if not unify_types(new.type, old.type):
            raise ShapeError(
                f"{who} made {path} of type {new.type}",
                expected=f"{old.type}, as it was before the step",
                remedy="start with a state of the shape that the step makes",
                location=new.node.location,
            )
    return after


def _length(arrays: Sequence[Value], paths: Sequence[str], given: Size | None) -> Size:
    if given is not None and not isinstance(given, int | np.integer | Dim):
        raise DTypeError(f"scan: length={given!r}", expected="an integer or a symbolic size")
    length = given if given is None or isinstance(given, Dim) else int(given)
    if isinstance(length, int) and length < 0:
        raise ShapeError(f"scan: length={length}", expected="at least 0")
    for path, value in zip(paths, arrays, strict=True):
        if value.ndim == 0:
            raise ShapeError(f"scan: {path} is 0-d", expected="an axis to go along", location=value.node.location)
        common = value.shape[0] if length is None else unify(value.shape[0], length)
        if common is None:
            raise ShapeError(
                f"scan: {path} has {value.shape[0]} slices",
                expected=f"{length}, as " + ("length says" if given is not None else f"{paths[0]} has"),
                location=value.node.location,
            )
        length = common
    if length is None:
        raise GraphError("scan: the number of steps is not known", expected="an array in xs", remedy="pass length=...")
    return length
