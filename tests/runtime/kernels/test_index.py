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
from graphc.runtime.kernels.index import additions
from tests.support import KernelRun, check_kernel, placeholders_for, run_kernel, sample_cases

Array = np.ndarray
CHOICES, ADDITIONS = ("take", "gather"), ("index_add", "scatter_add")
NAMES = (*CHOICES, *ADDITIONS)
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


def run(node: Node, arrays: list[Array], parts: int) -> KernelRun:
    kernel = additions(node, in_place=False) if node.op.name in ADDITIONS else None
    return run_kernel(node, arrays, parts=parts, kernel=kernel)


def check(name: str, case: Any, dtype: str, index_dtype: str = "int64") -> None:
    """The kernel gives the reference's bits, however its range is cut."""
    arrays, axis = operands(name, case, dtype, index_dtype), case[1]
    node = node_for(name, arrays, axis)
    expected = registry[name].evaluate(node.attrs, *arrays)
    for parts in (1, 2, 7):
        done = run(node, arrays, parts)
        np.testing.assert_array_equal(done.outputs[0], expected)
        assert not done.status.any()


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
@pytest.mark.parametrize(("name", "sample"), sample_cases(*CHOICES))
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
        done = run(node_for(name, arrays, axis), arrays, parts)
        np.testing.assert_array_equal(done.outputs[0], expected)
        assert name in ADDITIONS or done.status.tolist() == [1, wrong, position]
    values = placeholders_for(arrays)
    function = gr.compile(values, apply(registry[name], values, AxisAttrs(axis)).output)
    with pytest.raises(gr.IndexFault, match=f"{name}: the index {wrong} at flat position {position}"):
        function(*arrays)


@pytest.mark.parametrize("count", [3, 400_000])
@pytest.mark.parametrize("name", ADDITIONS)
def test_variables_are_added_to_in_place_or_left_as_they_were(name: str, count: int) -> None:
    table, other = (gr.variable(np.arange(12.0).reshape(4, 3), "table") for _ in range(2))
    shape = (count,) if name == "index_add" else (count, 3)
    first, second = (gr.placeholder(shape, "int32") for _ in range(2))
    updates = gr.placeholder((count, 3), "float64")
    function_of = gr.index_add if name == "index_add" else lambda *args: gr.scatter_add(*args, axis=0)
    step = gr.compile(
        [first, second, updates],
        [],
        updates={table: function_of(table, first, updates), other: function_of(other, second, updates)},
    )
    rng = np.random.default_rng(0)
    good, more = (rng.integers(-4, 4, shape).astype(np.int32) for _ in range(2))
    amounts = rng.standard_normal((count, 3))
    bad = good.copy()
    bad[-1] = 4
    for indices in ((bad, good), (good, bad)):
        with pytest.raises(gr.IndexFault):
            step(*indices, amounts)
        for variable in (table, other):
            np.testing.assert_array_equal(variable.value, np.arange(12.0).reshape(4, 3))
    wanted = gr.evaluate([function_of(table.value, good, amounts), function_of(other.value, more, amounts)])
    step(good, more, amounts)
    np.testing.assert_array_equal(table.value, wanted[0])
    np.testing.assert_array_equal(other.value, wanted[1])
    assert step.peak_bytes == 0
    assert sorted(each.name for each in step.plan.steps) == ["check_indices"] * 2 + [name] * 2


@pytest.mark.parametrize("name", NAMES)
def test_every_index_of_an_empty_axis_is_outside(name: str) -> None:
    x = np.zeros((0, 3))
    indices = np.zeros((2, 3) if name in ("gather", "scatter_add") else 2, np.int64)
    arrays = [x, indices] if name in ("take", "gather") else [x, indices, np.ones((2, 3))]
    node = node_for(name, arrays, 0)
    done = run(node, arrays, 1)
    assert not done.outputs[0].any()
    assert name in ADDITIONS or done.status.tolist()[:2] == [1, 0]
    with pytest.raises(gr.IndexFault, match="the index 0"):
        gr.compile(list(node.inputs), node.output)(*arrays)


def test_one_source_serves_all_sizes() -> None:
    from graphc.runtime.kernels.base import kernels

    small = node_for("take", [np.zeros((4, 3)), np.zeros(2, np.int64)], 0)
    large = node_for("take", [np.zeros((9, 7, 5)), np.zeros((2, 3), np.int64)], 1)
    assert kernels["take"](small).source == kernels["take"](large).source
    assert kernels["take"](small).sizes == (2, 4, 3)


def test_what_may_fault_does_not_write_a_variable() -> None:
    state = gr.variable(np.zeros(3), "state")
    ids = gr.placeholder((3,), "int64")
    step = gr.compile([ids], [], updates={state: gr.take(np.arange(1.0, 5.0), ids, 0)})
    with pytest.raises(gr.IndexFault):
        step(np.array([0, 1, 4]))
    assert not state.value.any()
    step(np.array([0, -1, 3]))
    assert state.value.tolist() == [1, 4, 4]


def test_a_value_added_to_itself_is_no_place_for_the_sum() -> None:
    x = gr.variable(np.array([1.0, 2.0, 3.0]), "x")
    step = gr.compile([], [], updates={x: gr.index_add(x, np.array([2, 1, 0]), x)})
    step()
    assert x.value.tolist() == [4, 4, 4]


def test_zeros_are_added_to_in_place() -> None:
    ids = gr.placeholder((6,), "int64")
    table = gr.parameter(np.ones((50, 8)), "table")
    step = gr.compile([ids], gr.grad(gr.sum(gr.take(table, ids, 0) ** 2), table))
    np.testing.assert_array_equal(step(np.array([3, 3, 49, 0, 3, -1])).sum(1)[[0, 3, 49, 1]], [16, 48, 32, 0])
    assert [each.name for each in step.plan.steps].count("copy") == 1  # writes the zeros


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
