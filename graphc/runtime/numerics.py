"""Where the first number came from that is not finite: what ``gr.compile(check_numerics=True)`` looks for.

The function runs as it was compiled; then its results, which are its outputs and the next values of variables, are
checked. If one of them holds NaN or an infinity, variables get back the values that they had before the call, and the
reference interpreter evaluates the graph as it was before fusion, keeping all values. From the results that are not
finite the search goes back along the operands that made them so, found by trying: an operand is a cause if its NaN and
infinities alone, with the other operands made finite, do it.

The search ends where an operation makes what is not finite from finite operands, or at an input or variable that was
not finite before. Infinities of constants are meant, as in masks: they are no causes, but what makes NaN of them is.
What no result depends on through NaN or infinities is not reported: ``where`` may have masked it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.culprit import ArrayStatistics, Culprit
from graphc.errors import Location, NumericsError
from graphc.ir.binding import label
from graphc.ir.bodies import bodies
from graphc.ir.dims import bind
from graphc.ir.graph import BoundGraph, Graph, Node, Value
from graphc.ir.interpret import evaluate_node, watch_bodies
from graphc.ir.op import Array
from graphc.record import record

__all__ = ["find_culprit", "is_finite", "numerics_error", "unlowered"]

_LOWERED = ("fused", "gemm")
"""Operations that stand for several of the user's."""


def is_finite(array: Array) -> bool:
    """Whether all items are finite."""
    if array.dtype.kind != "f":
        return True
    # The sum of the squares costs least to know, and is finite for all but very large numbers.
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())


def unlowered(graphs: Sequence[Graph]) -> Graph:
    """The last of the graphs in which each node stands for one of the user's operations, or of its gradient's."""
    for lowered in (_LOWERED, _LOWERED[:1]):
        for graph in reversed(graphs):
            if not any(node.op.name in lowered for node in graph.nodes):
                return graph
    return graphs[-1]


# --- search -------------------------------------------------------------------------------------------------------


@record
class _Found:
    """A value that is not finite though what it was computed from is, in a graph that was evaluated."""

    value: Value
    array: Array
    operands: tuple[Array, ...]
    loops: tuple[str, ...] = ()


class _Search:
    """All values of a graph for given leaves, and what made which of them not finite.

    ``inner`` says that the graph stands in a node: then its inputs may hold infinities, such as a state's first value.
    """

    def __init__(
        self, graph: Graph, leaves: Mapping[Value, Array], sizes: Mapping[str, int], inner: bool = False
    ) -> None:
        self.sizes = sizes
        self.inner = inner
        self.known: dict[Value, Array] = dict(leaves)
        self._order = {node: place for place, node in enumerate(graph.nodes)}
        self._meant: dict[Value, bool] = {}
        for node in graph.nodes:
            if node.outputs[0] in self.known:
                continue
            if node.op.name == "variable":
                self.known[node.output] = node.attrs.storage.array.copy()
            else:
                self.known.update(zip(node.outputs, evaluate_node(node, self.operands(node), sizes), strict=True))

    def operands(self, node: Node) -> tuple[Array, ...]:
        return tuple(self.known[value] for value in node.inputs)

    def bad(self, value: Value) -> bool:
        return not is_finite(self.known[value])

    def find(self, results: Sequence[Value]) -> _Found | None:
        """What first made some of the results not finite; None if none of them is, or nothing in this graph did."""
        roots = sorted(self._roots([value for value in results if self.bad(value)]), key=self._rank)
        for value in roots:
            if value.node.inputs or not self.inner:
                found = _Found(value, self.known[value], self.operands(value.node))
                return self._inside(found) or found
        return None

    def _rank(self, value: Value) -> tuple[bool, int]:
        """Constants last: what they hold is meant, unless nothing else is to blame."""
        return value.node.op.name == "constant", self._order.get(value.node, -1)

    def _roots(self, values: Sequence[Value]) -> set[Value]:
        """The values which the search from these ends at."""
        roots: set[Value] = set()
        seen = set(values)
        stack = list(values)
        while stack:
            value = stack.pop()
            causes = self._causes(value)
            if not causes:
                roots.add(value)
            fresh = [cause for cause in causes if cause not in seen]
            seen.update(fresh)
            stack += fresh
        return roots

    def _causes(self, value: Value) -> list[Value]:
        """The operands that a value which is not finite has it from; none if it is the first."""
        causes = self._sufficient(value)
        if np.isnan(self.known[value]).any():
            with_nan = [cause for cause in causes if np.isnan(self.known[cause]).any()]
            return with_nan or [cause for cause in causes if not self._is_meant(cause)]
        return causes

    def _is_meant(self, value: Value) -> bool:
        """Whether the infinities of a value come from constants alone."""
        if value not in self._meant:
            leaves = ("constant", "placeholder") if self.inner else ("constant",)
            self._meant[value] = all(root.node.op.name in leaves for root in self._roots([value]))
        return self._meant[value]

    def _sufficient(self, value: Value) -> list[Value]:
        """The operands whose items that are not finite make some of the value's so, with the others made finite."""
        node = value.node
        suspects = [operand for operand in dict.fromkeys(node.inputs) if self.bad(operand)]
        if not suspects:
            return []
        with_none = self._with(value)
        alone = [suspect for suspect in suspects if (self._with(value, suspect) & ~with_none).any()]
        together = (~np.isfinite(self.known[value]) & ~with_none).any()
        return alone or (suspects if together else [])

    def _with(self, value: Value, *kept: Value) -> Array:
        """Which items of a value are not finite if only ``kept`` of its operands may be so."""
        own = set(kept)
        arrays = [
            self.known[operand] if operand in own or not self.bad(operand) else _made_finite(self.known[operand])
            for operand in value.node.inputs
        ]
        result: Array = ~np.isfinite(evaluate_node(value.node, arrays, self.sizes)[value.index])
        return result

    def _inside(self, found: _Found) -> _Found | None:
        """The operation in a graph that a node holds; None if it holds none, or the search there finds nothing."""
        node = found.value.node
        own = {graph: name for name, graph in bodies(node)}
        counts = dict.fromkeys(own, 0)

        def watch(body: BoundGraph, arrays: Sequence[Array], results: Sequence[Array]) -> None:
            if body.graph not in own:
                return
            step = counts[body.graph]
            counts[body.graph] += 1
            if all(map(is_finite, results)):
                return
            leaves = dict(zip(body.graph.inputs, arrays, strict=True))
            deeper = _Search(body.graph, leaves, body.sizes, inner=True).find(body.graph.results)
            if deeper is not None:
                where = _loop_text(node, own[body.graph], step, self.sizes)
                raise _Stop(_Found(deeper.value, deeper.array, deeper.operands, (where, *deeper.loops)))

        if own:
            try:
                with watch_bodies(watch):
                    evaluate_node(node, found.operands, self.sizes)
            except _Stop as stop:
                return stop.found
        return None


class _Stop(Exception):
    """Ends an evaluation: what was looked for is found."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found


def _made_finite(array: Array) -> Array:
    """Another number, of the domain of most functions, in the place of those that are not finite."""
    return np.where(np.isfinite(array), array, array.dtype.type(0.5))


def _loop_text(node: Node, body: str, step: int, sizes: Mapping[str, int]) -> str:
    at = f" at {node.location}" if node.location else ""
    match node.op.name:
        case "scan":
            if node.attrs.reverse:
                step = bind(node.attrs.length, sizes) - 1 - step
            return f"in step {step} of the loop{at}"
        case "while_loop":
            return f"in step {step} of the loop's {body}{at}"
    return f"in the {body} graph of the {node.op.name}{at}"


# --- report -------------------------------------------------------------------------------------------------------


def find_culprit(graph: Graph, leaves: Mapping[Value, Array], sizes: Mapping[str, int]) -> Culprit | None:
    """What first made a result of a graph not finite; None if all are finite.

    Args:
        graph: without fused groups, its derivatives expanded.
        leaves: arrays for its inputs. Variables have the values that they hold.
        sizes: values of the symbolic sizes by name.
    """
    found = _Search(graph, leaves, sizes).find(graph.results)
    return None if found is None else _culprit(found)


def _culprit(found: _Found) -> Culprit:
    node, array = found.value.node, found.array
    bad = np.isnan(array)
    if not bad.any():  # infinities beside NaN may be meant
        bad = np.isinf(array)
    index = tuple(int(place[0]) for place in np.nonzero(np.atleast_1d(bad)))[: array.ndim]
    items: tuple[Any, ...] = ()
    if node.op.elementwise:
        items = tuple(np.broadcast_to(operand, array.shape)[index].item() for operand in found.operands)
    return Culprit(
        node.op.name,
        found.value.name,
        node.phase,
        node.scope,
        node.location,
        found.loops,
        ArrayStatistics.of("result", array),
        index,
        float(array[index]),
        tuple(ArrayStatistics.of(*pair) for pair in zip(map(_operand_name, node.inputs), found.operands, strict=True)),
        items,
    )


def _operand_name(value: Value) -> str:
    return label(value) if not value.node.inputs and value.name else value.node.op.name


def numerics_error(result: str, culprit: Culprit | None, location: Location | None) -> NumericsError:
    """The error for a result that is not finite.

    Args:
        result: what it is called.
        culprit: what the search found.
        location: the line of the result, for where nothing was found.
    """
    kept = "variables are as they were before the call"
    if culprit is None:
        return NumericsError(
            f"{result} is not finite in the compiled function, but is in the reference interpreter",
            expected="finite results: rounding makes the difference, so numbers are near the limits of their dtype",
            remedy=f"scale the values down, or use float64; {kept}",
            location=location,
        )
    error = NumericsError(
        "\n  ".join(_found_lines(culprit)),
        expected=f"finite results: {result} is not finite because of it",
        remedy=f"{_REMEDIES.get(culprit.op, 'look at its operands, and where they come from')}; {kept}",
        location=culprit.location,
    )
    error.culprit = culprit
    return error


_REMEDIES = {
    "placeholder": "look at the data that were fed",
    "variable": "look at what it was set to: this call did not do it",
    "constant": "keep what it fills from the results, with gr.where",
}


def _found_lines(culprit: Culprit) -> Iterator[str]:
    statistics = culprit.statistics
    counts = [(statistics.nans, "NaN"), (statistics.infinities, "infinite")]
    amount = " and ".join(f"{count} {what}" for count, what in counts if count)
    place = f"the first {culprit.item} at [{', '.join(map(str, culprit.index))}]"
    if culprit.op in _REMEDIES:
        what = {"placeholder": "input", "variable": "variable", "constant": "constant"}[culprit.op]
        name = f" {culprit.name!r}" if culprit.name else ""
        yield f"the {what}{name} is not finite before any operation: {amount}, {place}"
    else:
        yield f"{culprit.op} is the first operation with a result that is not finite: {amount}, {place}"
        if culprit.operand_items:
            items = ", ".join(f"{item:.7g}" for item in culprit.operand_items)
            yield f"{culprit.op}({items}) = {culprit.item}"
    scope = f", scope {culprit.scope}" if culprit.scope else ""
    yield f"{culprit.phase} graph{scope}"
    yield from culprit.loops
    yield str(statistics)
    for number, operand in enumerate(culprit.operands):
        yield f"operand {number}, {operand}"
