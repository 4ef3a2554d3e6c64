"""Every function against NumPy on all pairs of nasty values of every dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.runtime.instructions.arithmetic import ARITHMETIC

Array = np.ndarray
FLOATS = {"f32": np.float32, "f64": np.float64}
INTEGERS = {"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "u8": np.uint8}
NUMBERS = {**FLOATS, **INTEGERS}
ALL = {**NUMBERS, "b1": np.bool_}


def nasty(kind: Any) -> Array:
    if kind is np.bool_:
        return np.array([False, True])
    if np.issubdtype(kind, np.floating):
        info = np.finfo(kind)
        positive = [0.0, 0.25, 0.5, 1.0, 1.5, 2.5, 3.0, 7.25, 1e6 + 0.5, float(info.tiny), float(info.max), np.inf]
        positive += [float(info.smallest_subnormal), 1 / 3]
        return np.array([*positive, *(-value for value in positive), np.nan], kind)
    info = np.iinfo(kind)
    values = {info.min, info.min + 1, -7, -3, -2, -1, 0, 1, 2, 3, 5, 7, 100, info.max - 1, info.max}
    return np.array(sorted(value for value in values if info.min <= value <= info.max), kind)


def pairs(kind: Any) -> tuple[Array, Array]:
    x, y = np.meshgrid(nasty(kind), nasty(kind))
    return x.ravel(), y.ravel()


def assert_same(found: Array, expected: Array, signs: bool = True) -> None:
    np.testing.assert_array_equal(found, expected)
    if signs and np.issubdtype(found.dtype, np.floating):
        number = ~np.isnan(found)
        np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("code", ALL)
@pytest.mark.parametrize(("name", "reference"), [("maximum", np.maximum), ("minimum", np.minimum)])
def test_extremes(name: str, reference: Any, code: str, evaluate: Callable[..., Array]) -> None:
    x, y = pairs(ALL[code])
    assert_same(evaluate(f"{name}(a, b)", code, x, y), reference(x, y), signs=False)


@pytest.mark.parametrize("code", NUMBERS)
@pytest.mark.parametrize(("name", "reference"), [("floor_divide", np.floor_divide), ("mod", np.mod)])
def test_division(name: str, reference: Any, code: str, evaluate: Callable[..., Array]) -> None:
    x, y = pairs(NUMBERS[code])
    with np.errstate(all="ignore"):
        expected = reference(x, y)
    assert_same(evaluate(f"{name}(a, b)", code, x, y), expected)


@pytest.mark.parametrize("code", FLOATS)
def test_division_of_ordinary_numbers(code: str, evaluate: Callable[..., Array]) -> None:
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=20_000).astype(FLOATS[code]) * scale for scale in (100, 3))
    assert_same(evaluate("floor_divide(a, b)", code, x, y), np.floor_divide(x, y))
    assert_same(evaluate("mod(a, b)", code, x, y), np.mod(x, y))


@pytest.mark.parametrize("code", INTEGERS)
def test_division_of_random_integers(code: str, evaluate: Callable[..., Array]) -> None:
    rng, info = np.random.default_rng(4), np.iinfo(INTEGERS[code])
    x = rng.integers(info.min, info.max, 5000, dtype=INTEGERS[code], endpoint=True)
    y = (x[::-1] // np.array(3, x.dtype)).astype(x.dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(evaluate("floor_divide(a, b)", code, x, y), np.floor_divide(x, y))
        np.testing.assert_array_equal(evaluate("mod(a, b)", code, x, y), np.mod(x, y))


@pytest.mark.parametrize("code", FLOATS)
def test_power_of_floats(code: str, evaluate: Callable[..., Array]) -> None:
    x, y = pairs(FLOATS[code])
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = evaluate("power(a, b)", code, x, y)
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(FLOATS[code]).eps)


def power_of_integers(x: int, y: int) -> int:
    """In exact arithmetic, cut off towards zero; 0 to a negative power is 0."""
    if y >= 0:
        return x**y
    return {1: 1, -1: 1 if y % 2 == 0 else -1}.get(x, 0)


@pytest.mark.parametrize("code", INTEGERS)
def test_power_of_integers(code: str, evaluate: Callable[..., Array]) -> None:
    kind = INTEGERS[code]
    x, y = (values[np.abs(pairs(kind)[1].astype(np.int64)) <= 100] for values in pairs(kind))
    bits = np.iinfo(kind).bits
    exact = [power_of_integers(int(base), int(exponent)) % 2**bits for base, exponent in zip(x, y, strict=True)]
    expected = np.array(exact, np.uint64).astype(f"uint{bits}").view(kind)
    np.testing.assert_array_equal(evaluate("power(a, b)", code, x, y), expected)


def test_power_with_large_exponents_ends(evaluate: Callable[..., Array]) -> None:
    x = np.array([1, -1, 3, 2, -1, 3], np.int64)
    y = np.array([2**63 - 1, 2**63 - 1, 2**63 - 1, 2**62, -(2**63), -(2**63)], np.int64)
    expected = [1, -1, pow(3, 2**63 - 1, 2**64) - 2**64, 0, 1, 0]
    np.testing.assert_array_equal(evaluate("power(a, b)", "i64", x, y), expected)


@pytest.mark.parametrize("code", ALL)
def test_signs_and_rounding(code: str, evaluate: Callable[..., Array]) -> None:
    x = nasty(ALL[code])
    references: dict[str, Callable[[Array], Array]] = {"abs": np.abs}
    if code != "b1":
        references |= {"sign": np.sign, "relu": lambda x: np.maximum(x, x.dtype.type(0))}
    if code in FLOATS:
        references |= {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round_half_even": np.rint}
    else:
        references |= dict.fromkeys(("floor", "ceil", "trunc", "round_half_even"), lambda x: x)
    for name, reference in references.items():
        with np.errstate(all="ignore"):
            expected = reference(x)
        assert_same(evaluate(f"{name}(a)", code, x), expected, signs=name not in ("sign", "relu"))


@pytest.mark.parametrize("code", ALL)
@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_classes(name: str, code: str, evaluate: Callable[..., Array]) -> None:
    x = nasty(ALL[code])
    np.testing.assert_array_equal(evaluate(f"{name}(a)", "b1", x), getattr(np, name)(x))


@pytest.mark.parametrize("code", [*INTEGERS, "b1"])
def test_bitwise_not(code: str, evaluate: Callable[..., Array]) -> None:
    x = nasty(ALL[code])
    np.testing.assert_array_equal(evaluate("bitwise_not(a)", code, x), np.invert(x))


@pytest.mark.parametrize("code", FLOATS)
def test_copysign_and_fma(code: str, evaluate: Callable[..., Array]) -> None:
    x, y = pairs(FLOATS[code])
    number = ~(np.isnan(x) | np.isnan(y))
    found = evaluate("copysign(a, b)", code, x, y)
    assert_same(found[number], np.copysign(x, y)[number])
    values = np.array([1.0, 2.0, -3.0], FLOATS[code])
    np.testing.assert_array_equal(evaluate("fma(a, b, c)", code, values, values, values), values * values + values)


def test_comparisons_see_nan_in_arithmetic_that_may_be_reassociated(evaluate: Callable[..., Array]) -> None:
    x = np.array([np.nan, np.inf, 1.0], np.float32)
    found = evaluate("f32(1) if isnan(a - a + a) else f32(0)", "f32", x)
    np.testing.assert_array_equal(found, [1.0, 1.0, 0.0])


def test_operands_of_different_types_are_refused(evaluate: Callable[..., Array]) -> None:
    from graphc.runtime.jit.compiler import KernelError

    with pytest.raises(KernelError, match="maximum of operands of types float32, float64; expected equal types"):
        evaluate("maximum(a, b)", "f32", np.zeros(1, np.float32), np.zeros(1))
    with pytest.raises(KernelError, match="sign of operands of types bool"):
        evaluate("sign(a)", "b1", np.zeros(1, bool))


@pytest.mark.parametrize("code", ["f32", "f64"])
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_reductions_are_vectorised(name: str, code: str, run: Callable[..., None]) -> None:
    from graphc.runtime.jit import compiler

    source = f"""
def kernel(args, lo, hi):
    x = integer(args, 0)
    y = integer(args, 1)
    extreme = load_{code}_0(x, lo)
    for i in range(lo + 1, hi):
        extreme = {name}(extreme, load_{code}_0(x, i))
    store_{code}_1(y, 0, extreme)
"""
    packed = {"f32": "ps", "f64": "pd"}[code]
    text = compiler.assembly(source, "kernel")
    assert (
        f"{name[:3]}{packed}" in text or "fmaxnm" in text or "fminnm" in text or "fmax\tv" in text or "fmin\tv" in text
    )
    x = np.random.default_rng(5).normal(size=1001).astype(FLOATS[code])
    for nan_at in (None, 0, 500, 1000):
        values, found = x.copy(), np.zeros(1, FLOATS[code])
        if nan_at is not None:
            values[nan_at] = math.nan
        run(source, [values.ctypes.data, found.ctypes.data], 0, values.size)
        np.testing.assert_array_equal(found[0], getattr(np, name)(values[0], getattr(np, name).reduce(values)))


def test_all_functions_are_tested_here() -> None:
    tested = {"maximum", "minimum", "floor_divide", "mod", "power", "abs", "sign", "relu", "floor", "ceil", "trunc"}
    tested |= {"round_half_even", "isnan", "isinf", "isfinite", "bitwise_not", "copysign", "fma"}
    assert set(ARITHMETIC) == tested
