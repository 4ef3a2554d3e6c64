"""From a graph to a program: lowering, scheduling, sharing of memory, and the kernels that follow from them."""

from __future__ import annotations

from graphc.ir.build import infer_types
from graphc.ir.graph import Graph
from graphc.ir.types import collect_constraints, uint8
from graphc.runtime.lower import lower
from graphc.runtime.memory import share
from graphc.runtime.program import BoundStep, Program
from graphc.runtime.schedule import schedule
from graphc.runtime.views import Buffer

__all__ = ["assemble"]


def assemble(graph: Graph) -> Program:
    """The program of a graph.

    Raises:
        GraphError: an operation has no kernel.
    """
    with collect_constraints() as constraints:
        for node in graph.nodes:
            infer_types(node.op, [value.type for value in node.inputs], node.attrs)
        lowered = lower(graph)
    ordered = schedule(lowered)
    sharing = share(ordered)
    steps = []
    for step in ordered.steps:
        kernel = step.make(sharing.pairs.get(step, {}))
        programs = tuple(assemble(call.graph) for call in step.calls)
        scratch = [Buffer(type.dtype, type.size) for type in kernel.scratch]
        scratch += [Buffer(uint8, 0) for _ in programs]
        buffers = (*(sharing.root(buffer) for buffer in (*step.reads, *step.writes)), *scratch)
        steps.append(BoundStep(step, kernel, buffers, programs))
    for bound in steps:
        for program in bound.programs:
            constraints += program.constraints
    return Program(graph, tuple(steps), tuple(dict.fromkeys(constraints)), tuple(lowered.outputs))
