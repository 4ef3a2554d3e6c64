from __future__ import annotations

import numpy as np
import pytest
import torch

import graphc as gr


@pytest.fixture
def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, 4)), rng.normal(size=5) * 10.0]


def of_torch(arrays: list[np.ndarray]) -> list[torch.Tensor]:
    tensors = [torch.zeros(array.shape, dtype=torch.float64) for array in arrays]
    for tensor, array in zip(tensors, arrays, strict=True):
        tensor.grad = torch.tensor(array)
    return tensors


def assert_same(found: list[gr.Value], tensors: list[torch.Tensor]) -> None:
    for array, tensor in zip(gr.evaluate(found, {}), tensors, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(array, tensor.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("limit", [0.5, 1000.0])
def test_global_norm(arrays: list[np.ndarray], limit: float) -> None:
    values, tensors = [gr.constant(array) for array in arrays], of_torch(arrays)
    norm = torch.nn.utils.clip_grad_norm_(tensors, limit)
    assert gr.evaluate(gr.optim.global_norm(values), {}) == pytest.approx(norm.item(), rel=1e-12)
    assert_same(list(gr.optim.clip_by_global_norm(limit)(values)), tensors)


def test_norm_of_each(arrays: list[np.ndarray]) -> None:
    values, tensors = [gr.constant(array) for array in arrays], of_torch(arrays)
    for tensor in tensors:
        torch.nn.utils.clip_grad_norm_([tensor], 4.0)
    assert_same(list(gr.optim.clip_by_norm(4.0)(values)), tensors)


def test_value(arrays: list[np.ndarray]) -> None:
    values, tensors = [gr.constant(array) for array in arrays], of_torch(arrays)
    torch.nn.utils.clip_grad_value_(tensors, 0.7)
    assert_same(list(gr.optim.clip_by_value(0.7)(values)), tensors)


def test_gradients_keep_their_dtypes() -> None:
    values = [gr.constant(np.ones(2, np.float32)), gr.constant(np.ones(2, np.float64))]
    for clip in (gr.optim.clip_by_global_norm(1.0), gr.optim.clip_by_norm(1.0), gr.optim.clip_by_value(1.0)):
        assert [str(value.dtype) for value in clip(values)] == ["float32", "float64"]
