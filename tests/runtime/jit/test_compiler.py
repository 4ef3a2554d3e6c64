from __future__ import annotations

import pytest

from graphc.runtime.jit import compiler

EMPTY = "def kernel(args, lo, hi):\n    pass\n"


def test_the_c_library_may_be_called() -> None:
    source = """
def kernel(args, lo, hi):
    x = integer(args, 0)
    for i in range(lo, hi):
        store_f64_0(x, i, mod(load_f64_0(x, i), load_f64_0(x, i + 1)))
"""
    assert compiler.library_functions(compiler.compile_kernel(source, "kernel")) == ["fmod"]


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('no')",
        "print(lo)",
        "len((lo, hi))",
        "str(lo)",
    ],
)
def test_kernels_that_need_python_are_refused(body: str) -> None:
    with pytest.raises(compiler.KernelError, match="kernel could not be compiled"):
        compiler.compile_kernel(f"def kernel(args, lo, hi):\n    {body}\n", "kernel")


def test_what_may_raise_is_refused() -> None:
    source = (
        "def kernel(args, lo, hi):\n    for i in range(lo, hi, integer(args, 0)):\n        report_fault(i, i, i, i)\n"
    )
    with pytest.raises(
        compiler.KernelError, match=r"refers to raise ValueError(?s:.*)expected: symbols of the C and math"
    ):
        compiler.compile_kernel(source, "kernel")


def test_steps_that_are_known_do_not_raise() -> None:
    source = "def kernel(args, lo, hi):\n    for i in range(hi, lo, -2):\n        report_fault(i, i, i, i)\n"
    assert compiler.library_functions(compiler.compile_kernel(source, "kernel")) == []


def test_errors_show_the_source() -> None:
    with pytest.raises(compiler.KernelError, match=r"kernel could not be compiled: (?s:.*)unknown_name\(lo\)"):
        compiler.compile_kernel("def kernel(args, lo, hi):\n    unknown_name(lo)\n", "kernel")


def test_other_signatures() -> None:
    source = "def add(a, b):\n    return a + b\n"
    kernel = compiler.compile_kernel(source, "add", "float64(float64, float64)")
    assert compiler.library_functions(kernel) == []
