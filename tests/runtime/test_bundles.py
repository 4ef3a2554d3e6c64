"""Bundles: which steps run side by side, and that neither values nor faults show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import graphc as gr
from graphc.runtime.bundles import bundled

RNG = np.random.default_rng(0)


@pytest.fixture
def num_threads() -> Iterator[Callable[[int], None]]:
    before = gr.get_num_threads()
    yield gr.set_num_threads
    gr.set_num_threads(before)


def bundles(function: gr.Function) -> list[list[str]]:
    """The names of the steps that run as one."""
    machine = function._executor._current
    assert machine is not None
    names = [step.name for step in machine.plan.steps]
    ends = [*machine.bundled.firsts[1:], len(names)]
    found = [names[first:end] for first, end in zip(machine.bundled.firsts, ends, strict=True)]
    assert sum(map(len, found)) == len(names)
    return [each for each in found if len(each) > 1]


def point(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_products_that_do_not_depend_on_each_other_run_as_one() -> None:
    x, v, w = gr.placeholder(("n", 128)), gr.placeholder((128, 128)), gr.placeholder((128, 256))
    function = gr.compile([x, v, w], [x @ v, x @ w])
    arguments = point(200, 128), point(128, 128), point(128, 256)
    first, second = function(*arguments)
    assert bundles(function) == [["matmul", "matmul"]]
    np.testing.assert_allclose(first, arguments[0] @ arguments[1], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(second, arguments[0] @ arguments[2], rtol=1e-3, atol=1e-3)


def test_a_product_waits_for_its_operand() -> None:
    x, w = gr.placeholder(("n", 128)), gr.placeholder((128, 128))
    function = gr.compile([x, w], x @ w @ w)
    function(point(200, 128), point(128, 128))
    assert bundles(function) == []


def test_what_is_written_in_place_waits_for_those_who_read_it() -> None:
    x, g = gr.placeholder(("n", 128)), gr.placeholder(("n", 128))
    w = gr.parameter(point(128, 128))
    function = gr.compile([x, g], g @ w, {w: w - 0.1 * (g.T @ x)})
    old, a, b = w.value, point(256, 128), point(256, 128)
    found = function(a, b)
    assert [step.name for step in function.plan.steps] == ["matmul", "gemm"]
    assert bundles(function) == []
    np.testing.assert_allclose(found, b @ old, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(w.value, old - 0.1 * (b.T @ a), rtol=1e-3, atol=1e-3)


def test_memory_that_was_given_away_is_not_shared_in_time() -> None:
    """A chain beside others whose arrays take the place of those that it is done with."""
    x, w = gr.placeholder((128, 128)), gr.placeholder((128, 128))
    chains = []
    for number in range(4):
        y = x + float(number)
        for _ in range(3):
            y = gr.tanh(y @ w)
        chains.append(y.sum(0))
    function = gr.compile([x, w], chains)
    a, b = point(128, 128), point(128, 128) / 11
    for got, wanted in zip(function(a, b), gr.evaluate(chains, {x: a, w: b}), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_small_steps_stay_on_one_thread() -> None:
    x, v, w = gr.placeholder((4, 4)), gr.placeholder((4, 4)), gr.placeholder((4, 4))
    function = gr.compile([x, v, w], [x @ v, x @ w])
    function(point(4, 4), point(4, 4), point(4, 4))
    assert bundles(function) == []


@pytest.mark.parametrize("place", [0, 1])
def test_a_fault_is_found_behind_and_before_bundles(place: int) -> None:
    x, w, ids = gr.placeholder(("n", 128)), gr.placeholder((128, 128)), gr.placeholder((3,), "int64")
    a, b = x @ w, w @ w
    picked = gr.take(a if place else w, ids, axis=0)
    function = gr.compile([x, w, ids], [a, b, picked])
    good = function(point(256, 128), point(128, 128), np.array([0, 1, 2]))
    assert len(good) == 3
    with pytest.raises(gr.IndexFault, match=r"999.*") as caught:
        function(point(256, 128), point(128, 128), np.array([0, 999, 2]))
    assert caught.value.location is not None
    assert caught.value.location.text.startswith("picked = gr.take(")


def test_bits_do_not_depend_on_threads(num_threads: Callable[[int], None]) -> None:
    x = gr.placeholder(("n", 96))
    weights = [gr.placeholder((96, 64)) for _ in range(3)]
    outputs = [gr.exp(x @ w * 0.1).sum(0) for w in weights]
    function = gr.compile([x, *weights], outputs)
    arguments = [point(300, 96), *(point(96, 64) for _ in weights)]
    found = []
    for count in (1, 2, 3):
        num_threads(count)
        found.append([array.tobytes() for array in function(*arguments)])
    assert found[0] == found[1] == found[2]


def test_arguments_of_a_loop_may_be_one_memory() -> None:
    """State, operands and results of a called program are kept in order."""
    w = gr.placeholder((128, 128))
    h = gr.placeholder((128, 128))

    def step(state: gr.Value, _: object) -> tuple[gr.Value, gr.Value]:
        following = gr.tanh(state @ w) * 0.5
        return following, state @ state

    carry, ys = gr.scan(step, h, None, length=5)
    function = gr.compile([w, h], [carry, ys])
    a, b = point(128, 128) / 11, point(128, 128) / 11
    for got, wanted in zip(function(a, b), gr.evaluate([carry, ys], {w: a, h: b}), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_program_without_steps() -> None:
    x = gr.placeholder((3,))
    function = gr.compile([x], [])
    function(np.zeros(3, np.float32))
    machine = function._executor._current
    assert machine is not None
    made = bundled(machine.rows, machine.plan, machine.program, is_called=False)
    assert made.rows.shape == (0, 4)
