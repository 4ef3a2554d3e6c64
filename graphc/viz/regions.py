"""Which part of training a node belongs to: forward, backward or update."""

from __future__ import annotations

from typing import Literal, TypeAlias

from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Node, reachable

__all__ = ["Region", "regions"]

Region: TypeAlias = Literal["forward", "backward", "update"]


def regions(graph: Graph) -> dict[Node, Region]:
    """The region of every node.

    Backward are derivatives and the nodes that differentiation made of them; update is what only the next values of
    variables need besides.
    """
    backward = [node for node in graph.nodes if _is_backward(node)]
    shared = reachable([*graph.outputs, *(value for node in backward for value in node.inputs)])
    updating = reachable(value for _, value in graph.updates)
    found: dict[Node, Region] = dict.fromkeys(graph.nodes, "forward")
    found.update(dict.fromkeys(set(updating).difference(shared), "update"))
    found.update(dict.fromkeys(backward, "backward"))
    return found


def _is_backward(node: Node) -> bool:
    if node.op.name != "fused":
        return node.phase == "backward" or node.op.name in ("grad", "jvp")
    members = [member for _, body in bodies(node) for member in body.nodes if member.inputs]
    return bool(members) and all(map(_is_backward, members))  # one that also computes forward values belongs to them
