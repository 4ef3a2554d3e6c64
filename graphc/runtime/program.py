"""What the compiler hands to the machine: steps over buffers, for any values of the symbolic sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from graphc.ir.dims import Size
from graphc.ir.graph import Graph, Node
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.views import Buffer, Place, View

__all__ = ["BoundStep", "Call", "Link", "Program", "Step"]


@dataclass(frozen=True, slots=True)
class Link:
    """What an input or an output of a called program stands for.

    Attributes:
        place: ``"input"``, ``"output"`` or ``"carry"`` of the program.
        position: which of them.
        word: the position, among the buffers of the calling step, of the memory that it stands for.
        items: how many items it moves on by after each run; 0 for the same memory in all runs.
    """

    place: Place
    position: int
    word: int
    items: Size = 0


@dataclass(frozen=True, eq=False)
class Call:
    """A program that a step runs.

    Attributes:
        graph: its inputs and outputs are linked; the variables of its updates are state that it writes in place.
        links: where they lie.
        runs: how often it is run, where that is known.
        reverse: whether what moves goes from the last item to the first.
        repeats: whether it is the step of a loop.
    """

    graph: Graph
    links: tuple[Link, ...]
    runs: Size = 1
    reverse: bool = False
    repeats: bool = True


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class BoundStep:
    """A step with its kernel and the memory that each of its buffers is a part of.

    Attributes:
        step: where it comes from.
        kernel: its source and sizes.
        buffers: reads, writes, then scratch, in the order of the kernel's words, then an arena for each called program;
            each the root of what shares its memory.
        programs: those of its calls.
    """

    step: Step
    kernel: Kernel
    buffers: tuple[Buffer, ...]
    programs: tuple[Program, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """Scheduled steps: all that is known before sizes are.

    Attributes:
        graph: the final graph.
        steps: in the order in which they run.
        constraints: pairs of sizes that must turn out equal.
        outputs: where the graph's outputs are, in order.
    """

    graph: Graph
    steps: tuple[BoundStep, ...]
    constraints: tuple[tuple[Size, Size], ...]
    outputs: tuple[View, ...]

    def all_steps(self) -> Iterator[BoundStep]:
        """The steps, each followed by those of the programs that it calls."""
        for bound in self.steps:
            yield bound
            for program in bound.programs:
                yield from program.all_steps()
