"""The gradient of a scan: a scan from the other end.

The forward scan also hands out, for each step, the values that the backward step reads. The cotangents of the state go
from step to step; those of what all steps share are summed. Where such a sum is of matrix products, of rows added to
zeros, or of sums over items that are there for all steps, it is one of these after the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from graphc.ir.build import apply
from graphc.ir.closure import dependents
from graphc.ir.graph import Graph, Node, Value, reachable
from graphc.ir.ops.arithmetic import add
from graphc.ir.ops.creation import zeros, zeros_like
from graphc.ir.ops.index import index_add
from graphc.ir.ops.leaves import placeholder
from graphc.ir.ops.linalg import matmul
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.shape import reshape, transpose
from graphc.ir.pullback import cotangents_of
from graphc.ir.residuals import residuals
from graphc.ir.source import origin
from graphc.ir.substitute import substitute
from graphc.record import record

__all__ = ["scan_vjp"]


def scan_vjp(node: Node, *cotangents: Value | None) -> list[Value | None]:
    """The cotangents of constants, initial state and slices."""
    return _Backward(node, cotangents).run()


@record
class _Sum:
    """A cotangent of what all steps share, to be summed after the loop from operands that are there for every step."""

    operands: tuple[Value, ...]
    combine: Callable[..., Value]


class _Backward:
    def __init__(self, node: Node, cotangents: Sequence[Value | None]) -> None:
        attrs = node.attrs
        self.node, self.attrs = node, attrs
        self.body: Graph = attrs.body
        first = attrs.constants + attrs.carries
        self.constants, self.state, self.slices = (
            self.body.inputs[: attrs.constants],
            self.body.inputs[attrs.constants : first],
            self.body.inputs[first:],
        )
        given = [
            cotangent if value.dtype.is_float else None
            for value, cotangent in zip(self.body.outputs, cotangents, strict=True)
        ]
        self.given_state, self.given_outputs = given[: attrs.carries], given[attrs.carries :]
        self.output_seeds = [
            None if cotangent is None else placeholder(value.shape, value.dtype)
            for value, cotangent in zip(self.body.outputs[attrs.carries :], self.given_outputs, strict=True)
        ]
        self.state_seeds: list[Value | None] = [
            None if cotangent is None else placeholder(value.shape, value.dtype)
            for value, cotangent in zip(self.state, self.given_state, strict=True)
        ]

    def run(self) -> list[Value | None]:
        """A cotangent, or None, for each input."""
        found = self._cotangents()
        if all(cotangent is None for cotangent in found):
            return found
        attrs = self.attrs
        seeds = [seed for seed in (*self.state_seeds, *self.output_seeds) if seed is not None]
        first = attrs.constants + attrs.carries
        carried = [place for place, seed in enumerate(self.state_seeds) if seed is not None]
        state = [
            zeros_like(self.state[place]) if cotangent is None else cotangent
            for place, cotangent in ((place, found[attrs.constants + place]) for place in carried)
        ]
        slices = [cotangent for cotangent in found[first:] if cotangent is not None]
        shared = self._shared(found[: attrs.constants], slices)
        summed = [total for total, _ in shared if total is not None]
        operands = [value for _, sums in shared for each in sums for value in each.operands]

        wanted = [*state, *summed, *slices, *operands]
        backward = dependents(wanted, seeds)
        kept = residuals(wanted, seeds, (*self.constants, *self.slices))
        changing = dependents(wanted, (*self.state, *self.slices))
        stored = [
            value
            for value in kept
            if (value.node in changing or value in set(self.state)) and value not in set(self.slices)
        ]
        fixed = [value for value in kept if value.node not in changing and value.node.inputs]
        for_all_steps = self._for_all_steps(stored)

        # The backward step, in terms of placeholders for what it reads.
        inside = {value: placeholder(value.shape, value.dtype) for value in (*stored, *fixed)}
        received = set(self.state_seeds)
        emitted = [
            value
            for value in dict.fromkeys(operands)
            if (value.node in backward or value in received) and value not in set(slices)
        ]
        new = substitute([*state, *summed, *slices, *emitted], inside)
        sums = [placeholder(value.shape, value.dtype) for value in summed]
        places = iter(new[len(state) : len(state) + len(summed)])
        totals = [add(total, next(places)) for total in sums]
        outputs = [*new[: len(state)], *totals, *new[len(state) + len(summed) :]]
        read = {node for node in reachable(outputs) if not node.inputs}
        constants = [(value, outer) for value, outer in self._constants() if value.node in read]
        constants += [(inside[value], outer) for value, outer in zip(fixed, self._outside(fixed), strict=True)]
        sliced = [
            (seed, given)
            for seed, given in zip(self.output_seeds, self.given_outputs, strict=True)
            if seed is not None and given is not None
        ]
        sliced += [pair for pair in zip(self.slices, self.node.inputs[first:], strict=True) if pair[0].node in read]
        sliced += [(inside[value], for_all_steps[value]) for value in stored]
        starts = [self.given_state[place] for place in carried]
        initial = [
            zeros(self.state[place].shape, self.state[place].dtype) if start is None else start
            for place, start in zip(carried, starts, strict=True)
        ] + [zeros(value.shape, value.dtype) for value in summed]
        seeds_in = [seed for seed in self.state_seeds if seed is not None]
        body = Graph.of(
            [*(value for value, _ in constants), *seeds_in, *sums, *(value for value, _ in sliced)], outputs
        )
        results = apply(
            self.node.op,
            [*(outer for _, outer in constants), *initial, *(outer for _, outer in sliced)],
            replace(attrs, body=body, carries=len(initial), slices=len(sliced), reverse=not attrs.reverse),
        ).outputs

        stacked = dict(for_all_steps)
        stacked.update(sliced)
        stacked.update(zip(self.slices, self.node.inputs[first:], strict=True))
        stacked.update(zip((*slices, *emitted), results[len(initial) :], strict=True))
        to_state = dict(zip(carried, results[: len(carried)], strict=True))
        to_shared = iter(results[len(carried) : len(initial)])
        to_slices = iter(results[len(initial) : len(initial) + len(slices)])
        cotangents: list[Value | None] = []
        for total, later in shared:
            parts = [] if total is None else [next(to_shared)]
            parts += [each.combine(*(stacked[value] for value in each.operands)) for each in later]
            cotangents.append(_added(parts))
        cotangents += [to_state.get(place) for place in range(attrs.carries)]
        return [*cotangents, *(None if value is None else next(to_slices) for value in found[first:])]

    def _cotangents(self) -> list[Value | None]:
        """Of the body's inputs, where every part of the state that receives one also hands one on."""
        while True:
            seeds = [*self.state_seeds, *self.output_seeds]
            found = cotangents_of(self.body.outputs, seeds, self.body.inputs)
            reached = found[self.attrs.constants : self.attrs.constants + self.attrs.carries]
            more = False
            for place, (seed, cotangent) in enumerate(zip(self.state_seeds, reached, strict=True)):
                if seed is None and cotangent is not None:
                    value = self.state[place]
                    self.state_seeds[place] = placeholder(value.shape, value.dtype)
                    more = True
            if not more:
                return found

    # --- values for all steps ---------------------------------------------------------------------------------------

    def _constants(self) -> list[tuple[Value, Value]]:
        return list(zip(self.constants, self.node.inputs[: self.attrs.constants], strict=True))

    def _outside(self, values: Sequence[Value]) -> list[Value]:
        """What the values, which do not change from step to step, are outside of the body."""
        return substitute(values, dict(self._constants()))

    def _for_all_steps(self, stored: Sequence[Value]) -> dict[Value, Value]:
        """The values of each step, stacked: outputs of the forward scan, which gets more of them."""
        attrs = self.attrs
        outputs = list(self.body.outputs)
        known = {value: place for place, value in enumerate(outputs) if place >= attrs.carries}
        for value in stored:
            if value not in known:
                known[value] = len(outputs)
                outputs.append(value)
        if not stored:
            return {}
        with origin(self.node.origin):
            body = Graph.of(self.body.inputs, outputs)
            forward = apply(self.node.op, self.node.inputs, replace(attrs, body=body))
        return {value: forward.outputs[known[value]] for value in stored}

    # --- sums over steps ----------------------------------------------------------------------------------------------

    def _shared(
        self, cotangents: Sequence[Value | None], slices: Sequence[Value]
    ) -> list[tuple[Value | None, list[_Sum]]]:
        """For the cotangent of each constant, the part that is summed step by step, and those that are summed later."""
        terms = [_terms(cotangent) for cotangent in cotangents]
        products = {value: self._product(value) or self._rows(value) for each in terms for value in each}
        there = {*slices, *(value for found in products.values() if found is not None for value in found.operands)}
        result: list[tuple[Value | None, list[_Sum]]] = []
        for each in terms:
            rest, later = [], []
            for value in each:
                found = products[value] or self._reduction(value, there)
                if found is None:
                    rest.append(value)
                else:
                    later.append(found)
            result.append((_added(rest), later))
        return result

    def _changes(self, value: Value) -> bool:
        """Whether a value may differ from step to step."""
        seeds = (seed for seed in (*self.state_seeds, *self.output_seeds) if seed is not None)
        roots = {*seeds, *self.state, *self.slices}
        return value in roots or bool(dependents([value], roots))

    def _product(self, value: Value) -> _Sum | None:
        """The sum over steps of ``a @ b`` as one product of matrices with the steps along the inner axis."""
        node = value.node
        if node.op.name != "matmul" or any(each.ndim != 2 for each in node.inputs):
            return None
        a, b = node.inputs
        if not (self._changes(a) and self._changes(b)):
            return None
        transposed = a.node.op.name == "transpose"
        operand = a.node.inputs[0] if transposed else a

        def combine(a: Value, b: Value) -> Value:
            left = a if transposed else transpose(a, (0, 2, 1))
            rows = left.shape[0] * left.shape[1]
            return matmul(transpose(reshape(left, (rows, left.shape[2]))), reshape(b, (rows, b.shape[2])))

        return _Sum((operand, b), combine)

    def _rows(self, value: Value) -> _Sum | None:
        """The sum over steps of what is added to rows of zeros as one addition of all of it."""
        node = value.node
        if node.op.name != "index_add" or node.attrs.axis != 0 or not _is_zeros(node.inputs[0]):
            return None
        start, *operands = node.inputs
        if not all(map(self._changes, operands)):
            return None
        return _Sum(tuple(operands), lambda indices, updates: index_add(start, indices, updates))

    def _reduction(self, value: Value, there: Collection[Value]) -> _Sum | None:
        """The sum over steps of a sum over axes, as one sum, where its operand is there for all steps anyway."""
        shape, node = value.shape, value.node
        if node.op.name == "reshape":
            node = node.inputs[0].node
        if node.op.name != "sum" or node.inputs[0] not in there:
            return None
        axes, result = [0, *(axis + 1 for axis in node.attrs.axes)], shape
        return _Sum((node.inputs[0],), lambda stacked: reshape(sum(stacked, axis=axes), result))


def _is_zeros(value: Value) -> bool:
    node = value.node
    while node.op.view:
        node = node.inputs[0].node
    return node.op.name == "constant" and not node.attrs.array.any()


def _terms(value: Value | None) -> list[Value]:
    """What a cotangent is the sum of."""
    terms: list[Value] = []
    stack = [] if value is None else [value]
    while stack:
        top = stack.pop()
        if top.node.op.name == "add" and all(each.type == top.type for each in top.node.inputs):
            stack += top.node.inputs[::-1]
        else:
            terms.append(top)
    return terms


def _added(parts: Sequence[Value]) -> Value | None:
    total: Value | None = None
    for part in parts:
        total = part if total is None else add(total, part)
    return total
