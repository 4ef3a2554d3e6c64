from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.support import check_against_torch

F = torch.nn.functional

PAIRS: dict[str, tuple[Any, Any]] = {
    "leaky_relu": (gr.leaky_relu, F.leaky_relu),
    "leaky_relu, slope": (lambda x: gr.leaky_relu(x, 0.3), lambda x: F.leaky_relu(x, 0.3)),
    "elu": (gr.elu, F.elu),
    "elu, alpha": (lambda x: gr.elu(x, 0.7), lambda x: F.elu(x, 0.7)),
    "selu": (gr.selu, F.selu),
    "gelu": (gr.gelu, F.gelu),
    "gelu, tanh": (lambda x: gr.gelu(x, approximate="tanh"), lambda x: F.gelu(x, approximate="tanh")),
    "silu": (gr.silu, F.silu),
    "mish": (gr.mish, F.mish),
    "relu6": (gr.relu6, F.relu6),
    "hardtanh": (gr.hardtanh, F.hardtanh),
    "hardtanh, range": (lambda x: gr.hardtanh(x, -2, 0.5), lambda x: F.hardtanh(x, -2, 0.5)),
    "softsign": (gr.softsign, F.softsign),
    "log_sigmoid": (gr.log_sigmoid, F.logsigmoid),
    "relu": (gr.relu, F.relu),
    "softplus": (gr.softplus, lambda x: F.softplus(x, threshold=1e9)),
}

ORDINARY = 3 * np.random.default_rng(0).normal(size=(4, 5))
KINKS = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 6.0])
FAR = np.array([-700.0, -90.0, 90.0, 700.0])


@pytest.mark.parametrize("array", [ORDINARY, KINKS, FAR, np.array(0.3), np.zeros((0, 3))], ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_against_torch(name: str, array: np.ndarray) -> None:
    ours, torchs = PAIRS[name]
    if array is KINKS and name == "softplus":
        array = KINKS + 0.1
    check_against_torch(ours, torchs, [array], rtol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_second_derivative(name: str) -> None:
    gr.check_gradients(PAIRS[name][0], [ORDINARY + 0.017], order=2)


@pytest.mark.parametrize("name", PAIRS)
def test_dtype_is_kept_and_integers_become_floats(name: str) -> None:
    ours, _ = PAIRS[name]
    for given, wanted in (("float32", "float32"), ("float64", "float64")):
        assert ours(gr.placeholder((2,), given)).dtype.name == wanted
    if name != "relu":
        assert ours(gr.placeholder((2,), "int8")).dtype.name == "float32"


@pytest.mark.parametrize("name", PAIRS)
def test_nan_is_not_hidden(name: str) -> None:
    x = gr.placeholder((1,), "float64")
    assert np.isnan(gr.evaluate(PAIRS[name][0](x), {x: [np.nan]}))


def test_unknown_approximation() -> None:
    with pytest.raises(gr.GraphError, match=r"gelu: approximate='erf'\n  expected: 'none' or 'tanh'"):
        gr.gelu(gr.placeholder((2,)), approximate="erf")  # type: ignore[arg-type]
