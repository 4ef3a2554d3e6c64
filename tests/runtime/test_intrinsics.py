"""Memory, conversions, matrix products and faults of generated kernels."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.runtime import jit
from graphc.runtime.blas import blas

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
    with pytest.raises(jit.KernelError, match="where of operands of types"):
        evaluate("where(a < b, a, f32(1))", "f64", x, y)


def test_fused_kernel_of_many_buffers_is_vectorised(elementwise: Callable[..., str]) -> None:
    count = 20
    lines = ["def kernel(args, lo, hi):"]
    lines += [f"    p{k} = integer(args, {k})" for k in range(count)]
    lines += ["    for i in range(lo, hi):", "        v = load_f32_0(p0, i)"]
    lines += [f"        v = v * load_f32_{k}(p{k}, i) + f32(1)" for k in range(1, count - 1)]
    lines += [f"        store_f32_{count - 1}(p{count - 1}, i, v)", ""]
    text = jit.assembly("\n".join(lines), "kernel")
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
    assert PACKED.search(jit.assembly(source, "kernel"))
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


GEMM = """
def kernel(args, lo, hi):
    for repetition in range(lo, hi):
        call_gemm_{code}(integer(args, 0), {transpose_a}, {transpose_b}, integer(args, 1), integer(args, 2),
                         integer(args, 3), {code}({alpha}), integer(args, 4), integer(args, 5), integer(args, 6),
                         integer(args, 7), {code}({beta}), integer(args, 8), integer(args, 9))
"""


@pytest.mark.parametrize("code", ["f32", "f64"])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(5, 7, 3), (1, 1, 1), (64, 33, 20), (4, 6, 0), (0, 3, 2), (3, 0, 2)])
def test_gemm(
    code: str, transpose_a: bool, transpose_b: bool, m: int, n: int, k: int, run: Callable[..., None]
) -> None:
    rng, kind = np.random.default_rng(1), CODES[code]
    a = rng.normal(size=(k, m) if transpose_a else (m, k)).astype(kind)
    b = rng.normal(size=(n, k) if transpose_b else (k, n)).astype(kind)
    c = rng.normal(size=(m, n)).astype(kind)
    product = (a.T if transpose_a else a).astype(np.float64) @ (b.T if transpose_b else b).astype(np.float64)
    gemm = blas().sgemm if code == "f32" else blas().dgemm
    for alpha, beta in ((1, 0), (-2, 1), (0.5, 3)):
        found = c.copy()
        if beta == 0:
            found[...] = np.nan  # must not be read
        words = [gemm, m, n, k, a.ctypes.data, a.shape[1], b.ctypes.data, b.shape[1], found.ctypes.data, n]
        source = GEMM.format(code=code, transpose_a=transpose_a, transpose_b=transpose_b, alpha=alpha, beta=beta)
        run(source, words, 0, 1)
        expected = alpha * product + (beta * c.astype(np.float64) if beta else 0)
        np.testing.assert_allclose(found, expected, rtol=1e-4 if code == "f32" else 1e-12, atol=1e-5)


def test_gemm_of_a_part_of_a_matrix(run: Callable[..., None]) -> None:
    rng = np.random.default_rng(2)
    a, b, c = rng.normal(size=(8, 10)), rng.normal(size=(10, 9)), np.zeros((8, 12))
    source = GEMM.format(code="f64", transpose_a=False, transpose_b=False, alpha=1, beta=0)
    start = c[2:, 3:].ctypes.data
    run(source, [blas().dgemm, 4, 5, 10, a[3:].ctypes.data, 10, b.ctypes.data, 9, start, 12], 0, 1)
    expected = np.zeros((8, 12))
    expected[2:6, 3:8] = a[3:7] @ b[:, :5]
    np.testing.assert_allclose(c, expected, atol=1e-12)


def test_gemm_in_a_long_loop_does_not_grow_the_stack(run: Callable[..., None]) -> None:
    a, c = np.ones((1, 1)), np.zeros((1, 1))
    source = GEMM.format(code="f64", transpose_a=False, transpose_b=False, alpha=1, beta=1)
    words = [blas().dgemm, 1, 1, 1, a.ctypes.data, 1, a.ctypes.data, 1, c.ctypes.data, 1]
    run(source, words, 0, 300_000)  # at 100 bytes a call, a stack of 8 MB would be full after 80,000
    assert c[0, 0] == 300_000
