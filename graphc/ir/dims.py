"""Sizes of axes: integers, or integer expressions over named symbols that are bound when a function is called.

A :class:`Dim` is a polynomial with integer coefficients, kept in one canonical form, so that two expressions which
expand to the same polynomial compare equal: ``(n + 1) * 2 == 2 * n + 2``. What is not polynomial (a floor division that
leaves a remainder, a maximum) is an atom of the polynomial. Every symbol stands for an integer that is not negative.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, wraps
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import ShapeError
from graphc.record import record

__all__ = [
    "Dim",
    "Size",
    "bind",
    "ceil_divide",
    "exact_quotient",
    "maximum",
    "minimum",
    "polynomial",
    "product",
    "replace_symbols",
    "symbol",
    "symbols",
    "unnamed_symbol",
]


@record
class Symbol:
    """A size with a name. ``unnamed`` marks those that stand for ``None`` in a placeholder's shape."""

    name: str
    unnamed: bool = False

    def __str__(self) -> str:
        return self.name if self.unnamed or self.name.isidentifier() else repr(self.name)


@record
class Quotient:
    """``numerator // divisor``, kept where the division is not exact."""

    numerator: Size
    divisor: Size

    def __str__(self) -> str:
        return f"{_wrapped(self.numerator)}//{_wrapped(self.divisor)}"


@record
class Maximum:
    """``max(left, right)``."""

    left: Size
    right: Size

    def __str__(self) -> str:
        return f"max({self.left}, {self.right})"


Atom: TypeAlias = Symbol | Quotient | Maximum
Monomial: TypeAlias = tuple[Atom, ...]


def _of_sizes(method: Callable[[Dim, Size], Size]) -> Callable[[Dim, Size], Size]:
    """Arithmetic that takes sizes alone: with all else (values, floats) Python asks the other operand."""

    @wraps(method)
    def checked(self: Dim, other: Any) -> Size:
        if isinstance(other, np.integer):
            other = int(other)
        return method(self, other) if isinstance(other, int | Dim) else NotImplemented

    return checked


@record(eq=False, slots=False)
class Dim:
    """An integer expression over symbols. Made by :func:`symbol` and by arithmetic; never holds a plain integer."""

    terms: tuple[tuple[Monomial, int], ...]

    __array_ufunc__ = None  # NumPy's numbers leave `number + size` to the size

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    @_of_sizes
    def __add__(self, other: Size) -> Size:
        return _collect(itertools.chain(self.terms, _terms(other)))

    @_of_sizes
    def __mul__(self, other: Size) -> Size:
        return _collect(
            (tuple(sorted((*a, *b), key=str)), x * y) for (a, x), (b, y) in itertools.product(self.terms, _terms(other))
        )

    @_of_sizes
    def __sub__(self, other: Size) -> Size:
        return self + -other

    @_of_sizes
    def __rsub__(self, other: Size) -> Size:
        return -self + other

    @_of_sizes
    def __floordiv__(self, other: Size) -> Size:
        return _floor_divide(self, other)

    @_of_sizes
    def __rfloordiv__(self, other: Size) -> Size:
        return _floor_divide(other, self)

    @_of_sizes
    def __mod__(self, other: Size) -> Size:
        return self - self // other * other

    @_of_sizes
    def __rmod__(self, other: Size) -> Size:
        return other - other // self * self

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Size:
        return self * -1

    def __index__(self) -> int:
        raise ShapeError(
            f"the size '{self}' is symbolic and has no value while the graph is built",
            expected="an integer",
            remedy="pass it where a shape is given, or use gr.dim_size(size) for its run-time value in the graph",
        )

    __int__ = __index__

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return " + ".join(_term_text(*term) for term in self.terms).replace("+ -", "- ")

    __repr__ = __str__


Size: TypeAlias = int | Dim


def _wrapped(size: Size) -> str:
    """A size as an operand of ``//``."""
    match size:
        case int() | Dim(terms=((((Symbol() | Maximum()),), 1),)):
            return str(size)
    return f"({size})"


def _term_text(monomial: Monomial, coefficient: int) -> str:
    if coefficient == 1 and len(monomial) == 1:
        return str(monomial[0])
    factors = [f"({atom})" if isinstance(atom, Quotient) else str(atom) for atom in monomial]
    if abs(coefficient) != 1 or not monomial:
        factors.insert(0, str(abs(coefficient)))
    return ("-" if coefficient < 0 else "") + "*".join(factors)


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    return size.terms if isinstance(size, Dim) else (((), size),)


def _rank(monomial: Monomial) -> tuple[Any, ...]:
    """Graded order, highest degree first; the constant comes last."""
    return (-len(monomial), tuple(map(str, monomial)))


def _collect(terms: Iterable[tuple[Monomial, int]]) -> Size:
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    kept = {monomial: coefficient for monomial, coefficient in total.items() if coefficient}
    if not kept:
        return 0
    if set(kept) == {()}:
        return kept[()]
    return Dim(tuple(sorted(kept.items(), key=lambda term: _rank(term[0]))))


def polynomial(terms: Iterable[tuple[Iterable[Atom], int]]) -> Size:
    """The sum of products of atoms, in any order, each times a coefficient."""
    return _collect((tuple(sorted(atoms, key=str)), coefficient) for atoms, coefficient in terms)


def _atom(atom: Atom) -> Dim:
    return Dim((((atom,), 1),))


def _monomial_quotient(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    rest = list(monomial)
    for atom in divisor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def exact_quotient(numerator: Size, divisor: Size) -> Size | None:
    """Polynomial long division; None where it leaves a remainder."""
    quotient: Size = 0
    rest = numerator
    lead, lead_coefficient = _terms(divisor)[0]
    while rest != 0:
        monomial, coefficient = _terms(rest)[0]
        part = _monomial_quotient(monomial, lead)
        if part is None or coefficient % lead_coefficient:
            return None
        step = _collect([(part, coefficient // lead_coefficient)])
        quotient = quotient + step
        rest = rest - step * divisor
    return quotient


def _floor_divide(numerator: Size, divisor: Size) -> Size:
    if divisor == 0:
        raise ShapeError(f"the size '{numerator}' is divided by zero")
    if isinstance(numerator, int) and isinstance(divisor, int):
        return numerator // divisor
    exact = exact_quotient(numerator, divisor)
    if exact is not None:
        return exact
    if not isinstance(divisor, int):
        return _atom(Quotient(numerator, divisor))
    if divisor < 0:
        return _floor_divide(-numerator, -divisor)
    # (5n + 9)//4 is n + 2 + (n + 1)//4, and (2n + 1)//4 is n//2: take out what divides, to have one form.
    whole = _collect((monomial, coefficient // divisor) for monomial, coefficient in _terms(numerator))
    rest = _terms(numerator - whole * divisor)
    common = math.gcd(divisor, *(coefficient for monomial, coefficient in rest if monomial))
    reduced = _collect((monomial, coefficient // common) for monomial, coefficient in rest)
    return whole + _atom(Quotient(reduced, divisor // common)) if isinstance(reduced, Dim) else whole


def ceil_divide(numerator: Size, divisor: int) -> Size:
    """``ceil(numerator / divisor)`` for a positive ``divisor``."""
    return (numerator + (divisor - 1)) // divisor


def _is_nonnegative(size: Size) -> bool:
    """Whether a size is known to be at least zero: it is a sum of what is, or stays so with bounds for its atoms."""
    terms = _terms(size)
    if all(coefficient >= 0 and all(map(_is_nonnegative_atom, monomial)) for monomial, coefficient in terms):
        return True
    for monomial, coefficient in terms:
        rest = size - _collect([(monomial, coefficient)])
        match monomial:
            case (Maximum(left, right),):
                enough = any if coefficient > 0 else all
                return enough(_is_nonnegative(rest + bound * coefficient) for bound in (left, right))
            case (Quotient(numerator, int(divisor)),) if coefficient < 0:
                return _is_nonnegative(rest * divisor + numerator * coefficient)
    return False


def _is_nonnegative_atom(atom: Atom) -> bool:
    match atom:
        case Symbol():
            return True
        case Quotient(numerator, divisor):
            return _is_nonnegative(numerator) and _is_nonnegative(divisor)
        case Maximum(left, right):
            return _is_nonnegative(left) or _is_nonnegative(right)


def maximum(left: Size, right: Size) -> Size:
    """The larger of two sizes, as an expression where it is not known."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    if _is_nonnegative(left - right):
        return left
    if _is_nonnegative(right - left):
        return right
    first, second = sorted((left, right), key=str)
    return _atom(Maximum(first, second))


def minimum(left: Size, right: Size) -> Size:
    """The smaller of two sizes."""
    return left + right - maximum(left, right)


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes; 1 for none. Exact: Python integers do not overflow."""
    return math.prod(sizes, start=1)


def symbol(name: str) -> Dim:
    """The size called ``name``; equal names are one size.

    Raises:
        ShapeError: the name is empty, or starts with a question mark as those of unnamed sizes do.
    """
    if not name or name.startswith("?"):
        raise ShapeError(
            f"the name {name!r} was given to a size",
            expected="a name that is not empty and does not start with '?'",
            remedy="use None for a size without a name",
        )
    return _atom(Symbol(name))


_unnamed = itertools.count()


def unnamed_symbol(number: int | None = None) -> Dim:
    """A size without a name of the user's: it may meet any other size, and is checked at run time to equal it.

    It is like no other; ``number`` instead makes the one of that number, for texts that number sizes anew.
    """
    return _atom(Symbol(f"?{next(_unnamed) if number is None else number}", unnamed=True))


def symbols(size: Size) -> tuple[Symbol, ...]:
    """The symbols of an expression, each once, by name."""
    found: set[Symbol] = set()
    stack = [size]
    while stack:
        for monomial, _ in _terms(stack.pop()):
            for atom in monomial:
                match atom:
                    case Symbol():
                        found.add(atom)
                    case Quotient(numerator, divisor):
                        stack += [numerator, divisor]
                    case Maximum(left, right):
                        stack += [left, right]
    return tuple(sorted(found, key=lambda s: s.name))


def replace_symbols(size: Size, replacement: Callable[[Symbol], Size | None]) -> Size:
    """The expression with ``replacement(symbol)`` in place of each symbol, in canonical form; None leaves a symbol.

    Raises:
        ShapeError: a divisor becomes zero.
    """
    if isinstance(size, int):
        return size

    def replaced(atom: Atom) -> Size:
        match atom:
            case Symbol():
                new = replacement(atom)
                return _atom(atom) if new is None else new
            case Quotient(numerator, divisor):
                return _floor_divide(replace_symbols(numerator, replacement), replace_symbols(divisor, replacement))
            case Maximum(left, right):
                return maximum(replace_symbols(left, replacement), replace_symbols(right, replacement))

    total: Size = 0
    for monomial, coefficient in size.terms:
        total = total + product(map(replaced, monomial)) * coefficient
    return total


def bind(size: Size, sizes: Mapping[str, int]) -> int:
    """The value of an expression where each symbol has the value that ``sizes`` gives it by name.

    Raises:
        ShapeError: a divisor is zero, or a symbol has no value.
    """
    result = replace_symbols(size, lambda symbol: sizes.get(symbol.name))
    if isinstance(result, Dim):
        raise ShapeError(
            f"the size '{size}' depends on {', '.join(map(str, symbols(result)))}, which has no value",
            expected="an array for a placeholder that has this size as an axis",
        )
    return result
