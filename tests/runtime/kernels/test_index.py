from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.build import apply
from graphc.ir.graph import Node
from graphc.ir.op import registry
from graphc.ir.ops.index import AxisAttrs
from graphc.ir.types import DTYPES
from tests.support import check_kernel, placeholders_for, run_kernel, sample_cases

Array = np.ndarray
NAMES = ("take", "gather", "index_add", "scatter_add")
NUMBERS = [dtype for dtype in DTYPES if dtype != "bool"]
# Shape, axis, shape of the indices of take and index_add, and number of indices of gather and scatter_add.
CASES = [
    ((7,), 0, (5,), 9),
    ((4, 6), 0, (3, 2), 5),
    ((4, 6), 1, (), 1),
    ((3, 5, 19), 1, (11,), 4),
    ((2, 3, 4), 2, (2, 2), 6),
    ((5, 0), 0, (3,), 3),
    ((0, 5), 1, (3,), 3),
    ((3, 4), 0, (0,), 0),
]


def operands(name: str, case: Any, dtype: str, index_dtype: str) -> list[Array]:
    shape, axis, index_shape, count = case
    rng = np.random.default_rng(0)
    if name in ("gather", "scatter_add"):
        index_shape = updates = (*shape[:axis], count, *shape[axis + 1 :])
    else:
        updates = (*shape[:axis], *index_shape, *shape[axis + 1 :])
    low = 0 if index_dtype == "uint8" else -shape[axis]
    indices = rng.integers(low, shape[axis], index_shape) if np.prod(index_shape) else np.zeros(index_shape)
    arrays = [rng.uniform(-9, 9, shape).astype(dtype), indices.astype(index_dtype)]
    return arrays if name in ("take", "gather") else [*arrays, rng.uniform(-9, 9, updates).astype(dtype)]


def node_for(name: str, arrays: list[Array], axis: int, symbolic: bool = False) -> Node:
    values = placeholders_for(arrays, symbolic)
    return apply(registry[name], values, AxisAttrs(axis))


def check(name: str, case: Any, dtype: str, index_dtype: str = "int64") -> None:
    """The kernel gives the reference's bits, however its range is cut."""
    arrays, axis = operands(name, case, dtype, index_dtype), case[1]
    node = node_for(name, arrays, axis)
    expected = registry[name].evaluate(node.attrs, *arrays)
    for parts in (1, 2, 7):
        run = run_kernel(node, arrays, parts=parts)
        np.testing.assert_array_equal(run.outputs[0], expected)
        assert not run.status.any()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_shapes(name: str, case: Any) -> None:
    check(name, case, "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["take", "gather"])
def test_dtypes(name: str, dtype: str) -> None:
    check(name, CASES[3], dtype)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("name", ["index_add", "scatter_add"])
def test_dtypes_of_sums(name: str, dtype: str) -> None:
    check(name, CASES[3], dtype)


@pytest.mark.parametrize("index_dtype", ["int8", "int16", "int32", "uint8"])
@pytest.mark.parametrize("name", NAMES)
def test_dtypes_of_indices(name: str, index_dtype: str) -> None:
    check(name, CASES[1], "float32", index_dtype)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "sample"), sample_cases(*NAMES))
def test_samples(name: str, sample: Any, dtype: str, symbolic: bool) -> None:
    check_kernel(name, sample, dtype, symbolic, parts=2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("wrong", [4, -5, 2**62, -(2**63)])
def test_an_index_outside_its_axis_is_reported_and_harmless(name: str, axis: int, wrong: int) -> None:
    x = np.arange(16.0).reshape(4, 4) + 1
    if name in ("gather", "scatter_add"):
        indices = np.tile(np.arange(4), (4, 1))
        indices = indices.T if axis == 0 else indices
        indices[1, 2] = wrong
        position = 6
    else:
        indices, position = np.array([0, 1, wrong, 3]), 2
    arrays = [x, np.ascontiguousarray(indices)]
    untouched = (
        indices != wrong if indices.ndim == 2 else np.moveaxis(np.ones((4, 4)) * (indices != wrong), 1, axis) > 0
    )
    expected = np.where(untouched, x, 0)
    if name in ("index_add", "scatter_add"):
        arrays.append(x * 10)
        expected = np.where(untouched, x * 11, x)
    for parts in (1, 3):
        run = run_kernel(node_for(name, arrays, axis), arrays, parts=parts)
        np.testing.assert_array_equal(run.outputs[0], expected)
        assert run.status.tolist() == [1, wrong, position]


@pytest.mark.parametrize("name", NAMES)
def test_every_index_of_an_empty_axis_is_outside(name: str) -> None:
    x = np.zeros((0, 3))
    indices = np.zeros((2, 3) if name in ("gather", "scatter_add") else 2, np.int64)
    arrays = [x, indices] if name in ("take", "gather") else [x, indices, np.ones((2, 3))]
    run = run_kernel(node_for(name, arrays, 0), arrays)
    assert run.status.tolist()[:2] == [1, 0]
    assert not run.outputs[0].any()


def test_one_source_serves_all_sizes() -> None:
    from graphc.runtime.kernels.base import kernels

    small = node_for("take", [np.zeros((4, 3)), np.zeros(2, np.int64)], 0)
    large = node_for("take", [np.zeros((9, 7, 5)), np.zeros((2, 3), np.int64)], 1)
    assert kernels["take"](small).source == kernels["take"](large).source
    assert kernels["take"](small).sizes == (2, 4, 3)


def test_embedding_end_to_end() -> None:
    table, ids = gr.parameter(np.random.default_rng(0).normal(size=(50, 8)), "table"), gr.placeholder(("n",), "int32")
    loss = gr.sum(gr.take(table, ids, 0) ** 2)
    slope = gr.grad(loss, table)
    step = gr.compile([ids], [loss, slope])
    for n in (0, 1, 40):
        chosen = np.random.default_rng(n).integers(-50, 50, n).astype(np.int32)
        expected = np.zeros((50, 8))
        np.add.at(expected, chosen, 2 * table.value[chosen])
        np.testing.assert_allclose(step(chosen)[1], expected, rtol=1e-13)
    with pytest.raises(gr.IndexFault, match="50"):
        step(np.array([1, 50], np.int32))
