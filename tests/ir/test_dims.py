from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graphc.errors import ShapeError
from graphc.ir.dims import (
    Dim,
    Size,
    Symbol,
    bind,
    ceil_divide,
    exact_quotient,
    maximum,
    minimum,
    product,
    replace_symbols,
    symbol,
    symbols,
    unnamed_symbol,
)

NAMES = ("a", "b", "c")
Expression = Callable[[Callable[[str], Size]], Size]
"""A computation with sizes, given what each name stands for: a symbol, or an integer to compare with."""


def binary(operation: Callable[[Size, Size], Size]) -> Callable[[Expression, Expression], Expression]:
    return lambda left, right: lambda leaf: operation(left(leaf), right(leaf))


def by_constant(operation: Callable[[Size, Size], Size]) -> Callable[[Expression, int], Expression]:
    return lambda left, right: lambda leaf: operation(left(leaf), right)


polynomials = st.recursive(
    st.sampled_from(NAMES).map(lambda name: lambda leaf: leaf(name)) | st.integers(-4, 9).map(lambda n: lambda _: n),
    lambda inner: st.one_of(
        [st.builds(binary(operation), inner, inner) for operation in (operator.add, operator.sub, operator.mul)]
    ),
    max_leaves=8,
)
divisors = st.integers(-6, 9).filter(bool)
expressions = st.recursive(
    polynomials,
    lambda inner: st.one_of(
        [st.builds(binary(operation), inner, inner) for operation in (operator.add, operator.sub, maximum, minimum)]
        + [st.builds(by_constant(operation), inner, divisors) for operation in (operator.floordiv, operator.mod)]
        + [st.builds(by_constant(operator.mul), inner, st.integers(-3, 3))]
    ),
    max_leaves=5,
)
bindings = st.fixed_dictionaries({name: st.integers(0, 12) for name in NAMES})


@given(expressions, bindings)
def test_bound_expression_is_the_integer_computation(expression: Expression, sizes: dict[str, int]) -> None:
    assert bind(expression(symbol), sizes) == expression(sizes.__getitem__)


@given(expressions, expressions, bindings)
def test_division_by_expression_is_exact(left: Expression, right: Expression, sizes: dict[str, int]) -> None:
    divisor = right(sizes.__getitem__)
    assume(divisor != 0 and right(symbol) != 0)
    expected = divmod(left(sizes.__getitem__), divisor)
    assert bind(left(symbol) // right(symbol), sizes) == expected[0]
    assert bind(left(symbol) % right(symbol), sizes) == expected[1]


@given(polynomials, polynomials, polynomials)
def test_equal_polynomials_are_equal_and_hash_alike(x: Expression, y: Expression, z: Expression) -> None:
    a, b, c = x(symbol), y(symbol), z(symbol)
    for left, right in [((a + b) * c, c * b + a * c), (a - b, -(b - a)), ((a * b) * c, a * (b * c)), (a - a, 0)]:
        assert left == right
        assert hash(left) == hash(right)
        assert str(left) == str(right)


@given(polynomials, polynomials)
def test_exact_quotient_undoes_a_product(x: Expression, y: Expression) -> None:
    left, right = x(symbol), y(symbol)
    assume(right != 0)
    assert exact_quotient(left * right, right) == left
    assert (left * right) // right == left


@given(expressions, st.permutations(NAMES), bindings)
def test_replaced_symbols(expression: Expression, names: list[str], sizes: dict[str, int]) -> None:
    renamed = dict(zip(NAMES, names, strict=True))
    size = replace_symbols(expression(symbol), lambda s: symbol(renamed[s.name]))
    assert bind(size, sizes) == expression(lambda name: sizes[renamed[name]])


@given(expressions, st.integers(1, 9), bindings)
def test_ceil_divide(expression: Expression, divisor: int, sizes: dict[str, int]) -> None:
    assert bind(ceil_divide(expression(symbol), divisor), sizes) == -(-expression(sizes.__getitem__) // divisor)


@given(expressions)
def test_symbols_are_those_that_matter(expression: Expression) -> None:
    size = expression(symbol)
    bound = {s.name: 3 for s in symbols(size)}
    assert isinstance(bind(size, bound), int)
    assert isinstance(size, Dim) == bool(bound)


n, m = symbol("n"), symbol("m")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((n + 1) * 2, "2*n + 2"),
        (n - 5, "n - 5"),
        (3 - n * m, "-m*n + 3"),
        (n // 2, "n//2"),
        (-(n // 2), "-(n//2)"),
        (n // 2 * m, "m*(n//2)"),
        ((n + 1) // m, "(n + 1)//m"),
        ((n - 1) // 2, "(n + 1)//2 - 1"),
        (-n // 4, "(3*n)//4 - n"),
        (n // -2, "-n + n//2"),
        ((5 * n + 9) // 4, "(n + 1)//4 + n + 2"),
        ((2 * n + 1) // 4, "n//2"),
        (7 % n, "-(7//n)*n + 7"),
        (maximum(n, m), "max(m, n)"),
        (maximum(n - 3, 0) // 2, "max(0, n - 3)//2"),
        (symbol("time step") * 2, "2*'time step'"),
    ],
)
def test_text_and_normal_form(size: Size, text: str) -> None:
    assert str(size) == repr(size) == text


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [
        (n, 0),
        (n + 2, n),
        (n, n // 2),
        (n % 4, 0),
        (minimum(n, 5), 0),
        (5, minimum(n, 5)),
        (maximum(n - 3, 0), 0),
        (n * m + n, n),
        (maximum(n, m), m),
    ],
)
def test_maximum_is_found_where_it_is_known(larger: Size, smaller: Size) -> None:
    assert maximum(larger, smaller) == maximum(smaller, larger) == larger
    assert minimum(larger, smaller) == minimum(smaller, larger) == smaller


def test_sizes_that_may_be_negative_keep_their_maximum() -> None:
    size = maximum((n - 5) // 2, 0)
    assert [bind(size, {"n": value}) for value in (0, 5, 9)] == [0, 0, 2]


def test_numpy_integers_are_integers() -> None:
    assert np.int64(3) * n == n * np.int64(3) == 3 * n
    assert n - np.uint8(3) == n - 3
    assert (np.int32(8) * n) // np.int8(4) == 2 * n


@pytest.mark.parametrize("other", [1.5, None, np.arange(3)], ids=str)
def test_other_operands_are_refused(other: object) -> None:
    for operation in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod):
        with pytest.raises(TypeError):
            operation(n, other)


def test_a_symbolic_size_is_no_integer_and_says_what_to_do() -> None:
    with pytest.raises(ShapeError, match=r"'n \+ 1' is symbolic(.|\n)*gr\.dim_size"):
        range(n + 1)  # type: ignore[call-overload]


@pytest.mark.parametrize("divide", [lambda: n // 0, lambda: n % 0, lambda: n // (m - m)])
def test_division_by_zero_is_refused(divide: Callable[[], Size]) -> None:
    with pytest.raises(ShapeError, match="'n' is divided by zero"):
        divide()


def test_a_divisor_bound_to_zero_is_refused() -> None:
    with pytest.raises(ShapeError, match="'8' is divided by zero"):
        bind(8 // n, {"n": 0})


def test_a_size_without_a_value_is_named() -> None:
    with pytest.raises(ShapeError, match=r"the size 'm\*n \+ 1' depends on m, which has no value"):
        bind(n * m + 1, {"n": 3})


@pytest.mark.parametrize("name", ["", "?", "?0"])
def test_names_of_unnamed_sizes_are_refused(name: str) -> None:
    with pytest.raises(ShapeError, match="use None"):
        symbol(name)


def test_symbols_by_name() -> None:
    assert symbol("n") == n
    assert symbols(maximum(m, 3) * ((n + 1) // m)) == (Symbol("m"), Symbol("n"))
    assert symbols(7) == ()


def test_unnamed_sizes_differ() -> None:
    first, second = unnamed_symbol(), unnamed_symbol()
    assert first != second
    assert all(s.unnamed for s in symbols(first + second))


def test_products_do_not_overflow() -> None:
    assert product([2**40, 2**40, n]) == 2**80 * n
    assert product([]) == 1
