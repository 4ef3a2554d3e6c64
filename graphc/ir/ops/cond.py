"""A choice of one of two graphs at run time: only the chosen one is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.build import apply, made_nodes
from graphc.ir.closure import close
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.interpret import run_body
from graphc.ir.op import Array, OpDef, Sample, Trimmed, registry
from graphc.ir.ops.arithmetic import multiply
from graphc.ir.ops.creation import zeros
from graphc.ir.ops.leaves import argument, as_value, placeholder
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.scan import as_leaf, values_of
from graphc.ir.ops.transcendental import exp, sin
from graphc.ir.pullback import cotangents_of
from graphc.ir.residuals import residuals
from graphc.ir.source import origin
from graphc.ir.substitute import substitute
from graphc.ir.trees import Tree, flatten
from graphc.ir.types import TensorType, unify_types
from graphc.record import record

__all__ = ["cond"]


@record(eq=False)
class CondAttrs:
    """Two graphs of the same operands, with results of the same types."""

    true: Graph
    false: Graph


def _infer(attrs: CondAttrs, *types: TensorType) -> tuple[TensorType, ...]:
    choice, *operands = types
    if not choice.dtype.is_bool or choice.shape != ():
        raise DTypeError(f"a condition of type {choice}", expected="a bool of shape ()")
    for branch in (attrs.true, attrs.false):
        expected = [value.type for value in branch.inputs]
        if operands != expected:
            raise ShapeError(
                f"operands of types {', '.join(map(str, operands))}", expected=", ".join(map(str, expected))
            )
    first, second = ([value.type for value in branch.outputs] for branch in (attrs.true, attrs.false))
    if len(first) != len(second) or not all(map(unify_types, first, second)):
        raise ShapeError(f"branches of types {', '.join(map(str, first))} and {', '.join(map(str, second))}")
    return tuple(first)


def _evaluate(attrs: Any, choice: Array, *operands: Array) -> tuple[Array, ...]:
    return run_body(attrs.true if choice else attrs.false, operands)


@record
class _Branch:
    """The backward graph of a branch.

    Attributes:
        body: the branch.
        seeds: stand for the cotangents of its results; None where there is none.
        cotangents: of its operands; None where it does not depend on one.
        kept: what the cotangents are computed from, beside the seeds and the operands.
    """

    body: Graph
    seeds: tuple[Value | None, ...]
    cotangents: tuple[Value | None, ...]
    kept: tuple[Value, ...]

    @classmethod
    def of(cls, body: Graph, given: Sequence[Value | None]) -> _Branch:
        seeds = [None if cotangent is None else placeholder(cotangent.shape, cotangent.dtype) for cotangent in given]
        found = cotangents_of(body.outputs, seeds, body.inputs)
        wanted = [cotangent for cotangent in found if cotangent is not None]
        kept = residuals(wanted, [seed for seed in seeds if seed is not None], body.inputs)
        own = set(body.inputs)
        return cls(body, tuple(seeds), tuple(found), tuple(value for value in kept if value not in own))


def _vjp(node: Node, *cotangents: Value | None) -> list[Value | None]:
    choice, *operands = node.inputs
    given = [g if value.dtype.is_float else None for g, value in zip(cotangents, node.outputs, strict=True)]
    branches = [_Branch.of(body, given) for body in (node.attrs.true, node.attrs.false)]
    reached = [
        place for place in range(len(operands)) if any(branch.cotangents[place] is not None for branch in branches)
    ]
    if not reached:
        return [None] * len(node.inputs)
    forward = _with_residuals(node, branches)
    first = len(node.outputs)
    kept = [value for branch in branches for value in branch.kept]
    graphs = []
    for branch in branches:
        inside = {value: placeholder(value.shape, value.dtype) for value in branch.kept}
        wanted = [
            zeros(value.shape, value.dtype) if cotangent is None else cotangent
            for value, cotangent in ((branch.body.inputs[place], branch.cotangents[place]) for place in reached)
        ]
        parameters = [inside[value] if value in inside else placeholder(value.shape, value.dtype) for value in kept]
        seeds = [seed for seed in branch.seeds if seed is not None]
        graphs.append(Graph.of([*branch.body.inputs, *parameters, *seeds], substitute(wanted, inside)))
    arguments = [choice, *operands, *forward[first:], *(g for g in given if g is not None)]
    results = apply(node.op, arguments, CondAttrs(*graphs)).outputs
    known = dict(zip(reached, results, strict=True))
    return [None, *(known.get(place) for place in range(len(operands)))]


def _with_residuals(node: Node, branches: Sequence[_Branch]) -> tuple[Value, ...]:
    """The results of the node, then what the backward graphs of both branches read: zeros of the one not taken."""
    if not any(branch.kept for branch in branches):
        return node.outputs
    graphs = []
    with origin(node.origin):
        for branch in branches:
            extra = [
                value if owner is branch else zeros(value.shape, value.dtype)
                for owner in branches
                for value in owner.kept
            ]
            graphs.append(Graph.of(branch.body.inputs, [*branch.body.outputs, *extra]))
        return apply(node.op, node.inputs, CondAttrs(*graphs)).outputs


def _trim(node: Node, live: Collection[int], prune: Callable[[Graph], Graph]) -> Trimmed | None:
    branches: tuple[Graph, Graph] = (node.attrs.true, node.attrs.false)
    outputs = [place for place in range(len(node.outputs)) if place in live]
    read = {inner for branch in branches for inner in prune(branch.part((), outputs)).nodes}
    operands = [
        place for place in range(len(node.inputs) - 1) if any(branch.inputs[place].node in read for branch in branches)
    ]
    graphs = [prune(branch.part(operands, outputs)) for branch in branches]
    if all(new is old for new, old in zip(graphs, branches, strict=True)):
        return None
    return Trimmed(CondAttrs(*graphs), (0, *(place + 1 for place in operands)), tuple(outputs))


def _merge(node: Node, other: Node) -> tuple[CondAttrs, tuple[int, ...]] | None:
    """One choice for two between the same branches, with other results."""
    inputs = [(*each.attrs.true.inputs, *each.attrs.false.inputs) for each in (node, other)]
    if any(left is not right for left, right in zip(*inputs, strict=True)):
        return None
    first, second = (
        list(zip(each.attrs.true.outputs, each.attrs.false.outputs, strict=True)) for each in (node, other)
    )
    pairs = list(first)
    places = {pair: place for place, pair in enumerate(pairs)}
    for pair in second:
        if pair not in places:
            places[pair] = len(pairs)
            pairs.append(pair)
    graphs = (
        Graph.of(body.inputs, [pair[side] for pair in pairs])
        for side, body in enumerate((node.attrs.true, node.attrs.false))
    )
    return CondAttrs(*graphs), tuple(places[pair] for pair in second)


def _samples() -> list[Sample]:
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(2, 3)), rng.normal(size=3)

    def build(x: Value, y: Value) -> tuple[Value, ...]:
        def either(choice: bool) -> tuple[Value, Value]:
            made: tuple[Value, Value] = cond(
                choice,
                lambda x, y: (exp(multiply(x, y)), y),
                lambda x, y: (multiply(sin(x), 2.0), multiply(y, y)),
                x,
                y,
            )
            return made

        return (*either(True), *either(False))

    def nested(x: Value) -> Any:
        return cond(
            sum(x) > 100.0, lambda: x, lambda: cond(sum(x) > -100.0, lambda: multiply(x, exp(x)), lambda: sin(x))
        )

    return [
        Sample(build, (x, y), (0, 1)),
        Sample(build, (x[:0], y), (0, 1), label="no items"),
        Sample(nested, (x,), (0,), label="nested, of a value from around it"),
    ]


COND = registry.add(
    OpDef(
        "cond",
        "The results of one of two graphs, chosen when the function runs.",
        infer=_infer,
        evaluate=_evaluate,
        vjp=_vjp,
        attrs=CondAttrs,
        trim=_trim,
        merge=_merge,
        samples=_samples,
    )
)


def cond(condition: Any, if_true: Callable[..., Any], if_false: Callable[..., Any], *operands: Any) -> Any:
    """The results of ``if_true(*operands)`` or of ``if_false(*operands)``; JAX's ``lax.cond``.

    Both functions are called once, with symbolic values, to make their graphs; when the compiled function runs, only
    the chosen graph is computed. They may use values from around them. Where both results are cheap, :func:`where` is
    faster.

    Args:
        condition: a bool of shape ().
        if_true: from the operands to values, in tuples, lists and dicts.
        if_false: to values of the same structure, dtypes and shapes.
        *operands: values, in tuples, lists and dicts.

    Raises:
        DTypeError: the condition is not bool, or the results have different dtypes.
        ShapeError: the condition is not 0-d, or the results have different shapes.
        GraphError: the results have different structures.
    """
    choice = as_value(condition)
    if not choice.dtype.is_bool:
        raise DTypeError(
            f"cond: a condition of type {choice.type}",
            expected="a bool of shape ()",
            remedy="compare it with something: x > 0",
        )
    if choice.shape != ():
        raise ShapeError(
            f"cond: a condition of type {choice.type}",
            expected="a bool of shape ()",
            remedy="reduce it with .any() or .all(), or choose item by item with gr.where",
        )
    values, structure = values_of(operands, "cond: operands")
    made = [_branch(function, values, structure) for function in (if_true, if_false)]
    (_, first, tree, _), (_, second, other, _) = made
    if tree != other:
        raise GraphError(
            f"cond: the branches return {tree} and {other}",
            expected="results of one structure",
            remedy="return the same tuples, lists and dicts from both",
        )
    pairs = []
    for path, *leaves in zip(tree.paths("result"), first, second, strict=True):
        left, right = (as_leaf(leaf, other, f"cond: {path}") for leaf, other in (leaves, leaves[::-1]))
        pairs.append((left, right))
        if not unify_types(left.type, right.type):
            kind = ShapeError if left.dtype == right.dtype else DTypeError
            raise kind(
                f"cond: {path} has type {left.type} in one branch and {right.type} in the other",
                expected="equal types",
                remedy=f"convert one with .astype('{left.dtype}')" if kind is DTypeError else "broadcast one",
                location=right.node.location,
            )
    closed = [
        (arguments, *close(arguments, [pair[side] for pair in pairs], inside=nodes))
        for side, (arguments, _, _, nodes) in enumerate(made)
    ]
    captured = list(dict.fromkeys(value for _, outer, _, _ in closed for value in outer))
    graphs = []
    for arguments, outer, (results,), inside in closed:
        own = dict(zip(outer, inside, strict=True))
        parameters = [own[value] if value in own else placeholder(value.shape, value.dtype) for value in captured]
        graphs.append(Graph.of([*arguments, *parameters], results))
    return tree.build(apply(COND, (choice, *values, *captured), CondAttrs(*graphs)).outputs)


def _branch(
    function: Callable[..., Any], operands: Sequence[Value], structure: Tree
) -> tuple[list[Value], list[Any], Tree, set[Node]]:
    """Arguments of a branch, its results and their structure, and the nodes that it is made of."""
    arguments = [argument(value.type, "a branch of a cond") for value in operands]
    with made_nodes() as nodes:
        results, tree = flatten(function(*structure.build(arguments)))
    return arguments, results, tree, nodes
