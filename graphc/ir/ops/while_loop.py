"""Loops that end when a condition, computed by a graph, is false."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GradientError, GraphError, ShapeError
from graphc.ir.build import apply
from graphc.ir.closure import close
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.interpret import run_body
from graphc.ir.op import Array, OpDef, Sample, Trimmed, registry
from graphc.ir.ops.arithmetic import add, multiply
from graphc.ir.ops.leaves import argument, as_value
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.scan import initial_state, next_state
from graphc.ir.trees import flatten
from graphc.ir.types import TensorType, unify_types
from graphc.record import record

__all__ = ["while_loop"]

_STEP = "the step of a while_loop"


@record(eq=False)
class WhileAttrs:
    """A condition and a step, both of constants and state in this order.

    Attributes:
        condition: whether there is another step: a bool of shape ().
        body: the next state.
        carries: how many values the state has.
    """

    condition: Graph
    body: Graph
    carries: int

    @property
    def constants(self) -> int:
        """How many inputs are the same for all steps."""
        return len(self.body.inputs) - self.carries


def _infer(attrs: WhileAttrs, *types: TensorType) -> tuple[TensorType, ...]:
    for graph in (attrs.condition, attrs.body):
        expected = tuple(value.type for value in graph.inputs)
        if types != expected:
            raise ShapeError(f"operands of types {', '.join(map(str, types))}", expected=", ".join(map(str, expected)))
    (go_on,) = attrs.condition.outputs
    if not go_on.dtype.is_bool or go_on.shape != ():
        raise DTypeError(f"a condition of type {go_on.type}", expected="a bool of shape ()")
    state = types[attrs.constants :]
    for before, after in zip(state, attrs.body.outputs, strict=True):
        if not unify_types(before, after.type):
            raise ShapeError(f"a step that makes {after.type} of a state of type {before}", expected="equal types")
    return state


def _evaluate(attrs: Any, *arrays: Array) -> tuple[Array, ...]:
    first = len(arrays) - attrs.carries
    constants, state = arrays[:first], arrays[first:]
    while run_body(attrs.condition, (*constants, *state))[0]:
        state = run_body(attrs.body, (*constants, *state))
    return tuple(state)


def _vjp(node: Node, *cotangents: Value | None) -> Sequence[Value | None]:
    raise GradientError(
        "a while_loop has no reverse-mode gradient: how many steps there are to go back is not known",
        expected="a loop of known length on the way from the values to the loss",
        remedy="use gr.scan with a length (gr.cond or gr.where inside stop early), or gr.stop_gradient around the loop",
        location=node.location,
    )


def _trim(node: Node, live: Collection[int], prune: Callable[[Graph], Graph]) -> Trimmed | None:
    attrs = node.attrs
    condition, body, first = attrs.condition, attrs.body, attrs.constants
    asked = set(prune(condition.part((), [0])).nodes)
    needed = set(live)
    while True:
        outputs = sorted(needed)
        read = asked | set(prune(body.part((), outputs)).nodes)
        pairs = enumerate(zip(condition.inputs, body.inputs, strict=True))
        used = {place for place, pair in pairs if any(value.node in read for value in pair)}
        more = {place - first for place in used if place >= first} - needed
        if not more:
            break
        needed |= more
    inputs = sorted(used | {first + place for place in needed})
    graphs = prune(condition.part(inputs, [0])), prune(body.part(inputs, outputs))
    if graphs == (condition, body):
        return None
    return Trimmed(WhileAttrs(*graphs, len(outputs)), tuple(inputs), tuple(outputs))


def _samples() -> list[Sample]:
    x = np.random.default_rng(13).uniform(0.5, 1, (2, 3))

    def doubled(x: Value) -> Any:
        return while_loop(lambda s: sum(s) < 100.0, lambda s: multiply(s, 2.0), x)

    def counted(x: Value) -> Any:
        return while_loop(lambda s: s[0] < 5, lambda s: (add(s[0], 1), add(s[1], multiply(s[1], x))), (0, x))

    return [
        Sample(doubled, (x,)),
        Sample(doubled, (x * 1e3,), label="no step"),
        Sample(counted, (x,), label="a counter, and a value from around it"),
        Sample(counted, (x[:0],), label="no items"),
    ]


WHILE_LOOP = registry.add(
    OpDef(
        "while_loop",
        "A step applied to a state as long as a condition on it holds.",
        infer=_infer,
        evaluate=_evaluate,
        vjp=_vjp,
        attrs=WhileAttrs,
        trim=_trim,
        samples=_samples,
    )
)


def while_loop(condition: Callable[[Any], Any], step: Callable[[Any], Any], init: Any) -> Any:
    """Apply a step to a state as long as a condition on it holds; JAX's ``lax.while_loop``.

    Both functions are called once, with symbolic values, to make their graphs; the steps run without a return to
    Python. They may use values from around them. There is no gradient through the loop, because nothing is known of the
    number of its steps: use :func:`scan` where one is needed. A condition that stays true never returns.

    Args:
        condition: from the state to a bool of shape ().
        step: from the state to the next, of the same structure, dtypes and shapes.
        init: the state before the first step: values, in tuples, lists and dicts. Python's numbers take the dtype that
            the step makes of them.

    Returns:
        The first state for which the condition is false.

    Raises:
        DTypeError: the condition is not bool, or the step gives a state of another dtype.
        ShapeError: the condition is not 0-d, or the step gives a state of another shape.
        GraphError: the step changes the structure of the state.
        GradientError: when it is compiled, if a gradient through the loop is asked for.
    """
    leaves, structure = flatten(init)
    state = initial_state(leaves, structure, step, "while_loop")
    before = [argument(value.type, _STEP) for value in state]
    go_on = as_value(condition(structure.build(before)))
    if not go_on.dtype.is_bool or go_on.shape != ():
        kind = ShapeError if go_on.dtype.is_bool else DTypeError
        raise kind(
            f"while_loop: the condition has type {go_on.type}",
            expected="a bool of shape ()",
            remedy="compare numbers; reduce an array with .any() or .all()",
            location=go_on.node.location,
        )
    after = next_state(before, structure, step(structure.build(before)), "while_loop")
    if not before:
        raise GraphError(
            "while_loop: the state holds no value",
            expected="something that the condition depends on",
            remedy="pass what changes from step to step as init",
        )
    captured, ((go_on,), after), inside = close(before, [go_on], after)
    inputs = [*inside, *before]
    attrs = WhileAttrs(Graph.of(inputs, [go_on]), Graph.of(inputs, after), len(before))
    return structure.build(apply(WHILE_LOOP, (*captured, *state), attrs).outputs)
