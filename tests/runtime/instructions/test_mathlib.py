"""Every function against NumPy in a wider precision, on ordinary and on nasty arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

from graphc.runtime.instructions import circular, powers
from graphc.runtime.instructions.mathlib import MATHEMATICS
from graphc.runtime.jit import compiler

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def rsqrt(x: Array) -> Array:
    return 1 / np.sqrt(x)


REFERENCES: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "erf": special.erf,
    "sqrt": np.sqrt,
    "rsqrt": rsqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "arcsinh": np.arcsinh,
    "arccosh": np.arccosh,
    "arctanh": np.arctanh,
}
LARGEST_ERRORS = dict.fromkeys(REFERENCES, 2.0) | {
    "sigmoid": 2.5,
    "tanh": 2.6,
    "tan": 2.5,
    "sinh": 2.5,
    "arcsinh": 2.2,
    "arccosh": 3.0,
    "arctanh": 2.5,
    "arctan": 2.2,
}
OF_TWO_OPERANDS = ("arctan2", "power")
CALLED_FOR_LARGE_ARGUMENTS = ("sin", "cos", "tan")


def arguments(kind: type[np.floating]) -> Array:
    """Ordinary numbers, numbers of any bit pattern, and those around which functions change their ways."""
    rng = np.random.default_rng(7)
    info = np.finfo(kind)
    unsigned = {4: np.uint32, 8: np.uint64}[info.bits // 8]
    patterns = rng.integers(0, 2**info.bits, 40_000, dtype=unsigned).view(kind)
    sizes = rng.choice([-1.0, 1.0], 20_000) * 10.0 ** rng.uniform(-12, 3, 20_000)
    limits = np.array(
        [-745.2, -104.0, -103.9, -87.4, -40.0, -20.0, -1.0, -0.6, 0.6, 0.92, 1.0, 4.0, 88.7, 88.8, 709.7, 709.8]
    )
    around = (limits[:, None] * (1 + np.arange(-3, 4) * float(info.eps))).ravel()
    special_values = [0.0, -0.0, np.inf, -np.inf, np.nan, info.tiny, -info.tiny, info.max, -info.max]
    smallest = float(info.smallest_subnormal)
    special_values += [smallest, -smallest, 5 * smallest, float(info.tiny) - smallest]
    return np.concatenate(
        [
            rng.uniform(-5, 5, 40_000).astype(kind),
            rng.uniform(-110, 110, 20_000).astype(kind),
            sizes.astype(kind),
            patterns,
            around.astype(kind),
            np.array(special_values, kind),
        ]
    )


def errors_in_ulp(found: Array, exact: Array) -> Array:
    """Distances in units in the last place of the results' format; infinite where only one is special."""
    expected = exact.astype(found.dtype)
    both_finite = np.isfinite(found) & np.isfinite(expected)
    same_special = (found == expected) | (np.isnan(found) & np.isnan(expected))
    distance = np.abs(found.astype(exact.dtype) - exact) / np.spacing(np.abs(expected)).astype(exact.dtype)
    return np.where(both_finite, distance, np.where(same_special, 0.0, np.inf))


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_float32(name: str, evaluate: Callable[..., Array]) -> None:
    x = arguments(np.float32)
    with np.errstate(all="ignore"):
        errors = errors_in_ulp(evaluate(f"{name}(a)", "f32", x), REFERENCES[name](x.astype(np.float64)))
    worst = np.argmax(errors)
    assert errors[worst] <= LARGEST_ERRORS[name], f"{name}({x[worst]!r}) is {errors[worst]:.2f} ulp off"


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_float64(name: str, evaluate: Callable[..., Array]) -> None:
    x = arguments(np.float64)
    reference = REFERENCES[name]
    with np.errstate(all="ignore"):
        found = evaluate(f"{name}(a)", "f64", x)
        errors = errors_in_ulp(found, reference(x if reference is special.erf else x.astype(np.longdouble)))
    worst = np.argmax(errors)
    bound = LARGEST_ERRORS[name] + (1.0 if reference is special.erf else 0.0)  # which is no more precise
    assert errors[worst] <= bound, f"{name}({x[worst]!r}) is {errors[worst]:.2f} ulp off"


def test_every_function_has_a_reference() -> None:
    assert {*MATHEMATICS, *circular.CIRCULAR} == {*REFERENCES, "arctan2"}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["expm1", "log1p", "tanh", "erf", "sin", "tan", "arcsin", "arctan", "sinh", "arcsinh", "arctanh"]
)
def test_odd_functions_keep_the_sign_of_zero(name: str, kind: type, evaluate: Callable[..., Array]) -> None:
    code = "f32" if kind is np.float32 else "f64"
    found = evaluate(f"{name}(a)", code, np.array([0.0, -0.0], kind))
    assert not found.any()
    assert list(np.signbit(found)) == [False, True]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_arctan2(kind: type, evaluate: Callable[..., Array]) -> None:
    info, rng = np.finfo(kind), np.random.default_rng(5)
    values = [0.0, 1.0, 0.3, 7.0, np.inf, 1e-40, 1e30, info.max, info.tiny, info.smallest_subnormal, np.nan]
    grid = np.meshgrid(*[np.array([*values, *(-value for value in values)], kind)] * 2)
    sizes = 10.0 ** rng.uniform(-3, 3, (2, 20_000)) * rng.choice([-1.0, 1.0], (2, 20_000))
    y, x = (np.concatenate([nasty.ravel(), size.astype(kind)]) for nasty, size in zip(grid, sizes, strict=True))
    found = evaluate("arctan2(a, b)", "f32" if kind is np.float32 else "f64", y, x)
    exact = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    with np.errstate(all="ignore"):
        errors = errors_in_ulp(found, exact)
    assert errors.max() <= 2.2
    number = ~np.isnan(found)
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(exact[number]))


def test_special_values(evaluate: Callable[..., Array]) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0], np.float32)
    expected = {
        "exp": [math.nan, math.inf, 0.0, 1.0, math.exp(-1)],
        "log": [math.nan, math.inf, math.nan, -math.inf, math.nan],
        "log1p": [math.nan, math.inf, math.nan, 0.0, -math.inf],
        "expm1": [math.nan, math.inf, -1.0, 0.0, math.expm1(-1)],
        "tanh": [math.nan, 1.0, -1.0, 0.0, math.tanh(-1)],
        "sigmoid": [math.nan, 1.0, 0.0, 0.5, 1 / (1 + math.e)],
        "softplus": [math.nan, math.inf, 0.0, math.log(2), math.log1p(math.exp(-1))],
        "erf": [math.nan, 1.0, -1.0, 0.0, math.erf(-1)],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(evaluate(f"{name}(a)", "f32", x), values, rtol=1e-6, err_msg=name)


def test_subnormal_results(evaluate: Callable[..., Array]) -> None:
    x = np.linspace(-103.9, -87.4, 1000).astype(np.float32)
    found = evaluate("exp(a)", "f32", x)
    assert (found > 0).all()
    assert (found < np.finfo(np.float32).tiny).all()
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=0, atol=2.0**-149)


@pytest.mark.parametrize("name", sorted({*REFERENCES, *OF_TWO_OPERANDS}))
@pytest.mark.parametrize("code", ["f32", "f64"])
def test_loops_are_vectorised(name: str, code: str, elementwise: Callable[..., str]) -> None:
    operands = "ab" if name in OF_TWO_OPERANDS else "a"
    source = elementwise(f"{name}({', '.join(operands)})", [code] * len(operands), code)
    text = str(compiler._compile(source, "kernel", compiler.KERNEL_SIGNATURE))
    assert "llvm.loop.isvectorized" in text
    called = {function for function in re.findall(r"call [^@]*@([\w.]+)\(", text) if not function.startswith("llvm.")}
    if name not in CALLED_FOR_LARGE_ARGUMENTS:
        assert not called
        return
    assert called == {name + "f" * (code == "f32")}
    # In the loop of vectors, a branch for each item leads to the call.
    assert "pred.call.if" in text


@pytest.mark.parametrize("name", [*CALLED_FOR_LARGE_ARGUMENTS, "power"])
def test_machines_without_fused_multiply_add(
    name: str, elementwise: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(powers if name == "power" else circular, "FUSED", False)
    source = elementwise("power(a, b)" if name == "power" else f"{name}(a)", ["f64"] * (1 + (name == "power")), "f64")
    assert compiler.library_functions(compiler.compile_kernel(source, "kernel")) == [name[:3]]
