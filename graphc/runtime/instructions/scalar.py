"""Scalars under construction: LLVM values with Python's operators, to write kernel functions as ordinary formulas.

A formula such as ``where(x < 0, -x, x)`` becomes a few instructions in the kernel that calls it: no branch, no call,
every operation in the type of its operands, so that loops stay vectorisable. Integers wrap around; floating-point
operations may be contracted, but not reassociated, so that compensated arithmetic keeps its meaning.

Where register tiles are written by hand, the LLVM values may be vectors: the formulas are the same.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir
from numba.core.errors import TypingError

from graphc.runtime import processor
from graphc.runtime.instructions.emit import KernelFunction, cgutils, types

Number: TypeAlias = bool | int | float

INFINITY, NAN = math.inf, math.nan

FLOATS = (types.float32, types.float64)
INTEGERS = (types.int8, types.int16, types.int32, types.int64, types.uint8)
ALL_KINDS = (*FLOATS, *INTEGERS, types.boolean)

# Without this hardware, llvm.fma would be a call of a slow library function.
FUSED = "fma" in processor.features() or processor.architecture() == "aarch64"


class Scalar:
    """An LLVM value of the Numba type `kind`, in the function that `builder` is writing."""

    __slots__ = ("builder", "kind", "value")

    def __init__(self, builder: Any, kind: Any, value: Any) -> None:
        self.builder, self.kind, self.value = builder, kind, value

    @property
    def is_float(self) -> bool:
        """Whether it is a floating-point number."""
        return isinstance(self.kind, types.Float)

    @property
    def is_signed(self) -> bool:
        """Whether it is a signed integer."""
        return isinstance(self.kind, types.Integer) and bool(self.kind.signed)

    @property
    def bits(self) -> int:
        """Its width."""
        return int(getattr(self.kind, "bitwidth", 1))

    def constant(self, number: Number) -> Scalar:
        """The number in this type."""
        item = float(number) if self.is_float else int(number)
        kind = self.value.type
        return self.like(ir.Constant(kind, [item] * kind.count if isinstance(kind, ir.VectorType) else item))

    def false(self) -> Scalar:
        """The boolean false."""
        return Scalar(self.builder, types.boolean, ir.Constant(ir.IntType(1), 0))

    def like(self, value: Any) -> Scalar:
        """Another value of this type."""
        return Scalar(self.builder, self.kind, value)

    def operand(self, other: Scalar | Number) -> Scalar:
        """`other` as an operand beside this scalar."""
        if not isinstance(other, Scalar):
            return self.constant(other)
        if other.kind != self.kind:
            raise TypeError(f"operands of types {self.kind} and {other.kind}; expected equal types")
        return other

    def _arithmetic(self, other: Scalar | Number, floating: str, integral: str) -> Scalar:
        left, right = self.value, self.operand(other).value
        if self.is_float:
            # Numba gives instructions without flags those of the kernel, and with them leave to reassociate.
            return self.like(getattr(self.builder, floating)(left, right, flags=("contract",)))
        return self.like(getattr(self.builder, integral)(left, right))

    def __add__(self, other: Scalar | Number) -> Scalar:
        return self._arithmetic(other, "fadd", "add")

    def __sub__(self, other: Scalar | Number) -> Scalar:
        return self._arithmetic(other, "fsub", "sub")

    def __mul__(self, other: Scalar | Number) -> Scalar:
        return self._arithmetic(other, "fmul", "mul")

    def __truediv__(self, other: Scalar | Number) -> Scalar:
        return self._arithmetic(other, "fdiv", "sdiv" if self.is_signed else "udiv")

    def __mod__(self, other: Scalar | Number) -> Scalar:
        """The remainder with the sign of the dividend, as C has it."""
        return self._arithmetic(other, "frem", "srem" if self.is_signed else "urem")

    def __radd__(self, other: Number) -> Scalar:
        return self.constant(other) + self

    def __rsub__(self, other: Number) -> Scalar:
        return self.constant(other) - self

    def __rmul__(self, other: Number) -> Scalar:
        return self.constant(other) * self

    def __rtruediv__(self, other: Number) -> Scalar:
        return self.constant(other) / self

    def __neg__(self) -> Scalar:
        return self.like(self.builder.fneg(self.value)) if self.is_float else self.constant(0) - self

    def __and__(self, other: Scalar | Number) -> Scalar:
        return self.like(self.builder.and_(self.value, self.operand(other).value))

    def __or__(self, other: Scalar | Number) -> Scalar:
        return self.like(self.builder.or_(self.value, self.operand(other).value))

    def __xor__(self, other: Scalar | Number) -> Scalar:
        return self.like(self.builder.xor(self.value, self.operand(other).value))

    def __invert__(self) -> Scalar:
        return self.like(self.builder.not_(self.value))

    def __lshift__(self, count: int) -> Scalar:
        return self.like(self.builder.shl(self.value, self.constant(count).value))

    def __rshift__(self, count: int) -> Scalar:
        """Zeros come in from above, whatever the sign: AVX2 has no other shift of 64-bit integers."""
        return self.like(self.builder.lshr(self.value, self.constant(count).value))

    def _compare(self, sign: str, other: Scalar | Number) -> Scalar:
        right = self.operand(other).value
        if self.is_float:
            compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        else:
            compare = self.builder.icmp_signed if self.is_signed else self.builder.icmp_unsigned
        return Scalar(self.builder, types.boolean, compare(sign, self.value, right))

    def __lt__(self, other: Scalar | Number) -> Scalar:
        return self._compare("<", other)

    def __gt__(self, other: Scalar | Number) -> Scalar:
        return self._compare(">", other)

    def __eq__(self, other: Scalar | Number) -> Scalar:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Scalar | Number) -> Scalar:  # type: ignore[override]
        return self._compare("!=", other)


def kernel_function(
    functions: dict[str, Any], *kinds: Any, name: str | None = None, boolean: bool = False
) -> Callable[[Callable[..., Scalar]], Callable[..., Scalar]]:
    """Add a formula to the `functions` that kernels may call, by its own or another `name`.

    Its operands have one type, of `kinds`; its result has that type too, or is `boolean`. Formulas use one another
    directly.
    """

    def register(formula: Callable[..., Scalar]) -> Callable[..., Scalar]:
        arity = len(inspect.signature(formula).parameters)
        label = name or formula.__name__

        def infer(*operands: Any) -> Any:
            kind = operands[0]
            if any(other != kind for other in operands) or kind not in kinds:
                found, expected = ", ".join(map(str, operands)), ", ".join(map(str, kinds))
                raise TypingError(f"{label} of operands of types {found}; expected equal types among {expected}")

            def emit(builder: Any, *values: Any) -> Any:
                return formula(*(Scalar(builder, kind, value) for value in values)).value

            return (types.boolean if boolean else kind)(*operands), emit

        functions[label] = KernelFunction(label, arity, infer)
        return formula

    return register


# The instructions behind formulas


def where(condition: Scalar, x: Scalar | Number, y: Scalar | Number) -> Scalar:
    """`x` where `condition` holds, else `y`; one of them is a scalar."""
    scalar = x if isinstance(x, Scalar) else y
    assert isinstance(scalar, Scalar)
    return scalar.like(scalar.builder.select(condition.value, scalar.operand(x).value, scalar.operand(y).value))


def llvm_call(function: str, *operands: Scalar, flags: tuple[str, ...] = ()) -> Scalar:
    """The LLVM intrinsic of that name, whose operands and result have one floating-point type."""
    x = operands[0]
    kind = x.value.type
    signature = ir.FunctionType(kind, [kind] * len(operands))
    lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    callee = cgutils.get_or_insert_function(x.builder.module, signature, f"llvm.{function}.{lanes}f{x.bits}")
    return x.like(x.builder.call(callee, [operand.value for operand in operands], fastmath=flags))


def library_call(function: str, *operands: Scalar) -> Scalar:
    """The C library's function of that name, in the precision of its operands."""
    x = operands[0]
    kind = x.value.type
    signature = ir.FunctionType(kind, [kind] * len(operands))
    callee = cgutils.get_or_insert_function(x.builder.module, signature, function + ("f" if x.bits == 32 else ""))
    callee.attributes.add("nounwind")
    callee.attributes.add("readnone")  # errno is of no interest
    return x.like(x.builder.call(callee, [operand.value for operand in operands]))


def rare_library_call(function: str, condition: Scalar, x: Scalar, otherwise: Scalar) -> Scalar:
    """The C library's function of that name of `x` where `condition` holds, which is rare, else `otherwise`.

    Loops around it are vectorised nevertheless: it is called for the items that need it, one by one.
    """
    builder, before = x.builder, x.builder.block
    call, after = (builder.append_basic_block(f"rare.{part}") for part in ("call", "after"))
    builder.cbranch(condition.value, call, after)
    builder.position_at_end(call)
    result = library_call(function, x)
    callee = result.value.callee
    # LLVM calls a function for some lanes only if it has a version for vectors with a mask. It is told of one for more
    # lanes than there are, which is never called, and that the function is none whose meaning it knows.
    callee.attributes.add("nobuiltin")
    set.add(callee.attributes, f'"vector-function-abi-variant"="_ZGV_LLVM_M64v_{callee.name}({callee.name})"')
    builder.branch(after)
    builder.position_at_end(after)
    value = builder.phi(x.value.type)
    value.add_incoming(otherwise.value, before)
    value.add_incoming(result.value, call)
    return x.like(value)


def multiply_add(x: Scalar, y: Scalar | Number, z: Scalar | Number) -> Scalar:
    """The value of x * y + z, rounded once where the hardware can."""
    left, right = x.operand(y), x.operand(z)
    return llvm_call("fma", x, left, right) if FUSED else x * left + right


def polynomial(x: Scalar, coefficients: tuple[float, ...]) -> Scalar:
    """The polynomial with these `coefficients`, highest first, by Horner's rule."""
    value = x.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = multiply_add(value, x, coefficient)
    return value


def bits_of(x: Scalar) -> Scalar:
    """The representation of a float as a signed integer of the same width."""
    kind = {32: types.int32, 64: types.int64}[x.bits]
    return Scalar(x.builder, kind, x.builder.bitcast(x.value, _lanes_like(x, ir.IntType(x.bits))))


def float_of(bits: Scalar) -> Scalar:
    """The float that an integer of the same width represents."""
    kind, target = {32: (types.float32, ir.FloatType()), 64: (types.float64, ir.DoubleType())}[bits.bits]
    return Scalar(bits.builder, kind, bits.builder.bitcast(bits.value, _lanes_like(bits, target)))


def _lanes_like(x: Scalar, item: ir.Type) -> ir.Type:
    """The type of as many items as `x` has."""
    return ir.VectorType(item, x.value.type.count) if isinstance(x.value.type, ir.VectorType) else item


def converted(x: Scalar, kind: Any) -> Scalar:
    """`x` in another type: floats towards 0, integers by their low bits, booleans whether it is not 0."""
    builder, value = x.builder, x.value
    if kind == x.kind:
        return x
    if kind == types.boolean:
        return x != 0
    target: Any = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}.get(kind)
    if target is not None:
        if x.is_float:
            return Scalar(builder, kind, (builder.fpext if x.bits < kind.bitwidth else builder.fptrunc)(value, target))
        return Scalar(builder, kind, (builder.sitofp if x.is_signed else builder.uitofp)(value, target))
    target, bits = ir.IntType(kind.bitwidth), x.bits
    if x.is_float:
        bits = max(32, kind.bitwidth)  # as x86 does it: what is out of range for a narrow type keeps its low bits
        value = builder.fptosi(value, ir.IntType(bits))
    if bits == kind.bitwidth:
        return Scalar(builder, kind, value)
    if bits > kind.bitwidth:
        return Scalar(builder, kind, builder.trunc(value, target))
    return Scalar(builder, kind, (builder.sext if x.is_signed else builder.zext)(value, target))


def absolute(x: Scalar) -> Scalar:
    """The absolute value of a float."""
    return llvm_call("fabs", x)


def copysign(x: Scalar, y: Scalar) -> Scalar:
    """The magnitude of `x` with the sign of `y`."""
    return llvm_call("copysign", x, y)


def repeat(
    body: Callable[..., tuple[Scalar, ...]], start: tuple[Scalar, ...], condition: Callable[..., Scalar]
) -> tuple[Scalar, ...]:
    """``state = body(*state)`` as long as ``condition(*state)``, from `start`: the only branch that formulas have."""
    builder = start[0].builder
    before = builder.block
    test, loop, after = (builder.append_basic_block(f"repeat.{part}") for part in ("test", "loop", "after"))
    builder.branch(test)
    builder.position_at_end(test)
    phis = [builder.phi(scalar.value.type) for scalar in start]
    state = tuple(scalar.like(phi) for scalar, phi in zip(start, phis, strict=True))
    builder.cbranch(condition(*state).value, loop, after)
    builder.position_at_end(loop)
    following = body(*state)
    for phi, first, then in zip(phis, start, following, strict=True):
        phi.add_incoming(first.value, before)
        phi.add_incoming(then.value, builder.block)
    builder.branch(test)
    builder.position_at_end(after)
    return state
