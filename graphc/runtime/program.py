"""What the compiler hands to the machine: steps over buffers, for any values of the symbolic sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphc.ir.dims import Size
from graphc.ir.graph import Graph, Node
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.views import Buffer, View

__all__ = ["BoundStep", "Program", "Step"]


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
    """

    name: str
    node: Node
    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]
    make: Callable[[Mapping[int, int]], Kernel] = field(repr=False)
    shareable: tuple[tuple[int, int], ...] = ()
    faults: bool = False


@dataclass(frozen=True, eq=False)
class BoundStep:
    """A step with its kernel and the memory that each of its buffers is a part of.

    Attributes:
        step: where it comes from.
        kernel: its source and sizes.
        buffers: reads, writes, then scratch, in the order of the kernel's words; each the root of what shares its
            memory.
    """

    step: Step
    kernel: Kernel
    buffers: tuple[Buffer, ...]


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
