"""Which pass changes a value: the stages of a graph, evaluated one after the other with the reference interpreter.

For the first that does, the smallest part of the graph that it still changes is written as a Python program.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from graphc.errors import FeedError, GraphError, IndexFault, Location, PassError
from graphc.ir.binding import assumptions, bind_sizes, check_constraints, label
from graphc.ir.dims import Dim, Size, bind, symbols
from graphc.ir.graph import Graph, Value
from graphc.ir.interpret import interpret
from graphc.ir.op import Array
from graphc.passes.autodiff import Autodiff
from graphc.passes.pipeline import Pass, run_passes
from graphc.passes.reproduce import write_reproducer

__all__ = ["check_passes"]

_TOLERANCES = {4: 1e-4, 8: 1e-9}
"""By the bytes of a float: how far apart results may be, in proportion to the largest of the array."""


class NamedGraph(Protocol):
    """What a pass made."""

    @property
    def name(self) -> str:
        """The name of the pass."""

    @property
    def graph(self) -> Graph:
        """The graph after the pass."""


def check_passes(
    stages: Sequence[NamedGraph],
    feeds: Mapping[Value, Any] | None = None,
    *,
    passes: Sequence[Pass] = (),
    seed: int = 0,
) -> None:
    """Evaluate a graph as written and after each pass, and compare the results.

    Derivatives that are not yet expanded are expanded first. NaN equals NaN, and an infinity itself alone.

    Args:
        stages: the graph as written, then after each pass.
        feeds: an array for each placeholder. For None, floats are drawn from a normal distribution and integers are 0
            or 1; symbolic sizes are small and differ. Variables that are not among the feeds have the values that they
            hold; where these are all the same, as in a bias of zeros, they are moved a little.
        passes: those that made the stages. If the one at fault is among them, a program that shows the fault in the
            smallest part of the graph is written to the folder for temporary files.
        seed: of the numbers drawn.

    Raises:
        PassError: a pass changed a value: names the first such pass, the result, the largest difference, and the
            program, which its ``reproducer`` holds the path of.
        FeedError: the graph as written cannot be evaluated on these numbers.
    """
    written, *rest = stages
    first = Autodiff()(written.graph)
    sizes, leaves = _leaves(written.graph, first, feeds, np.random.default_rng(seed))
    try:
        expected = _results(first, leaves, sizes)
    except (IndexFault, ValueError) as error:  # NumPy's, where there is no largest of no items
        raise FeedError(
            f"the numbers of the verification do not fit the graph: {_found(error)}",
            expected="inputs that it is defined for",
            remedy="pass verify={placeholder: array, ...}",
            location=_location(error),
        ) from error
    previous = written.graph
    for stage in rest:
        if stage.graph is previous:
            continue
        try:
            _check_stage(stage, written.graph, expected, leaves, sizes)
        except PassError as error:
            made = next((each for each in passes if each.name == stage.name), None)
            if made is not None:
                _reproduce(error, made, previous, leaves, sizes)
            raise
        previous = stage.graph


def _check_stage(
    stage: NamedGraph,
    written: Graph,
    expected: Mapping[int | Value, Array],
    leaves: Mapping[Value, Array],
    sizes: Mapping[str, int],
) -> None:
    try:
        found = _results(Autodiff()(stage.graph), leaves, sizes)
    except (GraphError, ValueError) as error:
        raise PassError(
            f"after the pass {stage.name!r} the graph cannot be evaluated: {_found(error)}",
            expected="results, as of the graph as written",
            remedy=_remedy(stage),
            location=_location(error),
        ) from error
    for variable, _ in written.updates:  # what is no longer updated keeps its value
        found.setdefault(variable, leaves.get(variable, variable.node.attrs.storage.array))
    _compare(stage, found, expected, written)


def _reproduce(
    error: PassError, made: Pass, before: Graph, leaves: Mapping[Value, Array], sizes: Mapping[str, int]
) -> None:
    """Write a program that shows a fault, and let the error tell of it."""

    def shows(graph: Graph, arrays: Mapping[Value, Array]) -> bool:
        expected = _results(Autodiff()(graph), arrays, sizes)
        try:
            _check_stage(run_passes(graph, [made])[-1], graph, expected, arrays, sizes)
        except PassError as other:
            return other.found.startswith("after") == error.found.startswith("after")
        return False

    if not shows(before, leaves):
        return  # rounding of several passes adds up
    error.reproducer = write_reproducer(made, before, shows, _all_values(before, leaves, sizes), error.found)
    error.remedy = f"run {error.reproducer}, which shows it in a small graph; {error.remedy}"


def _all_values(graph: Graph, leaves: Mapping[Value, Array], sizes: Mapping[str, int]) -> dict[Value, Array]:
    """An array for each value of a graph."""
    values = [value for node in graph.nodes for value in node.outputs]
    return dict(zip(values, interpret(Autodiff()(Graph.of(graph.inputs, values)), leaves, sizes), strict=True))


def _found(error: Exception) -> str:
    return error.found if isinstance(error, GraphError) else str(error)


def _location(error: Exception) -> Location | None:
    return error.location if isinstance(error, GraphError) else None


def _remedy(stage: NamedGraph) -> str:
    return f"report it with the graph as written; disable={stage.name!r} goes round it"


# --- results --------------------------------------------------------------------------------------


def _results(graph: Graph, leaves: Mapping[Value, Array], sizes: Mapping[str, int]) -> dict[int | Value, Array]:
    """Outputs by their places, and the next values of variables by variable."""
    results = interpret(graph, leaves, sizes)
    count = len(graph.outputs)
    named: dict[int | Value, Array] = dict(enumerate(results[:count]))
    for (variable, _), array in zip(graph.updates, results[count:], strict=True):
        named[variable] = array
    return named


def _compare(
    stage: NamedGraph, found: Mapping[int | Value, Array], expected: Mapping[int | Value, Array], written: Graph
) -> None:
    for key, wanted in expected.items():
        result, value = (f"output {key}", written.outputs[key]) if isinstance(key, int) else (_next(key), key)
        array = found.get(key)
        if array is None:
            raise PassError(
                f"the pass {stage.name!r} lost {result}", remedy=_remedy(stage), location=value.node.location
            )
        problem = _difference(array, wanted)
        if problem:
            raise PassError(
                f"the pass {stage.name!r} changed {result}: {problem}",
                expected="the values of the graph as written, up to rounding",
                remedy=_remedy(stage),
                location=value.node.location,
            )


def _next(variable: Value) -> str:
    return f"the next value of {label(variable)}"


def _difference(found: Array, wanted: Array) -> str:
    """What differs beyond rounding; empty if nothing does."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return f"{found.dtype}{list(found.shape)} where {wanted.dtype}{list(wanted.shape)} was"
    if wanted.dtype.kind != "f":
        differ = found != wanted
    else:
        finite = np.isfinite(wanted)
        scale = np.max(np.abs(wanted), where=finite, initial=0)
        tolerance = _TOLERANCES[wanted.dtype.itemsize] * scale
        with np.errstate(invalid="ignore"):
            differ = ~(np.isclose(found, wanted, 0, tolerance, equal_nan=True))
    if not np.any(differ):
        return ""
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    worst = int(np.argmax(np.where(differ, np.where(np.isnan(distance), np.inf, distance), -1)))
    place = ", ".join(str(int(index)) for index in np.unravel_index(worst, wanted.shape))
    return (
        f"{np.count_nonzero(differ)} of {wanted.size} items; the largest difference is at [{place}], where"
        f" {wanted.flat[worst]} became {found.flat[worst]}"
    )


# --- inputs ---------------------------------------------------------------------------------------


def _leaves(
    graph: Graph, expanded: Graph, feeds: Mapping[Value, Any] | None, rng: np.random.Generator
) -> tuple[dict[str, int], dict[Value, Array]]:
    """Values of the symbolic sizes, and arrays for the placeholders and for some variables."""
    given = {value: np.asarray(array, value.dtype.numpy) for value, array in (feeds or {}).items()}
    constraints = assumptions(expanded)
    if feeds is None:
        chosen = _chosen_sizes(graph.inputs, constraints)
        for value in graph.inputs:
            given[value] = _drawn(value, tuple(bind(size, chosen) for size in value.shape), rng)
    for value in graph.inputs:
        if value not in given:
            raise FeedError(
                f"nothing was given for {label(value)}",
                expected=f"an array of type {value.type} in verify",
                location=value.node.location,
            )
    sizes = bind_sizes((value, given[value].shape) for value in graph.inputs)
    check_constraints(constraints, sizes)
    for variable in graph.variables:
        array = variable.node.attrs.storage.array
        if variable not in given and array.dtype.kind == "f" and array.size and np.all(array == array.flat[0]):
            given[variable] = array + np.abs(rng.standard_normal(array.shape)).astype(array.dtype) / 8
    return sizes, given


def _drawn(value: Value, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if value.dtype.is_float:
        return np.asarray(rng.standard_normal(shape), value.dtype.numpy)
    return np.asarray(rng.integers(0, 2, shape), value.dtype.numpy)


def _chosen_sizes(values: Iterable[Value], constraints: Iterable[tuple[Size, Size]]) -> dict[str, int]:
    """A small value for each symbol, its own but where two symbols, or a symbol and a number, must be equal."""
    names = list(dict.fromkeys(symbol.name for value in values for size in value.shape for symbol in symbols(size)))
    leader = {name: name for name in names}
    known: dict[str, int] = {}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    pairs = [(_as_name(left), _as_name(right)) for left, right in constraints]
    for left, right in pairs:
        if isinstance(left, str) and isinstance(right, str):
            leader[find(left)] = find(right)
    for left, right in pairs:
        for name, number in ((left, right), (right, left)):
            if isinstance(name, str) and isinstance(number, int):
                known[find(name)] = number
    fresh = itertools.count(3)
    return {name: known.setdefault(find(name), next(fresh)) for name in names}


def _as_name(size: Size) -> str | int | None:
    """The name of a size that is one symbol, or the number that it is."""
    if not isinstance(size, Dim):
        return size
    found = symbols(size)
    return str(size) if len(found) == 1 and str(size) == found[0].name else None
