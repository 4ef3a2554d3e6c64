from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.support import check_against_torch

F = torch.nn.functional

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
P, Q = RNG.uniform(0.01, 0.99, (4, 3)), RNG.uniform(0, 1, (4, 3))
SHARES = RNG.dirichlet(np.ones(3), 4)
WEIGHTS = np.array([0.5, 1.0, 3.0])

CASES: dict[str, tuple[Any, Any, list[np.ndarray]]] = {
    "mse_loss": (gr.mse_loss, F.mse_loss, [X, T]),
    "l1_loss": (gr.l1_loss, F.l1_loss, [X, T]),
    "l1_loss, equal": (gr.l1_loss, F.l1_loss, [X, X]),
    "huber_loss": (gr.huber_loss, F.huber_loss, [X, T]),
    "huber_loss, delta": (
        lambda x, t, **o: gr.huber_loss(x, t, delta=0.3, **o),
        lambda x, t, **o: F.huber_loss(x, t, delta=0.3, **o),
        [X, T],
    ),
    "binary_cross_entropy": (gr.binary_cross_entropy, F.binary_cross_entropy, [P, Q]),
    "with_logits": (gr.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits, [X, Q]),
    "with_logits, far": (gr.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits, [300 * X, Q]),
    "with_logits, weights": (
        lambda x, t, w, **o: gr.binary_cross_entropy_with_logits(x, t, pos_weight=w, **o),
        lambda x, t, w, **o: F.binary_cross_entropy_with_logits(x, t, pos_weight=w, **o),
        [X, Q, WEIGHTS],
    ),
    "kl_div": (gr.kl_div, F.kl_div, [np.log(SHARES), SHARES[::-1].copy()]),
    "kl_div, log_target": (
        lambda x, t, **o: gr.kl_div(x, t, log_target=True, **o),
        lambda x, t, **o: F.kl_div(x, t, log_target=True, **o),
        [np.log(SHARES), np.log(SHARES[::-1])],
    ),
    "0-d": (gr.mse_loss, F.mse_loss, [np.array(1.0), np.array(3.0)]),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", CASES)
def test_against_torch(name: str, reduction: str) -> None:
    ours, torchs, arrays = CASES[name]
    if name.startswith("with_logits, weights"):
        # PyTorch has no derivative by the weights.
        weights = arrays[2]
        check_against_torch(
            lambda x, t: ours(x, t, weights, reduction=reduction),
            lambda x, t: torchs(x, t, torch.tensor(weights), reduction=reduction),
            arrays[:2],
        )
        gr.check_gradients(lambda x, t, w: ours(x, t, w, reduction=reduction), arrays)
        return
    check_against_torch(
        lambda *given: ours(*given, reduction=reduction), lambda *given: torchs(*given, reduction=reduction), arrays
    )


def test_kl_div_by_batch_against_torch() -> None:
    check_against_torch(
        lambda x, t: gr.kl_div(x, t, reduction="batchmean"),
        lambda x, t: F.kl_div(x, t, reduction="batchmean"),
        [np.log(SHARES), SHARES[::-1].copy()],
    )


def test_kl_div_of_impossible_classes() -> None:
    x, t = gr.placeholder((3,), "float64"), gr.placeholder((3,), "float64")
    loss = gr.kl_div(x, t, reduction="sum")
    feeds = {x: np.log([0.25, 0.25, 0.5]), t: np.array([0.0, 0.5, 0.5])}
    found, gradient = gr.evaluate([loss, gr.grad(loss, x)], feeds)
    np.testing.assert_allclose(found, 0.5 * np.log(2))
    np.testing.assert_allclose(gradient, [0, -0.5, -0.5])


def test_clamped_logarithms_are_torchs() -> None:
    p, t = np.array([0.0, 0.0, 1.0, 1.0, 1e-30]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    x = gr.placeholder((5,), "float64")
    losses = gr.binary_cross_entropy(x, t, reduction="none")
    found, gradient = gr.evaluate([losses, gr.grad(gr.sum(losses), x)], {x: p})
    wanted = F.binary_cross_entropy(torch.tensor(p), torch.tensor(t), reduction="none")
    np.testing.assert_allclose(found, wanted.numpy())
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:4], [1, 0, 0, -1])


def test_second_derivatives() -> None:
    for name in ("mse_loss", "huber_loss", "binary_cross_entropy", "with_logits", "kl_div"):
        ours, _, arrays = CASES[name]
        gr.check_gradients(ours, arrays, order=2, rtol=1e-4)


def test_target_may_be_one_number() -> None:
    x = gr.placeholder((4, 3), "float64")
    np.testing.assert_allclose(gr.evaluate(gr.mse_loss(x, 2.0), {x: X}), ((X - 2) ** 2).mean())


def test_target_is_not_broadcast() -> None:
    with pytest.raises(gr.ShapeError, match=r"mse_loss: a target of shape \(4,\) for an input of shape \(4, 1\)"):
        gr.mse_loss(gr.placeholder((4, 1)), gr.placeholder((4,)))
    assert gr.mse_loss(gr.placeholder(("n", 1)), gr.placeholder(("n", 1))).shape == ()


def test_integers_become_floats() -> None:
    assert gr.mse_loss(gr.placeholder((3,), "int32"), gr.placeholder((3,), "int32")).dtype == gr.float64
    assert gr.l1_loss(gr.placeholder((3,)), gr.placeholder((3,), "int8")).dtype == gr.float32


def test_unknown_reduction() -> None:
    with pytest.raises(gr.GraphError, match=r"reduction='batchmean'"):
        gr.mse_loss(gr.placeholder((3,)), 1.0, reduction="batchmean")  # type: ignore[arg-type]
    with pytest.raises(gr.ShapeError, match="an input of shape"):
        gr.kl_div(gr.placeholder(()), gr.placeholder(()), reduction="batchmean")
