"""How Python functions that emit LLVM instructions become functions that generated kernels can call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numba.core.cgutils
import numba.types
from llvmlite import ir
from numba.core.errors import TypingError
from numba.extending import models, register_model, typeof_impl

# Numba's own annotations cover a part of these modules only.
types: Any = numba.types
cgutils: Any = numba.core.cgutils

Emit: TypeAlias = Callable[..., Any]
"""``emit(builder, *values)`` writes instructions and returns the resulting LLVM value, or None for a void function."""

WORD = ir.IntType(64)
INT = ir.IntType(32)
BYTES = ir.IntType(8).as_pointer()


@dataclass(frozen=True, eq=False)
class KernelFunction:
    """A function of kernels; ``infer(*types)`` gives its Numba signature and what emits it.

    It has `arity` operands, or any number of them if that is None.
    """

    name: str
    arity: int | None
    infer: Callable[..., tuple[Any, Emit]]


class KernelFunctionType(types.Callable, types.Dummy):  # type: ignore[misc]
    """What Numba knows of a `KernelFunction`: each is a type of its own.

    An intrinsic of Numba's would belong to its target for the CPU, with all that this one loads.
    """

    def __init__(self, function: KernelFunction) -> None:
        self.function = function
        super().__init__(f"kernel function {function.name}")

    @property
    def key(self) -> KernelFunction:
        """What tells types apart: functions may share a name."""
        return self.function

    def get_call_type(self, context: Any, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """The signature for operands of these types; literals count as what they are literals of."""
        function = self.function
        if kws or function.arity not in (None, len(args)):
            raise TypingError(f"{function.name} of {len(args) + len(kws)} operands; expected {function.arity}")
        return function.infer(*map(types.unliteral, args))[0]

    def get_call_signatures(self) -> tuple[list[Any], bool]:
        """No signatures to show in messages: they depend on the operands."""
        return [], True

    def get_impl_key(self, signature: Any) -> Callable[..., Any]:
        """What writes a call with this signature: ``implementation(builder, values, location)``."""
        emit = self.function.infer(*signature.args)[1]

        def implementation(builder: Any, values: Any, location: Any = None) -> Any:
            value = emit(builder, *values)
            return ir.Constant(BYTES, None) if value is None else value

        return implementation


register_model(KernelFunctionType)(models.OpaqueModel)


@typeof_impl.register(KernelFunction)
def _type_of(function: KernelFunction, context: Any) -> KernelFunctionType:
    return KernelFunctionType(function)


def instruction(result: Any, *parameters: Any) -> Callable[[Emit], KernelFunction]:
    """Make a function of kernels, with these Numba types, of one that emits instructions."""

    def make(emit: Emit) -> KernelFunction:
        return KernelFunction(emit.__name__, len(parameters), lambda *_: (result(*parameters), emit))

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


LANE = "graphc.lane"
"""The kind of metadata that the counter of a loop has which is to become one vector."""


def mark_loop(module: ir.Module, branch: Any, hint: str, *values: Any) -> None:
    """Tell LLVM what to do with the loop that a branch closes."""
    mark = ir.MDValue(module, (), name=str(len(module.metadata)))  # refers to itself: no two loops share one
    mark.operands = (mark, module.add_metadata([ir.MetaDataString(module, hint), *values]))
    branch.set_metadata("llvm.loop", mark)
