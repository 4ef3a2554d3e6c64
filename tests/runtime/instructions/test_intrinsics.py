"""Memory, conversions, matrix products and faults of generated kernels."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.runtime.jit import compiler

Array = np.ndarray
CODES: dict[str, Any] = {
    "f32": np.float32,
    "f64": np.float64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "b1": np.bool_,
}
PACKED = re.compile(r"\b[yz]mm\d|\bv?(add|mul|fmadd\w*)p[sd]\b|\bv\d+\.[24][sd]\b")


@pytest.mark.parametrize("code", CODES)
def test_loads_and_stores(code: str, evaluate: Callable[..., Array]) -> None:
    x = np.arange(37).astype(CODES[code])
    np.testing.assert_array_equal(evaluate("a", code, x), x)


def test_any_byte_but_zero_is_true(evaluate: Callable[..., Array]) -> None:
    x = np.array([0, 1, 2, 128, 255], np.uint8).view(np.bool_)
    np.testing.assert_array_equal(evaluate("a", "b1", x).view(np.uint8), [0, 1, 1, 1, 1])


@pytest.mark.parametrize("target", CODES)
@pytest.mark.parametrize("source", CODES)
def test_conversions(source: str, target: str, evaluate: Callable[..., Array]) -> None:
    values = np.array([0, 1, 2, 100, 127])
    if np.issubdtype(CODES[source], np.signedinteger):
        values = np.append(values, [-1, -2, -128, np.iinfo(CODES[source]).min, np.iinfo(CODES[source]).max])
    x = values.astype(CODES[source])
    if np.issubdtype(CODES[source], np.floating):
        x = np.concatenate([x, np.array([0.99, 1.5, 1e-30, 126.9], CODES[source])])
        if target != "u8":
            x = np.concatenate([x, np.array([-0.99, -1.5, -127.9], CODES[source])])
    np.testing.assert_array_equal(evaluate(f"{target}(a)", target, x), x.astype(CODES[target]))


@pytest.mark.parametrize("target", [code for code in CODES if code not in ("f32", "f64")])
def test_conversions_out_of_range_do_not_trap(target: str, evaluate: Callable[..., Array]) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 300.0, -5.0, 7.0])
    found = evaluate(f"{target}(a)", target, x)
    assert found[-1] == (True if target == "b1" else 7)
    if target == "b1":
        assert found.all()
    else:
        assert found[-2] == np.int64(-5).astype(CODES[target])


def test_wide_expressions_are_narrowed(evaluate: Callable[..., Array]) -> None:
    x = np.array([100, 127, -128], np.int8)
    np.testing.assert_array_equal(evaluate("i8(a + b)", "i8", x, x), x + x)
    y = np.array([3, 200], np.uint8)
    np.testing.assert_array_equal(evaluate("u8(a - b)", "u8", y, y[::-1]), y - y[::-1])
    np.testing.assert_array_equal(evaluate("u8(-a)", "u8", y), -y)


def test_where(evaluate: Callable[..., Array]) -> None:
    x, y = np.array([1.0, np.nan, 3.0]), np.array([2.0, 5.0, -1.0])
    np.testing.assert_array_equal(evaluate("where(a < b, a, b)", "f64", x, y), [1.0, 5.0, -1.0])
    with pytest.raises(compiler.KernelError, match="where of operands of types"):
        evaluate("where(a < b, a, f32(1))", "f64", x, y)


def test_min_and_max_of_integers(evaluate: Callable[..., Array]) -> None:
    x, y, z = np.array([3, -5, 7]), np.array([4, -6, 7]), np.array([1, 0, 9])
    np.testing.assert_array_equal(evaluate("min(a, b)", "i64", x, y), np.minimum(x, y))
    np.testing.assert_array_equal(evaluate("max(a, b, c, 2)", "i64", x, y, z), [4, 2, 9])
    with pytest.raises(compiler.KernelError, match="min of operands of types float64, float64; expected integers"):
        evaluate("min(a, b)", "f64", x * 1.0, y * 1.0)


def test_fused_kernel_of_many_buffers_is_vectorised(elementwise: Callable[..., str]) -> None:
    count = 20
    lines = ["def kernel(args, lo, hi):"]
    lines += [f"    p{k} = integer(args, {k})" for k in range(count)]
    lines += ["    for i in range(lo, hi):", "        v = load_f32_0(p0, i)"]
    lines += [f"        v = v * load_f32_{k}(p{k}, i) + f32(1)" for k in range(1, count - 1)]
    lines += [f"        store_f32_{count - 1}(p{count - 1}, i, v)", ""]
    text = compiler.assembly("\n".join(lines), "kernel")
    assert PACKED.search(text)
    # Buffers are known not to overlap: no comparison of addresses guards the loop.
    assert text.count("cmp") < 12


def test_in_place_kernel(run: Callable[..., None]) -> None:
    source = """
def kernel(args, lo, hi):
    x = integer(args, 0)
    y = integer(args, 1)
    for i in range(lo, hi):
        store_f32_0(x, i, load_f32_0(x, i) * f32(2) + load_f32_1(y, i))
"""
    assert PACKED.search(compiler.assembly(source, "kernel"))
    x, y = np.arange(101, dtype=np.float32), np.ones(101, np.float32)
    run(source, [x.ctypes.data, y.ctypes.data], 1, 100)
    expected = np.arange(101) * 2 + 1
    expected[[0, 100]] = 0, 100
    np.testing.assert_array_equal(x, expected)


def test_recurrence_through_one_buffer_keeps_its_order(run: Callable[..., None]) -> None:
    source = """
def kernel(args, lo, hi):
    x = integer(args, 0)
    for i in range(lo, hi):
        store_i64_0(x, i, load_i64_0(x, i - 1) + load_i64_0(x, i))
"""
    x = np.ones(50, np.int64)
    run(source, [x.ctypes.data], 1, 50)
    np.testing.assert_array_equal(x, np.arange(1, 51))


def test_report_fault_keeps_the_first(run: Callable[..., None]) -> None:
    source = """
def kernel(args, lo, hi):
    for i in range(lo, hi):
        if i % 3 == 2:
            report_fault(integer(args, 0), 7, i * 10, i)
"""
    status = np.zeros(3, np.int64)
    run(source, [status.ctypes.data], 0, 2)
    assert not status.any()
    run(source, [status.ctypes.data], 0, 100)
    np.testing.assert_array_equal(status, [7, 20, 2])
