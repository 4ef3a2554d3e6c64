"""What the compiler hands to the machine: steps over buffers, for any values of the symbolic sizes.

An :class:`Executable` is what runs; it can be stored. A :class:`Program` is one that also knows what it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field

from graphc.ir.dims import Size
from graphc.ir.graph import Graph, Node
from graphc.ir.types import Constraint, TensorType
from graphc.record import record
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.views import Buffer, Place

__all__ = ["BoundStep", "Call", "Executable", "ExecutableStep", "Link", "Linkage", "Program", "Step"]


@record
class Link:
    """What an input or an output of a called program stands for.

    Attributes:
        place: ``"input"``, ``"output"`` or ``"carry"`` of the program.
        position: which of them.
        word: the position, among the buffers of the calling step, of the memory that it stands for.
        items: how many items it moves on by after each run; 0 for the same memory in all runs.
        start: the item of that memory where it begins, or for what moves, where the first in time does.
    """

    place: Place
    position: int
    word: int
    items: Size = 0
    start: Size = 0


@record
class Linkage:
    """How a step runs a program.

    Attributes:
        links: where its inputs and outputs lie.
        runs: how often it is run, where that is known.
        reverse: whether what moves goes from the last item to the first.
        repeats: whether it is the step of a loop.
    """

    links: tuple[Link, ...]
    runs: Size = 1
    reverse: bool = False
    repeats: bool = True


@record(eq=False)
class Call:
    """A program that a step runs.

    Attributes:
        graph: its inputs and outputs are linked; the variables of its updates are state that it writes in place.
        linkage: how it is run.
    """

    graph: Graph
    linkage: Linkage


@record(eq=False)
class Step:
    """A kernel to be: which memory it reads and writes, and how to make it once it is known which of it is shared.

    Attributes:
        name: for people.
        node: what it computes, or prepares.
        reads: buffers of its operands.
        writes: buffers of its results.
        make: gives the kernel for a mapping from positions in ``writes`` to positions in ``reads`` that are one memory.
        shareable: pairs of positions in ``writes`` and ``reads`` that may be one memory.
        faults: whether it may find a fault in data.
        calls: the programs that it runs.
    """

    name: str
    node: Node
    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]
    make: Callable[[Mapping[int, int]], Kernel] = field(repr=False)
    shareable: tuple[tuple[int, int], ...] = ()
    faults: bool = False
    calls: tuple[Call, ...] = ()


@record(eq=False)
class ExecutableStep:
    """A kernel and its memory.

    Attributes:
        kernel: its source and sizes.
        buffers: reads, writes, then scratch, in the order of the kernel's words, then an arena for each called program;
            each the root of what shares its memory.
        programs: those that it runs.
        linkages: how it runs them.
        reads: how many of the buffers are operands.
    """

    kernel: Kernel
    buffers: tuple[Buffer, ...]
    programs: tuple[Executable, ...]
    linkages: tuple[Linkage, ...]
    reads: int


@record(eq=False)
class Executable:
    """All that running takes, before sizes are known.

    Attributes:
        inputs: types of the arguments.
        outputs: types of the results.
        steps: in the order in which they run.
        constraints: pairs of sizes that must turn out equal.
        needing_items: nodes that have no result along an axis without items.
    """

    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    steps: tuple[ExecutableStep, ...]
    constraints: tuple[Constraint, ...]
    needing_items: tuple[Node, ...]

    def kernels(self) -> Iterator[Kernel]:
        """The kernels of the steps and of the programs that these run."""
        for step in self.steps:
            yield step.kernel
            for program in step.programs:
                yield from program.kernels()


@record(eq=False)
class BoundStep(ExecutableStep):
    """An executable step that knows where it comes from.

    Attributes:
        programs: those of its calls.
        step: what became of it.
    """

    programs: tuple[Program, ...]
    step: Step


@record(eq=False)
class Program(Executable):
    """Scheduled steps of a graph.

    Attributes:
        steps: in the order in which they run.
        graph: the final graph.
    """

    steps: tuple[BoundStep, ...]
    graph: Graph

    def all_steps(self) -> Iterator[BoundStep]:
        """The steps, each followed by those of the programs that it calls."""
        for bound in self.steps:
            yield bound
            for program in bound.programs:
                yield from program.all_steps()

    def node_at(self, place: Sequence[int]) -> Node:
        """The node of a step, by its number; in a called program, by the calling step's, the program's, and its own."""
        bound = self.steps[place[0]]
        return bound.step.node if len(place) == 1 else bound.programs[place[1]].node_at(place[2:])
