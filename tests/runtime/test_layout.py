"""Where results lie: what is between convolutions is never rearranged, and what is handed out is in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import graphc as gr
from graphc.function import Function
from graphc.ir.dims import symbol
from graphc.ir.graph import Value
from graphc.ir.ops.pool import Windows, max_pool
from graphc.ir.types import float32
from graphc.runtime.layout import operand_order
from graphc.runtime.views import Buffer, View, broadcast_view, memory_order, transpose_view, whole


def conv(x: Value, w: Value, padding: int = 1) -> Value:
    return gr.conv2d(x, w, padding=padding)


def pool(x: Value) -> Value:
    height, width = x.shape[2:]
    return max_pool(x, Windows((height, width), (height // 2, width // 2), (2, 2), (2, 2), (0, 0), (1, 1)))[0]


def copies(function: Function, *arrays: np.ndarray) -> list[int]:
    """Numbers of bytes that the copies of a plan write."""
    function(*arrays)
    plan = function.plan
    assert plan is not None
    return [plan.buffers[step.buffers[1]].bytes for step in plan.steps if step.name == "copy"]


def check(function: Function, inputs: Sequence[Value], outputs: Sequence[Value], *arrays: np.ndarray) -> None:
    """Compare with the evaluation of what the function was made from."""
    wanted = gr.evaluate(list(outputs), dict(zip(inputs, arrays, strict=True)))
    found = function(*arrays)
    found = found if isinstance(found, list) else [found]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(b).max(initial=0)))


def random(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


IMAGE, FIRST, SECOND, LAST = (16, 3, 12, 8), (8, 3, 3, 3), (6, 8, 3, 3), (6 * 3 * 2, 5)


def network(batch: object = 16) -> tuple[list[Value], Value]:
    """Convolution, bias, ReLU, pooling, twice; then a product with the flattened images."""
    x = gr.placeholder((batch, *IMAGE[1:]))
    inputs = [x, *map(gr.placeholder, (FIRST, (8,), SECOND, (6,), LAST))]
    _, w, b, v, c, last = inputs
    hidden = pool(gr.relu(conv(x, w) + b[:, None, None]))
    hidden = pool(gr.relu(conv(hidden, v) + c[:, None, None]))
    return inputs, gr.sum((gr.flatten(hidden, 1) @ last) ** 2)


@pytest.mark.parametrize("batch", ["batch", 16])
def test_a_training_step_copies_the_images_that_are_given_and_nothing_else(batch: object) -> None:
    inputs, loss = network(batch)
    outputs = [loss, *gr.grad(loss, inputs[1:])]
    arrays = random(IMAGE, FIRST, (8,), SECOND, (6,), LAST)
    function = gr.compile(inputs, outputs)
    assert copies(function, *arrays) == [arrays[0].nbytes]
    check(function, inputs, outputs, *arrays)


def test_what_is_computed_from_convolutions_lies_as_they_do() -> None:
    x, w = gr.placeholder(IMAGE), gr.placeholder(FIRST)
    y = conv(x, w)
    y = gr.tanh(y - gr.mean(y, axis=(0, 2, 3), keepdims=True)) * 2
    y = gr.concatenate([y[:, 1:], gr.pad(y, ((0, 0), (1, 1), (0, 0), (0, 0)))], axis=1)
    outputs = [gr.sum(conv(y, gr.placeholder((4, 17, 3, 3))), axis=(0, 2, 3))]
    v = outputs[0].node.inputs[0].node.inputs[1]
    function = gr.compile([x, w, v], outputs)
    arrays = random(IMAGE, FIRST, (4, 17, 3, 3))
    image = arrays[0].nbytes
    # Besides the images: the pieces of the concatenation and of the padding, which are written in their place.
    pieces = [size for size in copies(function, *arrays) if size != image]
    channels = image // 3
    assert sorted(pieces) == sorted([17 * channels, 17 * channels, 10 * channels, 10 * channels])
    check(function, [x, w, v], outputs, *arrays)


def test_images_that_are_computed_are_written_batch_innermost() -> None:
    x, w = gr.placeholder(IMAGE), gr.placeholder(FIRST)
    outputs = [gr.sum(conv((x - 0.5) / 0.25, w))]
    function = gr.compile([x, w], outputs)
    arrays = random(IMAGE, FIRST)
    assert copies(function, *arrays) == []
    check(function, [x, w], outputs, *arrays)


def test_one_copy_serves_all_readers() -> None:
    x, w = gr.placeholder(IMAGE), gr.placeholder(FIRST)
    outputs = [gr.sum(conv(x, w)), gr.sum(conv(x, -w, 0))]
    arrays = random(IMAGE, FIRST)
    assert len(copies(gr.compile([x, w], outputs), *arrays)) == 1


def test_one_image_is_read_where_it_lies() -> None:
    x, w = gr.placeholder((1, *IMAGE[1:])), gr.placeholder(FIRST)
    outputs = [gr.relu(conv(x, w, padding=0))]
    function = gr.compile([x, w], outputs)
    arrays = random((1, *IMAGE[1:]), FIRST)
    assert copies(function, *arrays) == []
    check(function, [x, w], outputs, *arrays)


@pytest.mark.parametrize(
    "finish",
    [
        lambda y: y,
        lambda y: gr.relu(y),
        lambda y: gr.reshape(y, (-1,)),
        lambda y: gr.softmax(y * 2, axis=1),
        lambda y: gr.cumsum(gr.exp(y), axis=3),
        lambda y: gr.take(gr.relu(y), gr.constant(np.array([1, 0])), axis=1),
        lambda y: gr.transpose(gr.tanh(y), (2, 0, 3, 1)),
        lambda y: gr.sum(y, axis=1),
        lambda y: gr.max(y, axis=(0, 2), keepdims=True),
        lambda y: gr.argmax(gr.relu(y), axis=2),
        lambda y: gr.reshape(gr.relu(y), (4, 4, 8, 48, 2)),
        lambda y: y[::2, ::-1, 1:] + y[1::2, :, :-1],
        lambda y: y + gr.constant(np.arange(8, dtype=np.float32)),
    ],
)
def test_results_are_in_order_wherever_they_come_from(finish: Callable[[Value], Value]) -> None:
    x, w = gr.placeholder(IMAGE), gr.placeholder(FIRST)
    outputs = [finish(conv(x, w)), finish(gr.relu(conv(x, w)))]
    check(gr.compile([x, w], outputs), [x, w], outputs, *random(IMAGE, FIRST))


def test_variables_are_written_in_order() -> None:
    x, w = gr.placeholder(IMAGE), gr.placeholder(FIRST)
    total = gr.variable(np.zeros((16, 8, 12, 8), np.float32))
    last = gr.variable(np.zeros((16, 8, 12, 8), np.float32))
    y = conv(x, w)
    arrays = random(IMAGE, FIRST)
    [wanted] = gr.evaluate([y], dict(zip((x, w), arrays, strict=True)))
    function = gr.compile([x, w], [], updates={total: total + gr.relu(y), last: y})
    for _ in range(2):
        function(*arrays)
    np.testing.assert_allclose(total.value, 2 * np.maximum(wanted, 0), atol=1e-4)
    np.testing.assert_allclose(last.value, wanted, atol=1e-4)


def test_results_overwrite_operands_that_lie_alike() -> None:
    x, w = gr.placeholder(IMAGE), gr.placeholder(FIRST)
    inside = gr.compile([x, w], gr.sum(gr.cumsum(gr.relu(conv(x, w)), axis=0)), disable=["fuse"])
    arrays = random(IMAGE, FIRST)
    check(inside, [x, w], [gr.sum(gr.cumsum(gr.relu(conv(x, w)), axis=0))], *arrays)
    chained = gr.compile([x, w], gr.sum(conv(gr.relu(conv(x, w)), gr.constant(np.ones(SECOND, np.float32)))))
    chained(*arrays)
    plan = chained.plan
    assert plan is not None
    [step] = [step for step in plan.steps if step.name == "maximum" or step.name == "relu"]
    assert len(set(step.buffers)) < len(step.buffers)


# --- orders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1, 2, 3, 0), (3, 2, 1, 0), (0, 2, 1, 3)])
def test_memory_order_of_dense_arrays(axes: tuple[int, ...]) -> None:
    n = symbol("n")
    view = whole(Buffer(float32, n * 30), (n, 2, 3, 5), axes)
    assert memory_order([view.strides], view.shape) == axes
    assert view.is_dense
    assert view.is_whole == (axes == (0, 1, 2, 3))


def test_memory_order_asks_the_next_operand_where_one_is_repeated() -> None:
    assert memory_order([(0, 1, 0), (1, 50, 10)], (10, 5, 5)) == (1, 2, 0)
    assert memory_order([(-1, -10)], (10, 5)) == (1, 0)
    assert memory_order([(1, 1, 1)], (4, 1, 4)) == (0, 1, 2)
    assert memory_order([(0, 0)], (4, 4)) == (0, 1)


def test_dense_is_every_item_once() -> None:
    buffer = Buffer(float32, 24)
    assert not View(buffer, (4, 6), (0, 1)).is_dense
    assert not View(buffer, (3, 6), (6, 1)).is_dense
    assert not View(buffer, (6, 4), (4, -1)).is_dense
    assert View(buffer, (1, 6, 4), (5, 1, 6)).is_dense
    assert View(buffer, (1, 6, 4), (5, 1, 6)).lies_like(View(buffer, (1, 6, 4), (0, 1, 6)))
    assert not View(buffer, (4, 6), (6, 1)).lies_like(View(buffer, (4, 6), (1, 4)))


def test_the_largest_operand_decides_and_among_equals_one_that_is_not_in_order() -> None:
    straight, turned = (whole(Buffer(float32, 24), (4, 6), axes) for axes in ((0, 1), (1, 0)))
    row = broadcast_view(whole(Buffer(float32, 4), (4, 1), (1, 0)), (4, 6))
    assert operand_order([straight, turned], 2) == (1, 0)
    assert operand_order([row, straight], 2) == (0, 1)
    assert operand_order([row, transpose_view(whole(Buffer(float32, 24), (6, 4)), (1, 0))], 2) == (1, 0)
    assert operand_order([straight], 3) is None
