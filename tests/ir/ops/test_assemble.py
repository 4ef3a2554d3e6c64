from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import pad as torch_pad

import graphc as gr
from graphc.ir.ops.assemble import pad_axes
from tests.ir.ops.agreement import agree, numbers, same
from tests.support import check_against_torch

# --- flip, split, roll


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), ()])
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (1, 1)])
def test_flip(shape: tuple[int, ...], axis: Any) -> None:
    agree(lambda x: gr.flip(x, axis), lambda x: np.flip(x, axis), numbers(*shape))


def test_flip_of_a_scalar() -> None:
    agree(gr.flip, np.flip, numbers())


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("sections", [1, 2, np.int64(2), [1], [1, 3], [0, 2, 2], [-1], [3, 9], []])
def test_split(sections: Any, axis: int) -> None:
    agree(lambda x: gr.split(x, sections, axis), lambda x: np.split(x, sections, axis), numbers(4, 6), symbolic=False)


def test_split_of_symbolic_sizes() -> None:
    x = gr.placeholder(("n", 6), "float64")
    n = x.shape[0]
    assert [part.shape for part in gr.split(gr.reshape(x, -1), 3)] == [(n * 2,)] * 3
    a = numbers(5, 6)
    for actual, expected in zip(gr.evaluate(gr.split(x, [2, -1]), {x: a}), np.split(a, [2, -1]), strict=True):
        same(actual, expected)
    for actual, expected in zip(gr.evaluate(gr.split(x, [n // 2]), {x: a}), np.split(a, [2]), strict=True):
        same(actual, expected)


def test_split_refuses() -> None:
    x = gr.placeholder(("n", 6))
    with pytest.raises(gr.ShapeError, match="size 6 is not known to split into 4"):
        gr.split(x, 4, 1)
    with pytest.raises(gr.ShapeError, match="size n is not known to split into 2"):
        gr.split(x, 2)
    with pytest.raises(gr.ShapeError, match="at least 1"):
        gr.split(x, 0, 1)
    with pytest.raises(gr.ShapeError):
        gr.split(x, 2, 2)


@pytest.mark.parametrize("shape", [(5,), (2, 3), (0, 3), (1, 1)])
@pytest.mark.parametrize("shift", [0, 1, -1, 2, 7, -8, np.int64(1)])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_roll(shape: tuple[int, ...], shift: int, axis: int | None) -> None:
    agree(lambda x: gr.roll(x, shift, axis), lambda x: np.roll(x, shift, axis), numbers(*shape))


@pytest.mark.parametrize(("shift", "axis"), [((1, 2), (0, 1)), ((1, -1), (0, 0)), (1, (0, 1)), ((1, 2), 1), ([3], [0])])
def test_roll_of_several_axes(shift: Any, axis: Any) -> None:
    agree(lambda x: gr.roll(x, shift, axis), lambda x: np.roll(x, shift, axis), numbers(4, 5))


def test_roll_by_a_symbolic_shift() -> None:
    x, y = gr.placeholder(("n", 2), "float64"), gr.placeholder(("m",), "float64")
    result = gr.roll(x, y.shape[0], 0)
    assert result.shape == x.shape
    for size in (0, 1, 3, 4):
        a = numbers(size, 2)
        same(gr.evaluate(result + gr.sum(y) * 0, {x: a, y: numbers(5)}), np.roll(a, 5, 0))


def test_roll_refuses() -> None:
    x = gr.placeholder((2, 3))
    with pytest.raises(gr.ShapeError, match="shifts"):
        gr.roll(x, (1, 2, 3), (0, 1))
    with pytest.raises(gr.ShapeError, match="shifts"):
        gr.roll(x, 1.5, 0)  # type: ignore[arg-type]
    with pytest.raises(gr.ShapeError):
        gr.roll(x, 1, 2)


# --- pad


@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 3), (1, 1, 1)])
@pytest.mark.parametrize("width", [0, 2, np.int64(1), (1, 2), (0, 3), [(1, 2)], [(2,)]])
@pytest.mark.parametrize("value", [0.0, -1.5])
def test_pad(shape: tuple[int, ...], width: Any, value: float) -> None:
    agree(lambda x: gr.pad(x, width, value), lambda x: np.pad(x, width, constant_values=value), numbers(*shape))


def test_pad_of_each_axis() -> None:
    widths = [(1, 0), (0, 2), (3, 4)]
    agree(lambda x: gr.pad(x, widths), lambda x: np.pad(x, widths), numbers(2, 3, 4))
    agree(lambda x: gr.pad(x, ()), lambda x: x, numbers())
    agree(lambda x: gr.pad(x, 2), lambda x: x, numbers())


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float32"])
def test_pad_keeps_the_dtype(dtype: str) -> None:
    agree(lambda x: gr.pad(x, 1), lambda x: np.pad(x, 1), numbers(2, 3).astype(dtype))
    agree(lambda x: gr.pad(x, 1, 1), lambda x: np.pad(x, 1, constant_values=1), numbers(2, 3).astype(dtype))


def _cropped(x: np.ndarray, low: int, high: int) -> np.ndarray:
    kept = x[max(-low, 0) : len(x) - max(-high, 0)]
    return np.pad(kept, (max(low, 0), max(high, 0)), constant_values=7.0)


@pytest.mark.parametrize("low", [-3, -1, 0, 2])
@pytest.mark.parametrize("high", [-2, 0, 3])
def test_pad_by_negative_widths_cuts_off(low: int, high: int) -> None:
    agree(lambda x: gr.pad(x, (low, high), 7.0), lambda x: _cropped(x, low, high), numbers(5))


def test_pad_by_a_symbolic_width() -> None:
    x, y = gr.placeholder(("n",), "float64"), gr.placeholder(("m",), "float64")
    n, m = x.shape[0], y.shape[0]
    padded = gr.pad(x, (0, m - n))
    assert padded.shape == (m,)
    for count in (3, 5, 8):
        expected = np.zeros(5)
        expected[: min(count, 5)] = numbers(count)[:5]
        same(gr.evaluate(padded + y * 0, {x: numbers(count), y: numbers(5)}), expected)


@pytest.mark.parametrize(
    ("width", "value", "kind", "words"),
    [
        ([(1, 1)] * 3, 0.0, gr.ShapeError, "for an operand of 2 axes"),
        ([(1, 1, 1), (1, 1, 1)], 0.0, gr.ShapeError, "for an operand of 2 axes"),
        ([(1, 1.5), (1, 1)], 0.0, gr.ShapeError, "for an operand of 2 axes"),
        ((), 0.0, gr.ShapeError, "for an operand of 2 axes"),
        ([(-1, -2), (0, 0)], 0.0, gr.ShapeError, "cuts more items off"),
        (1, np.float64(1.0), gr.DTypeError, "float64[]"),
        (1, np.zeros(2, np.float32), gr.DTypeError, "float32[2]"),
    ],
)
def test_pad_refuses(width: Any, value: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as error:
        gr.pad(gr.placeholder((2, 3)), width, value)
    assert words in str(error.value)
    assert __file__ in str(error.value)


def _spread(x: np.ndarray, low: int, high: int, interior: int, value: float) -> np.ndarray:
    inner = len(x) + max(len(x) - 1, 0) * interior
    result = np.full(low + inner + high, value)
    result[low : low + inner : interior + 1] = x
    return result


@pytest.mark.parametrize("size", [0, 1, 2, 5])
@pytest.mark.parametrize("widths", [(0, 0, 1), (1, 2, 2), (0, 3, 0)])
def test_pad_between_items(size: int, widths: tuple[int, int, int]) -> None:
    low, high, interior = widths
    agree(
        lambda x: pad_axes(x, gr.constant(0.5, "float64"), (low,), (high,), (interior,)),
        lambda x: _spread(x, low, high, interior, 0.5),
        numbers(size),
    )


# --- concatenate, stack


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_concatenate(axis: int | None) -> None:
    parts = [numbers(2, 3, seed=seed) for seed in range(3)]
    agree(lambda *v: gr.concatenate(v, axis), lambda *v: np.concatenate(v, axis), *parts, symbolic=axis is None)
    agree(lambda v: gr.concatenate([v], axis), lambda v: np.concatenate([v], axis), parts[0])


def test_concatenate_of_different_sizes() -> None:
    parts = [numbers(2, 3), numbers(0, 3), numbers(4, 3)]
    agree(lambda *v: gr.concatenate(v), lambda *v: np.concatenate(v), *parts, symbolic=False)
    x, y = gr.placeholder(("n", 3), "float64"), gr.placeholder(("m", None), "float64")
    joined = gr.concatenate([x, y, x])
    assert joined.shape == (x.shape[0] * 2 + y.shape[0], 3)
    same(gr.evaluate(joined, {x: parts[0], y: parts[2]}), np.concatenate([parts[0], parts[2], parts[0]]))
    with pytest.raises(gr.FeedError):
        gr.evaluate(joined, {x: parts[0], y: numbers(4, 2)})


def test_concatenate_leaves_unnamed_sizes_of_its_axis_free() -> None:
    x, y = gr.placeholder((None,), "float64"), gr.placeholder((None,), "float64")
    same(gr.evaluate(gr.concatenate([x, y]), {x: numbers(2), y: numbers(5)}), np.concatenate([numbers(2), numbers(5)]))


def test_concatenate_promotes() -> None:
    a, b, c = numbers(2), numbers(3, dtype="float32"), numbers(2, dtype="int8")
    agree(lambda *v: gr.concatenate(v), lambda *v: np.concatenate(v), a, b, c, symbolic=False)
    agree(lambda *v: gr.concatenate(v), lambda *v: np.concatenate(v), b, c, symbolic=False)
    same(gr.evaluate(gr.concatenate([gr.constant(b), 2.0], None)), np.append(b, np.float32(2.0)))
    same(gr.evaluate(gr.concatenate([[1, 2], [3]])), np.array([1, 2, 3]))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stack(axis: int) -> None:
    parts = [numbers(2, 3, seed=seed) for seed in range(3)]
    agree(lambda *v: gr.stack(v, axis), lambda *v: np.stack(v, axis), *parts, symbolic=False)
    x = gr.placeholder(("n", "m"), "float64")
    same(gr.evaluate(gr.stack([x, x + 1], axis), {x: parts[0]}), np.stack([parts[0], parts[0] + 1], axis))


def test_stack_of_scalars() -> None:
    agree(lambda *v: gr.stack(v), lambda *v: np.stack(v), numbers(), numbers(seed=4))


@pytest.mark.parametrize(
    ("shapes", "axis", "words"),
    [
        ([(2, 3), (2, 4)], 0, "parts of shapes (2, 3) and (2, 4) on axis 0"),
        ([(2, 3), (3,)], 0, "parts of shapes (2, 3) and (3,)"),
        ([("n",), ("m",)], 1, "axis 1 does not exist"),
        ([("n", 2), ("m", 2)], 1, "equal sizes on all other axes"),
        ([(), ()], 0, "axis 0 does not exist"),
        ([], 0, "no values"),
    ],
)
def test_concatenate_refuses(shapes: list[Any], axis: int, words: str) -> None:
    with pytest.raises(gr.ShapeError) as error:
        gr.concatenate([gr.placeholder(shape) for shape in shapes], axis)
    assert words in str(error.value)
    assert __file__ in str(error.value)


# --- gradients

GRADIENTS: dict[str, Callable[[gr.Value], gr.Value]] = {
    "slice": lambda x: x[1:, ::2],
    "slice with gaps": lambda x: x[::3, 1::2],
    "slice backwards": lambda x: x[::-1, 4:0:-2],
    "empty slice": lambda x: gr.concatenate([x[3:], x[:1]]),
    "flip": lambda x: gr.flip(x, 1),
    "split": lambda x: gr.split(x, [1, 4], 1)[1],
    "roll": lambda x: gr.roll(x, (1, 2), (0, 1)),
    "roll flat": lambda x: gr.roll(x, 4),
    "pad": lambda x: gr.pad(x, [(1, 2), (0, 1)], 0.5),
    "pad cuts": lambda x: gr.pad(x, [(0, 2), (-1, -2)]),
    "pad between": lambda x: pad_axes(x, gr.constant(0.5, "float64"), (1, 0), (0, 2), (1, 2)),
    "concatenate": lambda x: gr.concatenate([x, x * 2, x[:1]]),
    "stack": lambda x: gr.stack([x, -x], 1),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str) -> None:
    gr.check_gradients(lambda x: GRADIENTS[name](x) ** 2, [numbers(3, 5) / 9], order=2)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_gradient_of_symbolic_sizes(name: str, size: int) -> None:
    x = gr.placeholder(("n", 5), "float64")
    fixed = gr.placeholder((size, 5), "float64")
    slope, expected = _weighted_gradient(name, x), _weighted_gradient(name, fixed)
    assert slope.shape == x.shape
    a = numbers(size, 5)
    same(gr.evaluate(slope, {x: a}), gr.evaluate(expected, {fixed: a}))


def _weighted_gradient(name: str, x: gr.Value) -> gr.Value:
    y = GRADIENTS[name](x)
    weights = gr.arange(1, y.size + 1, dtype="float64") / 7
    return gr.grad(gr.sum(gr.flatten(y) * weights), x)


def test_compiled_for_any_size() -> None:
    """One function serves all sizes, empty ones too: what it reads and writes stays inside its memory."""
    x = gr.placeholder(("n", 2), "float64")
    n = x.shape[0]
    keys = [
        slice(1, None),
        slice(-3, None),
        slice(None, None, -1),
        slice(None, None, -2),
        slice(5, 1, -2),
        slice(2, 5, 2),
        slice(-4, -1),
        slice(n // 2, None),
    ]
    built = [x[key] for key in keys]
    built += [gr.roll(x, 3, 0), gr.pad(x, [(-2, 1), (1, 0)], 0.5), gr.concatenate([x[2:], x, x[:1]]), gr.flip(x)]
    built += [pad_axes(x, gr.constant(1.0, "float64"), (1, 0), (2, 1), (2, 0))]
    slopes = [gr.grad(gr.sum(gr.sin(value)), x) for value in built]
    step = gr.compile([x], [*built, *slopes])
    for size in (6, 0, 1, 2, 3, 4, 9):
        a = numbers(size, 2)
        for found, expected in zip(step(a), gr.evaluate([*built, *slopes], {x: a}), strict=True):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_gradient_of_a_cut_of_a_symbolic_size() -> None:
    x = gr.placeholder(("n",), "float64")
    slope = gr.grad(gr.sum(gr.pad(x, (-2, 1)) * gr.pad(x, (-2, 1))), x)
    for size in range(5):
        a = numbers(size)
        same(gr.evaluate(slope, {x: a}), np.where(np.arange(size) < 2, 0.0, 2 * a))


def test_gradient_of_the_padding_value() -> None:
    gr.check_gradients(lambda x, v: gr.pad(x, [(1, 2), (-1, 3)], v) ** 2, [numbers(2, 3) / 9, np.array(0.5)], order=2)
    gr.check_gradients(lambda x, v: pad_axes(x, v, (1,), (2,), (3,)) ** 2, [numbers(4) / 9, np.array(0.5)], order=2)


def test_gradient_of_the_padding_value_does_not_read_what_it_does_not_touch() -> None:
    x, v, g = gr.placeholder((2,), "float64"), gr.placeholder((), "float64"), gr.placeholder((4,), "float64")
    slope = gr.vjp(gr.pad(x, 1, v), v, g)
    same(
        gr.evaluate(slope, {x: np.zeros(2), v: np.zeros(()), g: np.array([1.0, np.nan, np.inf, 2.0])}), np.float64(3.0)
    )


PEERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "slice": (lambda x: x[1:, 4:0:-2], lambda x: x[1:, [4, 2]]),
    "flip": (lambda x: gr.flip(x, (0, 1)), lambda x: x.flip(0, 1)),
    "split": (lambda x: gr.split(x, [1, 4], 1), lambda x: x.tensor_split([1, 4], 1)),
    "roll": (lambda x: gr.roll(x, (1, -2), (0, 1)), lambda x: x.roll((1, -2), (0, 1))),
    "roll flat": (lambda x: gr.roll(x, 4), lambda x: x.roll(4)),
    "pad": (lambda x: gr.pad(x, [(1, -2), (3, 0)], 0.5), lambda x: torch_pad(x, (3, 0, 1, -2), value=0.5)),
    "concatenate": (lambda x: gr.concatenate([x, x * x], 1), lambda x: torch.cat([x, x * x], 1)),
    "stack": (lambda x: gr.stack([x, x * x], -1), lambda x: torch.stack([x, x * x], -1)),
}


@pytest.mark.parametrize("name", PEERS)
def test_against_torch(name: str) -> None:
    check_against_torch(*PEERS[name], [numbers(4, 5) / 9])
