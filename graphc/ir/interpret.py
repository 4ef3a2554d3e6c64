"""Evaluation of a graph, node by node, with NumPy: what every compiled result is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

import numpy as np

from graphc.errors import VerifyError
from graphc.ir.dims import bind
from graphc.ir.graph import BoundGraph, Graph, Node, Value
from graphc.ir.op import Array, bind_attrs

__all__ = ["evaluate_node", "interpret", "run_body", "watch_bodies"]

Watcher: TypeAlias = Callable[[BoundGraph, Sequence[Array], Sequence[Array]], None]

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watch_bodies(watcher: Watcher) -> Iterator[None]:
    """Within it, ``watcher(body, arrays, results)`` is called after each evaluation of a graph that a node holds."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def evaluate_node(node: Node, arrays: Sequence[Array], sizes: Mapping[str, int]) -> tuple[Array, ...]:
    """The outputs of one node.

    Raises:
        VerifyError: they have not the dtype and shape that the node's types promise.
    """
    with np.errstate(all="ignore"):  # NaN and infinities are results like others
        result = node.op.evaluate(bind_attrs(node.attrs, sizes), *arrays)
    outputs = tuple(np.asarray(array) for array in (result if isinstance(result, tuple) else (result,)))
    for value, array in zip(node.outputs, outputs, strict=True):
        shape = tuple(bind(size, sizes) for size in value.shape)
        if array.dtype != value.dtype.numpy or array.shape != shape:
            raise VerifyError(
                f"{node.op.name} gave {array.dtype}{list(array.shape)}",
                expected=f"{value.dtype}{list(shape)}, as its inference says",
                location=node.location,
            )
    return outputs


def interpret(graph: Graph, leaves: Mapping[Value, Array], sizes: Mapping[str, int]) -> list[Array]:
    """The graph's results (outputs, then next values of variables).

    Args:
        leaves: arrays for placeholders; a variable that is not among them has the value that it holds.
        sizes: values of the symbolic sizes by name.
    """
    known: dict[Value, Array] = dict(leaves)
    remaining = {value: len(users) for value, users in graph.users.items()}
    kept = set(graph.results)
    for node in graph.nodes:
        if node.outputs[0] in known:
            continue
        if node.op.name == "variable":
            known[node.output] = node.attrs.storage.array.copy()
            continue
        outputs = evaluate_node(node, [known[value] for value in node.inputs], sizes)
        known.update(zip(node.outputs, outputs, strict=True))
        for value in node.inputs:
            remaining[value] -= 1
            if not remaining[value] and value not in kept:
                del known[value]
    return [known[value] for value in graph.results]


def run_body(body: BoundGraph, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results of a graph that a node holds, for the arrays that its inputs stand for."""
    results = tuple(interpret(body.graph, dict(zip(body.graph.inputs, arrays, strict=True)), body.sizes))
    watcher = _watcher.get()
    if watcher is not None:
        watcher(body, arrays, results)
    return results
