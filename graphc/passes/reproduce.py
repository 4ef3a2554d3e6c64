"""A program that shows what a pass does wrong, in the smallest part of the graph that it does it to."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from graphc._version import __version__
from graphc.errors import GraphError
from graphc.ir.graph import Graph, Value
from graphc.ir.op import Array
from graphc.passes.pipeline import PIPELINE, Pass, run_passes
from graphc.passes.reduce import Reduced, reduced
from graphc.passes.source import GraphSource

__all__ = ["write_reproducer"]

_ENDING = """
for stage in stages:
    print(f"--- {stage.name}")
    print(to_text(stage.graph), end="")
    for array in gr.evaluate(list(stage.graph.results), feeds):
        print(array)
check_passes(stages, feeds)  # raises what it finds
print("the pass changes nothing: the fault is gone")
"""


def write_reproducer(
    made: Pass,
    graph: Graph,
    shows: Callable[[Graph, Mapping[Value, Array]], bool],
    arrays: Mapping[Value, Array],
    found: str,
) -> Path | None:
    """Write a program that runs a pass on the smallest part of a graph for which ``shows`` is true.

    Args:
        made: the pass.
        graph: what it was given.
        shows: whether the pass does wrong to a part of the graph, with arrays for its inputs and variables.
        arrays: the value of every value of the graph.
        found: what is wrong, for the head of the program.

    Returns:
        The path, in the folder for temporary files; None if the graph cannot be written as Python.
    """
    try:
        text = _program(made, len(graph.nodes), reduced(graph, shows, arrays), found)
    except GraphError:
        return None
    with tempfile.NamedTemporaryFile(
        "w", prefix=f"graphc_{made.name}_", suffix=".py", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return Path(file.name)


def _program(made: Pass, nodes: int, part: Reduced, found: str) -> str:
    source = GraphSource(part.leaves)
    graph = source.graph(part.graph)
    leaves = [*part.graph.inputs, *part.graph.variables]
    feeds = [f"    {source.value(value)}: {source.array(part.leaves[value])}," for value in leaves]
    stages = _stages(source, made, part.graph, graph)
    source.imports |= {"from graphc.ir.printer import to_text", "from graphc.passes.check import check_passes"}
    head = f"{found.splitlines()[0]}\n\ngraphc {__version__}; reduced from {nodes} nodes to {len(part.graph.nodes)}."
    body = [*source.lines, "feeds = {", *feeds, "}", *stages]
    return f'"""{head}"""\n\n' + "\n".join(sorted(source.imports)) + "\n\n" + "\n".join(body) + "\n" + _ENDING


def _stages(source: GraphSource, made: Pass, before: Graph, name: str) -> list[str]:
    """Lines that make the stages before and after the pass: by the pass, or as it left it if it cannot be written."""
    if made in PIPELINE:
        source.imports.add("from graphc.passes.pipeline import PIPELINE, run_passes")
        return [f"stages = run_passes({name}, [each for each in PIPELINE if each.name == {made.name!r}])"]
    with contextlib.suppress(GraphError):
        call = source.made(made)
        source.imports.add("from graphc.passes.pipeline import run_passes")
        return [f"stages = run_passes({name}, [{call}])"]
    after = source.graph(run_passes(before, [made])[-1].graph)
    source.imports.add("from graphc.passes.pipeline import Stage")
    return [f'stages = [Stage("written", {name}), Stage({made.name!r}, {after})]']
