from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.ir.graph import reachable
from tests.support import check_against_torch

F = torch.nn.functional

RNG = np.random.default_rng(0)
LOGITS = 3 * RNG.normal(size=(6, 5))
LABELS = np.array([0, 4, 2, -100, 1, 3])
PROBABILITIES = RNG.dirichlet(np.ones(5), 6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("target", [LABELS, PROBABILITIES], ids=["labels", "probabilities"])
def test_against_torch(target: np.ndarray, reduction: Any, smoothing: float) -> None:
    check_against_torch(
        lambda x, t: gr.cross_entropy(x, t, reduction=reduction, label_smoothing=smoothing),
        lambda x, t: F.cross_entropy(x, t, reduction=reduction, label_smoothing=smoothing),
        [LOGITS, target],
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_classes_along_another_axis_against_torch(reduction: Any) -> None:
    images = RNG.normal(size=(2, 5, 3, 4))
    labels = RNG.integers(0, 5, (2, 3, 4))
    labels[0, 0, 0] = 3
    check_against_torch(
        lambda x, t: gr.cross_entropy(x, t, axis=1, reduction=reduction, ignore_index=3),
        lambda x, t: F.cross_entropy(x, t, reduction=reduction, ignore_index=3),
        [images, labels],
    )
    check_against_torch(
        lambda x, t: gr.cross_entropy(x, t, axis=1, reduction=reduction),
        lambda x, t: F.cross_entropy(x, t, reduction=reduction),
        [images, RNG.dirichlet(np.ones(5), (2, 3, 4)).transpose(0, 3, 1, 2)],
    )


def test_one_row_against_torch() -> None:
    check_against_torch(gr.cross_entropy, F.cross_entropy, [LOGITS[0], np.array(2)])
    check_against_torch(gr.cross_entropy, F.cross_entropy, [LOGITS[0], PROBABILITIES[0]])


def test_mean_of_no_counted_rows_is_nan_as_in_torch() -> None:
    x, t = gr.placeholder((2, 5), "float64"), gr.placeholder((2,), "int64")
    with np.errstate(all="ignore"):
        found = gr.evaluate(gr.cross_entropy(x, t), {x: LOGITS[:2], t: [-100, -100]})
    assert np.isnan(found)
    assert torch.isnan(F.cross_entropy(torch.tensor(LOGITS[:2]), torch.tensor([-100, -100])))


@pytest.mark.parametrize("offset", [1e3, 1e5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("target", [LABELS, PROBABILITIES], ids=["labels", "probabilities"])
@pytest.mark.parametrize("compiled", [False, True])
def test_float32_keeps_its_precision_at_large_logits(
    target: np.ndarray, smoothing: float, offset: float, compiled: bool
) -> None:
    # As float32, a logsumexp near 1e5 would be off by up to 1/256, and the gradient with it.
    logits = (LOGITS + offset).astype(np.float32)
    given = target.astype(np.float32) if target.dtype.kind == "f" else target
    x, t = gr.placeholder(logits.shape), gr.placeholder(given.shape, given.dtype.name)
    direction = np.random.default_rng(2).normal(size=logits.shape).astype(np.float32)
    loss = gr.cross_entropy(x, t, reduction="none", label_smoothing=smoothing)
    gradient = gr.grad(gr.sum(loss), x)
    results = [loss, gradient, gr.grad(gr.sum(gradient * direction), x)]
    found = gr.compile([x, t], results)(logits, given) if compiled else gr.evaluate(results, {x: logits, t: given})
    exact = torch.tensor(logits.astype(np.float64), requires_grad=True)
    rows = torch.tensor(given.astype(np.float64) if given.dtype.kind == "f" else given)
    wanted = F.cross_entropy(exact, rows, reduction="none", label_smoothing=smoothing)
    (slope,) = torch.autograd.grad(wanted.sum(), exact, create_graph=True)
    (curvature,) = torch.autograd.grad((slope * torch.tensor(direction)).sum(), exact)
    for array, tensor in zip(found, (wanted, slope, curvature), strict=True):
        np.testing.assert_allclose(array, tensor.detach().numpy(), 2e-6, 1e-6)


def test_gradient_by_probabilities_keeps_its_precision_at_large_logits() -> None:
    logits, shares = (LOGITS + 1e5).astype(np.float32), PROBABILITIES.astype(np.float32)
    x, t = gr.placeholder(logits.shape), gr.placeholder(shares.shape)
    gradient = gr.grad(gr.cross_entropy(x, t, reduction="sum"), t)
    for found in (gr.compile([x, t], gradient)(logits, shares), gr.evaluate(gradient, {x: logits, t: shares})):
        wanted = -F.log_softmax(torch.tensor(logits.astype(np.float64)), -1).numpy()
        np.testing.assert_allclose(found, wanted, 2e-6, 1e-6)


def test_gradient_is_one_node_without_a_softmax() -> None:
    x, t = gr.placeholder((6, 5)), gr.placeholder((6,), "int64")
    function = gr.compile([x, t], gr.grad(gr.cross_entropy(x, t, reduction="sum"), x))
    names = [node.op.name for node in function.stage("autodiff").nodes]
    assert names.count("cross_entropy_grad") == 1
    assert "softmax" not in names
    assert "exp" not in names


def test_rows_are_not_counted_where_no_label_can_be_ignored() -> None:
    x, t = gr.placeholder((6, 5)), gr.placeholder((6,), "uint8")
    assert not [node for node in reachable([gr.cross_entropy(x, t)]) if node.op.name == "not_equal"]


def test_second_derivatives_against_torch() -> None:
    def by_graphc(x: Any, t: Any, v: Any) -> Any:
        return gr.sum(gr.grad(gr.cross_entropy(x, t), x) * v)

    def by_torch(x: Any, t: Any, v: Any) -> Any:
        return (torch.autograd.grad(F.cross_entropy(x, t), x, create_graph=True)[0] * v).sum()

    direction = RNG.normal(size=LOGITS.shape)
    check_against_torch(by_graphc, by_torch, [LOGITS, LABELS, direction])
    check_against_torch(by_graphc, by_torch, [LOGITS, PROBABILITIES, direction])


def test_impossible_classes() -> None:
    logits = np.where(LOGITS < -3, -np.inf, LOGITS)
    logits[np.arange(6), np.maximum(LABELS, 0)] = 1.0
    check_against_torch(gr.cross_entropy, F.cross_entropy, [logits, LABELS])
    shares = np.where(np.isinf(logits), 0, PROBABILITIES)
    x, t = gr.placeholder((6, 5), "float64"), gr.placeholder((6, 5), "float64")
    loss = gr.cross_entropy(x, t, reduction="none")
    results = [loss, gr.grad(gr.sum(loss), x)]
    for found in (gr.evaluate(results, {x: logits, t: shares}), gr.compile([x, t], results)(logits, shares)):
        assert np.isfinite(found[0]).all()
        assert np.isfinite(found[1]).all()


def test_one_possible_class() -> None:
    logits = np.array([[-np.inf, 2.0, -np.inf], [-np.inf, -np.inf, -1e30]])
    x, t = gr.placeholder((2, 3), "float64"), gr.placeholder((2,), "int64")
    loss = gr.cross_entropy(x, t, reduction="none")
    results = [loss, gr.grad(gr.sum(loss), x)]
    for labels, wanted in (([1, 2], [0, 0]), ([0, 1], [np.inf, np.inf])):
        feeds = {x: logits, t: np.array(labels)}
        for found in (gr.evaluate(results, feeds), gr.compile([x, t], results)(*feeds.values())):
            np.testing.assert_array_equal(found[0], wanted)
            np.testing.assert_array_equal(found[1], np.eye(3)[[1, 2]] - np.eye(3)[labels])


@pytest.mark.parametrize("label", [-1, 5])
def test_label_that_is_no_class(label: int) -> None:
    x, t = gr.placeholder((2, 5), "float64"), gr.placeholder((2,), "int64")
    feeds = {x: LOGITS[:2], t: np.array([1, label])}
    for loss in (gr.cross_entropy(x, t), gr.nll_loss(x, t)):
        with pytest.raises(gr.IndexFault):
            gr.evaluate(loss, feeds)
        with pytest.raises(gr.IndexFault):
            gr.compile([x, t], loss)(*feeds.values())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_loss_against_torch(reduction: Any) -> None:
    check_against_torch(
        lambda x, t: gr.nll_loss(x, t, reduction=reduction),
        lambda x, t: F.nll_loss(x, t, reduction=reduction),
        [LOGITS, LABELS],
    )
    check_against_torch(
        lambda x, t: gr.nll_loss(x, t, axis=1, reduction=reduction, ignore_index=2),
        lambda x, t: F.nll_loss(x, t, reduction=reduction, ignore_index=2),
        [RNG.normal(size=(2, 5, 3)), RNG.integers(0, 5, (2, 3))],
    )


def test_cross_entropy_is_nll_loss_of_log_softmax() -> None:
    x, t = gr.placeholder((6, 5), "float64"), gr.placeholder((6,), "int32")
    losses = [gr.cross_entropy(x, t), gr.nll_loss(gr.log_softmax(x), t)]
    left, right = gr.evaluate(losses, {x: LOGITS, t: LABELS})
    np.testing.assert_allclose(left, right, 1e-13)


def test_errors() -> None:
    x = gr.placeholder((6, 5))
    with pytest.raises(gr.ShapeError, match=r"cross_entropy: labels of shape \(6, 5\) for logits of shape \(6, 5\)"):
        gr.cross_entropy(x, gr.placeholder((6, 5), "int64"))
    with pytest.raises(gr.ShapeError, match=r"probabilities of shape \(6,\).*\n.*expected: shape \(6, 5\)"):
        gr.cross_entropy(x, gr.placeholder((6,)))
    with pytest.raises(gr.DTypeError, match="a target of dtype bool"):
        gr.cross_entropy(x, gr.placeholder((6,), "bool"))
    with pytest.raises(gr.DTypeError, match="nll_loss: labels of dtype float32"):
        gr.nll_loss(x, gr.placeholder((6, 5)))
    with pytest.raises(gr.ShapeError, match="expected: an axis of classes, at least one of them"):
        gr.cross_entropy(gr.placeholder((6, 0)), gr.placeholder((6,), "int64"))
    with pytest.raises(gr.ShapeError, match=r"logits of shape \(\)"):
        gr.cross_entropy(gr.placeholder(()), gr.placeholder((), "int64"))
    with pytest.raises(gr.GraphError, match=r"reduction='average'\n  expected: 'mean', 'sum' or 'none'"):
        gr.cross_entropy(x, gr.placeholder((6,), "int64"), reduction="average")  # type: ignore[arg-type]
    with pytest.raises(gr.GraphError, match=r"label_smoothing=1\.5"):
        gr.cross_entropy(x, gr.placeholder((6,), "int64"), label_smoothing=1.5)
