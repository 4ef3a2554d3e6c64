"""Arguments of sin, cos and tan that are hard to reduce: near multiples of pi/2, large, and both beside others."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

Array = np.ndarray
KINDS = {"f32": np.float32, "f64": np.float64}
FUNCTIONS = {"sin": math.sin, "cos": math.cos, "tan": math.tan}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("code", KINDS)
def test_near_multiples_of_half_pi(name: str, code: str, evaluate: Callable[..., Array]) -> None:
    kind = KINDS[code]
    count = 60_000 if code == "f32" else 1_000_000
    nearest = (np.arange(1, count) * (math.pi / 2)).astype(kind)
    x = np.concatenate([nearest, np.nextafter(nearest, kind(0)), np.nextafter(nearest, kind(np.inf))])
    wide = x.astype(np.float64 if code == "f32" else np.longdouble)
    exact = getattr(np, name)(wide)
    found = evaluate(f"{name}(a)", code, x)
    np.testing.assert_array_less(np.abs(found - exact), 2.5 * np.spacing(np.abs(exact).astype(kind)))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("code", KINDS)
def test_around_the_limit(name: str, code: str, evaluate: Callable[..., Array]) -> None:
    kind = KINDS[code]
    limit = kind(1e5 if code == "f32" else 1e8)
    x = np.array([np.nextafter(limit, kind(0)), limit, np.nextafter(limit, kind(np.inf)), 2 * limit], kind)
    x = np.concatenate([x, -x])
    expected = [FUNCTIONS[name](float(value)) for value in x]
    np.testing.assert_allclose(evaluate(f"{name}(a)", code, x), expected, rtol=3 * np.finfo(kind).eps)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize("size", [1, 7, 8, 9, 37])
def test_large_arguments_beside_others(name: str, code: str, size: int, evaluate: Callable[..., Array]) -> None:
    kind = KINDS[code]
    ordinary = np.linspace(-3, 3, size).astype(kind)
    expected = np.array([FUNCTIONS[name](float(value)) for value in ordinary])
    special = {1e30: FUNCTIONS[name](float(kind(1e30))), np.inf: np.nan, -np.inf: np.nan, np.nan: np.nan}
    for place in range(size):
        for value, result in special.items():
            x, exact = ordinary.copy(), expected.copy()
            x[place], exact[place] = value, result
            found = evaluate(f"{name}(a)", code, x)
            np.testing.assert_allclose(found, exact, rtol=3 * np.finfo(kind).eps, atol=3 * np.finfo(kind).eps)


@pytest.mark.parametrize("code", KINDS)
def test_several_large_arguments_of_several_functions(code: str, evaluate: Callable[..., Array]) -> None:
    kind = KINDS[code]
    rng = np.random.default_rng(11)
    x = (10.0 ** rng.uniform(-3, 30, 5000) * rng.choice([-1.0, 1.0], 5000)).astype(kind)
    found = evaluate("sin(a) * sin(a) + cos(a) * cos(a)", code, x)
    np.testing.assert_allclose(found, 1, rtol=4 * np.finfo(kind).eps)
