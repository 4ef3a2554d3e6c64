"""The passes in their order, and the manager that runs, verifies, times and keeps what each of them made."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from graphc.errors import GradientError, GraphError, PassError
from graphc.ir.graph import Graph
from graphc.ir.verify import verify
from graphc.passes.autodiff import Autodiff
from graphc.passes.cse import Cse
from graphc.passes.dce import Dce
from graphc.passes.fold_updates import FoldUpdates
from graphc.passes.fuse import Fuse
from graphc.passes.recognize import Recognize
from graphc.passes.recompute import Recompute
from graphc.passes.simplify import Simplify
from graphc.passes.sink_views import SinkViews
from graphc.record import record

__all__ = ["PIPELINE", "Pass", "Stage", "run_passes"]


class Pass(Protocol):
    """A frozen dataclass with a name that makes a graph from a graph: the same object where nothing is to change.

    What it does to the graphs inside nodes is its own decision, see :func:`graphc.passes.rewrite.in_bodies`.
    """

    @property
    def name(self) -> str:
        """What stages and errors call it."""

    def __call__(self, graph: Graph) -> Graph:
        """The graph after the pass."""


PIPELINE: tuple[Pass, ...] = (
    Simplify(),
    Recognize(),
    Autodiff(),
    Simplify("simplify_gradients"),
    Cse(),
    Dce(),
    FoldUpdates(),
    Dce("dce_updates"),
    SinkViews(),
    Recompute(),
    Fuse(),
)
"""What :func:`graphc.compile` runs.

``recognize`` comes before ``autodiff``, so that what it finds has its own gradient. ``sink_views`` comes after it: a
gradient by what all steps of a loop share is best summed up as the loop was written.
"""


@record(eq=False)
class Stage:
    """A graph on its way through the compiler; unpacks to its name and its graph.

    Attributes:
        name: of the pass that made it; ``"written"`` for the user's graph.
        graph: the graph after the pass.
        changed: whether the pass changed anything.
        seconds: how long the pass took, without verification.
    """

    name: str
    graph: Graph
    changed: bool = False
    seconds: float = 0.0

    def __iter__(self) -> Iterator[Any]:
        return iter((self.name, self.graph))


def run_passes(graph: Graph, passes: Sequence[Pass] = PIPELINE, disable: Collection[str] = ()) -> tuple[Stage, ...]:
    """The stages of a graph: as written, then after each pass.

    Raises:
        GradientError: the graph asks for a derivative that does not exist.
        PassError: a pass failed, or made a graph that breaks an invariant; names the pass and those before it.
        GraphError: ``disable`` names a pass that there is not.
    """
    unknown = set(disable) - {each.name for each in passes}
    if unknown:
        raise GraphError(
            f"there is no pass {min(unknown)!r} to disable",
            expected="names among " + ", ".join(each.name for each in passes),
        )
    verify(graph)
    stages = [Stage("written", graph)]
    for each in passes:
        if each.name in disable:
            continue
        start = time.perf_counter()
        try:
            result = each(graph)
            seconds = time.perf_counter() - start
            if result is not graph:
                verify(result)
        except GradientError:  # nothing failed: what is asked for does not exist
            raise
        except GraphError as error:
            before = ", ".join(stage.name for stage in stages)
            raise PassError(
                f"the pass {each.name!r} failed: {error.found}",
                expected=error.expected,
                remedy=f"report it with the graph as written; disable={each.name!r} may avoid it (passed: {before})",
                location=error.location,
            ) from error
        stages.append(Stage(each.name, result, result is not graph, seconds))
        graph = result
    return tuple(stages)
