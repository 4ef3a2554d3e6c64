from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from tests.ir.ops.agreement import agree, numbers, same
from tests.support import check_against_torch

SHAPES = [(), (1,), (5,), (0,), (2, 3), (1, 3), (0, 3), (2, 1, 4), (3, 0, 2)]


# --- reshape


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((2, 3), (3, 2)),
        ((2, 3), 6),
        ((2, 3), [6]),
        ((2, 3), (-1,)),
        ((2, 3), (1, -1, 3)),
        ((2, 3), (np.int64(3), np.int64(-1))),
        ((4,), (2, 2)),
        ((), (1, 1)),
        ((1, 1), ()),
        ((), -1),
        ((0, 3), (3, 0)),
        ((0, 3), (-1, 3)),
        ((0, 3), (5, -1)),
    ],
)
def test_reshape(shape: tuple[int, ...], target: Any) -> None:
    agree(lambda x: gr.reshape(x, target), lambda x: x.reshape(target), numbers(*shape), symbolic=False)


def test_reshape_of_symbolic_sizes() -> None:
    x = gr.placeholder(("n", 6, "m"))
    n, _, m = x.shape
    assert gr.reshape(x, (n, 2, 3, -1)).shape == (n, 2, 3, m)
    assert gr.reshape(x, (-1, m)).shape == (n * 6, m)
    assert gr.reshape(x, (n * 3, -1)).shape == (n * 3, m * 2)
    assert gr.reshape(x, (n * m, 6)).shape == (n * m, 6)
    assert gr.reshape(x, ("n", -1)).shape == (n, m * 6)
    array = numbers(4, 6, 5, dtype="float32")
    same(gr.evaluate(gr.reshape(x, (n * 3, -1)), {x: array}), array.reshape(12, 10))


def test_reshape_of_an_unnamed_size_is_checked_when_it_is_known() -> None:
    x = gr.placeholder((None, 2))
    y = gr.reshape(x, (4, -1))
    same(gr.evaluate(y, {x: np.ones((6, 2), np.float32)}), np.ones((4, 3), np.float32))
    with pytest.raises(gr.FeedError):
        gr.evaluate(y, {x: np.ones((5, 2), np.float32)})
    z = gr.reshape(x, (3, 4))
    same(gr.evaluate(z, {x: np.ones((6, 2), np.float32)}), np.ones((3, 4), np.float32))
    with pytest.raises(gr.FeedError):
        gr.evaluate(z, {x: np.ones((5, 2), np.float32)})


def test_reshape_to_its_own_shape_is_the_value_itself() -> None:
    x = gr.placeholder(("n", 3))
    assert gr.reshape(x, (-1, 3)) is x
    assert gr.transpose(x, 0, 1) is x
    assert gr.broadcast_to(x, x.shape) is x


@pytest.mark.parametrize(
    ("shape", "target", "words"),
    [
        ((2, 3), (4, 2), "6 items"),
        ((2, 3), (4, -1), "-1 in (4, -1)"),
        ((2, 3), (-1, -1), "-1 stands 2 times"),
        ((0, 3), (0, -1), "the other sizes make 0"),
        (("n",), (4, -1), "has n items"),
        (("n",), (4, 4), "of n items"),
        (("n", 2), ("m", 2), "of 2*m items"),
        ((2, 3), (2, None), "holds None"),
        ((2, 3), (2, 1.5), "holds 1.5"),
        ((2, 3), (-2, -3), "holds -2"),
    ],
)
def test_reshape_refuses(shape: Any, target: Any, words: str) -> None:
    with pytest.raises(gr.ShapeError) as error:
        gr.reshape(gr.placeholder(shape), target)
    assert words in str(error.value)
    assert __file__ in str(error.value)


@pytest.mark.parametrize("shape", SHAPES)
def test_flatten_and_ravel(shape: tuple[int, ...]) -> None:
    agree(gr.flatten, lambda x: x.reshape(-1), numbers(*shape))
    agree(gr.ravel, np.ravel, numbers(*shape))


def test_flatten_of_some_axes() -> None:
    x = numbers(2, 3, 4, 5)
    agree(lambda v: gr.flatten(v, 1), lambda v: v.reshape(2, 60), x)
    agree(lambda v: gr.flatten(v, 1, 2), lambda v: v.reshape(2, 12, 5), x)
    agree(lambda v: gr.flatten(v, -2), lambda v: v.reshape(2, 3, 20), x)
    agree(lambda v: gr.flatten(v, 2, 2), lambda v: v, x)
    with pytest.raises(gr.ShapeError, match="comes after"):
        gr.flatten(gr.placeholder((2, 3, 4)), 2, 1)
    with pytest.raises(gr.ShapeError, match="start_axis 3"):
        gr.flatten(gr.placeholder((2, 3, 4)), 3)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3, (0, 1), (0, -1), (3, 1), ()])
def test_expand_dims(axis: Any) -> None:
    agree(lambda x: gr.expand_dims(x, axis), lambda x: np.expand_dims(x, axis), numbers(2, 3))


def test_expand_dims_of_a_scalar() -> None:
    agree(lambda x: gr.expand_dims(x, (0, 1)), lambda x: np.expand_dims(x, (0, 1)), numbers())


@pytest.mark.parametrize("axis", [3, -4, (0, 0)])
def test_expand_dims_refuses(axis: Any) -> None:
    with pytest.raises(gr.ShapeError):
        gr.expand_dims(gr.placeholder((2, 3)), axis)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2,), ()])
def test_squeeze(axis: Any) -> None:
    x = numbers(1, 3, 1)
    agree(lambda v: gr.squeeze(v, axis), lambda v: np.squeeze(v, axis), x, symbolic=False)


def test_squeeze_of_symbolic_sizes() -> None:
    x = gr.placeholder(("n", 1, None))
    assert gr.squeeze(x).shape == (x.shape[0], x.shape[2])
    y = gr.squeeze(x, -1)
    assert y.shape == (x.shape[0], 1)
    with pytest.raises(gr.FeedError):
        gr.evaluate(y, {x: np.ones((2, 1, 3), np.float32)})
    with pytest.raises(gr.ShapeError, match="axis 0 of shape"):
        gr.squeeze(x, 0)
    with pytest.raises(gr.ShapeError, match="has size 3"):
        gr.squeeze(gr.placeholder((1, 3)), 1)


# --- transpose


@pytest.mark.parametrize("shape", SHAPES)
def test_transpose(shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    agree(gr.transpose, np.transpose, x)
    agree(lambda v: v.T, lambda v: v.T, x)
    axes = tuple(int(a) for a in np.random.default_rng(1).permutation(len(shape)))
    agree(lambda v: gr.transpose(v, axes), lambda v: np.transpose(v, axes), x)
    agree(lambda v: gr.transpose(v, list(axes)), lambda v: np.transpose(v, axes), x)
    if shape:
        agree(lambda v: gr.transpose(v, *(a - len(shape) for a in axes)), lambda v: np.transpose(v, axes), x)
        agree(lambda v: v.transpose(*axes), lambda v: v.transpose(*axes), x)
    agree(lambda v: gr.transpose(v, None), np.transpose, x)


@pytest.mark.parametrize("axes", [(0,), (0, 0), (0, 2), (1, 0, 0)])
def test_transpose_refuses(axes: tuple[int, ...]) -> None:
    with pytest.raises(gr.ShapeError):
        gr.transpose(gr.placeholder((2, 3)), axes)


def test_swapaxes_and_moveaxis() -> None:
    x = numbers(2, 3, 4)
    for first in range(-3, 3):
        for second in range(-3, 3):
            agree(lambda v, a=first, b=second: gr.swapaxes(v, a, b), lambda v, a=first, b=second: v.swapaxes(a, b), x)
            agree(
                lambda v, a=first, b=second: gr.moveaxis(v, a, b), lambda v, a=first, b=second: np.moveaxis(v, a, b), x
            )
    agree(lambda v: gr.moveaxis(v, (0, 1), (-1, 0)), lambda v: np.moveaxis(v, (0, 1), (-1, 0)), x)
    agree(lambda v: gr.moveaxis(v, [2, 0], [0, 1]), lambda v: np.moveaxis(v, [2, 0], [0, 1]), x)


@pytest.mark.parametrize(("source", "destination"), [((0, 1), 0), ((0, 0), (0, 1)), ((0, 1), (1, 1)), (3, 0), (0, -4)])
def test_moveaxis_refuses(source: Any, destination: Any) -> None:
    with pytest.raises(gr.ShapeError):
        gr.moveaxis(gr.placeholder((2, 3, 4)), source, destination)


# --- broadcast_to, tile, repeat


@pytest.mark.parametrize(
    ("shape", "target"),
    [((3,), (2, 3)), ((2, 1), (4, 2, 3)), ((), (2, 2)), ((1, 3), (0, 3)), ((0,), (2, 0)), ((1,), (1, 1)), ((3,), 3)],
)
def test_broadcast_to(shape: tuple[int, ...], target: Any) -> None:
    agree(
        lambda x: gr.broadcast_to(x, target),
        lambda x: np.broadcast_to(x, target).copy(),
        numbers(*shape),
        symbolic=False,
    )


def test_broadcast_to_symbolic_sizes() -> None:
    x, y = gr.placeholder(("n", 1, None)), gr.placeholder(("m", "n", 4, 3))
    result = gr.broadcast_to(x, y.shape)
    assert result.shape == y.shape
    a, b = numbers(2, 1, 3, dtype="float32"), numbers(5, 2, 4, 3, dtype="float32")
    same(gr.evaluate(result + 0 * y, {x: a, y: b}), np.broadcast_to(a, b.shape) + 0 * b)


@pytest.mark.parametrize(
    ("shape", "target"), [((2,), (3,)), ((2, 3), (3,)), (("n",), ("m",)), (("n",), (3,)), ((2,), (2, 1))]
)
def test_broadcast_to_refuses(shape: Any, target: Any) -> None:
    with pytest.raises(gr.ShapeError) as error:
        gr.broadcast_to(gr.placeholder(shape), target)
    assert "does not broadcast to" in str(error.value)
    assert __file__ in str(error.value)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
@pytest.mark.parametrize("reps", [2, (2,), (2, 3), (1, 1), (2, 0), (1, 2, 1), ()])
def test_tile(shape: tuple[int, ...], reps: Any) -> None:
    agree(lambda x: gr.tile(x, reps), lambda x: np.tile(x, reps), numbers(*shape))


@pytest.mark.parametrize("repeats", [0, 1, 3])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_repeat(repeats: int, axis: int | None) -> None:
    agree(lambda x: gr.repeat(x, repeats, axis), lambda x: np.repeat(x, repeats, axis), numbers(2, 3))


def test_tile_and_repeat_by_a_symbolic_count() -> None:
    x, y = gr.placeholder((2, 3), "float64"), gr.placeholder(("n",), "float64")
    n, a = y.shape[0], numbers(2, 3)
    results = [gr.tile(x, (n, 1)), gr.repeat(x, n, 1)]
    assert [value.shape for value in results] == [(n * 2, 3), (2, n * 3)]
    got = gr.evaluate([value + gr.sum(y) * 0 for value in results], {x: a, y: numbers(4)})
    same(got[0], np.tile(a, (4, 1)))
    same(got[1], np.repeat(a, 4, 1))


def test_repeat_refuses() -> None:
    x = gr.placeholder((2, 3))
    with pytest.raises(gr.DTypeError, match=r"gr\.take"):
        gr.repeat(x, [1, 2], 0)  # type: ignore[arg-type]
    with pytest.raises(gr.ShapeError):
        gr.repeat(x, -1, 0)
    with pytest.raises(gr.ShapeError):
        gr.tile(x, (-1, 2))


# --- gradients

GRADIENTS: dict[str, Callable[[gr.Value], gr.Value]] = {
    "reshape": lambda x: gr.reshape(x, (3, -1)),
    "flatten": lambda x: gr.flatten(x, 1),
    "transpose": lambda x: gr.transpose(x, 1, 2, 0),
    "moveaxis": lambda x: gr.moveaxis(x, 0, -1),
    "expand_dims": lambda x: gr.expand_dims(x, (0, -1)),
    "squeeze": gr.squeeze,
    "broadcast_to": lambda x: gr.broadcast_to(x, (5, 2, 3, 4)),
    "broadcast_to, new axes": lambda x: gr.broadcast_to(x, (5, 2, 3, 1)),
    "tile": lambda x: gr.tile(x, (2, 1, 3)),
    "repeat": lambda x: gr.repeat(x, 3, 2),
    "repeat flat": lambda x: gr.repeat(x, 2),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str) -> None:
    gr.check_gradients(lambda x: GRADIENTS[name](x) ** 2, [numbers(2, 3, 1) / 9], order=2)


PEERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "reshape": (lambda x: gr.reshape(x, (-1, 2)), lambda x: x.reshape(-1, 2)),
    "flatten": (lambda x: gr.flatten(x, 1), lambda x: x.flatten(1)),
    "transpose": (lambda x: gr.transpose(x, 2, 0, 1), lambda x: x.permute(2, 0, 1)),
    "moveaxis": (lambda x: gr.moveaxis(x, (0, 1), (2, 0)), lambda x: x.movedim((0, 1), (2, 0))),
    "broadcast_to": (lambda x: gr.broadcast_to(x, (2, 4, 3, 2)), lambda x: x.expand(2, 4, 3, 2)),
    "tile": (lambda x: gr.tile(x, (2, 1, 3)), lambda x: x.repeat(2, 1, 3)),
    "repeat": (lambda x: gr.repeat(x, 3, 1), lambda x: x.repeat_interleave(3, 1)),
}


@pytest.mark.parametrize("name", PEERS)
def test_against_torch(name: str) -> None:
    build, torch_build = PEERS[name]
    check_against_torch(lambda x: gr.exp(build(x)), lambda x: torch_build(x).exp(), [numbers(4, 3, 2) / 9])
