"""Loops and choices as they run: memory, faults, variables, threads, other functions beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.verify import verify
from graphc.runtime.jit.loader import statistics

Array = np.ndarray
RNG = np.random.default_rng(0)


@pytest.fixture
def num_threads() -> Iterator[Callable[[int], None]]:
    before = gr.get_num_threads()
    yield gr.set_num_threads
    gr.set_num_threads(before)


# --- sizes


def test_one_compilation_for_every_length_and_batch() -> None:
    x = gr.placeholder(("time", "batch", 3), "float64")
    carry, ys = gr.scan(lambda h, x: (gr.tanh(h * 0.5 + x), h), gr.zeros((x.shape[1], 3), "float64"), x)
    outputs = [carry, ys, gr.grad((ys * ys).sum() + carry.sum(), x)]
    function = gr.compile([x], outputs)
    function(np.zeros((2, 2, 3)))
    before = statistics()
    for time, batch in ((1, 1), (7, 2), (0, 3), (3, 0), (40, 5), (2, 2)):
        point = RNG.standard_normal((time, batch, 3))
        for found, wanted in zip(function(point), gr.evaluate(outputs, {x: point}), strict=True):
            np.testing.assert_allclose(found, wanted, 1e-12)
    assert statistics() == before


def test_the_arena_of_a_loop_does_not_grow_with_its_steps() -> None:
    x = gr.placeholder(("time", 100))
    carry, _ = gr.scan(lambda h, x: (gr.softmax(h + x) * x, None), gr.zeros(100), x)
    function = gr.compile([x], carry)
    assert function.plan_for(time=3).arena_bytes == function.plan_for(time=30_000).arena_bytes


def test_maxima_of_nothing_inside_a_loop() -> None:
    x = gr.placeholder(("time", "n"), "float64")
    carry, _ = gr.scan(lambda h, x: (h + gr.max(x), None), 0.0, x)
    function = gr.compile([x], carry)
    assert function(np.ones((3, 2))) == 3
    with pytest.raises(gr.ShapeError, match="max"):
        function(np.ones((3, 0)))


def stacked(reverse: bool, mix: Callable[..., Any]) -> tuple[gr.Value, list[gr.Value]]:
    """A loop with two states, of whose values ``mix`` chooses outputs: from those before and after the step."""
    x = gr.placeholder(("time", 2, 3), "float64")

    def step(state: tuple[gr.Value, gr.Value], x: gr.Value) -> Any:
        a, b = state
        after = gr.tanh(a + b * x), a * 0.5
        return after, mix(a, b, *after)

    (a, b), ys = gr.scan(step, (gr.ones((2, 3), "float64"), gr.zeros((2, 3), "float64")), x, reverse=reverse)
    return x, [a, b, *ys]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b, c, d: (c,),
        lambda a, b, c, d: (a,),
        lambda a, b, c, d: (a, b, c, d),
        lambda a, b, c, d: (d, d, a, c * d),
        lambda a, b, c, d: (b, b),
    ],
)
def test_states_that_are_stacked(reverse: bool, mix: Callable[..., Any]) -> None:
    x, outputs = stacked(reverse, mix)
    loss = sum(((y * y).sum() for y in outputs[1:]), outputs[0].sum())
    for wanted in (outputs, outputs[2:], [y * 2.0 for y in outputs], [outputs[0], gr.grad(loss, x), *outputs[2:]]):
        function = gr.compile([x], wanted)
        for time in (3, 1, 0, 8):
            point = RNG.standard_normal((time, 2, 3))
            for found, array in zip(function(point), gr.evaluate(wanted, {x: point}), strict=True):
                np.testing.assert_allclose(found, array, 1e-12, 1e-12)


def test_states_that_swap_are_stacked() -> None:
    x = gr.placeholder(("time", 3), "float64")
    start = (gr.ones(3, "float64"), gr.zeros(3, "float64"))
    state, ys = gr.scan(lambda s, x: ((s[1], s[0] + x), (s[0], s[1])), start, x)
    outputs = [*state, *(y + 1.0 for y in ys)]
    point = RNG.standard_normal((5, 3))
    for found, wanted in zip(gr.compile([x], outputs)(point), gr.evaluate(outputs, {x: point}), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_recurrent_layer_copies_nothing_in_its_loops() -> None:
    x = gr.placeholder((6, 4, 3))
    for layer in (gr.nn.LSTM(3, 5, rng=0), gr.nn.RNN(3, 5, rng=0)):
        loss = (layer(x)[0] ** 2).sum()
        function = gr.compile([x], [loss, *gr.grad(loss, layer.parameters())])
        function(np.ones((6, 4, 3), np.float32))
        inner = [step.name for outer in function.plan.steps for call in outer.calls for step in call.steps]
        assert inner == ["matmul", "fused", "fused", "matmul"]


def test_arguments_that_do_not_lie_as_expected() -> None:
    x = gr.placeholder(("time", 3, 2), "float64")
    transposed = gr.transpose(x, (0, 2, 1))
    carry, ys = gr.scan(lambda h, x: (h @ x[:, :2] + x[0, 0], h), gr.ones((2, 2), "float64"), transposed)
    function = gr.compile([x], [carry, ys])
    point = RNG.standard_normal((8, 3, 2))
    for given in (point, point[::2], np.asfortranarray(point), point[::-1], point.tolist()):
        for found, wanted in zip(function(given), gr.evaluate([carry, ys], {x: np.asarray(given)}), strict=True):
            np.testing.assert_allclose(found, wanted, 1e-12)


def test_results_are_arrays_of_their_own() -> None:
    x = gr.placeholder((3, 2), "float64")
    carry, ys = gr.scan(lambda h, x: (h + x, h), x[0], x)
    function = gr.compile([x], [carry, ys, carry, ys])
    first = function(np.ones((3, 2)))
    kept = [array.copy() for array in first]
    function(np.zeros((3, 2)))
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)


# --- variables


def test_variables_that_a_loop_reads_and_makes() -> None:
    v, u = gr.variable(np.ones(3)), gr.variable(np.ones((2, 3)))
    carry, ys = gr.scan(lambda h, x: (h * v + x, h + v), v, u)
    function = gr.compile([], [carry], {v: carry / 10.0, u: ys})
    old_v, old_u = v.value, u.value
    for _ in range(4):
        h, outputs = old_v, []
        for row in old_u:
            outputs.append(h + old_v)
            h = h * old_v + row
        (found,) = function()
        np.testing.assert_allclose(found, h, 1e-12)
        old_v, old_u = h / 10.0, np.stack(outputs)
        np.testing.assert_allclose(v.value, old_v, 1e-12)
        np.testing.assert_allclose(u.value, old_u, 1e-12)


def test_variables_whose_next_values_are_results_of_loops_and_choices() -> None:
    counter, chosen, stacked = gr.variable(0, dtype="int64"), gr.variable(np.zeros(3)), gr.variable(np.zeros((4, 3)))
    x = gr.placeholder((4, 3), "float64")
    next_chosen = gr.cond(counter % 2 == 0, lambda: chosen + x[0], lambda: chosen)
    next_stacked = gr.scan(lambda h, x: (h, h * x), chosen, stacked + 1.0)[1]
    next_counter = gr.while_loop(lambda n: n % 3 != 0, lambda n: n + 1, counter + 1)
    function = gr.compile([x], [], {counter: next_counter, chosen: next_chosen, stacked: next_stacked})
    point = RNG.standard_normal((4, 3))
    count, old, rows = 0, np.zeros(3), np.zeros((4, 3))
    for _ in range(4):
        function(point)
        count, old, rows = count + 3 - count % 3, old + point[0] if count % 2 == 0 else old, old * (rows + 1)
        assert counter.value == count
        np.testing.assert_allclose(chosen.value, old, 1e-12)
        np.testing.assert_allclose(stacked.value, rows, 1e-12)


def test_learning_in_place() -> None:
    w = gr.parameter(RNG.standard_normal((5, 5)) / 3, "w")
    x = gr.placeholder((None, 4, 5), "float64")
    carry, _ = gr.scan(lambda h, x: (gr.tanh(h @ w + x), None), gr.zeros((4, 5), "float64"), x)
    loss = gr.mean(carry * carry)
    following = w - 0.5 * gr.grad(loss, w)
    function = gr.compile([x], loss, {w: following})
    assert [step.name for step in function.plan_for(**{function._symbols[0]: 3}).steps].count("gemm") == 1
    point = RNG.standard_normal((6, 4, 5))
    losses = []
    for _ in range(5):
        wanted = gr.evaluate(following, {x: point})
        losses.append(float(function(point)))
        np.testing.assert_allclose(w.value, wanted, 1e-10)
    assert losses == sorted(losses, reverse=True)


# --- faults

GOOD = np.ones((4, 2, 2), np.int64)
BAD = GOOD.copy()
BAD[2, 1, 0] = 7


def gathering(reverse: bool, choice: bool) -> tuple[gr.Function, gr.Variable]:
    """Rows of a table, summed up in a variable by a loop in a loop, in a choice or not."""
    ids, table = gr.placeholder((4, 2, 2), "int64", "ids"), gr.placeholder((5, 3), "float64", "table")
    v = gr.variable(np.zeros(3), "v")

    def rows(k: gr.Value) -> gr.Value:
        made: gr.Value = gr.take(table, k, axis=0).sum(0)
        return made

    def inner(g: gr.Value, k: gr.Value) -> Any:
        found = gr.cond(k.sum() > -1000, lambda: rows(k), lambda: table[0]) if choice else rows(k)
        return g + found, g

    carry, ys = gr.scan(lambda h, i: gr.scan(inner, h, i, reverse=reverse), v, ids)
    return gr.compile([ids, table], [carry, ys], {v: carry}), v


@pytest.mark.parametrize("choice", [False, True], ids=["loops", "a choice in loops"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_fault_in_a_loop_in_a_loop(reverse: bool, choice: bool) -> None:
    function, v = gathering(reverse, choice)
    table = np.arange(15.0).reshape(5, 3)
    for call in range(3):
        with pytest.raises(gr.IndexFault) as info:
            function(BAD, table)
        assert "take: the index 7 at flat position 0 of its indices" in info.value.found
        assert info.value.found.endswith("in step 1 of a loop in step 2 of a loop")
        assert info.value.expected == "an index into the axis of size 5 of a value of type float64[5, 3]"
        assert info.value.location is not None
        assert info.value.location.text == "made: gr.Value = gr.take(table, k, axis=0).sum(0)"
        np.testing.assert_array_equal(v.value, 16 * call * table[1])
        function(GOOD, table)
        np.testing.assert_array_equal(v.value, 16 * (call + 1) * table[1])


def test_faults_of_a_condition_of_a_step_and_of_a_choice() -> None:
    table, i = gr.placeholder((5,), "float64"), gr.placeholder((), "int64")
    by_condition = gr.while_loop(lambda n: gr.take(table, n) < 3.5, lambda n: n + 1, i)
    by_step = gr.while_loop(lambda n: n < 4.0, lambda n: gr.take(table, n.astype("int64") + i), 0.0)
    by_choice = gr.cond(i < 6, lambda: gr.take(table, i), lambda: 0.0)
    point = np.arange(5.0) + 0.75
    for value, start, time in ((by_condition, -9, 0), (by_step, 5, 0), (by_choice, 5, None)):
        function = gr.compile([table, i], value)
        with pytest.raises(gr.IndexFault) as info:
            function(point, start)
        assert info.value.found.endswith("is out of range" + ("" if time is None else f" in step {time} of a loop"))
        assert function(point, 1) == gr.evaluate(value, {table: point, i: 1})
    function = gr.compile([table, i], by_condition)
    with pytest.raises(gr.IndexFault, match=r"the index 5 .* in step 3 of a loop"):
        function(np.zeros(5), 2)


def test_nothing_is_written_before_a_loop_that_may_find_a_fault() -> None:
    v = gr.variable(np.zeros(100))
    ids = gr.placeholder((3,), "int64")
    total, _ = gr.scan(lambda s, i: (s + gr.take(gr.constant(np.arange(5.0)), i), None), 0.0, ids)
    function = gr.compile([ids], total, {v: gr.exp(v) + 1.0})
    with pytest.raises(gr.IndexFault):
        function([0, 1, 9])
    assert not v.value.any()
    assert function([0, 1, 2]) == 3
    assert (v.value == 2).all()


def test_targets_that_are_out_of_range() -> None:
    logits, labels = gr.placeholder((None, 2, 3), "float64"), gr.placeholder((None, 2), "int64")
    loss, _ = gr.scan(lambda s, p: (s + gr.cross_entropy(*p), None), 0.0, (logits, labels))
    function = gr.compile([logits, labels], [loss, gr.grad(loss, logits)])
    point = RNG.standard_normal((4, 2, 3))
    with pytest.raises(gr.IndexFault, match=r"the index 3 at flat position 1 of its indices .* in step 2 of a loop"):
        function(point, [[0, 1], [2, 0], [1, 3], [0, 0]])
    right = np.array([[0, 1], [2, 0], [1, 2], [0, 0]])
    for found, wanted in zip(
        function(point, right), gr.evaluate([loss, gr.grad(loss, logits)], {logits: point, labels: right}), strict=True
    ):
        np.testing.assert_allclose(found, wanted, 1e-12)


# --- threads


def wide() -> tuple[gr.Function, Array, list[gr.Value], gr.Value]:
    """A loop whose step is work for the whole team."""
    w = gr.parameter((RNG.standard_normal((300, 300)) / 18).astype(np.float32))
    x = gr.placeholder(("time", 256, 300))
    carry, ys = gr.scan(lambda h, x: (gr.tanh(h @ w + x), gr.softmax(h)), gr.zeros((256, 300)), x)
    loss = (carry * carry).mean() + (ys * ys).sum()
    outputs = [loss, carry, *gr.grad(loss, [w, x])]
    return gr.compile([x], outputs), RNG.standard_normal((4, 256, 300)).astype(np.float32), outputs, x


def test_any_number_of_threads_gives_the_same_bits(num_threads: Callable[[int], None]) -> None:
    function, point, outputs, x = wide()
    found = []
    for count in (1, 2, 3):
        num_threads(count)
        found.append(function(point))
    steps = [step for outer in function.plan.steps for call in outer.calls for step in call.steps]
    assert any(step.chunk < step.extent for step in steps)
    for array, *others, wanted in zip(*found, gr.evaluate(outputs, {x: point}), strict=True):
        for other in others:
            np.testing.assert_array_equal(array, other)
        np.testing.assert_allclose(array, wanted, 1e-4, 1e-5 * np.abs(wanted).max())


def large() -> tuple[gr.Function, Array, list[gr.Value], gr.Value]:
    """A loop whose products are large."""
    w = gr.parameter((RNG.standard_normal((800, 800)) / 28).astype(np.float32))
    h = gr.placeholder((512, 800))
    carry, _ = gr.scan(lambda h, _: (gr.tanh(h @ w), None), h, length=2)
    outputs = [carry, gr.grad(carry.sum(), w)]
    return gr.compile([h], outputs), RNG.standard_normal((512, 800)).astype(np.float32), outputs, h


def test_large_products(num_threads: Callable[[int], None]) -> None:
    function, point, outputs, h = large()
    found = []
    for count in (1, 2):
        num_threads(count)
        found.append(function(point))
    for array, other, wanted in zip(*found, gr.evaluate(outputs, {h: point}), strict=True):
        np.testing.assert_array_equal(array, other)
        np.testing.assert_allclose(array, wanted, 1e-4, 1e-5 * np.abs(wanted).max())


def test_functions_with_loops_called_from_several_threads() -> None:
    (first, x, _, _), (second, y, _, _) = wide(), large()
    calls = [(first, x, first(x)), (second, y, second(y)), (first, x, first(x))]
    same: list[bool] = []

    def work(function: gr.Function, point: Array, wanted: list[Array]) -> None:
        for _ in range(5):
            same.extend((found == array).all() for found, array in zip(function(point), wanted, strict=True))

    threads = [threading.Thread(target=work, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(same) == 5 * (4 + 2 + 4)
    assert all(same)


# --- what people see


def nested() -> tuple[gr.Function, Array]:
    """All three, in each other, with a gradient."""
    w = gr.parameter(np.eye(3) / 2, "w")
    x = gr.placeholder(("time", "inner", 3), "float64", "x")

    def outer(h: gr.Value, x: gr.Value) -> Any:
        def loop() -> Any:
            count, _ = gr.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, s[1] * 2.0), (0, gr.stop_gradient(h)))
            carry, ys = gr.scan(lambda g, z: (gr.tanh(g @ w + z), g * z), h, x)
            return carry + count.astype("float64"), ys.sum(0)

        return gr.cond(h.sum() > -5.0, loop, lambda: (h, h))

    carry, ys = gr.scan(outer, gr.zeros(3, "float64"), x)
    loss = carry.sum() + ys.sum()
    return gr.compile([x], [loss], {w: w - 0.1 * gr.grad(loss, w)}, verify=True), RNG.standard_normal((3, 2, 3))


def test_the_plan_holds_the_plans_of_steps() -> None:
    function, point = nested()
    with pytest.raises(gr.GraphError, match="the sizes inner, time are not known yet"):
        str(function.plan)
    function(point)
    lines = str(function.plan).splitlines()
    depths = {(len(line) - len(line.lstrip())) for line in lines if line.lstrip().startswith("plan")}
    assert depths == {0, 8, 16, 24}
    assert any("while_loop(" in line for line in lines)


def test_sources_texts_and_profile() -> None:
    function, point = nested()
    function(point)
    sources = function.sources()
    assert {"scan", "cond", "while_loop", "matmul"} <= {name.split(": ")[1] for name in sources}
    for stage, graph in function.stages:
        text = function.to_text(stage)
        assert text.count("= scan(") >= 2
        assert text.count("while_loop(") >= 1
        assert function.to_dot(stage).count("while_loop") >= text.count("while_loop(")
        verify(graph)
    value = function.graph.variables[0].node.attrs.storage.array.copy()
    assert {"scan", "add"} <= {step.name for step in function.profile(point, repeats=2).steps}
    np.testing.assert_array_equal(function.graph.variables[0].node.attrs.storage.array, value)
    assert "scan" in function.explain()


def test_a_profile_of_bad_data_leaves_the_function_as_it_was() -> None:
    function, v = gathering(False, True)
    table = np.arange(15.0).reshape(5, 3)
    with pytest.raises(gr.IndexFault, match="in step 1 of a loop in step 2 of a loop"):
        function.profile(BAD, table)
    assert not v.value.any()
    function(GOOD, table)
    np.testing.assert_array_equal(v.value, 16 * table[1])
