"""What the passes did, in words: which operations came and went, which were fused, and why others were not."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.printer import SizeNames, value_names
from graphc.ir.types import Shape
from graphc.passes.fuse import Fuse, Reason, Refusal, group
from graphc.passes.pipeline import Stage
from graphc.record import record

__all__ = ["Apart", "Change", "FusionReport", "Together", "changes", "explain_fusion", "fusion_report"]


@record
class Change:
    """What a pass did to a graph and to those that its nodes hold.

    Attributes:
        name: of the pass.
        seconds: how long it took.
        nodes: how many nodes there were before and after, without those in graphs that nodes hold.
        gone: how many of each operation there are less.
        new: how many of each operation there are more.
    """

    name: str
    seconds: float
    nodes: tuple[int, int]
    gone: Mapping[str, int]
    new: Mapping[str, int]

    def __str__(self) -> str:
        parts = [f"-{count} {op}" for op, count in self.gone.items()]
        parts += [f"+{count} {op}" for op, count in self.new.items()]
        before, after = self.nodes
        what = ", ".join(parts) or "nothing changed"
        return f"{self.name:<20} {before:>6} -> {after:<6} {self.seconds * 1e3:>8.2f} ms  {what}"


@record
class Together:
    """Nodes that became one kernel.

    Attributes:
        nodes: each as its value and its operation: ``"%3 exp"``.
        shape: the space that the kernel runs over.
    """

    nodes: tuple[str, ...]
    shape: str

    def __str__(self) -> str:
        return f"over {self.shape}: {', '.join(self.nodes)}"


@record
class Apart:
    """Two neighbours that are in different kernels.

    Attributes:
        producer: the node that makes a value, as its value and its operation: ``"%3 exp"``.
        consumer: the node that reads it.
        reason: the kind of reason.
        text: the reason in words.
        line: where the user wrote the node that reads it; empty where that is not known.
    """

    producer: str
    consumer: str
    reason: Reason
    text: str
    line: str

    def __str__(self) -> str:
        return f"{self.producer} | {self.consumer}: {self.text}" + (f"  # {self.line}" if self.line else "")


@record
class FusionReport:
    """What fusion decided.

    Attributes:
        stage: the stage that it worked on, whose text form has the values that are named here.
        together: the groups that became kernels.
        apart: pairs of neighbours that could each be part of a group, but not of the same one.
    """

    stage: str
    together: tuple[Together, ...]
    apart: tuple[Apart, ...]

    def __str__(self) -> str:
        lines = [f"fused, with the values of the stage {self.stage!r}:"]
        lines += [f"  {each}" for each in self.together] or ["  nothing"]
        lines.append("neighbours that were not fused:")
        lines += [f"  {each}" for each in self.apart] or ["  none"]
        return "\n".join(lines)


def changes(stages: Sequence[Stage]) -> tuple[Change, ...]:
    """What each pass did, from the stages that :func:`graphc.passes.pipeline.run_passes` returned."""
    counts = [_operations(stage.graph) for stage in stages]
    return tuple(
        Change(
            stage.name,
            stage.seconds,
            (len(before.graph.nodes), len(stage.graph.nodes)),
            _sorted(counts[number] - counts[number + 1]),
            _sorted(counts[number + 1] - counts[number]),
        )
        for number, (before, stage) in enumerate(itertools.pairwise(stages))
    )


def fusion_report(stages: Sequence[Stage], limits: Fuse | None = None) -> FusionReport | None:
    """What fusion decided on the way through the stages; None where it was left out.

    Args:
        stages: what :func:`graphc.passes.pipeline.run_passes` returned.
        limits: the pass that ran, if it was not the usual one.
    """
    limits = limits or Fuse()
    for before, stage in itertools.pairwise(stages):
        if stage.name == limits.name:
            return explain_fusion(before.graph, limits, before.name)
    return None


def explain_fusion(graph: Graph, limits: Fuse | None = None, stage: str = "written") -> FusionReport:
    """What fusion would do with a graph, and with those that its nodes hold, and why no more."""
    together: list[Together] = []
    apart: list[Apart] = []
    sizes = SizeNames(graph)
    for inner, names in _graphs(graph, value_names(graph)):
        explainer = _Explainer(inner, names, sizes, limits or Fuse())
        together += explainer.together()
        apart += explainer.apart()
    return FusionReport(stage, tuple(together), tuple(apart))


def _graphs(graph: Graph, names: dict[Value, str]) -> Iterator[tuple[Graph, dict[Value, str]]]:
    """A graph and those that its nodes hold, with what the text form calls their values."""
    yield graph, names
    for node in graph.nodes:
        numbers = itertools.count()
        for _, body in bodies(node):
            yield from _graphs(body, value_names(body, names[node.outputs[0]], numbers))


class _Explainer:
    """The decisions on one graph."""

    def __init__(self, graph: Graph, names: Mapping[Value, str], sizes: SizeNames, limits: Fuse) -> None:
        self.graph = graph
        self.names = names
        self.sizes = sizes
        self.limits = limits
        self.refusals: list[Refusal] = []
        self.groups = group(graph, limits, self.refusals)
        self.of = {graph.nodes[number]: each for each in self.groups for number in each.members}

    def together(self) -> Iterator[Together]:
        for each in self.groups:
            if len(each.members) > 1 and each.space is not None:
                nodes = tuple(self._name(self.graph.nodes[number]) for number in each.members)
                yield Together(nodes, self._shape(each.space))

    def apart(self) -> Iterator[Apart]:
        seen: set[tuple[Node, Node]] = set()
        for refusal in self.refusals:
            pair = refusal.producer, refusal.consumer
            if pair in seen or self.of[refusal.producer] is self.of[refusal.consumer]:
                continue
            seen.add(pair)
            location = refusal.consumer.location
            yield Apart(
                self._name(refusal.producer),
                self._name(refusal.consumer),
                refusal.reason,
                self._text(refusal),
                location.short if location else "",
            )

    def _text(self, refusal: Refusal) -> str:
        source, target = self.of[refusal.producer], self.of[refusal.consumer]
        match refusal.reason:
            case "reduction":
                return "a reduction between: it is complete only when its kernel is"
            case "shape":
                return f"other shape: {self._shape(source.space)} and {self._shape(target.space)}"
            case "phase":
                later = "what only the backward graph reads would be made early and kept until then"
                return f"{source.phase} and {target.phase}: {later}"
            case "axes":
                return f"their groups reduce over other axes: {source.axes} and {target.axes}"
            case "nodes":
                return f"limit of {self.limits.most_nodes} nodes"
            case "span":
                return f"limit of {self.limits.most_span} nodes between the ends of a group"
            case "operands":
                return f"limit of {self.limits.most_operands} operands"
            case "path":
                through = f" through {self._name(refusal.through)}" if refusal.through is not None else ""
                return f"a path leaves and comes back{through}"

    def _name(self, node: Node) -> str:
        return f"{self.names[node.outputs[0]]} {node.op.name}"

    def _shape(self, shape: Shape | None) -> str:
        return f"[{', '.join(self.sizes.size(size) for size in shape or ())}]"


def _operations(graph: Graph) -> Counter[str]:
    """How many of each operation there are, in a graph and in those that its nodes hold, but for the leaves."""
    found: Counter[str] = Counter()
    for node in graph.nodes:
        found[node.op.name] += bool(node.inputs)
        for _, body in bodies(node):
            found += _operations(body)
    return found


def _sorted(counts: Counter[Any]) -> dict[str, int]:
    """The most frequent first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
