"""Updates of variables that travel with a value: compiling whatever depends on the value makes them happen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import multiply
from graphc.ir.ops.leaves import Variable, as_value, variable
from graphc.record import record

__all__ = ["with_updates"]


@record(eq=False)
class UpdatesAttrs:
    """The inputs are the value, then the next values of these variables.

    Attributes:
        variables: what is updated. It is not read.
        number: effects happen in the order in which they were made.
    """

    variables: tuple[Value, ...]
    number: int = field(repr=False)


_numbers = itertools.count()


def _vjp(node: Node, g: Value) -> list[Value | None]:
    return [g, *(None for _ in node.attrs.variables)]


def _sample() -> Sample:
    counter = variable(0, "counter", "int64")
    return Sample(lambda x: with_updates(multiply(x, x), {counter: counter + 1}), (np.linspace(-1, 1, 6),), (0,))


WITH_UPDATES = registry.add(
    OpDef(
        "with_updates",
        "The first operand; compiling it makes the others the next values of variables.",
        infer=lambda attrs, x, *next_values: x,
        evaluate=lambda attrs, x, *next_values: x,
        vjp=_vjp,
        attrs=UpdatesAttrs,
        samples=lambda: [_sample()],
    )
)


def with_updates(value: Operand, updates: Mapping[Variable, Any]) -> Value:
    """``value``, with updates of variables: they happen whenever a function runs that was compiled from the result.

    So a layer keeps statistics of what goes through it, without the caller of :func:`graphc.compile` naming them::

        mean = gr.variable(np.zeros(10, "float32"))
        y = gr.with_updates(x, {mean: 0.9 * mean + 0.1 * x.mean(0)})
        gr.compile([x], gr.exp(y))      # updates the mean
        gr.compile([x], x - mean)       # reads it, and leaves it as it is

    Outputs and updates that are compiled may depend on the result in any way, by a derivative too. Gradients flow
    through ``value`` as if it stood alone, and not into the next values. ``updates`` of :func:`graphc.compile` that
    name the same variable stand instead of these, and these instead of a default update. Where a variable is updated by
    several such values in one graph, the updates happen in the order in which they were made: in the next values of
    a later one, the variable stands for what the earlier ones left. Everywhere else it stands for its value before the
    call. :func:`graphc.evaluate` updates nothing.

    The function of a loop, a condition or a custom gradient may not hold such a value: :func:`graphc.compile` refuses
    it. Let the function return what the next values are computed from.

    Args:
        value: any type.
        updates: next values of variables, of the variables' types. Python's numbers take the variable's dtype.

    Returns:
        A value equal to ``value``.

    Raises:
        GraphError: something else than variables is to be updated.
        ShapeError: a next value has another shape than its variable.
        DTypeError: a next value has another dtype than its variable.
    """
    pairs = checked_updates(updates)
    attrs = UpdatesAttrs(tuple(pairs), next(_numbers))
    return apply_one(WITH_UPDATES, (as_value(value), *pairs.values()), attrs)


def checked_updates(updates: Mapping[Variable, Any]) -> dict[Value, Value]:
    """Updates as values.

    Raises:
        GraphError: something else than variables is to be updated.
        ShapeError: a next value has another shape than its variable.
        DTypeError: a next value has another dtype than its variable.
    """
    pairs: dict[Value, Value] = {}
    for target, given in updates.items():
        if not isinstance(target, Variable):
            raise GraphError(
                f"an update of {target!r}", expected="a variable: what gr.variable or gr.parameter returned"
            )
        value = as_value(given, target.dtype)
        if value.dtype != target.dtype:
            raise DTypeError(
                f"the next value of {target!r} has dtype {value.dtype}",
                expected=str(target.dtype),
                remedy=f"convert it with .astype('{target.dtype}')",
                location=value.node.location,
            )
        if value.shape != target.shape:
            raise ShapeError(
                f"the next value of {target!r} has type {value.type}",
                expected=f"the variable's shape: {target.type}",
                remedy="reduce or broadcast it to that shape",
                location=value.node.location,
            )
        pairs[target] = value
    return pairs
