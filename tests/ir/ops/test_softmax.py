from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.ir.op import registry
from tests.support import check_against_torch

X = 3 * np.random.default_rng(0).normal(size=(2, 3, 4))
INF = np.inf


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_against_torch(name: str, axis: int) -> None:
    for array in (X, X + 1e4, X[:0]):
        check_against_torch(lambda x: getattr(gr, name)(x, axis), lambda x: getattr(torch, name)(x, axis), [array])


def test_last_axis_is_the_default() -> None:
    x = gr.placeholder(X.shape, "float64")
    np.testing.assert_allclose(gr.evaluate(gr.sum(gr.softmax(x), -1), {x: X}), 1)


def test_masked_logits() -> None:
    masked = np.array([[-INF, 0.5, 1.5], [-INF, -INF, 2.0]])
    check_against_torch(gr.softmax, lambda x: torch.softmax(x, -1), [masked])
    x = gr.placeholder(masked.shape, "float64")
    y = gr.log_softmax(x)
    picked = gr.where(np.isfinite(masked), y, 0.0)
    found, gradient = gr.evaluate([y, gr.grad(gr.sum(picked * picked), x)], {x: masked})
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(masked))
    assert np.isfinite(found[np.isfinite(masked)]).all()
    assert np.isfinite(gradient).all()


def test_nothing_finite_gives_nan() -> None:
    x = gr.placeholder((1, 2), "float64")
    assert np.isnan(gr.evaluate([gr.softmax(x), gr.log_softmax(x)], {x: np.full((1, 2), -INF)})).all()


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cross_entropy", "cross_entropy_grad"])
def test_decomposition_gives_the_same(name: str) -> None:
    for sample in registry[name].samples():
        values = [gr.placeholder(array.shape, array.dtype.name) for array in sample.inputs]
        built = sample.build(*values)
        node = next(node for node in gr.Graph.of(values, [built]).nodes if node.op.name == name)
        assert node.op.decompose is not None
        simpler = list(node.op.decompose(node))
        assert [value.type for value in simpler] == [value.type for value in node.outputs]
        results: list[Any] = gr.evaluate([*node.outputs, *simpler], dict(zip(values, sample.inputs, strict=True)))
        for whole, part in zip(results[: len(simpler)], results[len(simpler) :], strict=True):
            np.testing.assert_allclose(whole, part, 1e-10, 1e-12)


def test_integers_become_floats() -> None:
    assert gr.softmax(gr.placeholder((3,), "int8")).dtype == gr.float32
    assert gr.log_softmax(gr.placeholder((3,), "int64")).dtype == gr.float64


def test_0d_is_an_error() -> None:
    with pytest.raises(gr.ShapeError, match="axis -1 does not exist"):
        gr.softmax(gr.placeholder(()))
