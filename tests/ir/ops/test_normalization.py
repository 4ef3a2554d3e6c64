from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import graphc as gr
from tests.support import check_against_torch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3, 2)) * 2 + 1
PARAMETERS = [RNG.normal(size=(6,)), RNG.normal(size=(6,))]
each = pytest.mark.parametrize


def check_compiled(build: Callable[..., gr.Value], arrays: Sequence[np.ndarray]) -> None:
    """The compiled float32 result and gradients, for open sizes, against the evaluation in float64."""
    exact = [gr.constant(array) for array in arrays]
    single = [array.astype(np.float32) for array in arrays]
    shapes = [(("batch", *array.shape[1:]) if array.ndim > 1 else array.shape) for array in arrays]
    values = [gr.placeholder(shape) for shape in shapes]

    def results(*operands: gr.Value) -> list[gr.Value]:
        result = build(*operands)
        return [result, *gr.vjp(result, list(operands), gr.stop_gradient(gr.sin(3.0 * result)))]

    wanted = gr.evaluate(results(*exact))
    for found, expected in zip(gr.compile(values, results(*values))(*single), wanted, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, 1e-4, 1e-4)


# --- over axes of each example --------------------------------------------------------------------


@each("count", [1, 2, 3, 4])
def test_layer_norm_against_torch(count: int) -> None:
    shape = X.shape[-count:]
    weight, bias = RNG.normal(size=shape), RNG.normal(size=shape)
    axes = range(-count, 0)

    def layer_norm(*operands: Any) -> gr.Value:
        return gr.layer_norm(*operands, axis=axes)

    check_against_torch(layer_norm, lambda x, *rest: functional.layer_norm(x, shape, *rest), [X, weight, bias])
    check_against_torch(layer_norm, lambda x, *rest: functional.layer_norm(x, shape, *rest), [X, weight])
    check_against_torch(layer_norm, lambda x: functional.layer_norm(x, shape), [X])


@each("axes", [(0,), (1,), (0, 2), (3, 1), (0, 1, 2, 3)])
def test_layer_norm_over_any_axes(axes: tuple[int, ...]) -> None:
    rising = sorted(axes)
    shape = tuple(X.shape[axis] for axis in rising)
    weight, bias = RNG.normal(size=shape), RNG.normal(size=shape)

    def reference(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        last = range(-len(axes), 0)
        moved = functional.layer_norm(x.movedim(rising, list(last)), shape, *parameters, eps=1e-3)
        return moved.movedim(list(last), rising)

    check_against_torch(lambda *operands: gr.layer_norm(*operands, axis=axes, eps=1e-3), reference, [X, weight, bias])


@each("eps", [None, 1e-3])
@each("count", [1, 3])
def test_rms_norm_against_torch(count: int, eps: float | None) -> None:
    shape = X.shape[-count:]
    axes = range(-count, 0)
    for arrays in ([X, RNG.normal(size=shape)], [X]):
        check_against_torch(
            lambda *operands: gr.rms_norm(*operands, axis=axes, eps=eps),
            lambda x, *weight: functional.rms_norm(x, shape, *weight, eps=eps),
            arrays,
        )


def test_rms_norm_takes_the_epsilon_of_its_dtype() -> None:
    for dtype, eps in (("float32", 2.0**-23), ("float64", 2.0**-52)):
        x = np.full((1, 2), 1e-6, dtype)
        np.testing.assert_allclose(gr.evaluate(gr.rms_norm(x)), 1e-6 / np.sqrt(1e-12 + eps) * np.ones((1, 2)), 1e-6)


@each("groups", [1, 2, 3, 6])
@each("shape", [X.shape, (4, 6, 5), (4, 6)])
def test_group_norm_against_torch(groups: int, shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape)
    for parameters in (PARAMETERS, PARAMETERS[:1], []):
        check_against_torch(
            lambda x, *rest: gr.group_norm(x, groups, *rest),
            lambda x, *rest: functional.group_norm(x, groups, *rest),
            [x, *parameters],
        )


@each("shape", [X.shape, (4, 6, 5), (2, 6, 2, 2, 2)])
def test_instance_norm_against_torch(shape: tuple[int, ...]) -> None:
    for parameters in (PARAMETERS, PARAMETERS[:1], []):
        check_against_torch(
            lambda x, *rest: gr.instance_norm(x, *rest, eps=1e-4),
            lambda x, *rest: functional.instance_norm(x, None, None, *rest, eps=1e-4),
            [RNG.normal(size=shape), *parameters],
        )


@each(
    "build",
    [
        lambda x, w, b: gr.layer_norm(x, w, b, axis=1),
        lambda x, w, b: gr.rms_norm(x, w, axis=1) + b[:, None, None],
        lambda x, w, b: gr.group_norm(x, 2, w, b),
        gr.instance_norm,
        gr.batch_norm,
        lambda x, w, b: gr.batch_norm(x, w, b, *gr.batch_statistics(x)),
    ],
    ids=["layer", "rms", "group", "instance", "batch", "given statistics"],
)
def test_compiled_for_open_batches(build: Callable[..., gr.Value]) -> None:
    check_compiled(build, [X, *PARAMETERS])


# --- over a batch ---------------------------------------------------------------------------------


@each("shape", [(5, 6), (4, 6, 5), X.shape, (2, 6, 2, 2, 3)])
def test_batch_norm_by_its_own_statistics_against_torch(shape: tuple[int, ...]) -> None:
    for parameters in (PARAMETERS, PARAMETERS[:1], []):
        check_against_torch(
            lambda x, *rest: gr.batch_norm(x, *rest, eps=1e-4),
            lambda x, *rest: functional.batch_norm(x, None, None, *rest, training=True, eps=1e-4),
            [RNG.normal(size=shape) + 3, *parameters],
        )


def test_batch_norm_by_given_statistics_against_torch() -> None:
    # PyTorch has no gradient by the statistics: here they are constants.
    mean, variance = RNG.normal(size=6), RNG.uniform(0.5, 2, 6)
    check_against_torch(
        lambda x, w, b: gr.batch_norm(x, w, b, mean, variance),
        lambda x, w, b: functional.batch_norm(x, torch.tensor(mean), torch.tensor(variance), w, b),
        [X, *PARAMETERS],
    )


def test_gradient_flows_through_given_statistics() -> None:
    check_against_torch(
        lambda x: gr.batch_norm(x, None, None, *gr.batch_statistics(x)),
        lambda x: functional.batch_norm(x, None, None, training=True),
        [X],
    )


@each("axis", [0, 1, 3, -1])
def test_batch_norm_of_channels_on_any_axis(axis: int) -> None:
    size = X.shape[axis]
    check_against_torch(
        lambda x, w, b: gr.batch_norm(x, w, b, axis=axis),
        lambda x, w, b: functional.batch_norm(x.movedim(axis, 1), None, None, w, b, training=True).movedim(1, axis),
        [X, RNG.normal(size=size), RNG.normal(size=size)],
    )


def test_second_derivatives_of_batch_norm() -> None:
    arrays = [RNG.normal(size=(4, 2, 3)), RNG.normal(size=2), RNG.normal(size=2)]
    gr.check_gradients(gr.batch_norm, arrays, order=2, rtol=1e-4, atol=1e-5)
    gr.check_gradients(lambda x: gr.batch_statistics(x), arrays[:1], order=2, rtol=1e-4, atol=1e-5)


def test_forward_mode_of_batch_norm() -> None:
    x, v = gr.constant(X), RNG.normal(size=X.shape)
    step = 1e-6
    ahead, behind = (gr.evaluate(gr.batch_norm(X + sign * step * v)) for sign in (1, -1))
    np.testing.assert_allclose(
        gr.evaluate(gr.jvp(gr.batch_norm(x), x, gr.constant(v))), (ahead - behind) / (2 * step), 1e-6, 1e-8
    )


@each("axis", [1, 0, -1, (0, 1), (0, 1, 2, 3)])
def test_batch_statistics_against_torch(axis: Any) -> None:
    kept = {position % 4 for position in (axis if isinstance(axis, tuple) else (axis,))}
    others = tuple({0, 1, 2, 3} - kept)
    check_against_torch(
        lambda x: gr.batch_statistics(x, axis),
        lambda x: (x.mean(others), x.var(others, correction=0)) if others else (x, 0 * x),
        [X],
    )


@each("mean", [1e3, -1e4])
def test_small_variance_around_a_large_mean(mean: float) -> None:
    x = (RNG.normal(size=(32, 3, 8, 8)) + mean).astype(np.float32)
    value = gr.placeholder(x.shape)
    found, variance, y = gr.compile([value], [*gr.batch_statistics(value), gr.batch_norm(value)])(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(found, wide.mean((0, 2, 3)), 2e-7)
    np.testing.assert_allclose(variance, wide.var((0, 2, 3)), 1e-5)
    # As exact as if each item of x had been rounded once more.
    exact = gr.evaluate(gr.batch_norm(wide))
    np.testing.assert_allclose(y, exact, 0, 2 * abs(mean) * 2.0**-23)


def test_nan_stays_in_its_channel() -> None:
    x = X.copy()
    x[1, 2, 0, 0] = np.nan
    value = gr.placeholder(x.shape, "float64")
    found = gr.compile([value], gr.batch_norm(value))(x)
    np.testing.assert_array_equal(np.isnan(found).any((0, 2, 3)), np.arange(6) == 2)
    np.testing.assert_allclose(found[:, 3:], gr.evaluate(gr.batch_norm(X))[:, 3:], 1e-12)


def test_equal_items_have_variance_0_and_no_gradient() -> None:
    x = gr.placeholder((4, 2), "float64")
    array = np.full((4, 2), 0.1)
    mean, variance = gr.batch_statistics(x)
    weights = np.arange(8.0).reshape(4, 2)
    found = gr.evaluate([mean, variance, gr.batch_norm(x), gr.grad(variance.sum(), x)], {x: array})
    np.testing.assert_allclose(found[0], [0.1, 0.1], 1e-15)
    assert (found[1] >= 0).all()
    for zeros in found[1:]:
        np.testing.assert_allclose(zeros, np.zeros_like(zeros), atol=1e-12)
    gradient = gr.evaluate(gr.grad((gr.batch_norm(x) * weights).sum(), x), {x: array})
    centred = (weights - weights.mean(0)) / np.sqrt(1e-5)
    np.testing.assert_allclose(gradient, centred, 1e-9)


def large_kernels(function: gr.Function, shape: tuple[Any, ...], phase: str) -> int:
    """How many kernels of a phase read or write arrays of a shape."""
    return sum(
        node.phase == phase and any(value.shape == shape for value in (*node.inputs, *node.outputs))
        for node in function.graph.nodes
        if node.inputs and not node.op.view
    )


def test_batch_norm_goes_over_its_operand_three_times_and_its_gradient_twice() -> None:
    x, weight, bias = gr.placeholder(("batch", 6, 4, 4)), gr.placeholder((6,)), gr.placeholder((6,))
    y = gr.relu(gr.batch_norm(x * 2.0, weight, bias))
    loss = gr.sum(gr.exp(y))
    function = gr.compile([x, weight, bias], [loss, *gr.grad(loss, [x, weight, bias])])
    assert large_kernels(function, x.shape, "forward") == 3
    assert large_kernels(function, x.shape, "backward") == 2


# --- what does not fit ----------------------------------------------------------------------------


def test_integers_become_floats() -> None:
    x = gr.placeholder((2, 4, 3), "int32")
    results = [gr.layer_norm(x), gr.rms_norm(x), gr.group_norm(x, 2), gr.instance_norm(x), gr.batch_norm(x)]
    assert {str(result.dtype) for result in results} == {"float64"}
    assert [str(value.dtype) for value in gr.batch_statistics(x)] == ["float64", "float64"]


def test_empty_operands() -> None:
    for shape in ((0, 4, 3), (2, 0, 3), (2, 4, 0)):
        x = gr.placeholder(shape)
        results = [gr.layer_norm(x), gr.rms_norm(x), gr.instance_norm(x), gr.batch_norm(x)]
        found = gr.compile([x], [*results, gr.grad(gr.batch_norm(x).sum(), x)])(np.zeros(shape, np.float32))
        assert {array.shape for array in found} == {shape}


@each("build", [gr.instance_norm, gr.batch_norm])
def test_one_item_for_each_channel(build: Callable[..., gr.Value]) -> None:
    with pytest.raises(gr.ShapeError, match=r"shape \(1, 6, 1, 1\) has one item") as caught:
        build(gr.placeholder((1, 6, 1, 1)))
    assert "model.eval()" in str(caught.value)
    x, bias = gr.placeholder((None, 6, None)), gr.placeholder((6,))
    [found] = gr.compile([x, bias], [build(x, None, bias)])(np.full((1, 6, 1), 7.0), np.arange(6.0))
    np.testing.assert_array_equal(found.ravel(), np.arange(6.0))


def test_parameters_must_have_the_shape_of_their_axes() -> None:
    x = gr.placeholder(("batch", 6, 3))
    with pytest.raises(gr.ShapeError, match=r"the weight has shape \(6,\).*\n.*expected: \(3,\)"):
        gr.layer_norm(x, np.ones(6))
    with pytest.raises(gr.ShapeError, match=r"the bias has shape \(1,\).*\n.*expected: \(6, 3\)"):
        gr.layer_norm(x, None, np.ones(1), axis=(1, 2))
    with pytest.raises(gr.ShapeError, match=r"the bias has shape \(3,\)"):
        gr.group_norm(x, 2, None, np.ones(3))
    with pytest.raises(gr.ShapeError, match=r"the weight has shape \(\)"):
        gr.batch_norm(x, 1.0)
    with pytest.raises(gr.ShapeError, match=r"the variance has shape \(1, 6\)"):
        gr.batch_norm(x, mean=np.ones(6), variance=np.ones((1, 6)))


def test_statistics_must_be_given_together() -> None:
    x = gr.placeholder((2, 6))
    with pytest.raises(gr.GraphError, match="a mean alone"):
        gr.batch_norm(x, mean=np.ones(6))
    with pytest.raises(gr.GraphError, match="a variance alone"):
        gr.batch_norm(x, variance=np.ones(6))


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(gr.ShapeError, match="6 channels in 4 groups"):
        gr.group_norm(gr.placeholder((2, 6)), 4)
    with pytest.raises(gr.ShapeError, match="6 channels in 0 groups"):
        gr.group_norm(gr.placeholder((2, 6)), 0)
    with pytest.raises(gr.ShapeError, match=r"\(batch, channels, ...\)"):
        gr.group_norm(gr.placeholder((2,)), 1)
    x = gr.placeholder((2, "channels", 3), "float64")
    with pytest.raises(gr.ShapeError, match="channels channels in 2 groups"):
        gr.group_norm(x, 2)
    array = RNG.normal(size=(2, 4, 3))
    np.testing.assert_allclose(
        gr.evaluate(gr.group_norm(x, 1), {x: array}), functional.group_norm(torch.tensor(array), 1).numpy(), 1e-10
    )
