from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

import graphc as gr
from tests.support import check_against_torch

X = np.random.default_rng(0).normal(size=(2, 3, 4))
INF = np.inf


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("axis", [0, 2, (0, 2), (0, 1, 2)])
def test_variance_against_torch(axis: Any, ddof: int) -> None:
    check_against_torch(
        lambda x: gr.var(x, axis, ddof=ddof, keepdims=True), lambda x: x.var(axis, correction=ddof, keepdim=True), [X]
    )
    check_against_torch(lambda x: gr.std(x, axis, ddof=ddof), lambda x: x.std(axis, correction=ddof), [X])


def test_deviation_of_constant_items_has_gradient_0_as_in_torch() -> None:
    check_against_torch(lambda x: gr.std(x, 1), lambda x: x.std(1, correction=0), [np.ones((2, 3))])


def test_variance_of_fewer_items_than_ddof() -> None:
    with np.errstate(all="ignore"):
        x = gr.placeholder((1, 3), "float64")
        found = gr.evaluate([gr.var(x, 0, ddof=1), gr.var(x, 0, ddof=2)], {x: np.ones((1, 3))})
    assert np.isnan(found).all()


def test_sizes_known_at_run_time() -> None:
    x = gr.placeholder(("n", 4), "float64")
    results = [gr.mean(x), gr.mean(x, 0), gr.var(x, 0, ddof=1), gr.std(x), gr.logsumexp(x, 0)]
    for rows in (2, 7):
        array = np.random.default_rng(rows).normal(size=(rows, 4))
        wanted = [array.mean(), array.mean(0), array.var(0, ddof=1), array.std(), logsumexp(array, 0)]
        for found, expected in zip(gr.evaluate(results, {x: array}), wanted, strict=True):
            np.testing.assert_allclose(found, expected, 1e-12)


@pytest.mark.parametrize("axis", [0, 2, (0, 1), (0, 1, 2)])
def test_logsumexp_against_torch(axis: Any) -> None:
    check_against_torch(lambda x: gr.logsumexp(x, axis), lambda x: x.logsumexp(axis), [X])
    check_against_torch(lambda x: gr.logsumexp(x, axis, True), lambda x: x.logsumexp(axis, True), [500 * X])


def test_logsumexp_of_infinities() -> None:
    rows = np.array([[-INF, -INF, -INF], [-INF, 0, 1], [INF, 0, 1], [-INF, INF, INF], [1e308, 1e308, 0]])
    x = gr.placeholder(rows.shape, "float64")
    total = gr.logsumexp(x, 1)
    with np.errstate(over="ignore"):
        found, gradient = gr.evaluate([total, gr.grad(gr.sum(total[:2]), x)], {x: rows})
    np.testing.assert_allclose(found, logsumexp(rows, 1))
    share = np.e / (1 + np.e)
    np.testing.assert_allclose(gradient[:2], [[0, 0, 0], [0, 1 - share, share]])


def test_mean_of_integers_is_float64() -> None:
    x = gr.placeholder((4,), "int8")
    found = gr.evaluate(gr.mean(x), {x: np.array([127, 127, 127, 126], np.int8)})
    assert found.dtype == np.float64
    assert found == 126.75
