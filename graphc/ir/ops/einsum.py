"""Einstein summation, composed of products of matrices, transposes, products and sums."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from graphc.errors import ShapeError
from graphc.ir.dims import Size, bind, product, symbols
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import multiply
from graphc.ir.ops.choice import where
from graphc.ir.ops.conversion import cast, promoted
from graphc.ir.ops.creation import eye
from graphc.ir.ops.linalg import matmul
from graphc.ir.ops.reduce import any, sum
from graphc.ir.ops.shape import moveaxis, reshape, transpose
from graphc.ir.types import shape_text, unify
from graphc.record import record

__all__ = ["einsum"]

Labels: TypeAlias = tuple[str, ...]

_NOMINAL_SIZE = 64  # what a symbolic size counts where contractions are put in order


@record(eq=False)
class _Term:
    """A value and the label of each of its axes."""

    value: Value
    labels: Labels

    def size(self, label: str) -> Size:
        return self.value.shape[self.labels.index(label)]


def einsum(subscripts: str, *operands: Operand) -> Value:
    """Einstein summation: products of operands, summed over the labels that the result lacks.

    Args:
        subscripts: for each operand a letter for each axis, separated by commas; then ``->`` and the letters of the
            result. Without ``->``, the result has the letters that stand once, in alphabetical order. ``...`` stands
            for axes that broadcast. A letter that stands twice in one operand means its diagonal.
        operands: as many as ``subscripts`` says.

    Returns:
        Shape: the sizes of the result's labels. The dtype is the one that the operands' meet in; of bools, whether any
        of the products is true. Several operands are contracted in pairs, those first that leave the smallest results.

    Raises:
        ShapeError: ``subscripts`` cannot be read or does not fit the operands, or sizes of one label differ.
    """
    values = promoted(operands) if operands else ()
    inputs, output = _parse(subscripts, [value.ndim for value in values])
    terms = [_Term(value, labels) for value, labels in zip(values, inputs, strict=True)]
    sizes = _label_sizes(subscripts, terms)
    terms = [_diagonals(_without_stretched(term, sizes)) for term in terms]
    while len(terms) > 1:
        first, second = _cheapest_pair(terms, output)
        rest = [term for term in terms if term is not first and term is not second]
        terms = [*rest, _contract(first, second, _needed(rest, output))]
    (result,) = terms
    return _aligned(_summed(result, output), output)


# --- reading the subscripts ------------------------------------------------------------------------


def _parse(subscripts: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result. Axes under an ellipsis are labelled by their place from the end."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ShapeError(
            f"einsum: {subscripts!r} is for {len(parts)} operands, but {len(ranks)} were given",
            expected="labels for each operand, separated by commas",
        )
    inputs = []
    for part, rank in zip(parts, ranks, strict=True):
        letters = _letters(subscripts, part)
        hidden = rank - len(letters)
        if hidden < 0 or (hidden and "..." not in part):
            raise ShapeError(
                f"einsum: {part!r} in {subscripts!r} labels {len(letters)} axes of an operand that has {rank}",
                expected="one letter for each axis",
                remedy="let '...' stand for axes that broadcast",
            )
        inputs.append(_expand(part, hidden))
    broadcast = max((_hidden(labels) for labels in inputs), key=len)
    if not arrow:
        count = [letter for labels in inputs for letter in labels if letter not in broadcast]
        return inputs, broadcast + tuple(letter for letter in sorted(set(count)) if count.count(letter) == 1)
    letters = _letters(subscripts, right)
    known = set(itertools.chain.from_iterable(inputs))
    unknown = [letter for letter in letters if letter not in known]
    if unknown or len(set(letters)) != len(letters) or (broadcast and "..." not in right):
        found = f"has {unknown[0]!r}, which no operand has" if unknown else "does not name every axis once"
        raise ShapeError(
            f"einsum: the result {right!r} of {subscripts!r} {found}",
            expected="letters of the operands, each at most once, and '...' where they have it",
        )
    return inputs, _expand(right, len(broadcast))


def _letters(subscripts: str, part: str) -> str:
    letters = part.replace("...", "", 1)
    if letters and not (letters.isascii() and letters.isalpha()):
        raise ShapeError(
            f"einsum: {part!r} in {subscripts!r} cannot be read", expected="letters, and '...' at most once"
        )
    return letters


def _expand(part: str, hidden: int) -> Labels:
    before, ellipsis, after = part.partition("...")
    return (*before, *(f"...{place}" for place in range(hidden if ellipsis else 0, 0, -1)), *after)


def _hidden(labels: Labels) -> Labels:
    return tuple(label for label in labels if label.startswith("..."))


def _label_sizes(subscripts: str, terms: Sequence[_Term]) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for term in terms:
        for label, size in zip(term.labels, term.value.shape, strict=True):
            known = sizes.get(label, 1)
            common = size if known == 1 else known if size == 1 else unify(known, size)
            if common is None:
                shapes = ", ".join(shape_text(each.value.shape) for each in terms)
                raise ShapeError(
                    f"einsum: {label[:3]!r} in {subscripts!r} has sizes {known} and {size}, in shapes {shapes}",
                    expected="one size for each label, or 1",
                )
            sizes[label] = common
    return sizes


# --- one operand -----------------------------------------------------------------------------------


def _without_stretched(term: _Term, sizes: Mapping[str, Size]) -> _Term:
    """Without the axes of size 1 that are stretched to another size: they have no part in the product."""
    axes = zip(term.labels, term.value.shape, strict=True)
    kept = [(label, size) for label, size in axes if size == sizes[label] or size != 1]
    return _Term(reshape(term.value, [size for _, size in kept]), tuple(label for label, _ in kept))


def _diagonals(term: _Term) -> _Term:
    """Its diagonal where a label stands twice."""
    for first, label in enumerate(term.labels):
        if label in term.labels[first + 1 :]:
            second = term.labels.index(label, first + 1)
            value = _diagonal(moveaxis(term.value, (first, second), (-2, -1)))
            others = [other for axis, other in enumerate(term.labels) if axis not in (first, second)]
            return _diagonals(_Term(value, (*others, label)))
    return term


def _diagonal(value: Value) -> Value:
    """The diagonal of the last two axes."""
    *others, size, _ = value.shape
    if isinstance(size, int):
        return reshape(value, (*others, size * size))[..., :: size + 1]
    return _total(where(eye(size, dtype="bool"), value, 0), (-1,))


def _total(value: Value, axes: Sequence[int]) -> Value:
    """The sum in the value's own dtype."""
    return any(value, axes) if value.dtype.is_bool else cast(sum(value, axes), value.dtype)


def _summed(term: _Term, kept: Collection[str]) -> _Term:
    """Summed over the labels that are not kept."""
    axes = [axis for axis, label in enumerate(term.labels) if label not in kept]
    return _Term(_total(term.value, axes), tuple(label for label in term.labels if label in kept)) if axes else term


def _aligned(term: _Term, labels: Labels) -> Value:
    """The value with its axes in the order of ``labels``; axes that it lacks have size 1."""
    own = [label for label in labels if label in term.labels]
    value = transpose(term.value, tuple(term.labels.index(label) for label in own))
    return reshape(value, [term.size(label) if label in own else 1 for label in labels])


# --- two operands ----------------------------------------------------------------------------------


def _needed(terms: Sequence[_Term], output: Labels) -> set[str]:
    """The labels that the rest of the computation reads."""
    return set(output).union(*(term.labels for term in terms))


def _nominal(size: Size) -> int:
    return bind(size, {symbol.name: _NOMINAL_SIZE for symbol in symbols(size)})


def _cheapest_pair(terms: Sequence[_Term], output: Labels) -> tuple[_Term, _Term]:
    """The pair whose contraction frees the most memory (the greedy order of opt_einsum, Smith and Gray 2018)."""

    def growth(pair: tuple[_Term, _Term]) -> int:
        first, second = pair
        sizes = {label: _nominal(term.size(label)) for term in pair for label in term.labels}
        needed = _needed([term for term in terms if term is not first and term is not second], output)
        result = product(size for label, size in sizes.items() if label in needed)
        return _nominal(result) - _nominal(first.value.size) - _nominal(second.value.size)

    return min(itertools.combinations(terms, 2), key=growth)


def _contract(a: _Term, b: _Term, needed: Collection[str]) -> _Term:
    """The product of two terms, summed over the labels that are not needed."""
    a, b = _summed(a, {*needed, *b.labels}), _summed(b, {*needed, *a.labels})
    shared = [label for label in a.labels if label in b.labels]
    inner = tuple(label for label in shared if label not in needed)
    batch = tuple(label for label in shared if label in needed)
    rows = tuple(label for label in a.labels if label not in shared)
    columns = tuple(label for label in b.labels if label not in shared)
    labels = (*batch, *rows, *columns)
    if not inner or not (rows or columns):  # no matrix in it: items are multiplied, and their sum can be fused
        every = (*labels, *inner)
        return _summed(_Term(multiply(_aligned(a, every), _aligned(b, every)), every), labels)
    sizes = [term.size(label) for term, group in ((a, batch), (a, rows), (b, columns)) for label in group]
    left = _grouped(a, batch, (rows, inner))
    right = _grouped(b, batch, (inner, columns))
    return _Term(reshape(matmul(left, right), sizes), labels)


def _grouped(term: _Term, batch: Labels, groups: Sequence[Labels]) -> Value:
    """The value with its axes in order, those of each group as one."""
    value = _aligned(term, (*batch, *itertools.chain.from_iterable(groups)))
    return reshape(value, [*map(term.size, batch), *(product(map(term.size, group)) for group in groups)])
