"""What tests of passes have in common: graphs in short, and their values before and after a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import graphc as gr
from graphc.ir.graph import Graph, Value
from graphc.ir.op import Array
from graphc.ir.printer import array_text, attributes
from graphc.ir.verify import verify
from graphc.passes.autodiff import Autodiff
from graphc.passes.dce import Dce
from graphc.passes.simplify import Simplify
from graphc.runtime.reference import evaluate_graph
from tests.support import as_list

__all__ = [
    "INTEGERS",
    "NASTY",
    "applied",
    "check_gradients_kept",
    "check_pass",
    "formula",
    "formulas",
    "graph_of",
    "names",
    "results",
    "same",
]

NASTY = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.5, 1e-40, 3e38, -7.25, 2.0], np.float32)
"""The numbers that wrong rewrites are wrong for."""

INTEGERS = np.array([0, 1, -1, 7, 100, -128, 127], np.int8)
"""Integers whose sums and products overflow."""


def graph_of(
    build: Callable[..., Any], arrays: Sequence[Any], shapes: Sequence[Sequence[Any]] | None = None
) -> tuple[Graph, dict[Value, Array]]:
    """The graph that ``build`` makes of placeholders x, y, z ... for the arrays, and the arrays by placeholder."""
    point = [np.asarray(array) for array in arrays]
    wanted = shapes or [array.shape for array in point]
    inputs = [
        gr.placeholder(shape, array.dtype.name, name)
        for shape, array, name in zip(wanted, point, "xyzuvwabcd", strict=False)
    ]
    return Graph.of(inputs, as_list(build(*inputs))), dict(zip(inputs, point, strict=True))


def applied(graph: Graph, *passes: Callable[[Graph], Graph]) -> Graph:
    """The graph after the passes, each result verified, without what is not needed."""
    for each in passes:
        graph = each(graph)
        verify(graph)
    return Dce()(graph)


def results(graph: Graph, feeds: Mapping[Value, Any]) -> list[Array]:
    """Outputs, then next values of variables."""
    with np.errstate(all="ignore"):
        return evaluate_graph(graph, feeds)


def same(found: Array, wanted: Array, signs: bool = True) -> None:
    """Equal to the last bit, NaN to NaN; ``signs`` says whether zeros must have one sign too."""
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(found, wanted)
    if signs and wanted.dtype.kind == "f":
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found)[number], np.signbit(wanted)[number])


def check_pass(
    build: Callable[..., Any],
    arrays: Sequence[Any],
    *passes: Callable[[Graph], Graph],
    shapes: Sequence[Sequence[Any]] | None = None,
    rtol: float = 0.0,
    signs: bool = True,
) -> list[str]:
    """What the outputs are after the passes, in short, once their values have been found to be those of before."""
    graph, feeds = graph_of(build, arrays, shapes)
    after = applied(graph, *passes)
    for found, wanted in zip(results(after, feeds), results(graph, feeds), strict=True):
        if rtol:
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_allclose(found, wanted, rtol, rtol)
        else:
            same(found, wanted, signs)
    return formulas(after.outputs)


def check_gradients_kept(build: Callable[..., Any], arrays: Sequence[Any], *passes: Callable[[Graph], Graph]) -> None:
    """Passes before differentiation leave the gradients, by every float argument, of randomly weighted outputs."""
    rng = np.random.default_rng(0)
    weights: list[Array] = []

    def gradients(*values: Value) -> list[Value]:
        outputs = [value for value in as_list(build(*values)) if value.dtype.is_float]
        if not weights:
            weights.extend(rng.standard_normal(value.shape) for value in outputs)
        cotangents = [gr.constant(weight, value.dtype) for weight, value in zip(weights, outputs, strict=True)]
        made: list[Value] = gr.vjp(outputs, [value for value in values if value.dtype.is_float], cotangents)
        return made

    graph, feeds = graph_of(gradients, arrays)
    wanted = results(applied(graph, Autodiff()), feeds)
    found = results(applied(graph, *passes, Autodiff(), Simplify()), feeds)
    for array, other in zip(found, wanted, strict=True):
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(array, other, 1e-5 if array.dtype == np.float32 else 1e-9, 1e-7)


def names(graph: Graph) -> list[str]:
    """The operations of a graph but for its leaves, in order."""
    return [node.op.name for node in graph.nodes if node.inputs]


def formulas(values: Iterable[Value]) -> list[str]:
    """See :func:`formula`."""
    return [formula(value) for value in values]


def formula(value: Value) -> str:
    """How a value is computed, as one expression: ``sum(multiply(x, 2.0), axes=(0,))``."""
    node = value.node
    if node.op.name == "constant":
        return array_text(node.attrs.array)
    if value.name and not node.inputs:
        return value.name
    parts = [*map(formula, node.inputs)]
    parts += [f"{name}={item}" for name, item in attributes(node) if not isinstance(item, Graph)]
    place = f".{value.index}" if len(node.outputs) > 1 else ""
    return f"{node.op.name}({', '.join(parts)}){place}"
