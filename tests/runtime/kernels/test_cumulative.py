from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.ir.op import Sample
from tests.support import check_kernel, run_kernel, sample_cases


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "sample"), sample_cases("cumsum", "exclusive_prod"))
def test_kernel_equals_evaluation(name: str, sample: Sample, dtype: str, symbolic: bool, parts: int) -> None:
    check_kernel(name, sample, dtype, symbolic, parts)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumsum_of_long_axes(axis: int, reverse: bool) -> None:
    x = np.random.default_rng(1).integers(-99, 99, (20, 33, 17))
    value = gr.placeholder(x.shape, "float64")
    node = gr.cumsum(value, axis).node
    if reverse:
        [cotangent] = node.op.vjp(node, value)
        node = cotangent.node
        assert node.attrs.reverse
    [found] = run_kernel(node, [x.astype(np.float64)], parts=4).outputs
    wanted = np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("axis", [0, 1])
def test_cumsum_of_int64_wraps_as_numpy(axis: int) -> None:
    x = np.full((40, 3), 2**62)
    node = gr.cumsum(gr.placeholder(x.shape, "int64"), axis).node
    np.testing.assert_array_equal(run_kernel(node, [x]).outputs[0], np.cumsum(x, axis))
