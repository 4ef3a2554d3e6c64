"""The order of steps: next values written in place where that is right, by copies elsewhere, after all faults."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gr


def names(function: gr.Function) -> list[str]:
    return [step.name for step in function.plan_for().steps]


def test_update_is_written_in_place() -> None:
    w = gr.parameter(np.ones(8, np.float32))
    function = gr.compile([], w.sum(), {w: w * 2.0})
    assert "copy" not in names(function)
    assert function() == 8.0
    assert function() == 16.0


def test_swap_reads_both_old_values() -> None:
    a, b = gr.variable(np.array([1.0, 2.0])), gr.variable(np.array([3.0, 4.0]))
    function = gr.compile([], [], {a: b, b: a})
    function()
    assert (a.value.tolist(), b.value.tolist()) == ([3.0, 4.0], [1.0, 2.0])
    function()
    assert (a.value.tolist(), b.value.tolist()) == ([1.0, 2.0], [3.0, 4.0])


def test_rotation_of_three_with_arithmetic() -> None:
    a, b, c = (gr.variable(np.full(3, float(i))) for i in range(3))
    function = gr.compile([], [a + 0.0, b + 0.0], {a: b + c, b: c * a + 1.0, c: a - b})
    old = [0.0, 1.0, 2.0]
    for _ in range(4):
        function()
        old = [old[1] + old[2], old[2] * old[0] + 1.0, old[0] - old[1]]
        assert [v.value[0] for v in (a, b, c)] == old


def test_transposed_self_update() -> None:
    w = gr.variable(np.arange(9.0).reshape(3, 3))
    function = gr.compile([], w[0, 1], {w: w.T})
    assert function() == 1.0
    assert function() == 3.0
    assert function() == 1.0


def test_next_value_may_be_returned_and_read_by_others() -> None:
    w = gr.variable(np.array([1.0, 2.0]))
    following = w * 10.0
    function = gr.compile([], [w, following, gr.exp(following) * 0.0 + w], {w: following})
    before, after, again = function()
    assert before.tolist() == again.tolist() == [1.0, 2.0]
    assert after.tolist() == w.value.tolist() == [10.0, 20.0]


def test_old_value_is_read_before_it_is_overwritten_by_a_product() -> None:
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    w = gr.parameter(rng.normal(size=(3, 4)))
    old = w.value
    function = gr.compile([], [gr.constant(g) @ w.T, w @ w.T], {w: w - 0.5 * (gr.constant(x).T @ gr.constant(g))})
    first, second = function()
    np.testing.assert_allclose(first, g @ old.T)
    np.testing.assert_allclose(second, old @ old.T)
    np.testing.assert_allclose(w.value, old - 0.5 * x.T @ g)


def test_input_as_next_value_is_copied() -> None:
    x = gr.placeholder((3,), "float64")
    w = gr.variable(np.zeros(3))
    function = gr.compile([x], w * 1.0, {w: x})
    given = np.array([1.0, 2.0, 3.0])
    function(given)
    given[:] = 7.0
    assert w.value.tolist() == [1.0, 2.0, 3.0]


def test_a_fault_leaves_all_variables_as_they_were() -> None:
    table = gr.parameter(np.arange(8.0).reshape(4, 2))
    counter = gr.variable(np.array(0, np.int64))
    ids = gr.placeholder(("n",), "int64", name="ids")
    rows = gr.take(table, ids, axis=0)
    loss = (rows * rows).sum()
    function = gr.compile([ids], loss, {table: table - 0.1 * gr.grad(loss, table), counter: counter + 1})
    function(np.array([0, 3]))
    before = table.value
    with pytest.raises(gr.IndexFault, match=r"index 4 at flat position 1") as caught:
        function(np.array([1, 4, 2]))
    assert "gr.take(table, ids, axis=0)" in str(caught.value)
    np.testing.assert_array_equal(table.value, before)
    assert counter.value == 1
    function(np.array([1]))
    assert counter.value == 2


def test_a_fault_found_in_a_next_value_leaves_the_variable_as_it_was() -> None:
    table = gr.variable(np.arange(4.0))
    ids = gr.placeholder(("n",), "int64", name="ids")
    following = table * 2.0
    function = gr.compile([ids], gr.take(following, ids, 0), {table: following})
    with pytest.raises(gr.IndexFault):
        function(np.array([4]))
    np.testing.assert_array_equal(table.value, np.arange(4.0))
    np.testing.assert_array_equal(function(np.array([3])), [6.0])
    np.testing.assert_array_equal(table.value, 2 * np.arange(4.0))


def test_a_chain_of_steps_runs_in_the_variable() -> None:
    """Two products and additions at indices, one after the other, and no memory but the variable's."""
    rng = np.random.default_rng(0)
    w = gr.parameter(rng.normal(size=(6, 4)))
    a, b = (gr.placeholder(shape, "float64") for shape in ((6, "k"), ("k", 4)))
    ids = gr.placeholder(("k",), "int64")
    value = gr.index_add(gr.gemm(gr.gemm(w, a, b, -0.5), a, b, 0.25, 2.0), ids, b)
    total = gr.sum(w)
    function = gr.compile([a, b, ids], total, {w: value})
    feeds = {a: rng.normal(size=(6, 3)), b: rng.normal(size=(3, 4)), ids: np.array([5, 0, 5])}
    wanted, before = gr.evaluate([value, total], feeds)
    np.testing.assert_allclose(function(*feeds.values()), before)
    np.testing.assert_allclose(w.value, wanted, 1e-13)
    assert function.plan.arena_bytes == 0
    assert sorted(step.name for step in function.plan.steps if step.name in ("gemm", "copy")) == ["gemm", "gemm"]


def test_a_chain_ends_where_something_else_reads_what_it_would_overwrite() -> None:
    rng = np.random.default_rng(0)
    w = gr.parameter(rng.normal(size=(6, 4)))
    a, b = (gr.placeholder(shape, "float64") for shape in ((6, 3), (3, 4)))
    between = gr.gemm(w, a, b, -0.5)
    value = gr.gemm(between, a, b, 2.0)
    late = a.T @ value @ b.T + gr.sum(between)
    function = gr.compile([a, b], late, {w: value})
    feeds = {a: rng.normal(size=(6, 3)), b: rng.normal(size=(3, 4))}
    wanted, expected = gr.evaluate([value, late], feeds)
    np.testing.assert_allclose(function(*feeds.values()), expected, 1e-12)
    np.testing.assert_allclose(w.value, wanted, 1e-12)


def test_variables_that_change_places_through_chains() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(2, 6, 4))
    v, w = (gr.parameter(array) for array in start)
    a, b = (gr.placeholder(shape, "float64") for shape in ((6, 3), (3, 4)))
    updates = {v: gr.gemm(gr.gemm(w, a, b), a, b, -2.0), w: gr.gemm(gr.gemm(v, a, b, 3.0), a, b)}
    function = gr.compile([a, b], [], updates)
    feeds = {a: rng.normal(size=(6, 3)), b: rng.normal(size=(3, 4))}
    wanted = gr.evaluate(list(updates.values()), feeds)
    function(*feeds.values())
    np.testing.assert_allclose(v.value, wanted[0], 1e-12)
    np.testing.assert_allclose(w.value, wanted[1], 1e-12)
