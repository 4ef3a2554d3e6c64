"""Loops over time steps: one node that holds the graph of a step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.build import apply
from graphc.ir.closure import close
from graphc.ir.dims import Dim, Size, bind
from graphc.ir.graph import BoundGraph, Graph, Node, Value
from graphc.ir.interpret import run_body
from graphc.ir.op import Array, OpDef, Sample, Trimmed, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, multiply
from graphc.ir.ops.conversion import beside
from graphc.ir.ops.leaves import argument, as_value, is_weak
from graphc.ir.ops.scan_gradient import scan_vjp
from graphc.ir.ops.transcendental import tanh
from graphc.ir.trees import Tree, flatten
from graphc.ir.types import TensorType, int8, int64, promote, unify, unify_types
from graphc.record import record

__all__ = ["scan"]

_STEP = "the step of a scan"


@record(eq=False)
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


def _trim(node: Node, live: Collection[int], prune: Callable[[Graph], Graph]) -> Trimmed | None:
    attrs = node.attrs
    body: Graph = attrs.body
    first, carries = attrs.constants, attrs.carries
    needed = {place for place in live if place < carries}
    outputs = [place for place in range(carries, len(body.outputs)) if place in live]
    while True:
        kept = [*sorted(needed), *outputs]
        read = set(prune(body.part((), kept)).nodes)
        more = {place for place in range(carries) if body.inputs[first + place].node in read} - needed
        if not more:
            break
        needed |= more
    inputs = [
        place
        for place, value in enumerate(body.inputs)
        if (place - first in needed if first <= place < first + carries else value.node in read)
    ]
    graph = prune(body.part(inputs, kept))
    if graph is body:
        return None
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

    ``step`` is called with symbolic values, to make the graph of a step: once, and once more where ``init`` holds
    Python's numbers. Neither the graph nor the time to compile it grows with the number of steps, and the steps run
    without a return to Python. Its gradient is a scan too, from the other end. ``step`` may use values from around it,
    variables too; what it computes from those alone is computed once, before the first step. Random numbers that do not
    depend on its arguments are therefore the same in all steps: draw those of all steps at once, and pass them in
    ``xs``.

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
    arrays, slice_tree = values_of(xs, "scan: xs")
    length = _length(arrays, list(slice_tree.paths("xs")), length)
    slices = [argument(TensorType(value.dtype, value.shape[1:]), _STEP) for value in arrays]

    def run(before: Any) -> tuple[Any, Any]:
        made: Any = step(before, slice_tree.build(slices))
        if not (isinstance(made, tuple) and len(made) == 2):
            raise GraphError(
                f"scan: the step returned {made!r}",
                expected="a pair: the next state and an output",
                remedy="return (state, output), with None for an output where there is none",
            )
        return made

    state = initial_state(carried, carry_tree, lambda before: run(before)[0], "scan")
    before = [argument(value.type, _STEP) for value in state]
    made = run(carry_tree.build(before))
    after = next_state(before, carry_tree, made[0], "scan")
    outputs, output_tree = values_of(made[1], "scan: output")
    captured, (after, outputs), inside = close([*before, *slices], after, outputs)
    body = Graph.of([*inside, *before, *slices], [*after, *outputs])
    attrs = ScanAttrs(body, len(before), len(slices), length, reverse)
    results = apply(SCAN, (*captured, *state, *arrays), attrs).outputs
    return carry_tree.build(results[: len(before)]), output_tree.build(results[len(before) :])


def values_of(tree: Any, what: str) -> tuple[list[Value], Tree]:
    """The leaves of nested containers as values, and their structure; ``what`` names the whole in messages.

    Raises:
        DTypeError: a leaf is nothing that could be a value.
    """
    leaves, structure = flatten(tree)
    return [as_leaf(leaf, leaf, path) for leaf, path in zip(leaves, structure.paths(what), strict=True)], structure


def as_leaf(leaf: Any, other: Operand, path: str) -> Value:
    """A leaf as a value; a Python scalar in the dtype in which it meets the other operand."""
    try:
        return beside(leaf, other)
    except DTypeError as error:
        raise DTypeError(
            f"{path} is {leaf!r}",
            expected="a value, a number or an array, or these in tuples, lists and dicts",
            remedy=error.remedy or "convert it to an array",
        ) from None


def initial_state(leaves: Sequence[Any], structure: Tree, step: Callable[[Any], Any], who: str) -> list[Value]:
    """The state before the first step. Python's numbers take the dtypes that the step gives them."""
    state = [as_leaf(leaf, leaf, path) for leaf, path in zip(leaves, structure.paths(f"{who}: init"), strict=True)]
    if not any(map(is_weak, leaves)):
        return state
    # As int8, an integer does not widen what it meets: what comes out wider has met something.
    kinds = [
        int8 if is_weak(leaf) and value.dtype == int64 else value.dtype
        for leaf, value in zip(leaves, state, strict=True)
    ]
    types = [TensorType(kind, value.shape) for kind, value in zip(kinds, state, strict=True)]
    before = [argument(type, f"the step of a {who}") for type in types]
    after, found = flatten(step(structure.build(before)))
    if found != structure:
        return state
    for place, (leaf, old, new) in enumerate(zip(leaves, before, after, strict=True)):
        taken = as_leaf(new, old, f"{who}: the next state").dtype
        if is_weak(leaf) and taken != old.dtype and promote(taken, old.dtype) == taken:
            state[place] = as_value(leaf, taken)
    return state


def next_state(before: Sequence[Value], structure: Tree, made: Any, who: str) -> list[Value]:
    """The leaves of a state that a step made.

    Raises:
        GraphError: it has not the structure and the types of the state before.
    """
    leaves, found = flatten(made)
    if found != structure:
        raise GraphError(
            f"{who}: the step made a state of the structure {found}",
            expected=f"that of the state before it: {structure}",
            remedy="return the state in the tuples, lists and dicts that it came in",
        )
    after = []
    for path, old, leaf in zip(structure.paths("state"), before, leaves, strict=True):
        new = as_leaf(leaf, old, f"{who}: {path}")
        after.append(new)
        if new.dtype != old.dtype:
            raise DTypeError(
                f"{who}: the step made {path} of type {new.type}",
                expected=f"{old.type}, as it was before the step",
                remedy=f"start with {new.dtype}, or convert it with .astype('{old.dtype}')",
                location=new.node.location,
            )
        if not unify_types(new.type, old.type):
            raise ShapeError(
                f"{who}: the step made {path} of type {new.type}",
                expected=f"{old.type}, as it was before the step",
                remedy="start with a state of the shape that the step makes",
                location=new.node.location,
            )
    return after


def _length(arrays: Sequence[Value], paths: Sequence[str], given: Size | None) -> Size:
    if given is not None and (isinstance(given, bool) or not isinstance(given, int | np.integer | Dim)):
        raise DTypeError(
            f"scan: length={given!r}",
            expected="an integer or a symbolic size",
            remedy="use gr.while_loop where the number of steps is computed from data",
        )
    length = given if given is None or isinstance(given, Dim) else int(given)
    if isinstance(length, int) and length < 0:
        raise ShapeError(f"scan: length={length}", expected="at least 0", remedy="pass the number of steps")
    for path, value in zip(paths, arrays, strict=True):
        if value.ndim == 0:
            raise ShapeError(
                f"scan: {path} is 0-d",
                expected="an axis to go along",
                remedy="use it in the step without passing it in xs; pass numbers as one array",
            )
        common = value.shape[0] if length is None else unify(value.shape[0], length)
        if common is None:
            raise ShapeError(
                f"scan: {path} has {value.shape[0]} slices",
                expected=f"{length}, as " + ("length says" if given is not None else f"{paths[0]} has"),
                remedy="cut the longer one, or pad the shorter one",
            )
        length = common
    if length is None:
        raise GraphError("scan: the number of steps is not known", expected="an array in xs", remedy="pass length=...")
    return length
