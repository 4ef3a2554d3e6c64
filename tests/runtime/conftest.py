from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from graphc.runtime.instructions import intrinsics
from graphc.runtime.jit import compiler
from graphc.runtime.jit.image import place
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest

CODES = {
    "f32": np.float32,
    "f64": np.float64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "b1": np.bool_,
}
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def run_kernel(source: str, words: Sequence[int], lo: int, hi: int) -> None:
    """Compile and run ``kernel(args, lo, hi)`` on a table of words."""
    [address] = load([KernelRequest(source, "kernel")])
    table = np.array(words, np.int64)
    KERNEL(address)(table.ctypes.data, lo, hi)


def elementwise_source(expression: str, operands: Sequence[str], result: str) -> str:
    """A kernel that computes `expression` over operands named a, b, c of the dtypes with these codes."""
    count = len(operands)
    lines = ["def kernel(args, lo, hi):"]
    lines += [f"    p{k} = integer(args, {k})" for k in range(count + 1)]
    lines += ["    for i in range(lo, hi):"]
    lines += [f"        {'abc'[k]} = load_{code}_{k}(p{k}, i)" for k, code in enumerate(operands)]
    lines += [f"        store_{result}_{count}(p{count}, i, {expression})", ""]
    return "\n".join(lines)


def evaluate_expression(expression: str, result: str, *arrays: np.ndarray) -> np.ndarray:
    codes = {np.dtype(kind): code for code, kind in CODES.items()}
    operands = [np.ascontiguousarray(array) for array in arrays]
    out = np.empty(operands[0].shape, CODES[result])
    source = elementwise_source(expression, [codes[operand.dtype] for operand in operands], result)
    run_kernel(source, [array.ctypes.data for array in (*operands, out)], 0, out.size)
    return out


@pytest.fixture(scope="session")
def evaluate() -> Callable[..., np.ndarray]:
    """``evaluate(expression, result code, *arrays)``: the expression over a, b, c, compiled as a kernel."""
    return evaluate_expression


@pytest.fixture
def of_integers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, object]], Callable[[int, int], int]]:
    """``of_integers(expression, names)``: the function of two integers x and y, with these names and no others."""

    def compiled(expression: str, names: dict[str, object]) -> Callable[[int, int], int]:
        monkeypatch.setattr(intrinsics, "namespace", lambda source: dict(names))
        kernel = compiler.compile_kernel(f"def f(x, y):\n    return {expression}\n", "f", "int64(int64, int64)")
        [address] = place([kernel])
        return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(address)

    return compiled


@pytest.fixture(scope="session")
def run() -> Callable[[str, Sequence[int], int, int], None]:
    """``run(source, words, lo, hi)``: the kernel that `source` defines, on a table of words."""
    return run_kernel


@pytest.fixture(scope="session")
def elementwise() -> Callable[[str, Sequence[str], str], str]:
    """``elementwise(expression, operand codes, result code)``: the source of a kernel."""
    return elementwise_source
