"""What must be true of every graph, whichever pass made it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from graphc.errors import GraphError, VerifyError
from graphc.ir.bodies import bodies
from graphc.ir.build import infer_types
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.printer import node_text
from graphc.ir.types import TensorType, collect_constraints

__all__ = ["CHECKS", "verify"]


def verify(graph: Graph) -> None:
    """Check every invariant of :data:`CHECKS`, in the graphs inside nodes too.

    Raises:
        VerifyError: one is broken; names the node, what was found and what was expected.
    """
    # Inference notes what it assumes of unnamed sizes; to infer again assumes nothing new.
    with collect_constraints():
        for check in CHECKS:
            check(graph)


def _error(graph: Graph, node: Node, found: str, expected: str) -> VerifyError:
    return VerifyError(f"{found}, in `{node_text(graph, node)}`", expected=expected, location=node.location)


def check_order(graph: Graph) -> None:
    """Nodes stand once, after all that they read, and own their outputs."""
    known: set[Value] = set()
    seen: set[Node] = set()
    for node in graph.nodes:
        if node in seen:
            raise _error(graph, node, f"a node of {node.op.name} stands twice", "every node to stand once")
        seen.add(node)
        for position, value in enumerate(node.inputs):
            if value not in known:
                place = "later in the graph" if value.node in graph.nodes else "not in the graph"
                found = f"operand {position} of {node.op.name} is {value!r}, whose node is {place}"
                raise _error(graph, node, found, "operands that earlier nodes compute")
        for position, value in enumerate(node.outputs):
            if value.node is not node or value.index != position:
                found = f"output {position} of {node.op.name} is {value!r}, which says that it is another node's"
                raise _error(graph, node, found, "outputs to refer to the node that lists them")
        known.update(node.outputs)
    signature = {
        "input": graph.inputs,
        "output": graph.outputs,
        "updated variable": [variable for variable, _ in graph.updates],
        "next value": [value for _, value in graph.updates],
    }
    for what, values in signature.items():
        for position, value in enumerate(values):
            if value not in known:
                found = f"{what} {position} is {value!r}, which no node of the graph computes"
                raise _error(graph, value.node, found, "the graph to hold all that its results depend on")


def check_inputs(graph: Graph) -> None:
    """Inputs are different placeholders, and no other placeholder is read."""
    for position, value in enumerate(graph.inputs):
        if value.node.op.name != "placeholder":
            raise _error(graph, value.node, f"input {position} is {value!r}", "inputs to be placeholders")
    inputs = {value.node for value in graph.inputs}
    if len(inputs) != len(graph.inputs):
        twice = next(value for value in graph.inputs if sum(value is other for other in graph.inputs) > 1)
        raise _error(graph, twice.node, f"{twice!r} is an input twice", "every input once")
    for node in graph.nodes:
        if node.op.name == "placeholder" and node not in inputs:
            found = f"the graph reads {node.output!r}, which is not among its inputs"
            raise _error(graph, node, found, "every placeholder that the results depend on to be an input")


def check_updates(graph: Graph) -> None:
    """Updates give different variables a value of their type."""
    updated: set[Value] = set()
    for variable, value in graph.updates:
        if variable.node.op.name != "variable":
            raise _error(graph, variable.node, f"{variable!r} is to be updated", "updates of variables")
        if variable in updated:
            raise _error(graph, variable.node, f"{variable!r} has two next values", "one update of each variable")
        updated.add(variable)
        if value.type != variable.type:
            found = f"the next value of {variable!r} is {value!r}"
            raise _error(graph, value.node, found, f"a value of the variable's type, {variable.type}")


def check_attributes(graph: Graph) -> None:
    """Attributes are of the operation's class, frozen, and hold nothing that could change."""
    for node in graph.nodes:
        attrs = node.attrs
        if not isinstance(attrs, node.op.attrs):
            found = f"the attributes of {node.op.name} are a {type(attrs).__name__}"
            raise _error(graph, node, found, f"a {node.op.attrs.__name__}")
        if not is_dataclass(attrs) or type(attrs).__setattr__ is object.__setattr__:
            raise _error(graph, node, f"{type(attrs).__name__} can be changed", "a frozen dataclass of attributes")
        for field in fields(attrs):
            value = getattr(attrs, field.name)
            if field.hash is not False and not _is_fixed(value):
                found = f"the attribute {field.name} of {node.op.name} is a {type(value).__name__} that can be changed"
                raise _error(graph, node, found, "hashable values, and arrays that are not writeable")


def _is_fixed(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return not value.flags.writeable
    if isinstance(value, tuple):
        return all(map(_is_fixed, value))
    return type(value).__hash__ is not None


def check_types(graph: Graph) -> None:
    """Every node has the types that its operation infers from its operands."""
    for node in graph.nodes:
        try:
            expected = infer_types(node.op, [value.type for value in node.inputs], node.attrs)
        except GraphError as error:
            raise _error(graph, node, error.found, error.expected or "operands that the operation takes") from error
        except Exception as error:
            found = f"inference of {node.op.name} failed with {type(error).__name__}: {error}"
            raise _error(graph, node, found, "operands and attributes that the operation takes") from error
        actual = tuple(value.type for value in node.outputs)
        if actual != expected:
            found = f"{node.op.name} has the types {_types_text(actual)}"
            raise _error(graph, node, found, f"{_types_text(expected)}, as its inference says")


def _types_text(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types)) or "()"


def check_bodies(graph: Graph) -> None:
    """The graphs inside nodes obey all of this, and update nothing."""
    for node in graph.nodes:
        for name, body in bodies(node):
            if body.updates:
                found = f"the graph {name} of {node.op.name} updates {body.updates[0][0]!r}"
                raise _error(graph, node, found, "updates in the outermost graph alone")
            try:
                verify(body)
            except VerifyError as error:
                found = f"in the graph {name} of {node.op.name}: {error.found}"
                raise VerifyError(found, expected=error.expected, location=error.location) from error


CHECKS: tuple[Callable[[Graph], None], ...] = (
    check_order,
    check_inputs,
    check_updates,
    check_attributes,
    check_types,
    check_bodies,
)
"""Every invariant. The first is what the others rely on."""
