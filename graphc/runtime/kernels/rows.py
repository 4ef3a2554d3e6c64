"""Kernels that go over an array row by row, along its last axis: a row stays in the cache from its sums to its results.

A body of elementwise operations, of operations with a formula for rows (softmax, normalization) and of reductions along
the last axis is first written as one list of scalar steps. A reduction is complete only after a pass over the row, so
each step has a level: the number of passes that must come before it. What more than one pass needs is computed again
where that is cheap; else the first pass keeps it, in the place of a result that is written later, or in scratch memory.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphc.ir.dims import product
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import RowFormula
from graphc.ir.types import DType, Shape, TensorType
from graphc.record import record
from graphc.runtime.kernels.base import Kernel, code
from graphc.runtime.kernels.nest import Axis, Source, aligned, combined, expression, identity, merged, result_strides
from graphc.runtime.views import View, contiguous_strides

__all__ = ["RowBody", "goes_by_rows", "row_formula", "row_kernel"]

_CHEAP = 4
"""What may be computed again, in additions and loads; to keep an item costs a store and a load."""

_LENGTH = "n0"
"""The length of a row in the source."""

_FIELD = re.compile(r"{(\w+)}")


def row_formula(node: Node) -> RowFormula | None:
    """How an operation is computed row by row, if it is one of those."""
    return node.op.rows(node) if node.op.rows is not None else None


def goes_by_rows(body: Graph) -> bool:
    """Whether a body has an operation with a formula for rows."""
    return any(row_formula(node) is not None for node in body.nodes)


def _named(names: Mapping[str, str], field: re.Match[str]) -> str:
    return names[field[1]]


@dataclass(eq=False)
class _Step:
    """A scalar: of an item, or of a row.

    Attributes:
        name: of the variable.
        dtype: of its value.
        text: what it is, over names of others; empty for operands of the kernel.
        operands: the steps that it is computed from.
        items: whether it has a value for each item of a row.
        level: how many passes come before it is known.
        reduction: the combining function of one that is known after the pass over its items.
        cost: of computing it, where its operands are known.
        input: the position of the operand that it is; -1 for others.
    """

    name: str
    dtype: DType
    text: str
    operands: tuple[_Step, ...]
    items: bool
    level: int
    reduction: str | None = None
    cost: int = 1
    input: int = -1


@record
class _Kept:
    """Where a step is kept: from which pass on, and in the place of which output; -1 for scratch memory."""

    since: int
    output: int


@dataclass
class RowBody:
    """A body as scalar steps in passes over a row; what can be known before its operands have their places.

    Attributes:
        body: the graph.
        space: the shape that it is computed over; rows lie along its last axis.
        steps: in an order in which they can be computed.
        results: the step of each output.
        passes: for each pass, the steps over items that it computes, without those that earlier ones kept.
        kept: the steps that a pass keeps for later ones.
    """

    body: Graph
    space: Shape = field(init=False)
    steps: list[_Step] = field(default_factory=list)
    results: list[_Step] = field(init=False)
    passes: list[list[_Step]] = field(init=False)
    kept: dict[_Step, _Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.space = next(
            node.inputs[0].shape for node in self.body.nodes if node.op.reduction or row_formula(node) is not None
        )
        of: dict[Value, _Step] = {}
        for position, value in enumerate(self.body.inputs):
            items = value.ndim > 0 and (value.shape[-1] != 1 or self.space[-1] == 1)  # equal sizes may have two names
            of[value] = self._add(_Step(f"v{position}", value.dtype, "", (), items, 0, input=position))
        for node in self.body.nodes:
            if node.inputs:
                of.update(zip(node.outputs, self._steps_of(node, [of[value] for value in node.inputs]), strict=True))
        self.results = [of[value] for value in self.body.outputs]
        count = 1 + max(step.level - (step.reduction is not None) for step in self.steps)
        full = [self._needed(number, set()) for number in range(count)]
        self._keep(full)
        self.passes = [self._needed(number, self.kept_before(number)) for number in range(count)]

    def _add(self, step: _Step) -> _Step:
        self.steps.append(step)
        return step

    def _steps_of(self, node: Node, operands: Sequence[_Step]) -> list[_Step]:
        formula = row_formula(node)
        if formula is None:
            if node.op.reduction is not None:
                return [self._step(node.output.dtype, operands[0].name, operands, node.op.reduction, 1)]
            texts = {value: step.name for value, step in zip(node.inputs, operands, strict=True)}
            return [self._step(node.output.dtype, expression(node, texts), operands, None, node.op.cost)]
        dtype = node.outputs[0].dtype
        constants = {"size": f"{code(dtype)}({_LENGTH})", "dtype": code(dtype)}
        known = {str(place): step for place, step in enumerate(operands)}
        for each in formula.steps:
            used = [known[name] for name in dict.fromkeys(_FIELD.findall(each.expression)) if name in known]
            names = constants | {name: step.name for name, step in known.items()}
            text = _FIELD.sub(functools.partial(_named, names), each.expression)
            known[each.name] = self._step(dtype, f"{code(dtype)}({text})", used, each.reduction, each.cost)
        return [known[name] for name in formula.results]

    def _step(self, dtype: DType, text: str, operands: Sequence[_Step], reduction: str | None, cost: int) -> _Step:
        level = max((step.level for step in operands), default=0)
        items = reduction is None and any(step.items for step in operands)
        name = f"v{len(self.steps)}"
        return self._add(
            _Step(name, dtype, text, tuple(operands), items, level + (reduction is not None), reduction, cost)
        )

    # --- passes ------------------------------------------------------------------------------------------------------

    def _roots(self, number: int) -> list[_Step]:
        """The steps over items that a pass must compute for what it sums up and stores."""
        summed = [step.operands for step in self.steps if step.reduction is not None and step.level == number + 1]
        stored = [step for step in self.results if step.items and step.level == number]
        return [step for step in (*(each for group in summed for each in group), *stored) if step.items]

    def _needed(self, number: int, known: set[_Step]) -> list[_Step]:
        """All steps over items that a pass computes, given some that it loads; these too."""
        found: set[_Step] = set()
        stack = self._roots(number)
        while stack:
            step = stack.pop()
            if step not in found:
                found.add(step)
                if step not in known:
                    stack += [each for each in step.operands if each.items]
        return [step for step in self.steps if step in found]

    def kept_before(self, number: int) -> set[_Step]:
        """The steps that a pass may load instead of computing them."""
        return {step for step, kept in self.kept.items() if kept.since < number}

    def _keep(self, full: Sequence[Sequence[_Step]]) -> None:
        """Choose what is kept, given all that each pass would compute if nothing were."""
        for number in range(1, len(full)):
            earlier = {step for steps in full[:number] for step in steps}
            wanted = {*self._roots(number)}.union(*(each.operands for each in full[number] if each not in earlier))
            for step in full[number]:
                if step not in earlier or step not in wanted or step in self.kept or step.input >= 0:
                    continue
                cost = self._cost(step)
                since = next(n for n, steps in enumerate(full) if step in steps)
                own = next((place for place, each in enumerate(self.results) if each is step), None)
                if own is not None and cost > 1:
                    self.kept[step] = _Kept(since, own)
                elif own is None and cost > _CHEAP:
                    last = max(n for n, steps in enumerate(full) if step in steps)
                    self.kept[step] = _Kept(since, self._host(step, last))

    def _cost(self, step: _Step) -> int:
        """Of computing a step again from what lies in memory."""
        found: set[_Step] = set()
        stack = [step]
        while stack:
            each = stack.pop()
            if each not in found:
                found.add(each)
                stack += [operand for operand in each.operands if operand.items and each not in self.kept]
        return sum(1 if each in self.kept else each.cost for each in found)

    def _host(self, step: _Step, last: int) -> int:
        """An output that is not written before a pass has read a step that is kept in its place."""
        taken = {kept.output for kept in self.kept.values()}
        for place, result in enumerate(self.results):
            if result.items and result.dtype == step.dtype and result.level >= last and place not in taken:
                return place
        return -1

    def shareable(self, output: int, operand: int) -> bool:
        """Whether a result may overwrite an operand that lies alike: no later pass reads it from there."""
        result = self.results[output]
        written = result.level if result.items else result.level - 1
        written = min([written, *(kept.since for kept in self.kept.values() if kept.output == output)])
        return all(step.input != operand for steps in self.passes[written + 1 :] for step in steps)


def row_kernel(
    name: str, rows: RowBody, inputs: Sequence[View], outputs: Sequence[View], shared: Mapping[int, int]
) -> Kernel:
    """The kernel of a body that goes by rows.

    Args:
        name: shown in plans.
        rows: the body.
        inputs: where the operands lie.
        outputs: where the results go.
        shared: for the position of an output, that of an input whose memory it overwrites.
    """
    return _Writer(rows, inputs, outputs, shared).kernel(name)


class _Writer:
    """Writes the source of a kernel. ``memory`` are its operands, results and scratch buffers, in this order."""

    def __init__(
        self, rows: RowBody, inputs: Sequence[View], outputs: Sequence[View], shared: Mapping[int, int]
    ) -> None:
        space, first = rows.space, len(inputs)
        scratch = [step for step, kept in rows.kept.items() if kept.output < 0]
        memory = first + len(outputs) + len(scratch)
        strides = [aligned(view, space) for view in inputs]
        strides += [result_strides(value, view, space) for value, view in zip(rows.body.outputs, outputs, strict=True)]
        strides += [list(contiguous_strides(space)) for _ in scratch]
        self.rows, self.space = rows, space
        self.count = product(space[:-1])
        self.scratch = tuple(TensorType(step.dtype, (self.count * space[-1],)) for step in scratch)
        self.source = Source(memory)
        assert self.source.size(space[-1], "n") == _LENGTH
        axes = merged([Axis(space[i], False, [s[i] for s in strides]) for i in range(len(space) - 1)])
        self.axes = [self.source.size(axis.size, "n") for axis in axes]
        offsets = [view.offset for view in (*inputs, *outputs)] + [0] * len(scratch)
        self.starts = [
            self.source.index(offset, [axis.strides[place] for axis in axes]) for place, offset in enumerate(offsets)
        ]
        self.items = [
            f"a{place}" + (" + i" if s[-1] == 1 else f" + i * {self.source.size(s[-1], 's')}" if s[-1] != 0 else "")
            for place, s in enumerate(strides)
        ]
        # A result that overwrites an operand goes through the operand's pointer, see loops.py.
        self.numbers = [*range(first), *(shared.get(i, first + i) for i in range(len(outputs)))]
        self.numbers += range(first + len(outputs), memory)
        self.outputs = [*range(first, first + len(outputs))]
        self.places = dict(zip(scratch, range(first + len(outputs), memory), strict=True))
        self.places |= {step: self.outputs[kept.output] for step, kept in rows.kept.items() if kept.output >= 0}

    def kernel(self, name: str) -> Kernel:
        """The kernel, with its source."""
        self.source.add(0, "for row in range(lo, hi):")
        self._coordinates()
        for number, steps in enumerate(self.rows.passes):
            self._between(number)
            self._pass(number, steps)
        self._between(len(self.rows.passes))
        text = "def kernel(args, lo, hi):\n" + "\n".join([*self.source.header, *self.source.lines]) + "\n"
        weight = len(self.rows.body.inputs) + sum(step.cost for steps in self.rows.passes for step in steps)
        work = product(self.space) * weight
        return Kernel(name, text, self.count, tuple(self.source.sizes), scratch=self.scratch, work=work)

    def _coordinates(self) -> None:
        """Where the row starts in each memory."""
        rest = "row"
        for axis in reversed(range(len(self.axes))):
            self.source.add(1, f"i{axis} = {rest}" + (f" % {self.axes[axis]}" if axis else ""))
            if axis:
                self.source.add(1, f"r{axis} = {rest} // {self.axes[axis]}")
                rest = f"r{axis}"
        for place, start in enumerate(self.starts):
            self.source.add(1, f"a{place} = {start}")

    def _between(self, number: int) -> None:
        """What is known of a row before a pass: its operands, sums and what is computed from these."""
        for step in self.rows.steps:
            if step.items or step.level != number or step.reduction is not None:
                continue
            self.source.add(1, f"{step.name} = {self._load(step, step.input) if step.input >= 0 else step.text}")
        for place, step in zip(self.outputs, self.rows.results, strict=True):
            if not step.items and step.level == number:
                self.source.add(1, self._store(step, place))

    def _pass(self, number: int, steps: Sequence[_Step]) -> None:
        """One loop over the items of a row: first all that it reads, last all that it writes."""
        sums = [step for step in self.rows.steps if step.reduction is not None and step.level == number + 1]
        stored = [
            (step, place)
            for place, step in zip(self.outputs, self.rows.results, strict=True)
            if step.items and step.level == number
        ]
        kept = [
            (step, self.places[step])
            for step, place in self.rows.kept.items()
            if place.since == number and (step, self.places[step]) not in stored
        ]
        if not sums and not stored:
            return
        for step in sums:
            self.source.add(1, f"{step.name} = {identity(step.reduction or '', step.dtype)}")
        self.source.add(1, f"for i in range({_LENGTH}):")
        read = {step: step.input for step in steps if step.input >= 0}
        read |= {step: self.places[step] for step in steps if step in self.rows.kept_before(number)}
        for step, place in read.items():
            self.source.add(2, f"{step.name} = {self._load(step, place)}")
        for step in steps:
            if step not in read:
                self.source.add(2, f"{step.name} = {step.text}")
        for step in sums:
            self.source.add(2, f"{step.name} = {combined(step.reduction or '', step.dtype, step.name, step.text)}")
        for step, place in (*kept, *stored):
            self.source.add(2, self._store(step, place))

    def _load(self, step: _Step, place: int) -> str:
        number, index = self.numbers[place], self.items[place] if step.items else f"a{place}"
        return f"load_{code(step.dtype)}_{number}(p{number}, {index})"

    def _store(self, step: _Step, place: int) -> str:
        number, index = self.numbers[place], self.items[place] if step.items else f"a{place}"
        return f"store_{code(step.dtype)}_{number}(p{number}, {index}, {step.name})"
