from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gr
from graphc.ir.dims import bind
from graphc.ir.ops.bounds import resolve_slice

BOUND = st.none() | st.integers(-7, 7)
SLICE = st.builds(slice, BOUND, BOUND, st.none() | st.integers(-4, 4).filter(bool))


def _items(start: int, length: int, step: int) -> list[int]:
    return [start + step * position for position in range(length)]


@given(SLICE, st.integers(0, 6))
def test_bounds_are_those_of_python(key: slice, size: int) -> None:
    expected = list(range(size))[key]
    start, length, step = resolve_slice(key, size)
    assert _items(start, length, step) == expected
    # The same slice of an axis whose size is not known, once it is.
    symbol = gr.placeholder(("n",)).shape[0]
    start, length, step = resolve_slice(key, symbol)
    assert _items(bind(start, {"n": size}), bind(length, {"n": size}), step) == expected


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.sampled_from([1, 2, -1]))
def test_bounds_that_are_symbols(first: int, last: int, size: int, step: int) -> None:
    a, b, n = (gr.placeholder((name,)).shape[0] for name in "abn")
    sizes = {"a": first, "b": last, "n": size}
    for key, numeric in [
        (slice(a, b, step), slice(first, last, step)),
        (slice(a, n, step), slice(first, size, step)),
        (slice(-a - 1, b, step), slice(-first - 1, last, step)),
        (slice(a, -b - 1, step), slice(first, -last - 1, step)),
    ]:
        start, length, _ = resolve_slice(key, n)
        assert _items(bind(start, sizes), bind(length, sizes), step) == list(range(size))[numeric]


def test_equal_lengths_have_one_expression() -> None:
    x = gr.placeholder(("n", 3))
    n = x.shape[0]
    assert x[1:].shape == x[:-1].shape == x[1:n].shape == x[: n - 1].shape
    assert x[2:].shape == x[1:-1].shape
    assert x[::2].shape == x[::-2].shape == ((n + 1) // 2, 3)
    assert x[::-1].shape == (n, 3)
    assert x[-3:].shape == x[:3].shape
    assert (x[1:] - x[:-1]).shape == x[1:].shape


@pytest.mark.parametrize(
    ("key", "kind", "words"),
    [
        (slice(None, None, 0), gr.ShapeError, "step is 0"),
        (slice(1.5, None), gr.DTypeError, "start is 1.5"),
        (slice(None, "a"), gr.DTypeError, "stop is 'a'"),
        (slice(None, None, 1.0), gr.DTypeError, "step is 1.0"),
        (slice(gr.constant(1), None), gr.DTypeError, "gr.take"),
        (slice(None, None, gr.placeholder(("n",)).shape[0]), gr.DTypeError, "step is n"),
    ],
)
def test_bounds_refuse(key: slice, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as error:
        resolve_slice(key, 5)
    assert words in str(error.value)
    assert __file__ in str(error.value)
