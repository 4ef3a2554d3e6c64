"""Every elementwise operation against PyTorch in float64, interpreted and compiled, forward and gradient.

On ordinary, 0-d, empty, broadcast and non-contiguous input, and on NaN, infinities and signed zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.ir.op import registry
from tests.support import check_against_torch

ALL, POSITIVE, UNIT = (-2.5, 2.5), (0.2, 3.0), (-0.9, 0.9)

UNARY: dict[str, tuple[Callable[[Any], Any], tuple[float, float]]] = {
    "negative": (torch.negative, ALL),
    "abs": (torch.abs, ALL),
    "exp": (torch.exp, ALL),
    "expm1": (torch.expm1, ALL),
    "log": (torch.log, POSITIVE),
    "log1p": (torch.log1p, UNIT),
    "sqrt": (torch.sqrt, POSITIVE),
    "rsqrt": (torch.rsqrt, POSITIVE),
    "sin": (torch.sin, ALL),
    "cos": (torch.cos, ALL),
    "tan": (torch.tan, UNIT),
    "arcsin": (torch.arcsin, UNIT),
    "arccos": (torch.arccos, UNIT),
    "arctan": (torch.arctan, ALL),
    "sinh": (torch.sinh, ALL),
    "cosh": (torch.cosh, ALL),
    "tanh": (torch.tanh, ALL),
    "arcsinh": (torch.arcsinh, ALL),
    "arccosh": (torch.arccosh, (1.2, 4.0)),
    "arctanh": (torch.arctanh, UNIT),
    "erf": (torch.erf, ALL),
    "sigmoid": (torch.sigmoid, ALL),
    "softplus": (torch.nn.functional.softplus, ALL),
    "relu": (torch.relu, ALL),
    "sign": (torch.sign, ALL),
    "floor": (torch.floor, ALL),
    "ceil": (torch.ceil, ALL),
    "trunc": (torch.trunc, ALL),
    "round": (torch.round, ALL),
    "isnan": (torch.isnan, ALL),
    "isinf": (torch.isinf, ALL),
    "isfinite": (torch.isfinite, ALL),
}

BINARY: dict[str, tuple[Callable[[Any, Any], Any], tuple[float, float]]] = {
    "add": (torch.add, ALL),
    "subtract": (torch.subtract, ALL),
    "multiply": (torch.multiply, ALL),
    "divide": (torch.divide, POSITIVE),
    "floor_divide": (torch.floor_divide, POSITIVE),
    "mod": (torch.remainder, POSITIVE),
    "power": (torch.pow, POSITIVE),
    "maximum": (torch.maximum, ALL),
    "minimum": (torch.minimum, ALL),
    "arctan2": (torch.arctan2, ALL),
    "equal": (torch.eq, ALL),
    "not_equal": (torch.ne, ALL),
    "less": (torch.lt, ALL),
    "less_equal": (torch.le, ALL),
    "greater": (torch.gt, ALL),
    "greater_equal": (torch.ge, ALL),
}

# Their gradients are zero, which PyTorch either says too or refuses to say.
FLAT = {"sign", "floor", "ceil", "trunc", "round", "floor_divide", "mod"}

NASTY = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-320, 1e300, -1e300, np.inf, -np.inf, np.nan])


def points(seed: int, shape: tuple[int, ...], interval: tuple[float, float]) -> np.ndarray:
    return np.random.default_rng(seed).uniform(*interval, shape)


def shapes_of_one(interval: tuple[float, float]) -> dict[str, np.ndarray]:
    wide = points(3, (6, 8), interval)
    return {
        "ordinary": points(0, (3, 4), interval),
        "0-d": points(1, (), interval),
        "empty": points(2, (0, 3), interval),
        "strided": wide[::2, ::-3],
        "transposed": wide.T,
        "long": points(4, (1037,), interval),
    }


def shapes_of_two(interval: tuple[float, float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    one = shapes_of_one(interval)
    return {
        "ordinary": (one["ordinary"], points(5, (3, 4), interval)),
        "0-d": (one["0-d"], points(6, (), interval)),
        "empty": (one["empty"], points(7, (3,), interval)),
        "broadcast": (points(8, (2, 1, 4), interval), points(9, (3, 1), interval)),
        "scalar and array": (one["0-d"], one["ordinary"]),
        "strided": (one["strided"], points(10, (8, 3), interval).T[:, ::-1][:, :3]),
    }


def check(build: Callable[..., Any], other: Callable[..., Any], arrays: list[np.ndarray], differentiable: bool) -> None:
    if differentiable:
        check_against_torch(build, other, arrays)
    values = [gr.placeholder(array.shape, "float64") for array in arrays]
    result = build(*values)
    cotangent = np.random.default_rng(11).normal(size=result.shape)
    outputs = [result, *gr.vjp(result, values, gr.constant(cotangent))] if differentiable else [result]
    want = other(*(torch.tensor(array.copy()) for array in arrays)).numpy()
    got = gr.compile(values, outputs)(*arrays)
    np.testing.assert_allclose(got[0], want, rtol=1e-12, atol=1e-14)
    expected = gr.evaluate(outputs, dict(zip(values, arrays, strict=True)))
    for found, reference in zip(got, expected, strict=True):
        np.testing.assert_allclose(found, reference, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", shapes_of_one(ALL))
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, kind: str) -> None:
    other, interval = UNARY[name]
    array = shapes_of_one(interval)[kind]
    check(getattr(gr, name), other, [array], name not in FLAT and not name.startswith("is"))


@pytest.mark.parametrize("kind", shapes_of_two(ALL))
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, kind: str) -> None:
    other, interval = BINARY[name]
    arrays = list(shapes_of_two(interval)[kind])
    differentiable = name not in FLAT and registry[name].vjp.__name__ == "vjp"
    check(getattr(gr, name), other, arrays, differentiable)


@pytest.mark.parametrize("name", UNARY)
def test_unary_on_nasty_numbers(name: str) -> None:
    other, _ = UNARY[name]
    x = gr.placeholder((12,), "float64")
    got = gr.compile([x], getattr(gr, name)(x))(NASTY)
    want = other(torch.tensor(NASTY)).numpy()
    if name in ("sin", "cos", "tan"):  # at 1e300 the C libraries' last digits are their own
        got, want = got[np.abs(NASTY) != 1e300], want[np.abs(NASTY) != 1e300]
    if name == "sign":  # PyTorch gives 0 for NaN, NumPy NaN
        want[-1] = np.nan
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("name", BINARY)
def test_binary_on_nasty_numbers(name: str) -> None:
    """Against NumPy, whose rules these are: PyTorch's remainders of infinities differ."""
    left, right = (grid.ravel().copy() for grid in np.meshgrid(NASTY, NASTY))
    x, y = gr.placeholder((144,), "float64"), gr.placeholder((144,), "float64")
    got = gr.compile([x, y], getattr(gr, name)(x, y))(left, right)
    with np.errstate(all="ignore"):
        want = getattr(np, name)(left, right)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "floor_divide", "mod", "power", "maximum", "minimum"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8"])
def test_integers_at_their_limits(name: str, dtype: str) -> None:
    limits = np.iinfo(dtype)
    numbers = np.array([limits.min, limits.min + 1, -1 if limits.min else 3, 0, 1, 2, 7, limits.max], dtype)
    left, right = (grid.ravel().copy() for grid in np.meshgrid(numbers, numbers))
    x, y = gr.placeholder((64,), dtype), gr.placeholder((64,), dtype)
    got = gr.compile([x, y], getattr(gr, name)(x, y))(left, right)
    with np.errstate(all="ignore"):
        if name == "power":
            got, left, right = got[right >= 0], left[right >= 0], right[right >= 0]
        want = getattr(np, name)(left, right)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "name", ["bitwise_and", "bitwise_or", "bitwise_xor", "logical_and", "logical_or", "logical_xor"]
)
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64"])
def test_bits_and_logic(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 2 if dtype == "bool" else 100, (3, 5)).astype(dtype) for _ in range(2))
    x, y = gr.placeholder((3, 5), dtype), gr.placeholder((3, 5), dtype)
    got = gr.compile([x, y], [getattr(gr, name)(x, y), gr.bitwise_not(x), gr.logical_not(y)])(left, right)
    for found, want in zip(got, [getattr(np, name)(left, right), ~left, np.logical_not(right)], strict=True):
        assert found.dtype == want.dtype
        np.testing.assert_array_equal(found, want)


def test_ties_share_the_gradient() -> None:
    x, y = gr.placeholder((3,), "float64"), gr.placeholder((3,), "float64")
    for function in (gr.maximum, gr.minimum):
        gradients = gr.grad(function(x, y).sum(), [x, y])
        first, second = gr.compile([x, y], gradients)([1.0, 2.0, 3.0], [1.0, 5.0, 0.0])
        assert first[0] == second[0] == 0.5
        assert sorted([first[1], second[1]]) == sorted([first[2], second[2]]) == [0.0, 1.0]


@pytest.mark.parametrize("low", [None, -0.5])
@pytest.mark.parametrize("high", [None, 0.5])
def test_clip(low: float | None, high: float | None) -> None:
    array = np.array([-2.0, -0.5, 0.0, 0.5, 2.0, np.nan])
    if low is None and high is None:
        x = gr.placeholder((6,), "float64")
        assert gr.clip(x) is x
        return
    check_against_torch(lambda x: gr.clip(x, low, high), lambda x: torch.clamp(x, low, high), [array])


def test_where_takes_no_gradient_from_the_side_not_chosen() -> None:
    x = gr.placeholder((3,), "float64")
    safe = gr.where(x > 0, gr.log(gr.where(x > 0, x, 1.0)), 0.0)
    gradient = gr.compile([x], gr.grad(safe.sum(), x))([0.0, 1.0, 2.0])
    np.testing.assert_array_equal(gradient, [0.0, 1.0, 0.5])


def test_every_elementwise_operation_is_compared() -> None:
    apart = {"cast", "where", "clip", "stop_gradient", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"}
    assert {name for name, op in registry.items() if op.elementwise} == {*UNARY, *BINARY, *apart}
