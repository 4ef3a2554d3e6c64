"""Updates that add a product of matrices, or rows at indices: added in place, with no buffer for the gradient.

``W - rate * (X.T @ dY)`` becomes ``gemm(W, X.T, dY, alpha=-rate, beta=1)``, and ``W - rate * index_add(0, ids, dY)``,
where ``ids`` chose rows of a table, ``index_add(W, ids, -rate * dY)``, which touches the rows that were used alone. An
update is read as a linear combination: sums, differences and transposes, multiplied or divided by scalars. Products and
additions that nothing else uses are added to the rest, one after the other, where that is one array: several would have
to be added up first, in more passes over memory than one kernel needs for all of them. Where the rest is scaled, by
weight decay for instance, every row changes, and additions without a product stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.ir import ops
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.source import origin
from graphc.passes.cse import Cse
from graphc.passes.rewrite import Matcher, rewrite
from graphc.passes.rules.constants import literal, scalar_of
from graphc.record import record

__all__ = ["FoldUpdates"]


@record
class Term:
    """An array, or its transpose, times scalars and by scalars."""

    value: Value
    negative: bool = False
    factors: tuple[Value, ...] = ()
    divisors: tuple[Value, ...] = ()
    transposed: bool = False

    @property
    def array(self) -> Value:
        return _transpose(self.value) if self.transposed else self.value


@record
class FoldUpdates:
    """Replace, in what variables become, sums with matrix products by ``gemm``, and with rows by ``index_add``."""

    name: str = "fold_updates"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with a ``gemm`` or ``index_add`` for each product, or rows, that an update adds to an array."""
        candidates = _candidates(graph)

        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            if matcher.original not in candidates:
                return None
            folded = _folded(node.output, matcher)
            return None if folded is None else (folded,)

        result = rewrite(graph, rule) if candidates else graph
        return graph if result is graph else Cse()(result)


def _candidates(graph: Graph) -> set[Node]:
    """The nodes of linear combinations that updates are computed from, item by item, and of which parts may fold."""
    matcher = Matcher(graph)
    found: set[Node] = set()
    seen: set[Value] = set()
    stack = [value for _, value in graph.updates]
    while stack:
        value = stack.pop()
        if value in seen or not value.dtype.is_float:
            continue
        seen.add(value)
        terms = _terms(value, matcher)
        if any(_is_product(term, matcher) or _is_sparse(term, matcher) for term in terms):
            found.add(value.node)
        if terms[0].value is not value:
            stack += [term.value for term in terms]
        elif value.node.op.elementwise:
            stack += [operand for operand in value.node.inputs if operand.shape == value.shape]
    return found


def _is_product(term: Term, matcher: Matcher) -> bool:
    return term.value.ndim == 2 and bool(matcher.producer(term.value, "matmul")) and not matcher.shared(term.value)


def _is_sparse(term: Term, matcher: Matcher) -> bool:
    """Whether a term is zeros but for what is added at indices: the gradient of rows that were chosen."""
    node = matcher.producer(term.value, "index_add")
    if node is None or term.transposed or matcher.shared(term.value):
        return False
    zeros = scalar_of(node.inputs[0], matcher)
    return zeros is not None and zeros == 0


def _terms(root: Value, matcher: Matcher) -> list[Term]:
    """The linear combination that an array is, as far as nothing else uses its parts."""
    done: list[Term] = []
    stack = [Term(root)]
    while stack:
        term = stack.pop()
        parts = None
        if term.value is root or not matcher.shared(term.value):
            parts = _parts(term, matcher)
        if parts is None:
            done.append(term)
        else:
            stack += reversed(parts)
    return done


def _parts(term: Term, matcher: Matcher) -> list[Term] | None:
    node, shape = matcher.producer(term.value), term.value.shape
    if node is None:
        return None
    match node.op.name:
        case "add" | "subtract":
            x, y = node.inputs
            if x.shape == y.shape == shape:
                return [
                    replace(term, value=x),
                    replace(term, value=y, negative=term.negative != (node.op.name == "subtract")),
                ]
        case "negative":
            return [replace(term, value=node.inputs[0], negative=not term.negative)]
        case "multiply":
            for value, scalar in (node.inputs, node.inputs[::-1]):
                if value.shape == shape and _is_scalar(scalar, value):
                    return [replace(term, value=value, factors=(*term.factors, scalar))]
        case "divide":
            value, scalar = node.inputs
            if value.shape == shape and _is_scalar(scalar, value):
                return [replace(term, value=value, divisors=(*term.divisors, scalar))]
        case "transpose":
            if node.attrs.axes == (1, 0):
                return [replace(term, value=node.inputs[0], transposed=not term.transposed)]
    return None


def _is_scalar(value: Value, other: Value) -> bool:
    """Whether a value is one number that is repeated over another operand, which is more than that."""
    source = value.node.inputs[0] if value.node.op.name == "broadcast_to" else value
    return all(size == 1 for size in source.shape) and (not source.ndim or any(size != 1 for size in other.shape))


def _folded(value: Value, matcher: Matcher) -> Value | None:
    terms = _terms(value, matcher)
    products = [term for term in terms if _is_product(term, matcher)]
    sparse = [term for term in terms if _is_sparse(term, matcher)]
    folding = {*products, *sparse}
    rest = [term for term in terms if term not in folding]
    if not folding or len({(term.value, term.transposed) for term in rest}) != 1:
        return None
    total, beta = rest[0].array, _coefficient(rest, matcher)
    known = scalar_of(beta, matcher)
    if not products and (known is None or known != 1):
        return None
    for term in products:
        a, b = term.value.node.inputs
        if term.transposed:
            a, b = _transpose(b), _transpose(a)
        total = ops.gemm(total, a, b, _coefficient([term], matcher), beta)
        beta = literal(1, value.dtype)
    for term in sparse:
        node = term.value.node
        _, indices, updates = node.inputs
        coefficient = _coefficient([term], matcher)
        with origin(node.origin):  # of the backward graph, where it may be fused with what makes the updates
            scaled = ops.multiply(updates, coefficient)
        total = apply_one(node.op, (total, indices, scaled), node.attrs)
    return total


def _transpose(matrix: Value) -> Value:
    node = matrix.node
    return node.inputs[0] if node.op.name == "transpose" else ops.transpose(matrix)


def _coefficient(terms: Sequence[Term], matcher: Matcher) -> Value:
    """The sum of the terms' scalars, 0-d; what is known of it is computed now."""
    known, total = np.float64(0), None
    for term in terms:
        number, value = _scalar(term, matcher)
        if value is None:
            known += number
            continue
        value = _times(number, value)
        total = value if total is None else ops.add(total, value)
    dtype = terms[0].value.dtype
    if total is None:
        return literal(known, dtype)
    return total if known == 0 else ops.add(total, literal(known, dtype))


def _scalar(term: Term, matcher: Matcher) -> tuple[np.float64, Value | None]:
    """A term's scalars as a known number times a value."""
    number, value = np.float64(-1 if term.negative else 1), None
    with np.errstate(all="ignore"):
        for factor in term.factors:
            known = scalar_of(factor, matcher)
            if known is not None:
                number = number * np.float64(known)
            else:
                value = _one_item(factor) if value is None else ops.multiply(value, _one_item(factor))
        for divisor in term.divisors:
            known = scalar_of(divisor, matcher)
            if known is not None:
                number = number / np.float64(known)
            else:
                value = ops.divide(literal(1, divisor.dtype) if value is None else value, _one_item(divisor))
    return number, value


def _one_item(value: Value) -> Value:
    source = value.node.inputs[0] if value.node.op.name == "broadcast_to" else value
    return ops.reshape(source, ())


def _times(number: np.float64, value: Value) -> Value:
    if number == 1:
        return value
    return ops.negative(value) if number == -1 else ops.multiply(value, literal(number, value.dtype))
