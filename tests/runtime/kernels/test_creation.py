from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.ir.build import apply
from graphc.ir.ops.creation import IOTA, IotaAttrs
from graphc.ir.types import dtype_of
from tests.support import check_kernel, run_kernel, sample_cases


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("size", [0, 1, 300])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "float32", "float64"])
def test_iota(dtype: str, size: int, parts: int) -> None:
    run = run_kernel(apply(IOTA, (), IotaAttrs(size, dtype_of(dtype))), [], parts=parts)
    np.testing.assert_array_equal(run.outputs[0], np.arange(size).astype(dtype))


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize(("name", "sample"), sample_cases("iota"))
def test_samples(name: str, sample: Any, symbolic: bool) -> None:
    check_kernel(name, sample, "float32", symbolic, parts=2)
