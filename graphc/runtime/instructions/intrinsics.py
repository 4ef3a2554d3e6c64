"""The names that generated kernel source may use.

A kernel gets a flat table of 8-byte words: addresses of buffers, and integers. `integer` reads a word;
`load_<dtype>_<k>(address, index)` and `store_<dtype>_<k>(address, index, value)` read and write items of the kernel's
buffer number k. Every buffer is an alias scope of its own, so LLVM vectorises without checking at run time whether
buffers overlap: **two buffers of different numbers must not overlap if one of them is written**; a buffer that is
updated in place has one number.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from llvmlite import ir
from numba.core.errors import TypingError

from graphc.runtime.instructions.arithmetic import ARITHMETIC
from graphc.runtime.instructions.attention_tiles import attention_tile_names
from graphc.runtime.instructions.circular import CIRCULAR
from graphc.runtime.instructions.conv_tiles import conv_tile_names
from graphc.runtime.instructions.emit import LANE, WORD, KernelFunction, call_address, instruction, types
from graphc.runtime.instructions.mathlib import MATHEMATICS
from graphc.runtime.instructions.primitives import PRIMITIVES
from graphc.runtime.instructions.scalar import Scalar, converted
from graphc.runtime.instructions.tiles import tile_names

DTYPES: dict[str, Any] = {
    "f32": types.float32,
    "f64": types.float64,
    "i8": types.int8,
    "i16": types.int16,
    "i32": types.int32,
    "i64": types.int64,
    "u8": types.uint8,
    "b1": types.boolean,
}
_IN_MEMORY: dict[str, ir.Type] = {
    "f32": ir.FloatType(),
    "f64": ir.DoubleType(),
    **{name: ir.IntType(int(name[1:])) for name in ("i8", "i16", "i32", "i64", "u8")},
    "b1": ir.IntType(8),
}
_ACCESS = re.compile(rf"\b(load|store)_({'|'.join(DTYPES)})_(\d+)\b")


def namespace(source: str) -> dict[str, Any]:
    """The globals under which generated `source` is executed.

    They are `integer`, `lane`, the loads, stores and tiles that the source mentions, conversions ``f32(x) .. b1(x)``,
    `where`, `min` and `max` of integers, `report_fault`, and the functions of `arithmetic`, `mathlib`, `circular` and
    `primitives` beside this file.
    """
    scope = {**ARITHMETIC, **MATHEMATICS, **CIRCULAR, **PRIMITIVES, **_COMMON}
    accesses = set(_ACCESS.findall(source))
    buffers = 1 + max((int(number) for _, _, number in accesses), default=0)
    scopes = max(16, 1 << (buffers - 1).bit_length())  # few different counts: kernels share their loads and stores
    for kind, dtype, number in accesses:
        if kind == "load":
            overwritten = ("store", dtype, number) in accesses
            scope[f"load_{dtype}_{number}"] = _load(dtype, int(number), scopes, overwritten)
        else:
            scope[f"store_{dtype}_{number}"] = _store(dtype, int(number), scopes)
    return {**scope, **tile_names(source), **conv_tile_names(source), **attention_tile_names(source)}


# Memory


@functools.cache
def _load(dtype: str, number: int, scopes: int, overwritten: bool) -> Any:
    memory = _IN_MEMORY[dtype]

    @instruction(DTYPES[dtype], types.int64, types.int64)
    def load(builder: Any, address: Any, index: Any) -> Any:
        item = builder.load(_item(builder, memory, address, index))
        _set_scope(builder, item, number, scopes)
        if overwritten:
            # Hides from LLVM that a store of `where(c, x, y)` over x leaves some items as they are: it would make a
            # masked store of it, which some processors take twenty times as long for.
            item = _freeze(builder, item)
        return builder.icmp_unsigned("!=", item, ir.Constant(memory, 0)) if dtype == "b1" else item

    return load


@functools.cache
def _store(dtype: str, number: int, scopes: int) -> Any:
    memory = _IN_MEMORY[dtype]

    @instruction(types.void, types.int64, types.int64, DTYPES[dtype])
    def store(builder: Any, address: Any, index: Any, value: Any) -> None:
        item = builder.zext(value, memory) if dtype == "b1" else value
        _set_scope(builder, builder.store(item, _item(builder, memory, address, index)), number, scopes)

    return store


def _freeze(builder: Any, value: Any) -> Any:
    """LLVM's ``freeze``, which llvmlite's builder lacks."""
    instruction = ir.Instruction(builder.block, value.type, "freeze", [value])
    builder._insert(instruction)
    return instruction


def _item(builder: Any, memory: ir.Type, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, memory.as_pointer()), [index], inbounds=True)


def _set_scope(builder: Any, access: Any, number: int, scopes: int) -> None:
    module = builder.module
    domain = module.add_metadata(["graphc buffers"])
    buffers = [module.add_metadata([f"buffer {index}", domain]) for index in range(scopes)]
    access.set_metadata("alias.scope", module.add_metadata([buffers[number]]))
    access.set_metadata("noalias", module.add_metadata(buffers[:number] + buffers[number + 1 :]))


@instruction(types.int64, types.CPointer(types.int64), types.int64)
def integer(builder: Any, table: Any, index: Any) -> Any:
    """The word `index` of the kernel's table; it must not change while the kernel runs."""
    value = builder.load(builder.gep(table, [index], inbounds=True))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


@instruction(types.int64, types.int64)
def lane(builder: Any, number: Any) -> Any:
    """`number`, which counts a few iterations of a loop that is to become one vector."""
    value = builder.add(number, ir.Constant(WORD, 0))
    value.set_metadata(LANE, builder.module.add_metadata([]))
    return value


@instruction(types.void, types.int64, types.int64, types.int64, types.int64)
def report_fault(builder: Any, status: Any, code: Any, value: Any, position: Any) -> None:
    """Write [code, value, position] to the three words at address `status`, unless a fault is there already."""
    words = builder.inttoptr(status, WORD.as_pointer())
    outcome = builder.cmpxchg(words, ir.Constant(WORD, 0), code, "acq_rel", "monotonic")
    with builder.if_then(builder.extract_value(outcome, 1), likely=False):
        builder.store(value, builder.gep(words, [ir.Constant(WORD, 1)]))
        builder.store(position, builder.gep(words, [ir.Constant(WORD, 2)]))


# Choice and conversion


def _where_types(condition: Any, x: Any, y: Any) -> Any:
    if condition != types.boolean or x != y:
        raise TypingError(f"where of operands of types {condition}, {x}, {y}; expected boolean and two equal types")
    return x(condition, x, y), lambda builder, *values: builder.select(*values)


def _conversion(dtype: str) -> Any:
    """The conversion to `dtype`: of floats towards 0, of integers to their low bits, to bool whether it is not 0."""
    target = DTYPES[dtype]

    def infer(source: Any) -> Any:
        return target(source), lambda builder, value: converted(Scalar(builder, source, value), target).value

    return KernelFunction(dtype, 1, infer)


def _extreme(name: str, comparison: str) -> Any:
    """Python's function of several integers."""

    def emit(builder: Any, first: Any, *others: Any) -> Any:
        for value in others:
            first = builder.select(builder.icmp_signed(comparison, first, value), first, value)
        return first

    def infer(*operands: Any) -> Any:
        if len(operands) < 2 or not all(isinstance(kind, types.Integer) for kind in operands):
            found = ", ".join(map(str, operands))
            raise TypingError(
                f"{name} of operands of types {found}; expected integers, or {name}imum for other numbers"
            )
        return types.int64(*[types.int64] * len(operands)), emit

    return KernelFunction(name, None, infer)


# Matrix products


def _product(dtype: str) -> Any:
    """Row-major C = beta * C + alpha * A @ B by graphc's own routine, see `graphc.runtime.kernels.product`."""
    word, number = types.int64, DTYPES[dtype]

    @instruction(types.void, *[word] * 12, number, number)
    def call_product(builder: Any, routine: Any, *values: Any) -> None:
        """``routine, a, a_row, a_column, b, b_row, b_column, c, c_row, m, n, k, alpha, beta``; strides in items."""
        call_address(builder, routine, WORD, [WORD] * 11 + [_IN_MEMORY[dtype]] * 2, values)

    return call_product


_COMMON: dict[str, Any] = {
    **{dtype: _conversion(dtype) for dtype in DTYPES},
    "integer": integer,
    "lane": lane,
    "call_product_f32": _product("f32"),
    "call_product_f64": _product("f64"),
    "report_fault": report_fault,
    "min": _extreme("min", "<"),
    "max": _extreme("max", ">"),
    "where": KernelFunction("where", 3, _where_types),
}
