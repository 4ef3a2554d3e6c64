"""The kernels of pooling on operands and results of several layouts, against their evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import graphc as gr
from graphc.ir.binding import bind_sizes
from graphc.ir.build import apply
from graphc.ir.graph import Node, Value
from graphc.ir.interpret import evaluate_node
from graphc.ir.op import registry
from graphc.ir.ops.pool import Bins, PoolAttrs, Windows, sample_windows
from graphc.runtime.kernels.base import Kernel, view_kernels
from graphc.runtime.views import Buffer, View, whole
from tests.support import run_kernel

# Orders of the axes in memory, the outermost first: of operands, and of results.
LAYOUTS = {
    "dense": ((0, 1, 2, 3), (0, 1, 2, 3)),
    "batch innermost": ((1, 2, 3, 0), (1, 2, 3, 0)),
    "channels innermost to transposed": ((0, 2, 3, 1), (0, 1, 3, 2)),
}
SIZES = (9, 11)
GEOMETRIES: dict[str, PoolAttrs] = {
    "whole": sample_windows(SIZES, (2, 3)),
    "padded": sample_windows(SIZES, (3, 2), (2, 1), (1, 1)),
    "gaps": sample_windows(SIZES, (3, 3), (1, 2), (1, 0), (3, 2)),
    "large": sample_windows(SIZES, (7, 8), (2, 2), (3, 4)),
    "cut at the end": Windows(SIZES, (5, 4), (2, 3), (2, 3), (0, 0), (1, 1)),
    "bins": Bins(SIZES, (4, 13)),
}
NAMES = ["max_pool", "max_pool_grad", "max_pool_pick", "sum_pool", "sum_pool_grad"]


def kernel_of(node: Node, operands: Sequence[int], results: Sequence[int]) -> Kernel:
    def views(values: Sequence[Value], order: Sequence[int]) -> list[View]:
        return [whole(Buffer(value.dtype, value.size), value.shape, order) for value in values]

    return view_kernels[node.op.name](node, views(node.inputs, operands), views(node.outputs, results))


def arrays_for(name: str, attrs: PoolAttrs, lead: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    """A number, or a cotangent, for each item, with ties; and the places of maxima where the operation takes them."""
    x = np.random.default_rng(4).integers(-9, 9, (*lead, *attrs.inputs)).astype(dtype)
    values, found = registry["max_pool"].evaluate(attrs, x)
    return {"max_pool_grad": [values + 1, found], "sum_pool_grad": [values], "max_pool_pick": [x, found]}.get(name, [x])


def stored(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(order))


def read(memory: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The array whose axes lie in this order in memory."""
    return memory.reshape([memory.shape[axis] for axis in order]).transpose(np.argsort(order))


CASES = [(name, geometry) for name in NAMES for geometry in GEOMETRIES if name != "max_pool_pick" or geometry == "gaps"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_every_layout(name: str, geometry: str, layout: str) -> None:
    attrs, (operands, results) = GEOMETRIES[geometry], LAYOUTS[layout]
    arrays = arrays_for(name, attrs, (10, 3), "float32")
    node = apply(registry[name], [gr.placeholder(array.shape, array.dtype) for array in arrays], attrs)
    kernel = kernel_of(node, operands, results)
    wanted = evaluate_node(node, arrays, {})
    for parts in (1, 4):
        run = run_kernel(node, [stored(array, operands) for array in arrays], parts=parts, kernel=kernel)
        for memory, array in zip(run.outputs, wanted, strict=True):
            np.testing.assert_array_equal(read(memory, results), array)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 2, 3, 0)])
@pytest.mark.parametrize("batch", [0, 1, 17])
@pytest.mark.parametrize("name", NAMES)
def test_one_kernel_for_all_batches(name: str, batch: int, order: tuple[int, ...]) -> None:
    attrs = GEOMETRIES["padded"]
    arrays = arrays_for(name, attrs, (batch, 2), "float64")
    values = [gr.placeholder(("batch", *array.shape[1:]), array.dtype) for array in arrays]
    node = apply(registry[name], values, attrs)
    sizes = bind_sizes(zip(values, (array.shape for array in arrays), strict=True))
    run = run_kernel(node, [stored(a, order) for a in arrays], sizes, 2, kernel_of(node, order, order))
    for memory, array in zip(run.outputs, evaluate_node(node, arrays, sizes), strict=True):
        np.testing.assert_array_equal(read(memory, order), array)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 2, 3, 0)])
@pytest.mark.parametrize("name", ["sum_pool", "sum_pool_grad"])
def test_bits_do_not_depend_on_the_parts(name: str, order: tuple[int, ...]) -> None:
    attrs = sample_windows((20, 30), (3, 3), (1, 1), (1, 1))
    shape = (16, 5, *(attrs.inputs if name == "sum_pool" else attrs.outputs))
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    node = apply(registry[name], [gr.placeholder(shape)], attrs)
    kernel = kernel_of(node, order, order)
    results = {run_kernel(node, [stored(x, order)], None, parts, kernel).outputs[0].tobytes() for parts in (1, 3, 80)}
    assert len(results) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("width", range(2, 46))
def test_rows_of_every_length(width: int, padding: int, dtype: str) -> None:
    x = gr.placeholder(("n", 2, 5, width), dtype)
    array = np.random.default_rng(width).integers(-99, 99, (3, 2, 5, width)).astype(dtype)
    array[1, 1, ::2, -1] = np.nan
    for stride in (1, 2, 3):
        y = gr.max_pool2d(x, 2, stride, padding)
        results = [y, gr.vjp(y, x, gr.stop_gradient(y) * 2)]
        for values in (results, [y], [gr.avg_pool2d(x, 2, stride, padding)]):
            for found, wanted in zip(gr.compile([x], values)(array), gr.evaluate(values, {x: array}), strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_sizes_do_not_enter_the_source() -> None:
    texts = set()
    for size in (20, 33):
        x = gr.placeholder((4, 3, size, size + 7))
        texts.add(tuple(gr.compile([x], gr.grad(gr.max_pool2d(x, 3, 2, 1).sum(), x)).sources().values()))
    assert len(texts) == 1


def test_strided_operands_with_gaps() -> None:
    x = gr.placeholder((3, 6, 12, 20), "float64")
    array = np.random.default_rng(6).normal(size=(3, 6, 12, 20))
    for view, pool in (
        (x[:, 1::2, ::-1, 3:17:2], gr.max_pool2d),
        (gr.broadcast_to(x[:1, ::2], (3, 3, 12, 20)), gr.avg_pool2d),
    ):
        y = pool(view, 3, 2, 1)
        results = [y, gr.vjp(y, x, gr.stop_gradient(y[:, ::-1]))]
        for found, wanted in zip(gr.compile([x], results)(array), gr.evaluate(results, {x: array}), strict=True):
            np.testing.assert_allclose(found, wanted, 1e-12, 1e-12)
