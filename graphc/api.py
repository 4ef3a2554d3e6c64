"""What the user calls to turn a graph into results."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphError
from graphc.function import Function
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import Graph, Value, reachable
from graphc.ir.op import Array
from graphc.ir.ops.effects import checked_updates
from graphc.ir.ops.leaves import Variable, as_value
from graphc.runtime.program_cache import ProgramCache

if TYPE_CHECKING:
    from graphc.passes.pipeline import Pass, Stage

__all__ = ["compile", "evaluate"]


def compile(
    inputs: Value | Sequence[Value],
    outputs: Value | Sequence[Value],
    updates: Mapping[Variable, Any] | None = None,
    *,
    passes: Sequence[Pass] | None = None,
    disable: str | Collection[str] = (),
    verify: bool | Mapping[Value, Any] = False,
    check_numerics: bool = False,
) -> Function:
    """Compile a graph into a function.

    Args:
        inputs: the placeholders, in the order of the function's arguments.
        outputs: what the function returns: one value, or a sequence for a list of arrays. It may be empty.
        updates: next values of variables, all computed from the values before the call. Variables with a default update
            that the graph reads, such as the state of a random generator, are updated without being named here; so are
            those of :func:`with_updates`, such as the running statistics of batch normalization.
        passes: other passes than :data:`graphc.passes.pipeline.PIPELINE`.
        disable: names of passes to leave out.
        verify: evaluate the graph before and after each pass with the reference interpreter, and name the first pass
            that changes a value: on seeded inputs for True, or on the given arrays by placeholder. A program that shows
            the change in a small part of the graph is written to the folder for temporary files; the error names it.
        check_numerics: let a call whose results are not all finite raise a :class:`graphc.NumericsError` that names the
            first operation which made NaN or an infinity of finite operands, forward or backward, fused or in a loop,
            and leaves variables as they were. Results are the outputs and the next values of variables; infinities on
            the way that :func:`graphc.where` or a softmax takes out again are allowed, as in masks. A call then also
            copies the variables that it updates, and reads them and its outputs once more.

    Raises:
        GraphError: an input is no placeholder, the graph needs a placeholder that is not among them, or an update does
            not fit its variable.
        GradientError: the graph asks for a derivative that does not exist.
        PassError: a pass failed, or, with ``verify``, changed a value.
    """
    single = isinstance(outputs, Value)
    given = (inputs,) if isinstance(inputs, Value) else tuple(as_value(value) for value in inputs)
    wanted = (outputs,) if isinstance(outputs, Value) else tuple(as_value(value) for value in outputs)
    pairs = checked_updates(updates or {})
    named = frozenset(pairs)
    _add_default_updates(wanted, pairs)
    graph = Graph.of(given, wanted, pairs)
    left_out = frozenset((disable,) if isinstance(disable, str) else disable)
    cache = None
    if passes is None and verify is False and not check_numerics:
        cache = _cache(graph, len(named), left_out)
    return Function(given, lambda: _stages(graph, named, passes, left_out, verify), single, check_numerics, cache)


def _cache(graph: Graph, named: int, disable: Collection[str]) -> ProgramCache | None:
    """Where what the graph becomes is kept; the first ``named`` of its updates were given by the user."""
    found = fingerprint(graph)
    return None if found is None else ProgramCache.of(found, (f"{named} updates", *sorted(disable)))


def _stages(
    graph: Graph,
    named: Collection[Value],
    passes: Sequence[Pass] | None,
    disable: Collection[str],
    verify: bool | Mapping[Value, Any],
) -> Sequence[Stage]:
    from graphc.passes.effects import collect_effects
    from graphc.passes.pipeline import PIPELINE, run_passes

    graph = collect_effects(graph, named)
    _check_inputs(graph)
    chosen = PIPELINE if passes is None else passes
    stages = run_passes(graph, chosen, disable)
    if verify is not False:
        from graphc.passes.check import check_passes

        check_passes(stages, None if verify is True else verify, passes=chosen)
    return stages


def _add_default_updates(outputs: Sequence[Value], pairs: dict[Value, Value]) -> None:
    """Add the default updates of the variables that are read, and of those that these updates read in turn."""
    settled: set[Value] = set()
    while True:
        roots = [*outputs, *pairs.values()]
        fresh = [
            node.output
            for node in reachable(roots)
            if node.op.name == "variable" and node.output not in settled and node.output not in pairs
        ]
        if not fresh:
            return
        for variable in fresh:
            settled.add(variable)
            assert isinstance(variable, Variable)
            if variable.default_update is not None:
                pairs[variable] = variable.default_update


def _check_inputs(graph: Graph) -> None:
    seen: set[Value] = set()
    names: dict[str, Value] = {}
    for value in graph.inputs:
        if value.node.op.name != "placeholder":
            raise GraphError(f"an input is {value!r}", expected="placeholders: what gr.placeholder returned")
        if value in seen:
            raise GraphError(f"the placeholder {value!r} is an input twice", expected="each placeholder once")
        if value.name is not None and names.setdefault(value.name, value) is not value:
            raise GraphError(
                f"two inputs are called {value.name!r}",
                remedy="give each placeholder a name of its own",
                location=value.node.location,
            )
        seen.add(value)
    _refuse_leaks(graph)
    for node in graph.nodes:
        if node.op.name == "placeholder" and node.output not in seen:
            raise GraphError(
                f"the graph reads the placeholder {node.output!r}, which is not among the inputs",
                expected="every placeholder that the outputs and updates depend on",
                remedy="add it to the inputs of gr.compile",
                location=node.location,
            )


def _refuse_leaks(graph: Graph) -> None:
    for node in graph.nodes:
        if node.op.name == "placeholder" and node.attrs.owner:
            users = graph.users[node.output]
            raise GraphError(
                f"a value from inside {node.attrs.owner} is used outside of it",
                expected=f"values that do not depend on {node.output!r}, an argument of {node.attrs.owner}",
                remedy="let the function return the value, and use what the loop or choice returns",
                location=users[0].location if users else node.location,
            )


def evaluate(outputs: Value | Sequence[Value], feeds: Mapping[Value, Any] | None = None) -> Any:
    """Evaluate values with the NumPy reference interpreter: slow, and what compiled results are compared with.

    Args:
        outputs: a value or a sequence of values.
        feeds: an array for every placeholder that they depend on. Variables may be given too; the others have the
            values that they hold. Nothing is updated.

    Returns:
        An array, or a list of arrays for a sequence.

    Raises:
        FeedError: a placeholder has no array, or a shape does not fit.
        GraphError: they depend on an argument of a function that is known inside of it alone.
    """
    single = isinstance(outputs, Value)
    wanted: tuple[Value, ...] = (outputs,) if isinstance(outputs, Value) else tuple(map(as_value, outputs))
    from graphc.passes.autodiff import Autodiff
    from graphc.passes.effects import without_effects
    from graphc.runtime.reference import evaluate_graph

    wanted = without_effects(Graph.of((), wanted)).outputs
    placeholders = [node.output for node in reachable(wanted) if node.op.name == "placeholder"]
    graph = Graph.of(placeholders, wanted)
    _refuse_leaks(graph)
    graph = Autodiff()(graph)
    results: list[Array] = evaluate_graph(graph, feeds or {})
    return results[0] if single else results
