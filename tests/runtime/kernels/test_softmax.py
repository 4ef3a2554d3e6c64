from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.ir.op import Sample
from tests.support import check_kernel, run_kernel, sample_cases


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "sample"), sample_cases("softmax", "log_softmax"))
def test_kernel_equals_evaluation(name: str, sample: Sample, dtype: str, symbolic: bool, parts: int) -> None:
    check_kernel(name, sample, dtype, symbolic, parts)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_longer_than_vectors(name: str, axis: int) -> None:
    x = np.random.default_rng(1).normal(size=(37, 41, 43)).astype(np.float32)
    node = getattr(gr, name)(gr.placeholder(x.shape), axis=axis).node
    [found] = run_kernel(node, [x], parts=5).outputs
    np.testing.assert_allclose(found, node.op.evaluate(node.attrs, x), 1e-5, 1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_bits_do_not_depend_on_the_parts(axis: int) -> None:
    x = np.random.default_rng(2).normal(size=(67, 131)).astype(np.float32)
    node = gr.softmax(gr.placeholder(x.shape), axis=axis).node
    whole, cut = (run_kernel(node, [x], parts=parts).outputs[0] for parts in (1, 9))
    assert np.array_equal(whole, cut)


def test_log_softmax_of_large_numbers_keeps_its_precision() -> None:
    # 40000 + n is exact in float32, the logarithm added to it would be rounded to 1/256.
    x = (40000 + np.arange(5, dtype=np.float32))[None]
    for axis, given in ((1, x), (0, x.T)):
        node = gr.log_softmax(gr.placeholder(given.shape), axis=axis).node
        [found] = run_kernel(node, [given]).outputs
        exact = np.arange(5) - np.log(np.exp(np.arange(5.0)).sum())
        np.testing.assert_allclose(found.ravel(), exact, 1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_nan_and_infinity_are_not_hidden(axis: int) -> None:
    rows = np.array([[0, np.nan, 1], [0, np.inf, 1], [-np.inf, -np.inf, -np.inf], [-np.inf, 0, -np.inf]], np.float32)
    x = rows if axis else rows.T
    node = gr.softmax(gr.placeholder(x.shape), axis=axis).node
    [found] = run_kernel(node, [x]).outputs
    found = found if axis else found.T
    assert np.isnan(found[:3]).all()
    np.testing.assert_array_equal(found[3], [0, 1, 0])
