"""Calls: what is accepted, what is refused and with which words, what is shared between calls, and what is not."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import graphc as gr


def doubled(shape: tuple[object, ...] = ("n", 3), dtype: str = "float32") -> gr.Function:
    x = gr.placeholder(shape, dtype, name="image")
    return gr.compile([x], x * 2)


def test_every_batch_size_by_one_compilation() -> None:
    function = doubled()
    for n in (4, 1, 0, 7, 4, 300):
        array = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
        np.testing.assert_array_equal(function(array), array * 2)
    from graphc.runtime.jit.loader import statistics

    before = statistics()
    function(np.ones((1234, 3), np.float32))
    assert statistics() == before


@pytest.mark.parametrize(
    "given",
    [
        [[1, 2, 3], [4, 5, 6]],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2],
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.ma.masked_array(np.ones((2, 3))),
        np.frombuffer(b"\0" + np.arange(6, dtype=np.float32).tobytes(), np.uint8)[1:].view(np.float32).reshape(2, 3),
        np.zeros((0, 3), np.float32),
    ],
    ids=["list", "fortran", "strided", "uint8", "big-endian", "masked", "unaligned", "empty"],
)
def test_arguments_are_converted(given: object) -> None:
    np.testing.assert_array_equal(doubled()(given), np.asarray(given, np.float32) * 2)


def test_read_only_arguments() -> None:
    array = np.ones((2, 3), np.float32)
    array.flags.writeable = False
    np.testing.assert_array_equal(doubled()(array), 2 * array)


def test_scalars() -> None:
    x = gr.placeholder((), name="x")
    function = gr.compile([x], x + 1.0)
    assert function(2) == 3.0
    assert isinstance(function(2.5), np.ndarray)
    assert function(x=4.0) == 5.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((2, 4), np.float32), ["'image' has shape (2, 4)", "shape (n, 3): 3 where it has 4", ".py"]),
        (np.zeros(3, np.float32), ["'image' has shape (3,)", "2 axes"]),
        (np.zeros((2, 3), complex), ["dtype complex128", "float32", ".astype('float32')"]),
        ("text", ["dtype"]),
        (None, ["dtype object"]),
    ],
)
def test_wrong_arguments(given: object, words: list[str]) -> None:
    with pytest.raises(gr.FeedError) as caught:
        doubled()(given)
    for word in words:
        assert word in str(caught.value)


def test_floats_are_not_cut_to_integers() -> None:
    x = gr.placeholder(("n",), "int32", name="label")
    function = gr.compile([x], x + 1)
    with pytest.raises(gr.FeedError, match=r"'label' has dtype float64"):
        function([0.5])
    with pytest.raises(gr.FeedError, match=r"numbers that int32 cannot hold"):
        function(np.array([2**40]))
    assert function([]).shape == (0,)


def test_missing_surplus_and_misspelt_arguments() -> None:
    x, y = gr.placeholder((2,), name="image"), gr.placeholder((2,), name="label")
    function = gr.compile([x, y], x + y)
    one = np.ones(2, np.float32)
    with pytest.raises(gr.FeedError, match="nothing was given for 'label'"):
        function(one)
    with pytest.raises(gr.FeedError, match="3 arguments for 2 placeholders"):
        function(one, one, one)
    with pytest.raises(gr.FeedError, match="did you mean 'label'"):
        function(one, lable=one)
    with pytest.raises(gr.FeedError, match="'image' is given twice"):
        function(one, one, image=one)
    with pytest.raises(gr.FeedError, match="symbolic value"):
        function(one, y)
    np.testing.assert_array_equal(function(label=one, image=one), 2 * one)


def test_one_name_has_one_size() -> None:
    x, y = gr.placeholder(("n", 2), name="x"), gr.placeholder(("n",), name="y")
    function = gr.compile([x, y], x.sum(1) + y)
    with pytest.raises(gr.FeedError, match="'n' to be 3, as it is in 'x'"):
        function(np.ones((3, 2)), np.ones(4))


def test_unnamed_sizes_are_checked_when_called() -> None:
    x, y = gr.placeholder((None,)), gr.placeholder((None,))
    function = gr.compile([x, y], x + y)
    np.testing.assert_array_equal(function([1, 2], [3, 4]), [4, 6])
    with pytest.raises(gr.FeedError, match=r"2 where 3 is needed|3 where 2 is needed"):
        function([1, 2], [3, 4, 5])


def test_results_are_never_overwritten() -> None:
    function = doubled((3,))
    first = function(np.ones(3, np.float32))
    second = function(np.zeros(3, np.float32))
    assert first.tolist() == [2, 2, 2]
    assert second.tolist() == [0, 0, 0]


def test_arguments_are_never_written() -> None:
    x = gr.placeholder((1000,))
    function = gr.compile([x], gr.exp(x * 2.0) + x, disable="fuse")
    array = np.ones(1000, np.float32)
    function(array)
    assert (array == 1).all()


def test_many_threads_call_one_function() -> None:
    w = gr.variable(np.zeros(50))
    x = gr.placeholder(("n", 50), "float64")
    function = gr.compile([x], (x * x).sum(1), {w: w + 1.0})
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(100):
            array = rng.normal(size=(int(rng.integers(1, 40)), 50))
            if not np.allclose(function(array), (array * array).sum(1)):
                failures.append(f"thread {seed}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (w.value == 400).all()


def test_steady_calls_allocate_nothing_but_their_results() -> None:
    x = gr.placeholder(("n", 64))
    w = gr.parameter(np.zeros((64, 64), np.float32))
    loss = (gr.tanh(x @ w) ** 2).mean()
    step = gr.compile([x], loss, {w: w - 0.1 * gr.grad(loss, w)})
    array = np.ones((500, 64), np.float32)
    for _ in range(10):
        step(array)
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(200):
            step(array)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - base < 2000
    assert peak - base < 4000  # the loss, and Python's own small objects; the step's arrays are 128,000 bytes each


def test_more_batch_sizes_than_are_kept() -> None:
    function = doubled()
    for n in [*range(1, 60), *range(1, 5)]:
        assert function(np.ones((n, 3), np.float32)).shape == (n, 3)


def test_variables_read_and_write_through_value() -> None:
    w = gr.parameter([1.0, 2.0], name="w")
    function = gr.compile([], w * 2.0, {w: w + 1.0})
    function()
    assert w.value.tolist() == [2.0, 3.0]
    w.value = [10, 20]
    assert function().tolist() == [20.0, 40.0]
    with pytest.raises(gr.ShapeError, match=r"shape \(3,\) was assigned to the variable 'w'"):
        w.value = [1, 2, 3]
    with pytest.raises(gr.DTypeError, match="complex128"):
        w.value = np.zeros(2, complex)


@pytest.mark.parametrize("reduction", [gr.max, gr.min, gr.argmax, gr.argmin])
def test_extremes_of_a_batch_without_items(reduction: Callable[..., gr.Value]) -> None:
    x = gr.placeholder(("n", 3), name="x")
    y = reduction(gr.exp(x), 0)
    function = gr.compile([x], y)
    function(np.ones((2, 3), np.float32))
    for call in (lambda: function(np.ones((0, 3), np.float32)), lambda: gr.evaluate(y, {x: np.ones((0, 3))})):
        with pytest.raises(gr.ShapeError, match=r"axis 0 of shape \(0, 3\) has no items") as caught:
            call()
        assert "y = reduction(gr.exp(x), 0)" in str(caught.value)
    assert function(np.ones((1, 3), np.float32)).shape == (3,)
    rows = gr.compile([x], reduction(x, 1))
    assert rows(np.ones((0, 3), np.float32)).shape == (0,)
