from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.ir.build import apply
from graphc.ir.graph import Node
from graphc.ir.op import registry
from graphc.ir.ops.philox import STREAMS, Generator, RandomAttrs, group_size
from graphc.ir.types import dtype_of
from graphc.runtime.kernels.base import kernels
from tests.support import run_kernel

STATES = [(0, 0), (-1, 1), (2**62 + 12345, 2**40 + 7), (-(2**63), -1)]


def node_for(name: str, items: int, dtype: str, stream: int = 0) -> Node:
    return apply(registry[name], (gr.placeholder((2,), "int64"),), RandomAttrs((items,), dtype_of(dtype), stream))


def near(found: np.ndarray, expected: np.ndarray) -> None:
    """Normal numbers come from logarithms and angles, which libraries round differently."""
    assert found.dtype == expected.dtype
    tolerance = 4e-6 if found.dtype == np.float32 else 1e-14
    np.testing.assert_allclose(found, expected, tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["random_uniform", "random_normal"])
@pytest.mark.parametrize("state", STATES, ids=str)
@pytest.mark.parametrize("stream", [0, 3, STREAMS - 1])
def test_numbers_are_those_of_the_reference(name: str, dtype: str, state: tuple[int, int], stream: int) -> None:
    arrays = [np.array(state)]
    node = node_for(name, 1001, dtype, stream)
    expected = registry[name].evaluate(node.attrs, *arrays)
    found = run_kernel(node, arrays).outputs[0]
    if name == "random_uniform":
        np.testing.assert_array_equal(found, expected)
    else:
        near(found, expected)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["random_uniform", "random_normal"])
def test_neither_the_division_nor_the_length_changes_a_bit(name: str, dtype: str) -> None:
    group, arrays = group_size(dtype_of(dtype)), [np.array([3, 5])]
    whole = run_kernel(node_for(name, 8 * group, dtype), arrays).outputs[0]
    for items in (0, 1, group - 1, group, group + 1, 5 * group - 1, 8 * group):
        for parts in (1, 2, 5):
            found = run_kernel(node_for(name, items, dtype), arrays, parts=parts).outputs[0]
            np.testing.assert_array_equal(found, whole[:items])


def test_one_source_serves_all_shapes_and_streams() -> None:
    first, second = node_for("random_uniform", 10, "float32", 1), node_for("random_uniform", 99, "float32", 2)
    assert kernels["random_uniform"](first).source == kernels["random_uniform"](second).source


@pytest.mark.parametrize("name", ["random_uniform", "random_normal"])
def test_blocks_are_computed_side_by_side(name: str) -> None:
    from graphc.runtime.jit.compiler import assembly

    text = assembly(kernels[name](node_for(name, 64, "float32")).source, "kernel")
    assert "pmuludq" in text or "umull" in text  # 32 by 32 to 64 bits, of x86 and of ARM


def test_the_number_of_threads_does_not_change_the_numbers() -> None:
    before = gr.get_num_threads()
    try:
        draws = []
        for threads in (1, 2):
            gr.set_num_threads(threads)
            generator = Generator(9)
            draws.append(gr.compile([], [generator.uniform((300, 1000)), generator.normal((300, 1000))])())
    finally:
        gr.set_num_threads(before)
    for one, two in zip(*draws, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_symbolic_shape_end_to_end() -> None:
    x = gr.placeholder(("n", 3))
    draw = gr.compile([x], Generator(4).uniform(x.shape))
    for count, n in enumerate((5, 0, 100)):
        expected = registry["random_uniform"].evaluate(RandomAttrs((n, 3), gr.float32, 0), np.array([4, count]))
        np.testing.assert_array_equal(draw(np.zeros((n, 3), np.float32)), expected)
