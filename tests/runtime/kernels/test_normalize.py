from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.ir.graph import Node
from graphc.ir.op import Sample
from graphc.ir.ops.normalize import normalize, normalize_grad
from tests.support import check_kernel, run_kernel, sample_cases

EPS = np.float32(1e-5)
RNG = np.random.default_rng(1)


def rows_node(shape: tuple[int, ...], centered: bool = True) -> Node:
    return normalize(gr.placeholder(shape), gr.placeholder(()), centered)[0].node


def exact(x: np.ndarray, centered: bool = True) -> np.ndarray:
    wide = x.astype(np.float64)
    deviation = wide - wide.mean(-1, keepdims=True) if centered else wide
    return deviation / np.sqrt((deviation**2).mean(-1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "sample"), sample_cases("normalize", "normalize_grad"))
def test_kernel_equals_evaluation(name: str, sample: Sample, dtype: str, symbolic: bool, parts: int) -> None:
    check_kernel(name, sample, dtype, symbolic, parts)


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("size", [1, 7, 16, 131, 5000])
def test_rows_longer_and_shorter_than_vectors(size: int, centered: bool) -> None:
    x, g = RNG.normal(size=(2, 5, size)).astype(np.float32)
    node = rows_node(x.shape, centered)
    y, rstd = run_kernel(node, [x, EPS], parts=2).outputs
    np.testing.assert_allclose(y, exact(x, centered), 1e-5, 3e-6)
    node = normalize_grad(*(gr.placeholder(array.shape) for array in (g, y, rstd)), centered).node
    [found] = run_kernel(node, [g, y, rstd], parts=2).outputs
    operands = [array.astype(np.float64) for array in (g, y, rstd)]
    np.testing.assert_allclose(found, node.op.evaluate(node.attrs, *operands), 1e-4, 1e-5)


@pytest.mark.parametrize("mean", [1e4, -1e6])
def test_large_mean_costs_no_precision(mean: float) -> None:
    # Sums of 300 such items have lost the deviations of the mean by far more than 1e-6 of a deviation.
    x = (RNG.normal(size=(20, 300)) + mean).astype(np.float32)
    y, rstd = run_kernel(rows_node(x.shape), [x, EPS]).outputs
    np.testing.assert_allclose(y, exact(x), 0, 2e-6)
    deviation = np.sqrt(x.astype(np.float64).var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(rstd * deviation, np.ones((20, 1)), 1e-6)


def test_equal_items_become_zeros() -> None:
    x = np.full((2, 100), 0.1, np.float32)
    y, rstd = run_kernel(rows_node(x.shape), [x, EPS]).outputs
    np.testing.assert_allclose(y, 0, atol=1e-4)
    np.testing.assert_allclose(rstd, 1 / np.sqrt(EPS), 1e-4)


def test_nan_and_infinity_stay_in_their_rows() -> None:
    x = RNG.normal(size=(4, 40)).astype(np.float32)
    clean, _ = run_kernel(rows_node(x.shape), [x, EPS]).outputs
    x[1, 3], x[2, 39] = np.nan, np.inf
    y, rstd = run_kernel(rows_node(x.shape), [x, EPS]).outputs
    assert np.isnan(y[1:3]).all()
    assert np.isnan(rstd[1:3]).all()
    np.testing.assert_array_equal(y[[0, 3]], clean[[0, 3]])
    g = np.ones_like(x)
    g[3, 0] = np.nan
    node = normalize_grad(*(gr.placeholder(array.shape) for array in (g, y, rstd)), True).node
    [dx] = run_kernel(node, [g, y, rstd]).outputs
    np.testing.assert_array_equal(np.isnan(dx).all(1), [False, True, True, True])
    assert np.isfinite(dx[0]).all()


def test_bits_do_not_depend_on_the_parts() -> None:
    x = RNG.normal(size=(67, 131)).astype(np.float32)
    whole, cut = (run_kernel(rows_node(x.shape), [x, EPS], parts=parts).outputs[0] for parts in (1, 9))
    assert np.array_equal(whole, cut)


def test_eps_is_an_operand_and_no_literal() -> None:
    x = gr.placeholder((3, 4))
    first, second = (gr.compile([x], normalize(x, eps)[0]) for eps in (1e-5, 1e-3))
    assert first.sources() == second.sources()
