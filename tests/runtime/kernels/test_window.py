from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.ir.graph import Node, Value
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.kernels.window import overlap_add
from graphc.runtime.views import Buffer, View, whole
from tests.support import run_kernel


def dense(value: Value) -> View:
    return whole(Buffer(value.dtype, value.size), value.shape)


def kernel_of(node: Node) -> Kernel:
    return overlap_add(node, [dense(value) for value in node.inputs], [dense(value) for value in node.outputs])


@pytest.mark.parametrize("parts", [1, 2, 5, 40])
@pytest.mark.parametrize(
    ("shape", "axes", "strides", "dilations"),
    [
        ((30, 4), (0,), (1,), (1,)),
        ((30, 4), (0,), (3,), (1,)),
        ((30, 4), (0,), (2,), (5,)),
        ((3, 12, 7, 3), (1,), (1,), (2,)),
        ((2, 3, 9, 4, 3, 3), (2, 3), (2, 1), (1, 2)),
        ((6, 2, 5, 2, 3), (2, 0), (1, 2), (3, 1)),
    ],
)
def test_parts_of_the_result_are_independent(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    parts: int,
) -> None:
    """Each part finds the windows that reach it, also those that begin in another."""
    windows = shape[len(shape) - len(axes) :]
    sizes = [
        (shape[a] - 1) * s + d * (w - 1) + 1 + (s - 1)  # with items at the end that no window reaches
        for a, s, d, w in zip(axes, strides, dilations, windows, strict=True)
    ]
    x = np.random.default_rng(7).integers(-99, 99, shape)
    value = gr.placeholder(shape, "int64")
    node = gr.overlap_add(value, sizes, axes, strides, dilations).node
    [found] = run_kernel(node, [x], parts=parts, kernel=kernel_of(node)).outputs
    np.testing.assert_array_equal(found, gr.evaluate(node.output, {value: x}))


def test_bits_do_not_depend_on_the_parts() -> None:
    x = np.random.default_rng(8).standard_normal((200, 9)).astype(np.float32)
    node = gr.overlap_add(gr.placeholder(x.shape), 208).node
    results = [run_kernel(node, [x], parts=parts, kernel=kernel_of(node)).outputs[0] for parts in (1, 3, 208)]
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()
