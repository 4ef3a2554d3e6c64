from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr

RNG = np.random.default_rng(0)


def test_linear_equals_pytorch() -> None:
    x = RNG.normal(size=(2, 5, 3))
    ours, theirs = gr.nn.Linear(3, 4, dtype="float64"), torch.nn.Linear(3, 4, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    found = gr.evaluate(ours(x))
    np.testing.assert_allclose(found, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12)
    theirs.load_state_dict({name: torch.tensor(array * 2) for name, array in ours.state_dict().items()})
    np.testing.assert_allclose(found * 2, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12)


def test_linear_starts_within_pytorchs_range() -> None:
    layer = gr.nn.Linear(64, 500)
    assert str(layer.weight.dtype) == "float32"
    assert layer.bias is not None
    for array in (layer.weight.value, layer.bias.value):
        assert 0.12 < np.abs(array).max() <= 0.125
        assert array.std() == pytest.approx(0.125 / 3**0.5, rel=0.1)


def test_linear_with_an_initializer_starts_with_no_bias() -> None:
    layer = gr.nn.Linear(100, 400, init=gr.nn.init.he_normal)
    assert layer.weight.value.std() == pytest.approx(0.02**0.5, rel=0.02)
    assert layer.bias is not None
    assert not layer.bias.value.any()


def test_linear_without_bias() -> None:
    layer = gr.nn.Linear(3, 4, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    x = RNG.normal(size=3).astype(np.float32)
    np.testing.assert_allclose(gr.evaluate(layer(x)), layer.weight.value @ x, rtol=1e-6)


def test_linear_multiplies_by_the_transposed_weight() -> None:
    layer = gr.nn.Linear(3, 4, bias=False)
    product = layer(gr.placeholder(("batch", 3))).node
    assert product.op.name == "matmul"
    assert product.inputs[1].node.op.name == "transpose"
    assert product.inputs[1].node.inputs[0] is layer.weight


def test_linear_names_itself_where_the_input_does_not_fit() -> None:
    x = gr.placeholder(("batch", 5), name="x")
    with pytest.raises(gr.ShapeError, match=r"Linear\(3, 4\) was called with float32\[batch, 5\]") as caught:
        gr.nn.Linear(3, 4)(x)
    assert "in_features" in str(caught.value)
    assert caught.value.location.filename == __file__
    with pytest.raises(gr.ShapeError, match="last axis of size 3"):
        gr.nn.Linear(3, 4)(1.0)


def test_dropout_acts_in_training_alone() -> None:
    x = gr.constant(np.ones((100, 100), np.float32))
    layer = gr.nn.Dropout(0.25, gr.random.Generator(3))
    found = gr.evaluate(layer(x))
    assert set(np.unique(found)) == {np.float32(0.0), np.float32(1 / 0.75)}
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert layer.eval()(x) is x
    assert layer.train()(x) is not x


def test_flatten_identity_and_functions_in_a_sequential() -> None:
    x = RNG.normal(size=(2, 3, 4))
    model = gr.nn.Sequential(gr.nn.Identity(), gr.nn.Flatten(), gr.tanh)
    np.testing.assert_allclose(gr.evaluate(model(x)), np.tanh(x.reshape(2, 12)))
    assert gr.nn.Flatten(0)(x).shape == (24,)


ACTIVATIONS: list[tuple[gr.nn.Module, torch.nn.Module]] = [
    (gr.nn.ReLU(), torch.nn.ReLU()),
    (gr.nn.ReLU6(), torch.nn.ReLU6()),
    (gr.nn.LeakyReLU(), torch.nn.LeakyReLU()),
    (gr.nn.LeakyReLU(0.3), torch.nn.LeakyReLU(0.3)),
    (gr.nn.ELU(), torch.nn.ELU()),
    (gr.nn.ELU(0.7), torch.nn.ELU(0.7)),
    (gr.nn.SELU(), torch.nn.SELU()),
    (gr.nn.GELU(), torch.nn.GELU()),
    (gr.nn.GELU("tanh"), torch.nn.GELU("tanh")),
    (gr.nn.SiLU(), torch.nn.SiLU()),
    (gr.nn.Mish(), torch.nn.Mish()),
    (gr.nn.Tanh(), torch.nn.Tanh()),
    (gr.nn.Hardtanh(), torch.nn.Hardtanh()),
    (gr.nn.Hardtanh(-0.5, 2.0), torch.nn.Hardtanh(-0.5, 2.0)),
    (gr.nn.Sigmoid(), torch.nn.Sigmoid()),
    (gr.nn.LogSigmoid(), torch.nn.LogSigmoid()),
    (gr.nn.Softplus(), torch.nn.Softplus(threshold=1000)),
    (gr.nn.Softsign(), torch.nn.Softsign()),
    (gr.nn.Softmax(), torch.nn.Softmax(-1)),
    (gr.nn.Softmax(0), torch.nn.Softmax(0)),
    (gr.nn.LogSoftmax(1), torch.nn.LogSoftmax(1)),
]


@pytest.mark.parametrize(("ours", "theirs"), ACTIVATIONS, ids=lambda module: repr(module))
def test_activations_equal_pytorch(ours: gr.nn.Module, theirs: torch.nn.Module) -> None:
    x = np.linspace(-7, 7, 24).reshape(4, 6)
    np.testing.assert_allclose(gr.evaluate(ours(x)), theirs(torch.tensor(x)).numpy(), rtol=1e-10, atol=1e-12)


_logits, _labels = RNG.normal(size=(6, 4)), np.array([0, 3, 1, -100, 2, 2])
_shares, _binary = RNG.dirichlet(np.ones(4), 6), RNG.uniform(size=(6, 4))

LOSSES: list[tuple[Callable[..., gr.nn.Module], Callable[..., torch.nn.Module], dict[str, Any], Any, Any]] = [
    (gr.nn.CrossEntropyLoss, torch.nn.CrossEntropyLoss, {}, _logits, _labels),
    (gr.nn.CrossEntropyLoss, torch.nn.CrossEntropyLoss, {"ignore_index": 2}, _logits, np.abs(_labels) % 4),
    (gr.nn.CrossEntropyLoss, torch.nn.CrossEntropyLoss, {"label_smoothing": 0.2}, _logits, _shares),
    (gr.nn.MSELoss, torch.nn.MSELoss, {}, _logits, _binary),
    (gr.nn.L1Loss, torch.nn.L1Loss, {}, _logits, _binary),
    (gr.nn.HuberLoss, torch.nn.HuberLoss, {"delta": 0.4}, _logits, _binary),
    (gr.nn.BCELoss, torch.nn.BCELoss, {}, _shares, _binary),
    (gr.nn.BCEWithLogitsLoss, torch.nn.BCEWithLogitsLoss, {}, _logits, _binary),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("ours", "theirs", "options", "input", "target"), LOSSES)
def test_losses_equal_pytorch(
    ours: Callable[..., gr.nn.Module],
    theirs: Callable[..., torch.nn.Module],
    options: dict[str, Any],
    input: np.ndarray,
    target: np.ndarray,
    reduction: str,
) -> None:
    found = gr.evaluate(ours(reduction=reduction, **options)(input, target))
    expected = theirs(reduction=reduction, **options)(torch.tensor(input), torch.tensor(target))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10)


def test_weight_of_the_positive_class() -> None:
    weights = np.array([1.0, 2.0, 3.0, 0.5])
    found = gr.evaluate(gr.nn.BCEWithLogitsLoss(pos_weight=weights)(_logits, _binary))
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights))
    np.testing.assert_allclose(found, theirs(torch.tensor(_logits), torch.tensor(_binary)).numpy(), rtol=1e-10)
