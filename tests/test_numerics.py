"""The first number that is not finite: planted in many places, and reported at exactly that operation and line."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.culprit import ArrayStatistics
from graphc.errors import NumericsError
from graphc.ir.ops.fused import FUSED
from graphc.runtime.executor import Executor
from graphc.runtime.numerics import find_culprit, is_finite, numerics_error

NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Planted:
    """A function that is to fail, on which arguments, and what is to be told."""

    inputs: Sequence[gr.Value]
    output: gr.Value
    arguments: Sequence[Any]
    op: str
    line: str
    phase: str = "forward"
    index: tuple[int, ...] | None = None
    words: Sequence[str] = ()
    updates: Mapping[gr.Variable, gr.Value] = field(default_factory=dict)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def division_of_zero_by_zero() -> Planted:
    x, y = gr.placeholder(("n", 3), name="x"), gr.placeholder(("n", 3), name="y")
    shifted = x - 1.0
    ratio = shifted / y
    loss = gr.sum(gr.tanh(ratio) * 2.0)
    a, b = 3 * ones(2, 3), ones(2, 3)
    a[1, 2], b[1, 2] = 1, 0
    words = [
        "divide(0, 0) = nan",
        "1 NaN, the first nan at [1, 2]",
        "'y': float32[2, 3], min 0, max 1, mean 0.8333",
    ]
    return Planted([x, y], loss, [a, b], "divide", "ratio = shifted / y", index=(1, 2), words=words)


def logarithm_of_a_negative_number() -> Planted:
    x = gr.placeholder((4,), name="x")
    with gr.scope("encoder"):
        level = gr.log(x)
    power = gr.exp(level * 0.5) + 1.0
    words = ["scope encoder", "log(-2) = nan"]
    return Planted([x], power, [[1, 2, -2, 3]], "log", "level = gr.log(x)", index=(2,), words=words)


def difference_of_infinities() -> Planted:
    x = gr.placeholder((3,), name="x")
    low = gr.where(x > 0, x, -INF)
    gap = low - gr.min(low)
    words = ["subtract(-inf, -inf) = nan", "operand 0, where: float32[3], min 1, max 2, mean 1.5, 0 NaN, 1 infinite"]
    return Planted([x], gap, [[1, -1, 2]], "subtract", "gap = low - gr.min(low)", index=(1,), words=words)


def overflow_in_exp() -> Planted:
    x = gr.placeholder(("n",), name="x")
    power = gr.exp(x * 10.0)
    share = power / gr.sum(power * 0.5)
    return Planted([x], share, [[1, 2, 90]], "exp", "power = gr.exp(x * 10.0)", index=(2,), words=["exp(900) = inf"])


def backward_of_a_masked_root() -> Planted:
    x = gr.placeholder((3,), name="x")
    w = gr.parameter(np.array([1, 0, 4], np.float32), "w")
    root = gr.sqrt(w)
    loss = gr.sum(gr.where(w > 0, root, 0.0) * x)
    updates = {w: w - 0.1 * gr.grad(loss, w)}
    words = ["backward graph", "the next value of 'w' is not finite"]
    return Planted([x], loss, [[1, 1, 1]], "divide", "root = gr.sqrt(w)", "backward", (1,), words, updates)


def optimizer_update() -> Planted:
    x = gr.placeholder(("n", 2), name="x")
    w = gr.parameter(ones(2, 1), "w")
    loss = gr.mean((x @ w) ** 2)
    gradient = gr.grad(loss, w)
    scaled = gradient / gr.abs(gradient)
    updates = {w: w - 0.1 * scaled}
    words = ["divide(0, 0) = nan", "the next value of 'w' is not finite"]
    point = np.array([[1, 0], [2, 0]])
    line = "scaled = gradient / gr.abs(gradient)"
    return Planted([x], loss, [point], "divide", line, index=(1, 0), words=words, updates=updates)


def step_of_a_loop() -> Planted:
    xs = gr.placeholder(("t", 2), name="xs")

    def step(state: gr.Value, x: gr.Value) -> tuple[gr.Value, gr.Value]:
        inverse = 1.0 / x
        return state * 0.5 + inverse, state

    last, _ = gr.scan(step, gr.zeros(2), xs)
    point = ones(5, 2)
    point[3, 1] = 0
    words = ["in step 3 of the loop at", "divide(1, 0) = inf"]
    return Planted([xs], gr.sum(last), [point], "divide", "inverse = 1.0 / x", index=(1,), words=words)


def convolution() -> Planted:
    image = gr.placeholder(("n", 2, 5, 5), name="image")
    weight = gr.parameter(np.full((3, 2, 3, 3), 1e30, np.float32), "weight")
    features = gr.conv2d(image, weight)
    loss = gr.mean(gr.relu(features) * 1e-30)
    point = ones(2, 2, 5, 5)
    point[1, 0, 4, 4] = 1e10
    words = ["3 infinite, the first inf at [1, 0, 2, 2]", "'weight': float32[3, 2, 3, 3], min 1e+30"]
    return Planted([image], loss, [point], "conv", "features = gr.conv2d(image, weight)", words=words)


def softmax_of_a_row_that_is_masked_wholly() -> Planted:
    scores = gr.placeholder((2, 3), name="scores")
    masked = gr.where(scores > 0, scores, -INF)
    weights = gr.softmax(masked)
    point = np.array([[1, -1, 2], [-1, -1, -1]])
    words = ["3 NaN, the first nan at [1, 0]", "0 NaN, 4 infinite"]
    return Planted([scores], weights, [point], "softmax", "weights = gr.softmax(masked)", index=(1, 0), words=words)


def normalization_by_no_variance() -> Planted:
    x = gr.placeholder(("n", 4), name="x")
    centered = x - gr.mean(x, -1, keepdims=True)
    variance = gr.mean(centered * centered, -1, keepdims=True)
    normal = centered / gr.sqrt(variance)
    point = np.arange(12).reshape(3, 4)
    point[1] = 5
    line = "normal = centered / gr.sqrt(variance)"
    return Planted([x], gr.tanh(normal), [point], "divide", line, index=(1, 0), words=["4 NaN"])


def loss_of_a_label_without_probability() -> Planted:
    p = gr.placeholder(("n", 3), name="p")
    t = gr.placeholder(("n", 3), name="t")
    entropy = -gr.sum(t * gr.log(p), -1)
    loss = gr.mean(entropy)
    point = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    labels = np.array([[1, 0, 0], [0, 1, 0]])
    line = "entropy = -gr.sum(t * gr.log(p), -1)"
    return Planted([p, t], loss, [point, labels], "log", line, index=(0, 2), words=["log(0) = -inf"])


def branch_of_a_choice() -> Planted:
    x = gr.placeholder((2,), name="x")

    def yes() -> gr.Value:
        return gr.rsqrt(x - 1.0)

    chosen = gr.cond(gr.sum(x) > 0, yes, lambda: x)
    words = ["in the true graph of the cond at", "rsqrt(0) = inf"]
    return Planted([x], chosen * 2.0, [[1, 3]], "rsqrt", "return gr.rsqrt(x - 1.0)", index=(0,), words=words)


def loop_in_a_loop_from_the_end() -> Planted:
    xs = gr.placeholder((4, 3), name="xs")

    def inner(state: gr.Value, x: gr.Value) -> tuple[gr.Value, None]:
        return state + gr.log(x), None

    def outer(state: gr.Value, row: gr.Value) -> tuple[gr.Value, None]:
        return gr.scan(inner, state, row)[0], None

    total, _ = gr.scan(outer, 0.0, xs, reverse=True)
    point = ones(4, 3)
    point[1, 2] = -1
    words = ["in step 1 of the loop at", "in step 2 of the loop at", "log(-1) = nan"]
    return Planted([xs], total, [point], "log", "return state + gr.log(x), None", index=(), words=words)


def while_loop() -> Planted:
    x = gr.placeholder((), name="x")
    grown = gr.while_loop(lambda s: s < 1e33, lambda s: s * s, x)
    words = ["in step 5 of the loop's body at", "multiply(1e+32, 1e+32) = inf"]
    return Planted([x], grown, [10.0], "multiply", "grown = gr.while_loop", words=words)


PLANTS: list[Callable[[], Planted]] = [
    division_of_zero_by_zero,
    logarithm_of_a_negative_number,
    difference_of_infinities,
    overflow_in_exp,
    backward_of_a_masked_root,
    optimizer_update,
    step_of_a_loop,
    convolution,
    softmax_of_a_row_that_is_masked_wholly,
    normalization_by_no_variance,
    loss_of_a_label_without_probability,
    branch_of_a_choice,
    loop_in_a_loop_from_the_end,
    while_loop,
]


@pytest.mark.parametrize("disable", [(), ("fuse", "fold_updates")], ids=["fused", "not fused"])
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_the_first_operation_is_named(plant: Callable[[], Planted], disable: tuple[str, ...]) -> None:
    planted = plant()
    function = gr.compile(planted.inputs, planted.output, planted.updates, check_numerics=True, disable=disable)
    before = [variable.value for variable in planted.updates]
    with pytest.raises(NumericsError) as caught:
        function(*planted.arguments)
    error = caught.value
    culprit = error.culprit
    assert culprit is not None
    assert (culprit.op, culprit.phase) == (planted.op, planted.phase)
    assert error.location is culprit.location
    assert error.location is not None
    assert error.location.function in (plant.__name__, "step", "yes", "inner", "<lambda>")
    assert planted.line in error.location.text
    if planted.index is not None:
        assert culprit.index == planted.index
    for word in planted.words:
        assert word in str(error)
    for variable, value in zip(planted.updates, before, strict=True):
        np.testing.assert_array_equal(variable.value, value)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_without_the_check_nothing_is_raised(plant: Callable[[], Planted]) -> None:
    planted = plant()
    function = gr.compile(planted.inputs, planted.output, planted.updates)
    assert type(function._executor) is Executor
    results = [function(*planted.arguments), *(variable.value for variable in planted.updates)]
    assert not all(map(is_finite, results))


def test_some_plants_stand_in_fused_groups() -> None:
    for plant, op in ((division_of_zero_by_zero, "divide"), (optimizer_update, "divide"), (overflow_in_exp, "exp")):
        planted = plant()
        function = gr.compile(planted.inputs, planted.output, planted.updates, check_numerics=True)
        groups = [node for node in function.graph.nodes if node.op is FUSED]
        assert any(member.op.name == op for node in groups for member in node.attrs.body.nodes)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_inputs_and_variables_are_named_as_such(bad: float) -> None:
    x = gr.placeholder((3,), name="image")
    w = gr.parameter(ones(3), "weight")
    function = gr.compile([x], gr.sum(gr.tanh(x) * x * w), {w: w * 0.5}, check_numerics=True)
    with pytest.raises(NumericsError, match="the input 'image' is not finite before any operation: 1 ") as caught:
        function([1, 2, bad])
    assert "look at the data that were fed" in caught.value.remedy
    assert caught.value.location is not None
    assert 'gr.placeholder((3,), name="image")' in caught.value.location.text
    w.value = [1, bad, 2]
    with pytest.raises(NumericsError, match="the variable 'weight' is not finite before any operation") as caught:
        function([1, 2, 3])
    assert caught.value.culprit is not None
    assert caught.value.culprit.index == (1,)
    w.value = [1, 2, 3]
    assert np.isfinite(function([1, 2, 3]))
    np.testing.assert_array_equal(w.value, [0.5, 1, 1.5])


def test_what_is_masked_is_no_fault() -> None:
    x = gr.placeholder((2, 3), name="x")
    w = gr.parameter(ones(3), "w")
    masked = gr.softmax(gr.where(x > 0, x * w, -INF))
    level = gr.where(x > 0, gr.log(x), 0.0)
    largest = gr.max(gr.where(x > 0, level, -INF))
    loss = gr.sum(masked * masked) + gr.sum(level) + largest
    safe = gr.compile([x], loss, {w: w - 0.1 * gr.grad(gr.sum(masked * masked), w)}, check_numerics=True)
    assert np.isfinite(safe([[1, 0, 2], [-1, 3, 1]]))


def test_what_is_masked_is_not_blamed_for_another_fault() -> None:
    x = gr.placeholder((4,), name="x")
    masked = gr.where(x > 0, gr.log(x), 0.0)
    ratio = (x - x) / (x - 3.0)
    function = gr.compile([x], masked + ratio, check_numerics=True)
    with pytest.raises(NumericsError, match=r"^divide is the first"):
        function([1, -1, 0, 3])
    chosen = gr.where(x > 0, gr.log(x), ratio)
    function = gr.compile([x], chosen, check_numerics=True)
    assert np.isfinite(function([1, 2, 3, 4])).all()
    with pytest.raises(NumericsError, match=r"^divide is the first"):
        gr.compile([x], gr.where(x > -9, (x - x) / (x + 1.0), gr.log(x)), check_numerics=True)([1, -1, 0, 3])


def test_infinities_that_are_meant_may_not_reach_a_result() -> None:
    x = gr.placeholder((3,), name="x")
    function = gr.compile([x], gr.where(x > 0, x, -INF) * 2.0, check_numerics=True)
    assert function([1, 2, 3]).tolist() == [2, 4, 6]
    with pytest.raises(NumericsError, match="the constant is not finite before any operation") as caught:
        function([1, -2, 3])
    assert "gr.where" in caught.value.remedy


def test_a_state_may_start_with_an_infinity() -> None:
    xs = gr.placeholder(("t",), name="xs")

    def step(state: tuple[gr.Value, gr.Value], x: gr.Value) -> tuple[Any, None]:
        high, total = state
        top = gr.maximum(high, x)
        return (top, total * gr.exp(high - top) + gr.exp(x - top)), None

    (high, total), _ = gr.scan(step, (-INF, 0.0), xs)
    function = gr.compile([xs], high + gr.log(total), check_numerics=True)
    point = [1.0, 3.0, 2.0]
    np.testing.assert_allclose(function(point), np.log(np.sum(np.exp(point))), 1e-6)
    with pytest.raises(NumericsError, match="the input 'xs' is not finite"):
        function([-INF, 1.0])


def test_values_after_a_fault_are_those_before_it() -> None:
    x = gr.placeholder((), "float64", name="x")
    a, b = gr.variable(1.0, "a", "float64"), gr.variable(np.array(5), "b")
    function = gr.compile([x], gr.log(x), {a: a + x, b: b + 1}, check_numerics=True)
    assert function(1.0) == 0
    for _ in range(2):
        with pytest.raises(NumericsError):
            function(-1.0)
    assert (a.value, b.value) == (2.0, 6)
    function(x=1.0)
    assert (a.value, b.value) == (3.0, 7)


def test_integers_and_empty_results_are_finite() -> None:
    x = gr.placeholder(("n",), name="x")
    outputs = [gr.argmax(gr.concatenate([gr.log(x), gr.zeros(1)])), gr.log(x) > 0, gr.cast(x, "int32")]
    function = gr.compile([x], [*outputs, gr.log(x)], check_numerics=True)
    assert function(np.zeros(0))[3].shape == (0,)
    swallowed = gr.compile([x], outputs, check_numerics=True)
    assert swallowed([0.0, 2.0])[1].tolist() == [False, True]


def test_large_numbers_whose_sum_is_infinite_are_finite() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_finite(np.full(4, 3e38, np.float32))
        assert not is_finite(np.array([3e38, INF], np.float32))
        assert not is_finite(np.array([INF, -INF]))
        assert is_finite(np.array(1))


def test_faults_that_the_reference_does_not_have() -> None:
    error = numerics_error("output 0", None, None)
    assert error.culprit is None
    assert "is in the reference interpreter" in str(error)
    x = gr.placeholder((2,), name="x")
    graph = gr.Graph.of([x], [gr.log(x)])
    assert find_culprit(graph, {x: ones(2)}, {}) is None


def test_statistics() -> None:
    statistics = ArrayStatistics.of("x", np.array([[1, NAN, INF], [-INF, 3, NAN]], np.float32))
    assert str(statistics) == "x: float32[2, 3], min 1, max 3, mean 2, 2 NaN, 2 infinite"
    assert str(ArrayStatistics.of("y", np.zeros(0))) == "y: float64[0], no finite items, 0 NaN, 0 infinite"


def test_the_error_survives_a_process_border() -> None:
    planted = step_of_a_loop()
    function = gr.compile(planted.inputs, planted.output, check_numerics=True)
    with pytest.raises(FloatingPointError) as caught:
        function(*planted.arguments)
    error = caught.value
    assert isinstance(error, NumericsError)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(twin) == str(error)
        assert twin.culprit == error.culprit


def test_named_arguments_and_other_sizes() -> None:
    x, y = gr.placeholder(("n",), name="x"), gr.placeholder(("n",), name="y")
    function = gr.compile([x, y], x / y, check_numerics=True)
    assert function(y=[1, 2], x=[2, 2]).tolist() == [2, 1]
    with pytest.raises(NumericsError, match="at \\[2\\]"):
        function(ones(3), y=[1, 2, 0])
    assert function([1, 2, 3, 4], ones(4)).shape == (4,)
