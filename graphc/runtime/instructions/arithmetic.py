"""The arithmetic of kernels, as NumPy defines it: extremes, signs, rounding, division, powers, and tests of floats."""

from __future__ import annotations

from typing import Any

from graphc.runtime.instructions.emit import types
from graphc.runtime.instructions.powers import real_power
from graphc.runtime.instructions.scalar import (
    ALL_KINDS,
    FLOATS,
    INFINITY,
    INTEGERS,
    Scalar,
    absolute,
    copysign,
    kernel_function,
    llvm_call,
    multiply_add,
    repeat,
    where,
)

ARITHMETIC: dict[str, Any] = {}
"""What kernels may call, by name."""

_NUMBERS = (*FLOATS, *INTEGERS)


@kernel_function(ARITHMETIC, *ALL_KINDS)
def maximum(x: Scalar, y: Scalar) -> Scalar:
    """The larger operand; NaN where either is NaN."""
    # NumPy leaves open which of two zeros it returns, so their signs need not be looked at.
    return llvm_call("maximum", x, y, flags=("nsz",)) if x.is_float else where(x > y, x, y)


@kernel_function(ARITHMETIC, *ALL_KINDS)
def minimum(x: Scalar, y: Scalar) -> Scalar:
    """The smaller operand; NaN where either is NaN."""
    return llvm_call("minimum", x, y, flags=("nsz",)) if x.is_float else where(x < y, x, y)


@kernel_function(ARITHMETIC, *_NUMBERS)
def relu(x: Scalar) -> Scalar:
    """max(x, 0)."""
    return maximum(x, x.constant(0))


@kernel_function(ARITHMETIC, *FLOATS)
def fma(x: Scalar, y: Scalar, z: Scalar) -> Scalar:
    """The value of x * y + z."""
    return multiply_add(x, y, z)


@kernel_function(ARITHMETIC, *FLOATS, name="copysign")
def _copysign(x: Scalar, y: Scalar) -> Scalar:
    return copysign(x, y)


@kernel_function(ARITHMETIC, *ALL_KINDS, name="abs")
def _abs(x: Scalar) -> Scalar:
    if x.is_float:
        return absolute(x)
    return where(x < 0, -x, x) if x.is_signed else x


@kernel_function(ARITHMETIC, *_NUMBERS)
def sign(x: Scalar) -> Scalar:
    """-1, 0 or 1; NaN for NaN."""
    if not (x.is_float or x.is_signed):
        return where(x > 0, x.constant(1), 0)
    return where(x > 0, x.constant(1), where(x < 0, x.constant(-1), x))


@kernel_function(ARITHMETIC, *ALL_KINDS)
def floor(x: Scalar) -> Scalar:
    """The largest whole number not above the operand."""
    return llvm_call("floor", x) if x.is_float else x


@kernel_function(ARITHMETIC, *ALL_KINDS)
def ceil(x: Scalar) -> Scalar:
    """The smallest whole number not below the operand."""
    return llvm_call("ceil", x) if x.is_float else x


@kernel_function(ARITHMETIC, *ALL_KINDS)
def trunc(x: Scalar) -> Scalar:
    """The whole part."""
    return llvm_call("trunc", x) if x.is_float else x


@kernel_function(ARITHMETIC, *ALL_KINDS)
def round_half_even(x: Scalar) -> Scalar:
    """The nearest whole number; halves to even."""
    return llvm_call("rint", x) if x.is_float else x


@kernel_function(ARITHMETIC, *ALL_KINDS, boolean=True)
def isnan(x: Scalar) -> Scalar:
    """Whether the operand is not a number."""
    return x != x if x.is_float else x.false()


@kernel_function(ARITHMETIC, *ALL_KINDS, boolean=True)
def isinf(x: Scalar) -> Scalar:
    """Whether the operand is infinite."""
    return absolute(x) == INFINITY if x.is_float else x.false()


@kernel_function(ARITHMETIC, *ALL_KINDS, boolean=True)
def isfinite(x: Scalar) -> Scalar:
    """Whether the operand is neither infinite nor NaN."""
    return absolute(x) < INFINITY if x.is_float else ~x.false()


@kernel_function(ARITHMETIC, *INTEGERS, types.boolean)
def bitwise_not(x: Scalar) -> Scalar:
    """Every bit turned over."""
    return ~x


@kernel_function(ARITHMETIC, *_NUMBERS)
def floor_divide(x: Scalar, y: Scalar) -> Scalar:
    """The quotient rounded down. Integers: 0 for a divisor of 0, and the smallest integer by -1 is itself."""
    if not x.is_float:
        return _integer_division(x, y)[0]
    # NumPy's npy_divmod: exact where the quotient is, and consistent with mod.
    remainder = x % y
    quotient = (x - remainder) / y
    quotient = where(_differ_in_sign(remainder, y), quotient - 1.0, quotient)
    whole = llvm_call("floor", quotient)
    whole = where(quotient - whole > 0.5, whole + 1.0, whole)
    whole = where(quotient == 0.0, copysign(x.constant(0), x / y), whole)
    return where(y == 0.0, x / y, whole)


@kernel_function(ARITHMETIC, *_NUMBERS)
def mod(x: Scalar, y: Scalar) -> Scalar:
    """The remainder of floor division, with the divisor's sign. Integers: 0 for a divisor of 0."""
    if not x.is_float:
        return _integer_division(x, y)[1]
    remainder = x % y
    result = where(_differ_in_sign(remainder, y), remainder + y, remainder)
    return where((remainder == 0.0) & (y != 0.0), copysign(remainder, y), result)


def _differ_in_sign(remainder: Scalar, y: Scalar) -> Scalar:
    return ((remainder < 0.0) & (y > 0.0)) | ((remainder > 0.0) & (y < 0.0))


def _integer_division(x: Scalar, y: Scalar) -> tuple[Scalar, Scalar]:
    by_zero = y == 0
    if not x.is_signed:
        divisor = where(by_zero, y.constant(1), y)
        quotient = x / divisor
        return where(by_zero, 0, quotient), where(by_zero, 0, x - quotient * divisor)
    # The machine traps on a divisor of 0, and on -1 where the quotient overflows.
    by_minus_one = y == -1
    divisor = where(by_zero | by_minus_one, y.constant(1), y)
    quotient = x / divisor
    remainder = x - quotient * divisor
    below = ((remainder < 0) & (divisor > 0)) | ((remainder > 0) & (divisor < 0))
    quotient = where(below, quotient - 1, quotient)
    remainder = where(below, remainder + divisor, remainder)
    return where(by_zero, 0, where(by_minus_one, -x, quotient)), where(by_zero, 0, remainder)


@kernel_function(ARITHMETIC, *_NUMBERS)
def power(x: Scalar, y: Scalar) -> Scalar:
    """The power of x to y. Integers wrap around; with a negative exponent they are cut off towards 0, and 0 gives 0."""
    if x.is_float:
        return real_power(x, y)
    one = x.constant(1)
    negative = y < 0

    def square_and_multiply(result: Scalar, base: Scalar, exponent: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return where((exponent & 1) == 1, result * base, result), base * base, exponent >> 1

    result, _, _ = repeat(square_and_multiply, (one, x, where(negative, 0, y)), lambda r, b, exponent: exponent != 0)
    parity = where((y & 1) == 1, x, one)  # of a base that is 1 or -1
    return where(negative, where((x == 1) | ((x == -1) if x.is_signed else x.false()), parity, 0), result)
