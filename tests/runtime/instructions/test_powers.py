"""Powers of floats against NumPy in a wider precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Array = np.ndarray
KINDS = {"f32": np.float32, "f64": np.float64}
LARGEST_ERRORS = {"f32": 0.51, "f64": 1.6}


def assert_precise(code: str, x: Array, y: Array, evaluate: Callable[..., Array]) -> None:
    x, y = x.astype(KINDS[code]), y.astype(KINDS[code])
    found = evaluate("power(a, b)", code, x, y)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
        expected = exact.astype(found.dtype)
        errors = np.abs(found - exact) / np.spacing(np.abs(expected))
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    errors = np.where(same & ~np.isfinite(expected), 0, errors)
    worst = np.argmax(np.where(np.isnan(errors), np.inf, errors))
    assert errors[worst] <= LARGEST_ERRORS[code], f"power({x[worst]!r}, {y[worst]!r}) is {errors[worst]:.2f} ulp off"


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize(("lowest", "highest"), [(1e-30, 1e30), (0.5, 2.0), (0.99, 1.01)])
def test_results_of_all_sizes(code: str, lowest: float, highest: float, evaluate: Callable[..., Array]) -> None:
    rng = np.random.default_rng(1)
    x = np.exp(rng.uniform(np.log(lowest), np.log(highest), 50_000))
    largest = float(np.log(np.finfo(KINDS[code]).max))
    assert_precise(code, x, rng.uniform(-1.2, 1.2, x.size) * largest / np.log(x), evaluate)


@pytest.mark.parametrize("code", KINDS)
def test_any_bit_patterns(code: str, evaluate: Callable[..., Array]) -> None:
    rng = np.random.default_rng(2)
    bits, unsigned = (32, np.uint32) if code == "f32" else (64, np.uint64)
    x, y = (rng.integers(0, 2**bits, 50_000, dtype=unsigned).view(KINDS[code]) for _ in range(2))
    assert_precise(code, x, y, evaluate)
    assert_precise(code, x, rng.uniform(-3, 3, x.size), evaluate)
    assert_precise(code, x, rng.integers(-3, 4, x.size), evaluate)


@pytest.mark.parametrize("code", KINDS)
def test_subnormal_numbers(code: str, evaluate: Callable[..., Array]) -> None:
    info = np.finfo(KINDS[code])
    rng = np.random.default_rng(3)
    exponents = rng.uniform(np.log2(float(info.smallest_subnormal)), np.log2(float(info.tiny)), 5000)
    assert_precise(code, np.full(5000, 2.0), exponents, evaluate)
    assert_precise(code, np.arange(1, 5001) * float(info.smallest_subnormal), rng.uniform(-1, 1, 5000), evaluate)


@pytest.mark.parametrize("code", KINDS)
def test_representable_powers_are_exact(code: str, evaluate: Callable[..., Array]) -> None:
    pairs = [(x, y) for x in range(1, 200) for y in range(7)]
    pairs = [(x, y) for x, y in pairs if int(KINDS[code](float(x**y))) == x**y]
    x, y = (np.array(side, KINDS[code]) for side in zip(*pairs, strict=True))
    exact = np.array([float(base**exponent) for base, exponent in pairs], KINDS[code])
    assert exact.size > 1000
    np.testing.assert_array_equal(evaluate("power(a, b)", code, x, y), exact)
    np.testing.assert_array_equal(evaluate("power(a, b)", code, exact[y == 2], np.full_like(x[y == 2], 0.5)), x[y == 2])


@pytest.mark.parametrize("code", KINDS)
def test_special_values_and_signs(code: str, evaluate: Callable[..., Array]) -> None:
    info = np.finfo(KINDS[code])
    values = [0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 1e30, np.inf, 2.0**24 - 1, 2.0**24, 2.0**52 + 1, 2.0**53, np.nan]
    values += [info.tiny, info.smallest_subnormal, info.max, 1 - info.epsneg, 1 + info.eps]
    signed = np.array([*values, *(-value for value in values)], KINDS[code])
    x, y = (grid.ravel() for grid in np.meshgrid(signed, signed))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = evaluate("power(a, b)", code, x, y)
    np.testing.assert_allclose(found, expected, rtol=2 * info.eps, atol=0)
    number = ~np.isnan(found)
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))
