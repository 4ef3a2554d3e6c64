"""Steps that run programs of their own: the loops and choices of a graph.

The graph that a control node holds becomes a program with its own steps, run by the same native loop. Such a program
reads and writes the memory of the step around it: before it runs, the words of its table that stand for its inputs and
outputs are set from those of the step. What is sliced or stacked along time moves on by one slice after every run. The
state of a loop is a result of the step, which starts as a copy of the initial state and is written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir.bodies import bodies
from graphc.ir.dims import Size, product
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.types import TensorType, bool_
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.program import Call, Link

__all__ = ["CALL_WORDS", "CONTROL", "LINK_WORDS", "Control", "may_fault"]

# The table of a call: the executor's loop, its program, number of steps, status and runtime, then the links.
_RUN, _PROGRAM, _STEPS, _STATUS, _RUNTIME, _LINKS, _MOVING, CALL_WORDS = range(8)
# A link: the address of the word to set, that of the word it is set from, bytes to add at first, and after every run.
_TARGET, _SOURCE, _OFFSET, _STRIDE, LINK_WORDS = range(5)

_BASE, _OUTER_STATUS, _FIRST = range(3)
"""Words of a control step's table: the address of the words of its buffers, of the status; then calls and sizes."""

NESTED_FAULT = 2
"""A fault's code for the first call of a step, one more for the second; its value is the step of that program."""


def _run(call: str, number: str, time: str, depth: int) -> str:
    words = ", ".join(f"word({call}, {number})" for number in (_RUN, _PROGRAM, _STEPS, _STATUS, _RUNTIME))
    lines = [
        f"fault = call_run({words})",
        "if fault >= 0:",
        f"    report_fault(integer(args, {_OUTER_STATUS}), {NESTED_FAULT} + {number}, fault, {time})",
        "    return",
    ]
    return "\n".join("    " * depth + line for line in lines)


def _start(call: str) -> str:
    return f"""\
    for i in range(word({call}, {_LINKS})):
        link = {call} + {8 * CALL_WORDS} + {8 * LINK_WORDS} * i
        set_word(word(link, {_TARGET}), 0, word(word(link, {_SOURCE}), 0) + word(link, {_OFFSET}))"""


_SCAN = f"""
def kernel(args, lo, hi):
    body = integer(args, {_FIRST})
    length = integer(args, {_FIRST + 1})
{_start("body")}
    for step in range(length):
{_run("body", "0", "step", 2)}
        for i in range(word(body, {_MOVING})):
            link = body + {8 * CALL_WORDS} + {8 * LINK_WORDS} * i
            target = word(link, {_TARGET})
            set_word(target, 0, word(target, 0) + word(link, {_STRIDE}))
"""

_COND = f"""
def kernel(args, lo, hi):
    choice = word(integer(args, {_BASE}), integer(args, {_FIRST + 2}))
    chosen = 0 if load_b1_0(choice, 0) else 1
    body = integer(args, {_FIRST} + chosen)
{_start("body")}
{_run("body", "chosen", "0", 1)}
"""

_WHILE = f"""
def kernel(args, lo, hi):
    condition = integer(args, {_FIRST})
    body = integer(args, {_FIRST + 1})
    answer = word(integer(args, {_BASE}), integer(args, {_FIRST + 2}))
{_start("condition")}
{_start("body")}
    step = 0
    while True:
{_run("condition", "0", "step", 2)}
        if not load_b1_0(answer, 0):
            return
{_run("body", "1", "step", 2)}
        step += 1
"""


@dataclass(frozen=True)
class Control:
    """How a control node is run.

    Attributes:
        kernel: runs the calls.
        calls: the programs.
        reads: positions of the inputs that it reads.
        starts: pairs of an input and the output that starts as a copy of it.
    """

    kernel: Kernel
    calls: tuple[Call, ...]
    reads: tuple[int, ...]
    starts: tuple[tuple[int, int], ...] = ()


def may_fault(graph: Graph) -> bool:
    """Whether a graph, or one that its nodes hold, may find a fault in data."""
    return any(node.op.faults or any(may_fault(body) for _, body in bodies(node)) for node in graph.nodes)


def _kernel(node: Node, source: str, sizes: Sequence[Size], scratch: Sequence[TensorType] = ()) -> Kernel:
    faults = any(may_fault(body) for _, body in bodies(node))
    return Kernel(node.op.name, source, 1, tuple(sizes), tuple(scratch), faults=faults)


def _with_state(body: Graph, state: Sequence[Value], made: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """A step whose state is written in place, as variables are."""
    own = set(state)
    inputs = tuple(value for value in body.inputs if value not in own)
    return Graph(inputs, tuple(outputs), tuple(zip(state, made, strict=True)), body.nodes)


def _inputs(words: Sequence[int]) -> list[Link]:
    return [Link("input", position, word) for position, word in enumerate(words)]


def _scan(node: Node) -> Control:
    attrs = node.attrs
    body: Graph = attrs.body
    constants, carries, slices = attrs.constants, attrs.carries, attrs.slices
    reads = [*range(constants), *range(constants + carries, constants + carries + slices)]
    writes = len(reads)
    links = _inputs(range(constants))
    for place in range(slices):
        items = product(body.inputs[constants + carries + place].shape)
        links.append(Link("input", constants + place, constants + place, items))
    links += [Link("carry", place, writes + place) for place in range(carries)]
    outputs = body.outputs[carries:]
    for place, value in enumerate(outputs):
        links.append(Link("output", place, writes + carries + place, product(value.shape)))
    state = body.inputs[constants : constants + carries]
    graph = _with_state(body, state, body.outputs[:carries], outputs)
    call = Call(graph, tuple(links), attrs.length, attrs.reverse)
    starts = tuple((constants + place, place) for place in range(carries))
    return Control(_kernel(node, _SCAN, [attrs.length]), (call,), tuple(reads), starts)


def _cond(node: Node) -> Control:
    operands, results = len(node.inputs) - 1, len(node.outputs)
    links = (*_inputs(range(1, operands + 1)), *(Link("output", i, operands + 1 + i) for i in range(results)))
    calls = tuple(Call(branch, links, repeats=False) for branch in (node.attrs.true, node.attrs.false))
    return Control(_kernel(node, _COND, [0]), calls, tuple(range(operands + 1)))


def _while_loop(node: Node) -> Control:
    attrs = node.attrs
    constants, carries = attrs.constants, attrs.carries
    state = range(constants, constants + carries)
    answer = constants + carries
    condition = Call(attrs.condition, (*_inputs((*range(constants), *state)), Link("output", 0, answer)))
    body: Graph = attrs.body
    step = Call(
        _with_state(body, body.inputs[constants:], body.outputs, ()),
        (*_inputs(range(constants)), *(Link("carry", place, word) for place, word in enumerate(state))),
    )
    kernel = _kernel(node, _WHILE, [answer], [TensorType(bool_, ())])
    starts = tuple((constants + place, place) for place in range(carries))
    return Control(kernel, (condition, step), tuple(range(constants)), starts)


CONTROL = {"scan": _scan, "cond": _cond, "while_loop": _while_loop}
"""How each control operation is run."""
