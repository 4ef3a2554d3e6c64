"""How Python functions that emit LLVM instructions become functions that generated kernels can call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numba.core.cgutils
import numba.types
from llvmlite import ir
from numba.extending import intrinsic

# Numba's own annotations cover a part of these modules only.
types: Any = numba.types
cgutils: Any = numba.core.cgutils

Emit: TypeAlias = Callable[..., Any]
"""``emit(builder, *values)`` writes instructions and returns the resulting LLVM value, or None for a void function."""

WORD = ir.IntType(64)
INT = ir.IntType(32)
BYTES = ir.IntType(8).as_pointer()


def callable_in_kernels(name: str, arity: int, infer: Callable[..., tuple[Any, Emit]]) -> Any:
    """A function of kernels with `arity` operands; ``infer(*types)`` gives its Numba signature and what emits it."""

    def typing(typingctx: Any, *operands: Any) -> Any:
        signature, emit = infer(*(types.unliteral(operand) for operand in operands))

        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            value = emit(builder, *values)
            return context.get_dummy_value() if value is None else value

        return signature, codegen

    names = ("typingctx", *(f"operand_{index}" for index in range(arity)))
    parameters = [inspect.Parameter(parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD) for parameter in names]
    typing.__name__ = typing.__qualname__ = name
    cast(Any, typing).__signature__ = inspect.Signature(parameters)
    return intrinsic(typing)


def instruction(result: Any, *parameters: Any) -> Callable[[Emit], Any]:
    """Make a function of kernels, with these Numba types, of one that emits instructions."""

    def make(emit: Emit) -> Any:
        return callable_in_kernels(emit.__name__, len(parameters), lambda *_: (result(*parameters), emit))

    return make


def call_address(builder: Any, address: Any, result: ir.Type, parameters: list[ir.Type], values: Any) -> Any:
    """Call the C function at `address`; words become the pointers and C ints that it takes."""
    converted = []
    for value, parameter in zip(values, parameters, strict=True):
        if parameter == BYTES and value.type == WORD:
            value = builder.inttoptr(value, BYTES)
        elif parameter == INT and value.type == WORD:
            value = builder.trunc(value, INT)
        converted.append(value)
    return builder.call(builder.inttoptr(address, ir.FunctionType(result, parameters).as_pointer()), converted)
