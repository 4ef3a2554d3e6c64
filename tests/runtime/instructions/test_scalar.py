from __future__ import annotations

import ctypes
from typing import Any

import pytest
from llvmlite import ir

from graphc.runtime.instructions import scalar
from graphc.runtime.instructions.emit import types
from graphc.runtime.instructions.scalar import (
    Scalar,
    bits_of,
    converted,
    float_of,
    kernel_function,
    multiply_add,
    repeat,
    where,
)

LLVM = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


def operand(kind: Any) -> Scalar:
    """An unknown value in a function under construction."""
    llvm_type = LLVM.get(kind) or ir.IntType(kind.bitwidth)
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), [llvm_type]), "f")
    return Scalar(ir.IRBuilder(function.append_basic_block()), kind, function.args[0])


def text(x: Scalar) -> str:
    return str(x.builder.module)


def test_operations_keep_the_type_and_are_never_reassociated() -> None:
    x = operand(types.float32)
    y = (2.0 * x + 1.0 - x) / x
    assert y.kind == types.float32
    for operation in ("fmul", "fadd", "fsub", "fdiv"):
        assert f"{operation} contract float" in text(x)
    assert "reassoc" not in text(x)
    assert "double" not in text(x)


def test_integers_are_signed_or_not() -> None:
    signed, unsigned = operand(types.int8), operand(types.uint8)
    for x in (signed, unsigned):
        assert (x / 3 < x % 5).kind == types.boolean
        assert ((x >> 1) + 1).kind == x.kind
    assert all(word in text(signed) for word in ("sdiv i8", "srem i8", "icmp slt", "lshr i8"))
    assert all(word in text(unsigned) for word in ("udiv i8", "urem i8", "icmp ult", "lshr i8"))


def test_types_are_not_mixed() -> None:
    x = operand(types.float32)
    with pytest.raises(TypeError, match="operands of types float32 and int32; expected equal types"):
        x + bits_of(x)


def test_comparisons_with_nan() -> None:
    x = operand(types.float64)
    assert [(x == x).kind, (x != x).kind] == [types.boolean] * 2
    assert "fcmp oeq" in text(x)
    assert "fcmp une" in text(x)


def test_bits_and_back() -> None:
    x = operand(types.float64)
    assert bits_of(x).kind == types.int64
    assert float_of(bits_of(x)).kind == types.float64


def test_where_takes_numbers_on_either_side() -> None:
    x = operand(types.float32)
    assert where(x < 0.0, 1.0, x).kind == where(x < 0.0, x, 1.0).kind == types.float32


@pytest.mark.parametrize(
    ("source", "target", "instruction"),
    [
        (types.int8, types.int64, "sext"),
        (types.uint8, types.int64, "zext"),
        (types.boolean, types.int8, "zext"),
        (types.int64, types.int8, "trunc"),
        (types.uint8, types.float32, "uitofp"),
        (types.int32, types.float32, "sitofp"),
        (types.boolean, types.float64, "uitofp"),
        (types.float32, types.float64, "fpext"),
        (types.float64, types.float32, "fptrunc"),
        (types.float32, types.int64, "fptosi float"),
        (types.float32, types.boolean, "fcmp une"),
        (types.int16, types.boolean, "icmp ne"),
    ],
)
def test_conversions(source: Any, target: Any, instruction: str) -> None:
    x = operand(source)
    assert converted(x, target).kind == target
    assert instruction in text(x)


def test_a_conversion_to_the_same_type_is_nothing() -> None:
    x = operand(types.int8)
    assert converted(x, types.int8) is x
    assert converted(operand(types.uint8), types.int8).kind == types.int8


def test_machines_without_fused_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    x = operand(types.float32)
    monkeypatch.setattr(scalar, "FUSED", False)
    multiply_add(x, 2.0, 3.0)
    assert "llvm.fma" not in text(x)
    monkeypatch.setattr(scalar, "FUSED", True)
    multiply_add(x, 2.0, 3.0)
    assert "llvm.fma.f32" in text(x)


def test_formulas_become_functions_of_kernels() -> None:
    from graphc.runtime.instructions import intrinsics
    from graphc.runtime.jit import compiler
    from graphc.runtime.jit.image import place

    @kernel_function(intrinsics.PRIMITIVES, types.int64, name="collatz_steps")
    def steps(n: Scalar) -> Scalar:
        def step(n: Scalar, count: Scalar) -> tuple[Scalar, Scalar]:
            return where((n & 1) == 1, n * 3 + 1, n >> 1), count + 1

        return repeat(step, (n, n.constant(0)), lambda n, count: n > 1)[1]

    try:
        kernel = compiler.compile_kernel("def f(n):\n    return collatz_steps(n)\n", "f", "int64(int64)")
    finally:
        del intrinsics.PRIMITIVES["collatz_steps"]
    [address] = place([kernel])
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)
    assert [call(n) for n in (0, 1, 2, 27)] == [0, 0, 1, 111]
