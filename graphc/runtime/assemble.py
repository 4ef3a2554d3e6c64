"""From a graph to a program: lowering, scheduling, sharing of memory, and the kernels that follow from them."""

from __future__ import annotations

from graphc.ir.binding import assumptions, needing_items
from graphc.ir.graph import Graph
from graphc.ir.types import collect_constraints, uint8
from graphc.runtime.lower import lower
from graphc.runtime.program import BoundStep, Program
from graphc.runtime.schedule import schedule
from graphc.runtime.sharing import share
from graphc.runtime.views import Buffer

__all__ = ["assemble"]


def assemble(graph: Graph) -> Program:
    """The program of a graph.

    Raises:
        GraphError: an operation has no kernel.
    """
    with collect_constraints() as constraints:
        lowered = lower(graph)
    constraints += assumptions(graph)
    ordered = schedule(lowered)
    sharing = share(ordered)
    steps = []
    for step in ordered.steps:
        kernel = step.make(sharing.pairs.get(step, {}))
        programs = tuple(assemble(call.graph) for call in step.calls)
        scratch = [Buffer(type.dtype, type.size) for type in kernel.scratch]
        scratch += [Buffer(uint8, 0) for _ in programs]
        buffers = (*(sharing.root(buffer) for buffer in (*step.reads, *step.writes)), *scratch)
        linkages = tuple(call.linkage for call in step.calls)
        steps.append(BoundStep(kernel, buffers, programs, linkages, len(step.reads), step))
        for program in programs:
            constraints += program.constraints
    return Program(
        tuple(value.type for value in graph.inputs),
        tuple(value.type for value in graph.outputs),
        tuple(steps),
        tuple(dict.fromkeys(constraints)),
        needing_items(graph),
        graph,
    )
