from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.op import Array
from graphc.runtime import epochs
from tests.support import calls_made

EXAMPLES = 23


def data(examples: int = EXAMPLES) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((examples, 3)).astype(np.float32), rng.integers(0, 4, examples)


def classifier(**options: Any) -> tuple[gr.Function, list[Any]]:
    """A training step with momentum and dropout: state beside the parameters, and random numbers."""
    rng = np.random.default_rng(0)
    x = gr.placeholder(("batch", 3), name="x")
    t = gr.placeholder("batch", "int64", name="t")
    w = gr.parameter(rng.standard_normal((3, 4)).astype(np.float32), name="w")
    noise = gr.random.Generator(7)
    logits = noise.dropout(x, 0.25) @ w
    loss = gr.cross_entropy(logits, t)
    optimizer = gr.optim.SGD(0.1, momentum=0.9)
    step = gr.compile([x, t], [loss, gr.train.accuracy(logits, t)], optimizer.updates(loss, [w]), **options)
    return step, [w, noise.state, *optimizer.named_variables().values()]


def called(step: gr.Function, arrays: tuple[Array, ...], batch_size: int, order: Array) -> list[Array]:
    """The results of calls, stacked."""
    starts = range(0, len(order), batch_size)
    made = [step(*(array[order[start : start + batch_size]] for array in arrays)) for start in starts]
    return [np.array(column) for column in zip(*made, strict=True)]


def check_same(made: list[Array], wanted: list[Array]) -> None:
    for array, other in zip(made, wanted, strict=True):
        assert array.dtype == other.dtype
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("options", [{}, {"check_numerics": True}])
@pytest.mark.parametrize("batch_size", [1, 4, EXAMPLES, 40])
@pytest.mark.parametrize("shuffle", [None, 3, np.arange(EXAMPLES)[::-2], np.array([4, 4, 0], np.uint8)])
def test_steps_give_the_bits_of_calls(shuffle: Any, batch_size: int, options: dict[str, Any]) -> None:
    arrays = data()
    order = np.arange(EXAMPLES) if shuffle is None else np.asarray(shuffle)
    if isinstance(shuffle, int):
        order = np.random.default_rng(shuffle).permutation(EXAMPLES)
    step, variables = classifier(**options)
    other, others = classifier()
    for _ in range(2):
        check_same(
            step.run_epoch(*arrays, batch_size=batch_size, shuffle=shuffle), called(other, arrays, batch_size, order)
        )
    check_same([each.value for each in variables], [each.value for each in others])


def test_the_order_of_a_generator() -> None:
    arrays = data()
    step, _ = classifier()
    other, _ = classifier()
    rng, same = np.random.default_rng(8), np.random.default_rng(8)
    for _ in range(2):
        made = step.run_epoch(*arrays, batch_size=5, shuffle=rng)
        check_same(made, called(other, arrays, 5, same.permutation(EXAMPLES)))


def test_a_last_batch_that_is_left_out() -> None:
    arrays = data()
    step, _ = classifier()
    other, _ = classifier()
    made = step.run_epoch(*arrays, batch_size=5, drop_last=True)
    check_same(made, called(other, arrays, 5, np.arange(20)))


def test_arrays_by_name_and_results_of_any_shape() -> None:
    x = gr.placeholder(("batch", 2), "float64", name="x")
    y = gr.placeholder("batch", "float64", name="y")
    function = gr.compile([x, y], [x * y[:, None], (x.sum() > 0), x.sum(axis=0)])
    a, b = np.arange(12.0).reshape(6, 2) - 5, np.arange(6.0)
    products, positive, sums = function.run_epoch(a, y=b, batch_size=2)
    np.testing.assert_array_equal(products, (a * b[:, None]).reshape(3, 2, 2))
    np.testing.assert_array_equal(positive, [False, True, True])
    assert positive.dtype == np.bool_
    np.testing.assert_array_equal(sums, a.reshape(3, 2, 2).sum(axis=1))
    single = gr.compile([x], x.sum())
    np.testing.assert_array_equal(single.run_epoch(a, batch_size=3), [a[:3].sum(), a[3:].sum()])
    assert gr.compile([x], []).run_epoch(a) == []


def test_an_array_without_axes_is_given_to_every_step() -> None:
    x, rate = gr.placeholder("batch"), gr.placeholder((), "float64")
    total = gr.variable(np.float64(0), name="total")
    function = gr.compile([x, rate], x.sum() * rate, {total: total + rate})
    made = function.run_epoch(np.arange(6, dtype=np.float32), 0.5, batch_size=2, shuffle=[5, 4, 3, 2, 1, 0])
    np.testing.assert_array_equal(made, [4.5, 2.5, 0.5])
    assert total.value == 1.5


def every_other(array: Array) -> Array:
    return np.repeat(array, 2, axis=0)[::2]


def embedded(array: Array) -> Array:
    """The same numbers within larger arrays, with gaps along all axes."""
    big = np.zeros([2 * size + 1 for size in array.shape], array.dtype)
    place = tuple(slice(1, None, 2) for _ in array.shape)
    big[place] = array
    return big[place]


def unaligned(array: Array) -> Array:
    records = np.zeros(len(array), [("gap", np.int8), ("item", array.dtype, array.shape[1:])])
    records["item"] = array
    return records["item"]


LAYOUTS: list[Callable[[Array], Array]] = [
    every_other,
    embedded,
    unaligned,
    np.asfortranarray,
    lambda array: array[::-1].copy()[::-1],
    lambda array: array[..., ::-1].copy()[..., ::-1],
    lambda array: array.swapaxes(1, 2).copy().swapaxes(1, 2),
    lambda array: array.astype(array.dtype.newbyteorder()),
]


@pytest.mark.parametrize("shuffle", [None, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_any_layout(layout: Callable[[Array], Array], shuffle: int | None) -> None:
    x = gr.placeholder(("batch", 2, 3, 2), "int32")
    function = gr.compile([x], x * 2)
    array = np.random.default_rng(0).integers(-99, 99, (8, 2, 3, 2)).astype(np.int32)
    given = layout(array)
    np.testing.assert_array_equal(given, array)
    made = function.run_epoch(given, batch_size=4, shuffle=shuffle)
    order = np.arange(8) if shuffle is None else np.random.default_rng(shuffle).permutation(8)
    np.testing.assert_array_equal(made.reshape(array.shape), 2 * array[order])


@pytest.mark.parametrize("wanted", ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize(
    "found", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
)
def test_dtypes_are_converted_as_for_calls(found: str, wanted: str) -> None:
    x = gr.placeholder("batch", wanted, name="numbers")
    function = gr.compile([x], x + gr.constant(0, wanted) if wanted != "bool" else ~x)
    array = np.array([0, 1, 127, 3, 100, 5], found)
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        with pytest.raises(gr.FeedError, match=f"'numbers' has dtype {found}"):
            function.run_epoch(array, batch_size=2)
        return
    np.testing.assert_array_equal(function.run_epoch(array, batch_size=2).ravel(), function(array))
    shuffled = function.run_epoch(array, batch_size=3, shuffle=0)
    np.testing.assert_array_equal(shuffled.ravel(), function(array)[np.random.default_rng(0).permutation(6)])


@pytest.mark.parametrize(
    ("found", "wanted", "wrong"),
    [
        ("int64", "int8", 128),
        ("int32", "int16", -40000),
        ("uint8", "int8", 200),
        ("uint16", "int16", 65535),
        ("uint32", "int32", 2**32 - 1),
        ("int64", "int32", 2**32),
    ],
)
def test_numbers_that_a_dtype_cannot_hold(found: str, wanted: str, wrong: int) -> None:
    x = gr.placeholder(("batch", 2), wanted, name="numbers")
    total = gr.variable(np.zeros(2, np.int64), name="total")
    function = gr.compile([x], x.sum(), {total: total + gr.cast(x, "int64").sum(axis=0)})
    array = np.ones((10, 2), found)
    array[7, 1] = wrong
    order = [0, 1, 2, 3, 8, 7, 4, 5]
    with pytest.raises(
        gr.FeedError, match=rf"'numbers' has numbers that {wanted} cannot hold, in row 7, in step 3 of 4"
    ):
        function.run_epoch(array, batch_size=2, shuffle=order)
    assert total.value.tolist() == [4, 4]
    epoch = function.epoch(array, batch_size=2, shuffle=order)
    with pytest.raises(gr.FeedError, match="a wider dtype; variables are as they were after 2 steps") as caught:
        epoch.run()
    assert caught.value.location is not None
    assert caught.value.location.filename == __file__
    assert epoch.finished == 2
    array[7, 1] = 1
    epoch.run()
    assert total.value.tolist() == [12, 12]


def test_uint64_that_int64_cannot_hold() -> None:
    x = gr.placeholder("batch", "int64", name="numbers")
    with pytest.raises(gr.FeedError, match="int64 cannot hold"):
        gr.compile([x], x.sum()).run_epoch(np.array([1, 2**63], np.uint64))


def test_memory_mapped_arrays(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.save(tmp_path / "array.npy", array)
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    x = gr.placeholder(("batch", 3))
    function = gr.compile([x], x.sum())
    for shuffle in (None, 2):
        wanted = function.run_epoch(array, batch_size=8, shuffle=shuffle)
        np.testing.assert_array_equal(function.run_epoch(mapped, batch_size=8, shuffle=shuffle), wanted)


def test_rows_that_several_threads_gather() -> None:
    array = np.random.default_rng(0).standard_normal((64, 40_000)).astype(np.float32)
    x = gr.placeholder(("batch", 40_000))
    function = gr.compile([x], [x.sum(axis=1), x[:, -1]])
    order = np.random.default_rng(1).permutation(64)
    before = gr.get_num_threads()
    made = []
    try:
        for threads in (1, 2, 3):
            gr.set_num_threads(threads)
            made.append(function.run_epoch(array, batch_size=16, shuffle=order))
    finally:
        gr.set_num_threads(before)
    np.testing.assert_array_equal(made[0][1].ravel(), array[order, -1])
    check_same(made[1], made[0])
    check_same(made[2], made[0])


def test_rows_without_items() -> None:
    x, y = gr.placeholder(("batch", 0)), gr.placeholder("batch")
    made = gr.compile([x, y], x.sum() + y.sum()).run_epoch(
        np.ones((6, 0)), np.arange(6), batch_size=2, shuffle=[0, 1, 2, 5]
    )
    np.testing.assert_array_equal(made, [1, 7])


def test_products_of_blas_and_loops_in_a_step() -> None:
    rng = np.random.default_rng(0)
    array = rng.standard_normal((6, 512, 512)).astype(np.float32)
    x = gr.placeholder(("batch", 512, 512))
    w = gr.parameter(rng.standard_normal((512, 512)).astype(np.float32) / 23)
    carry, _ = gr.scan(lambda state, item: (state * 0.5 + (item @ w).sum(axis=0), []), gr.zeros(512), x)
    loss = (carry * carry).mean()
    updates = gr.optim.SGD(0.01).updates(loss, [w])
    function = gr.compile([x], loss, updates)
    start = w.value
    made = function.run_epoch(array, batch_size=2)
    after, w.value = w.value, start
    np.testing.assert_array_equal(made, [function(array[i : i + 2]) for i in (0, 2, 4)])
    np.testing.assert_array_equal(w.value, after)


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"check_numerics": True}])
def test_an_index_outside_its_axis_tells_step_and_row(options: dict[str, Any]) -> None:
    tokens = gr.placeholder(("batch", 3), "int64", name="tokens")
    table = gr.parameter(np.zeros((5, 2), np.float32), name="table")
    loss = (gr.take(table, tokens, axis=0) - 1.0).sum()
    step = gr.compile([tokens], loss, {table: table + 1.0}, **options)
    array = np.zeros((20, 3), np.int32 if options else np.int64)
    array[13, 2] = 9
    order = np.random.default_rng(4).permutation(20)
    wrong = int(np.flatnonzero(order == 13)[0]) // 4
    epoch = step.epoch(array, batch_size=4, shuffle=order)
    row = "" if options else ", in row 13 of 'tokens'"
    with pytest.raises(gr.IndexFault, match=rf"take: the index 9 .*{row}, in step {wrong + 1} of 5\n") as caught:
        epoch.run()
    assert f"after {wrong} steps" in caught.value.remedy
    assert epoch.finished == wrong
    np.testing.assert_array_equal(table.value, np.full((5, 2), wrong))
    np.testing.assert_array_equal(epoch.results[0][:wrong], [24 * (k - 1) for k in range(wrong)])
    array[13, 2] = 0
    epoch.run()
    np.testing.assert_array_equal(epoch.results[0], [24.0 * (k - 1) for k in range(5)])
    np.testing.assert_array_equal(step(array[:4]), 24.0 * 4)


def test_a_label_outside_its_classes_in_the_last_batch() -> None:
    images, labels = data()
    labels[21] = -7
    step, variables = classifier()
    with pytest.raises(gr.IndexFault, match=r"in row 21 of 't', in step 6 of 6"):
        step.run_epoch(images, labels, batch_size=4)
    other, others = classifier()
    called(other, (images, labels), 4, np.arange(20))
    check_same([each.value for each in variables], [each.value for each in others])


def test_a_fault_within_a_loop() -> None:
    x = gr.placeholder(("batch", 4), "int64", name="x")
    table = gr.constant(np.arange(3.0))
    _, ys = gr.scan(lambda state, item: (state, [gr.take(table, item)]), gr.zeros(()), gr.transpose(x))
    step = gr.compile([x], ys[0].sum())
    array = np.ones((9, 4), np.int64)
    array[5, 2] = 3
    with pytest.raises(gr.IndexFault, match=r"in step 2 of a loop, in step 3 of 5"):
        step.run_epoch(array, batch_size=2)


def test_numbers_that_are_not_finite() -> None:
    x = gr.placeholder("batch", name="x")
    best = gr.variable(np.float32(1), name="best")
    step = gr.compile([x], gr.log(x).sum(), {best: best + x.sum()}, check_numerics=True)
    array = np.array([1, 1, 1, 1, 1, 0, 1, 1], np.float32)
    with pytest.raises(gr.NumericsError, match=r", in step 3 of 4") as caught:
        step.run_epoch(array, batch_size=2)
    assert caught.value.culprit is not None
    assert caught.value.culprit.op == "log"
    assert caught.value.remedy.endswith("; variables are as they were after 2 steps")
    assert best.value == 5


def test_arrays_that_do_not_fit() -> None:
    images, labels = data()
    step, variables = classifier()
    before = [variable.value for variable in variables]
    with pytest.raises(gr.FeedError, match=r"arrays with 22 and 23 rows were given.*'x': \(23, 3\), 't': \(22,\)"):
        step.run_epoch(images, labels[:-1])
    with pytest.raises(gr.FeedError, match="no rows"):
        step.run_epoch(0.5, 1)
    with pytest.raises(gr.FeedError, match=r"'x' has shape \(5, 2\)"):
        step.run_epoch(images[:, :2], labels, batch_size=5)
    with pytest.raises(gr.FeedError, match="nothing was given for 't'"):
        step.run_epoch(images)
    with pytest.raises(gr.FeedError, match="there is no placeholder 'labels'"):
        step.run_epoch(images, labels=labels)
    with pytest.raises(gr.FeedError, match="'t' has dtype float64"):
        step.run_epoch(images, labels + 0.5)
    with pytest.raises(gr.FeedError, match="NumPy makes no array"):
        step.run_epoch([[1.0], [1.0, 2.0]], labels)
    with pytest.raises(gr.FeedError, match="batch_size=0"):
        step.run_epoch(images, labels, batch_size=0)
    with pytest.raises(gr.FeedError, match="0 examples make no batch of 32"):
        step.run_epoch(images[:0], labels[:0])
    with pytest.raises(gr.FeedError, match=r"23 examples make no batch of 24.*\n.*\n.*drop_last=False"):
        step.run_epoch(images, labels, batch_size=24, drop_last=True)
    with pytest.raises(gr.FeedError, match="row numbers from -1 to 2"):
        step.run_epoch(images, labels, shuffle=[2, -1])
    with pytest.raises(gr.FeedError, match="row numbers from 0 to 23"):
        step.run_epoch(images, labels, shuffle=[0, 23])
    for wrong in (True, 0.5, [0.5], [[1]], "yes"):
        with pytest.raises(gr.FeedError, match="a seed"):
            step.run_epoch(images, labels, shuffle=wrong)
    check_same([variable.value for variable in variables], before)


def test_what_is_wrong_with_the_last_batch_is_found_before_the_first_step() -> None:
    x = gr.placeholder((4,), name="x")
    total = gr.variable(np.float32(0), name="total")
    fixed = gr.compile([x], x.sum(), {total: total + x.sum()})
    with pytest.raises(gr.FeedError, match=r"'x' has shape \(2,\)"):
        fixed.run_epoch(np.ones(10), batch_size=4)
    assert total.value == 0
    fixed.run_epoch(np.ones(10), batch_size=4, drop_last=True)
    assert total.value == 8
    y = gr.placeholder("batch")
    with pytest.raises(gr.ShapeError, match="of 4 and of the last one of 2 have different shapes"):
        gr.compile([y], y * 2).run_epoch(np.ones(10), batch_size=4)


# --- piece by piece ---------------------------------------------------------------------------------------------------


def test_steps_piece_by_piece() -> None:
    arrays = data()
    step, variables = classifier()
    other, others = classifier()
    epoch = step.epoch(*arrays, batch_size=4, shuffle=6)
    assert (epoch.steps, epoch.finished) == (6, 0)
    assert [epoch.advance(1), epoch.advance(2)] == [1, 3]
    step(arrays[0][:9], arrays[1][:9])
    assert epoch.advance(1) == 4
    epoch.run()
    assert epoch.advance() == 6
    order = np.random.default_rng(6).permutation(EXAMPLES)
    first = called(other, arrays, 4, order[:12])
    other(arrays[0][:9], arrays[1][:9])
    rest = called(other, arrays, 4, order[12:])
    check_same(epoch.results, [np.concatenate(parts) for parts in zip(first, rest, strict=True)])
    check_same([each.value for each in variables], [each.value for each in others])


def test_beginning_anew() -> None:
    arrays = data()
    step, _ = classifier()
    other, _ = classifier()
    epoch = step.epoch(*arrays, batch_size=4)
    check_same(epoch.run(), called(other, arrays, 4, np.arange(EXAMPLES)))
    kept = [array.copy() for array in epoch.results]
    old = epoch.results
    order = np.random.default_rng(2).permutation(EXAMPLES)
    epoch.restart(order, finished=2)
    assert epoch.finished == 2
    epoch.run()
    check_same([array[2:] for array in epoch.results], called(other, arrays, 4, order[8:]))
    check_same(old, kept)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_arrays_that_change_between_epochs(dtype: Any) -> None:
    x = gr.placeholder("batch")
    array = np.ones(6, dtype)
    epoch = gr.compile([x], x.sum()).epoch(array, batch_size=3)
    assert epoch.run()[0].tolist() == [3, 3]
    array[4] = 5
    epoch.restart()
    assert epoch.run()[0].tolist() == [3, 7]


def test_memory_that_grows_between_steps() -> None:
    x = gr.placeholder(("batch", 50))
    w = gr.parameter(np.eye(50, dtype=np.float32))
    step = gr.compile([x], (gr.tanh(x @ w) @ w).sum(), {w: w * 1.5})
    array = np.ones((12, 50), np.float32)
    epoch = step.epoch(array, batch_size=3, shuffle=1)
    epoch.advance(2)
    step(np.ones((500, 50)))
    epoch.run()
    wanted = [array[:3].sum() * np.tanh(1.5**k) * 1.5**k for k in (0, 1, 3, 4)]
    np.testing.assert_allclose(epoch.results[0], wanted, rtol=1e-5)


def test_ctrl_c_between_steps() -> None:
    x = gr.placeholder("batch", "float64")
    count = gr.variable(np.int64(0), name="count")
    step = gr.compile([x], x.sum(), {count: count + 1})
    steps = 10_000_000
    epoch = step.epoch(np.broadcast_to(np.zeros(1), steps), batch_size=1, shuffle=np.broadcast_to(np.int64(0), steps))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def press() -> None:
        while not epoch.finished:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        epoch.run()
    presser.join()
    assert 0 < epoch.finished < steps
    assert count.value == epoch.finished
    finished = epoch.finished
    assert epoch.advance(3) == finished + 3
    assert count.value == finished + 3


def test_calls_of_other_threads_have_their_turn() -> None:
    x = gr.placeholder("batch")
    step = gr.compile([x], x.sum())
    epoch = step.epoch(np.ones(50_000, np.float32), batch_size=5, shuffle=0)
    answers: list[Array] = []
    caller = threading.Thread(target=lambda: answers.extend(step(np.ones(3)) for _ in range(20)))
    caller.start()
    while caller.is_alive():
        epoch.restart()
        assert (epoch.run()[0] == 5).all()
    caller.join()
    assert answers == [3.0] * 20


def test_a_native_run_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "_FIRST_TICKS", 1)
    x = gr.placeholder("batch")
    epoch = gr.compile([x], x.sum()).epoch(np.ones(300), batch_size=1)
    assert epoch.advance() == 1
    finished = [epoch.finished]
    while finished[-1] < 300:
        finished.append(epoch.advance())
    assert epoch.results[0].tolist() == [1] * 300


def test_steps_take_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "_FIRST_TICKS", 1 << 62)
    x = gr.placeholder("batch")
    step = gr.compile([x], x.sum())

    def calls(steps: int) -> int:
        epoch = step.epoch(np.ones(steps), batch_size=1, shuffle=0)
        return calls_made(epoch.run)

    calls(10)
    assert calls(5000) == calls(10)
