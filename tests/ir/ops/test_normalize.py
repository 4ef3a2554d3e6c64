from __future__ import annotations

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.ir.graph import reachable
from graphc.ir.op import registry
from graphc.ir.ops.normalize import normalize, normalize_grad
from tests.support import as_list, check_against_torch

X = np.random.default_rng(0).normal(size=(3, 5)) * 2 + 1


@pytest.mark.parametrize("centered", [True, False])
def test_both_results_and_all_gradients_against_torch(centered: bool) -> None:
    def reference(x: torch.Tensor, eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        deviation = x - x.mean(-1, keepdim=True) if centered else x
        rstd = (deviation.square().mean(-1, keepdim=True) + eps).rsqrt()
        return deviation * rstd, rstd

    check_against_torch(lambda x, eps: normalize(x, eps, centered), reference, [X, np.array(0.3)])


@pytest.mark.parametrize("centered", [True, False])
def test_third_derivative(centered: bool) -> None:
    gr.check_gradients(lambda x: normalize(x, 0.2, centered)[0], [X], order=3, rtol=1e-4, atol=1e-4)


def test_derivative_by_one_result_alone() -> None:
    gr.check_gradients(lambda x, eps: normalize(x, eps)[1], [X, np.array(0.3)], order=2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["normalize", "normalize_grad"])
def test_decomposition_gives_the_same(name: str) -> None:
    for sample in registry[name].samples():
        values = [gr.placeholder(array.shape, "float64") for array in sample.inputs]
        [node] = [node for node in reachable(as_list(sample.build(*values))) if node.op.name == name]
        assert node.op.decompose is not None
        simpler = list(node.op.decompose(node))
        assert [value.type for value in simpler] == [value.type for value in node.outputs]
        found = gr.evaluate([*node.outputs, *simpler], dict(zip(values, sample.inputs, strict=True)))
        for whole, part in zip(found[: len(simpler)], found[len(simpler) :], strict=True):
            np.testing.assert_allclose(whole, part, 1e-10, 1e-11)


def test_refuses_what_has_no_rows() -> None:
    with pytest.raises(gr.ShapeError, match="at least one axis"):
        normalize(gr.placeholder(()), 1e-5)
    with pytest.raises(gr.ShapeError, match="a scalar"):
        normalize(gr.placeholder((2, 3)), gr.placeholder((2,)))
    with pytest.raises(gr.DTypeError, match="int64"):
        normalize(gr.placeholder((2, 3), "int64"), 1)
    with pytest.raises(gr.DTypeError, match="one dtype"):
        normalize(gr.placeholder((2, 3)), gr.placeholder((), "float64"))


def test_gradient_refuses_operands_that_do_not_belong_together() -> None:
    rows, one_each = gr.placeholder((2, 3)), gr.placeholder((2, 1))
    with pytest.raises(gr.ShapeError, match=r"shape \(2, 3\)"):
        normalize_grad(gr.placeholder((3, 2)), rows, one_each, True)
    with pytest.raises(gr.ShapeError, match=r"shape \(2, 1\)"):
        normalize_grad(rows, rows, rows, True)
