"""Steps that run programs of their own: the loops and choices of a graph.

The graph that a control node holds becomes a program with its own steps, run by the same native loop. Such a program
reads and writes the memory of the step around it: before it runs, the words of its table that stand for its inputs and
outputs are set from those of the step. What is sliced or stacked along time moves on by one slice after every run. The
state of a loop is a result of the step, which starts as a copy of the initial state and is written in place; where its
values are stacked along time too, it moves on, from each to the next, and all of them stay where they are made.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from graphc.ir.bodies import bodies
from graphc.ir.dims import Size
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.types import TensorType, bool_
from graphc.record import record
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.program import Call, Link, Linkage
from graphc.runtime.views import View

__all__ = [
    "CALL_WORDS",
    "CONTROL",
    "FIRST_CALL",
    "LINK_WORDS",
    "NESTED_FAULT",
    "Control",
    "Part",
    "may_fault",
    "move_source",
    "reading",
    "run_source",
    "start_source",
]

# The table of a call: the executor's loop, its program, number of steps, status and runtime, then the links.
_RUN, _PROGRAM, _STEPS, _STATUS, _RUNTIME, _LINKS, _MOVING, CALL_WORDS = range(8)
# A link: the address of the word to set, that of the word it is set from, bytes to add at first, and after every run.
_TARGET, _SOURCE, _OFFSET, _STRIDE, LINK_WORDS = range(5)

_BASE, _OUTER_STATUS, FIRST_CALL = range(3)
"""Words of a control step's table: the address of the words of its buffers, of the status; then calls and sizes."""

NESTED_FAULT = 2
"""A fault's code for the first call of a step, one more for the second; its value is the step of that program."""


def run_source(call: str, number: str, time: str, depth: int) -> str:
    """Source that runs a call's program, and reports a fault that it finds; ``depth`` is its indentation."""
    words = ", ".join(f"word({call}, {number})" for number in (_RUN, _PROGRAM, _STEPS, _STATUS, _RUNTIME))
    lines = [
        f"fault = call_run({words})",
        "if fault >= 0:",
        f"    report_fault(integer(args, {_OUTER_STATUS}), {NESTED_FAULT} + {number}, fault, {time})",
        "    return",
    ]
    return "\n".join("    " * depth + line for line in lines)


def start_source(call: str) -> str:
    """Source that sets the words that are linked."""
    return f"""\
    for i in range(word({call}, {_LINKS})):
        link = {call} + {8 * CALL_WORDS} + {8 * LINK_WORDS} * i
        set_word(word(link, {_TARGET}), 0, word(word(link, {_SOURCE}), 0) + word(link, {_OFFSET}))"""


def move_source(call: str) -> str:
    """Source, within a loop, that lets the linked words move on after a run."""
    return f"""\
        for i in range(word({call}, {_MOVING})):
            link = {call} + {8 * CALL_WORDS} + {8 * LINK_WORDS} * i
            target = word(link, {_TARGET})
            set_word(target, 0, word(target, 0) + word(link, {_STRIDE}))"""


_SCAN = f"""
def kernel(args, lo, hi):
    body = integer(args, {FIRST_CALL})
    length = integer(args, {FIRST_CALL + 1})
{start_source("body")}
    for step in range(length):
{run_source("body", "0", "step", 2)}
{move_source("body")}
"""

_COND = f"""
def kernel(args, lo, hi):
    choice = word(integer(args, {_BASE}), integer(args, {FIRST_CALL + 2}))
    chosen = 0 if load_b1_0(choice, 0) else 1
    body = integer(args, {FIRST_CALL} + chosen)
{start_source("body")}
{run_source("body", "chosen", "0", 1)}
"""

_WHILE = f"""
def kernel(args, lo, hi):
    condition = integer(args, {FIRST_CALL})
    body = integer(args, {FIRST_CALL + 1})
    answer = word(integer(args, {_BASE}), integer(args, {FIRST_CALL + 2}))
{start_source("condition")}
{start_source("body")}
    step = 0
    while True:
{run_source("condition", "0", "step", 2)}
        if not load_b1_0(answer, 0):
            return
{run_source("body", "1", "step", 2)}
        step += 1
"""


@record
class Part:
    """Where a value lies: in which of the pieces of memory that the step writes, and from which item on."""

    memory: int
    offset: Size = 0


@record
class Control:
    """How a control node is run.

    Attributes:
        kernel: runs the calls.
        calls: the programs.
        reads: positions of the inputs that it reads.
        memory: types of the pieces of memory that it writes.
        results: where in them the outputs lie.
        starts: positions of inputs, each with the place that it is to be copied to before.
    """

    kernel: Kernel
    calls: tuple[Call, ...]
    reads: tuple[int, ...]
    memory: tuple[TensorType, ...]
    results: tuple[Part, ...]
    starts: tuple[tuple[int, Part], ...] = ()


def may_fault(graph: Graph) -> bool:
    """Whether a graph, or one that its nodes hold, may find a fault in data."""
    return any(node.op.faults or any(may_fault(body) for _, body in bodies(node)) for node in graph.nodes)


def _kernel(node: Node, source: str, sizes: Sequence[Size], scratch: Sequence[TensorType] = ()) -> Kernel:
    faults = any(may_fault(body) for _, body in bodies(node))
    return Kernel(node.op.name, source, 1, tuple(sizes), tuple(scratch), faults=faults)


def _with_state(body: Graph, state: Sequence[tuple[Value, Value]], outputs: Sequence[Value]) -> Graph:
    """A step whose state, pairs of before and after, is written in place, as variables are."""
    own = {before for before, _ in state}
    inputs = tuple(value for value in body.inputs if value not in own)
    return Graph(inputs, tuple(outputs), tuple(state), body.nodes)


def _inputs(words: Sequence[int]) -> list[Link]:
    return [Link("input", position, word) for position, word in enumerate(words)]


def _scan(node: Node, handed_out: Collection[Value]) -> Control:
    attrs = node.attrs
    body: Graph = attrs.body
    constants, carries, slices, length = attrs.constants, attrs.carries, attrs.slices, attrs.length
    reads = [*range(constants), *range(constants + carries, constants + carries + slices)]
    state, made = body.inputs[constants : constants + carries], body.outputs[:carries]
    stacked = body.outputs[carries:]
    # A state that is stacked too keeps all of its values, one after the other, and is never copied.
    before, after = ({value: place for place, value in reversed([*enumerate(each)])} for each in (state, made))
    kept = {before[value] for value in stacked if value in before}
    pairs = zip(stacked, node.outputs[carries:], strict=True)
    kept |= {after[value] for value, result in pairs if value in after and result not in handed_out}
    earlier, later = (1, 0) if attrs.reverse else (0, 1)

    def slot(place: int, number: Size) -> Part:
        return Part(place, number * state[place].size)

    memory = [_memory(value, length + 1 if place in kept else 1) for place, value in enumerate(state)]
    results = [slot(place, 0 if attrs.reverse or place not in kept else length) for place in range(carries)]
    starts = [(constants + place, slot(place, length * earlier if place in kept else 0)) for place in range(carries)]
    outputs = [made[place] for place in sorted(kept)]
    links = [
        Link("output", i, place, state[place].size, later * state[place].size) for i, place in enumerate(sorted(kept))
    ]
    for value in stacked:
        if before.get(value) in kept:
            results.append(slot(before[value], earlier))
        elif after.get(value) in kept:
            results.append(slot(after[value], later))
        else:
            links.append(Link("output", len(outputs), len(memory), value.size))
            results.append(Part(len(memory)))
            memory.append(_memory(value, length))
            outputs.append(value)
    in_place = [place for place in range(carries) if place not in kept]
    links = [replace(link, word=len(reads) + link.word) for link in links]
    links += [Link("carry", i, len(reads) + place) for i, place in enumerate(in_place)]
    graph = _with_state(body, [(state[place], made[place]) for place in in_place], outputs)
    sources = iter(range(len(reads)))
    for position, value in enumerate(graph.inputs):
        place = before.get(value)
        if place is not None:
            items = value.size
            links.append(Link("input", position, len(reads) + place, items, earlier * items))
        else:
            word = next(sources)
            links.append(Link("input", position, word, value.size if word >= constants else 0))
    call = Call(graph, Linkage(tuple(links), length, attrs.reverse))
    kernel = _kernel(node, _SCAN, [length])
    return Control(kernel, (call,), tuple(reads), tuple(memory), tuple(results), tuple(starts))


def _memory(value: Value, slots: Size) -> TensorType:
    """Room for so many values of one type."""
    return TensorType(value.dtype, (slots, *value.shape))


def _alone(values: Sequence[Value]) -> tuple[tuple[TensorType, ...], tuple[Part, ...]]:
    """Each value in memory of its own."""
    return tuple(value.type for value in values), tuple(map(Part, range(len(values))))


def _cond(node: Node, handed_out: Collection[Value]) -> Control:
    operands, results = len(node.inputs) - 1, len(node.outputs)
    links = (*_inputs(range(1, operands + 1)), *(Link("output", i, operands + 1 + i) for i in range(results)))
    linkage = Linkage(links, repeats=False)
    calls = tuple(Call(branch, linkage) for branch in (node.attrs.true, node.attrs.false))
    return Control(_kernel(node, _COND, [0]), calls, tuple(range(operands + 1)), *_alone(node.outputs))


def _while_loop(node: Node, handed_out: Collection[Value]) -> Control:
    attrs = node.attrs
    constants, carries = attrs.constants, attrs.carries
    state = range(constants, constants + carries)
    answer = constants + carries
    links = (*_inputs((*range(constants), *state)), Link("output", 0, answer))
    condition = Call(attrs.condition, Linkage(links))
    body: Graph = attrs.body
    step = Call(
        _with_state(body, [*zip(body.inputs[constants:], body.outputs, strict=True)], ()),
        Linkage((*_inputs(range(constants)), *(Link("carry", place, word) for place, word in enumerate(state)))),
    )
    kernel = _kernel(node, _WHILE, [answer], [TensorType(bool_, ())])
    starts = tuple((constants + place, Part(place)) for place in range(carries))
    return Control(kernel, (condition, step), tuple(range(constants)), *_alone(node.outputs), starts)


def reading(call: Call, operands: Sequence[View]) -> Call:
    """A call whose step reads contiguous views: each input starts where its view does."""
    links = (
        replace(link, start=operands[link.word].offset) if link.place == "input" and link.word < len(operands) else link
        for link in call.linkage.links
    )
    return Call(call.graph, replace(call.linkage, links=tuple(links)))


CONTROL = {"scan": _scan, "cond": _cond, "while_loop": _while_loop}
"""How each control operation is run."""
