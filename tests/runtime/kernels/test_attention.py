"""The kernels of attention around the sizes of their strips and blocks, against the evaluation of the operations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

import graphc as gr
from graphc.ir.build import apply
from graphc.ir.graph import Node
from graphc.ir.interpret import evaluate_node
from graphc.ir.ops.attend import ATTENTION, ATTENTION_GRAD, AttentionAttrs
from graphc.runtime.kernels.base import Kernel, view_kernels
from graphc.runtime.views import Buffer, whole
from tests.support import placeholders_for, run_kernel

RNG = np.random.default_rng(0)
# Queries and keys: parts of a strip, whole strips, a block of 96 and what is beyond.
LENGTHS = [(1, 1), (3, 20), (16, 16), (17, 95), (96, 97), (130, 33), (33, 200)]


def points(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def node_for(
    arrays: Sequence[np.ndarray], causal: bool, mask: Sequence[np.ndarray] = (), gradient: bool = False
) -> Node:
    """A node of either operation, on open leading axes."""
    values = placeholders_for([*arrays, *mask])
    return apply(ATTENTION_GRAD if gradient else ATTENTION, values, AttentionAttrs(causal))


def operands(queries: int, keys: int, depth: int, width: int, lead: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    shapes = (queries, depth), (keys, depth), (keys, width)
    return [*(points(*lead, *shape).astype(dtype) for shape in shapes), np.array(0.3, dtype)]


def gradient_operands(arrays: Sequence[np.ndarray], node: Node) -> list[np.ndarray]:
    """q, k, v, scale, log_sum, delta and g."""
    out, log_sum = evaluate_node(node, arrays, {})
    g = points(*out.shape).astype(out.dtype)
    return [*arrays[:4], log_sum, np.sum(g * out, -1), g]


def compare(node: Node, arrays: Sequence[np.ndarray]) -> list[bytes]:
    """Run a kernel, in one part and in several, against the evaluation; its results as bytes."""
    kernel = kernel_of(node)
    runs = [run_kernel(node, arrays, parts=parts, kernel=kernel).outputs for parts in (1, 3)]
    for once, cut, wanted in zip(*runs, evaluate_node(node, arrays, {}), strict=True):
        tolerance = 3e-5 if wanted.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(once, wanted, tolerance, tolerance)
        assert once.tobytes() == cut.tobytes()
    return [output.tobytes() for output in runs[0]]


def kernel_of(node: Node) -> Kernel:
    inputs, outputs = (
        [whole(Buffer(value.dtype, value.size), value.shape) for value in values]
        for values in (node.inputs, node.outputs)
    )
    return view_kernels[node.op.name](node, inputs, outputs)


@pytest.mark.parametrize("lead", [(2,), (3, 6)], ids=["few", "many"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lengths_around_strips_and_blocks(dtype: str, causal: bool, lead: tuple[int, ...]) -> None:
    for queries, keys in LENGTHS:
        arrays = operands(queries, keys, 20, 9, lead, dtype)
        node = node_for(arrays, causal)
        compare(node, arrays)
        more = gradient_operands(arrays, node)
        compare(node_for(more, causal, gradient=True), more)


@pytest.mark.parametrize("depth", [0, 1, 7, 16, 32, 33])
@pytest.mark.parametrize("width", [0, 5, 16, 40])
def test_sizes_of_rows(depth: int, width: int) -> None:
    for lead in ((2,), (17,)):
        arrays = operands(10, 11, depth, width, lead, "float32")
        node = node_for(arrays, True)
        compare(node, arrays)
        more = gradient_operands(arrays, node)
        compare(node_for(more, True, gradient=True), more)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(40, 110), (1, 110), (40, 1), (2, 1, 1, 110), (3, 40, 110)], ids=str)
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_masks(kind: str, shape: tuple[int, ...], causal: bool) -> None:
    for lead in ((2, 3), (2, 3, 3)):
        allowed = RNG.uniform(size=shape if len(lead) == 2 else shape[-2:]) < 0.6
        allowed[..., 5 % allowed.shape[-2], :] = False
        mask = allowed if kind == "bool" else np.where(allowed, points(*allowed.shape), -np.inf).astype(np.float32)
        arrays = [*operands(40, 110, 8, 8, lead, "float32"), mask]
        node = node_for(arrays, causal)
        compare(node, arrays)
        more = [*gradient_operands(arrays, node), mask]
        compare(node_for(more, causal, gradient=True), more)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    for shape in ((1, 1, 300, 16), (4, 8, 70, 16)):
        values = [gr.placeholder(shape) for _ in range(4)]
        result = gr.attention(*values[:3], causal=True)
        function = gr.compile(values, [result, *gr.vjp(result, values[:3], values[3])])
        arrays = [points(*shape).astype(np.float32) for _ in values]
        assert max(-(-step.extent // step.chunk) for step in function.plan_for().steps) > 1
        threads = gr.get_num_threads()
        try:
            runs = []
            for count in (1, 2, 3):
                gr.set_num_threads(count)
                runs.append([output.tobytes() for output in function(*arrays)])
        finally:
            gr.set_num_threads(threads)
        assert runs[0] == runs[1] == runs[2]


def test_operands_of_any_strides() -> None:
    shape = (2, 3, 20, 8)
    orders = [(0, 1, 2, 3), (0, 2, 1, 3), (1, 3, 2, 0), (3, 2, 1, 0)]
    for orders_of in itertools.islice(itertools.permutations(orders), 0, 24, 5):
        values = [gr.placeholder([shape[axis] for axis in order]) for order in orders_of]
        straight = [gr.transpose(x, np.argsort(order).tolist()) for x, order in zip(values, orders_of, strict=True)]
        result = gr.attention(*straight[:3], causal=True)
        outputs = [result, *gr.vjp(result, straight[:3], straight[3])]
        arrays = [points(*value.shape).astype(np.float32) for value in values]
        wanted = gr.evaluate(outputs, dict(zip(values, arrays, strict=True)))
        for found, expected in zip(gr.compile(values, outputs)(*arrays), wanted, strict=True):
            np.testing.assert_allclose(found, expected, 1e-5, 1e-5)
