from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.ir.op import Sample
from tests.support import check_kernel, run_kernel, sample_cases


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "sample"), sample_cases("argmax", "argmin"))
def test_kernel_equals_evaluation(name: str, sample: Sample, dtype: str, symbolic: bool, parts: int) -> None:
    check_kernel(name, sample, dtype, symbolic, parts)


@pytest.mark.parametrize("dtype", ["float32", "int8", "int16", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_every_dtype_with_many_ties(name: str, axis: int, dtype: str) -> None:
    x = np.random.default_rng(7).integers(0, 2 if dtype == "bool" else 9, (45, 70)).astype(dtype)
    node = getattr(gr, name)(gr.placeholder(x.shape, dtype), axis=axis).node
    [found] = run_kernel(node, [x], parts=4).outputs
    np.testing.assert_array_equal(found, getattr(np, name)(x, axis))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_extremes_of_the_dtypes(name: str, axis: int) -> None:
    for dtype in ("int8", "int64", "uint8"):
        bounds = np.iinfo(dtype)
        x = np.array([[bounds.min, bounds.max, bounds.min], [bounds.max] * 3, [bounds.min] * 3], dtype)
        node = getattr(gr, name)(gr.placeholder(x.shape, dtype), axis=axis).node
        np.testing.assert_array_equal(run_kernel(node, [x]).outputs[0], getattr(np, name)(x, axis))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_nan_and_infinities(name: str, axis: int) -> None:
    rng = np.random.default_rng(8)
    x = rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32), (60, 60), p=[0.02, 0.2, 0.2, 0.28, 0.3])
    node = getattr(gr, name)(gr.placeholder(x.shape), axis=axis).node
    np.testing.assert_array_equal(run_kernel(node, [x]).outputs[0], getattr(np, name)(x, axis))
