"""Operations that work item by item. One declaration gives the operation, its gradient and the public function.

The nodes are monomorphic: all operands have one dtype. The public functions promote as NumPy does, by ``cast`` nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import DTypeError
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.leaves import as_value, is_weak
from graphc.ir.types import DType, TensorType, bool_, broadcast_shapes, dtype_of, float32, promote

__all__ = [
    "abs",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cast",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "divide",
    "equal",
    "erf",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "relu",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "where",
]

Unary = Callable[[Operand], Value]
Binary = Callable[[Operand, Operand], Value]

# --- promotion -----------------------------------------------------------------------------------------------------


def common_dtype(operands: Sequence[Operand]) -> DType:
    """The dtype that the operands meet in: NumPy's promotion, in which Python scalars are weak."""
    strong = [as_value(operand).dtype for operand in operands if not is_weak(operand)]
    if not strong:
        return as_value(operands[0]).dtype if len(operands) == 1 else promote(*(as_value(o).dtype for o in operands))
    samples = [np.empty(0, dtype.numpy) for dtype in strong]
    scalars = [operand for operand in operands if is_weak(operand)]
    return _at_least_float32(np.result_type(*samples, *scalars))


def _at_least_float32(dtype: np.dtype[Any]) -> DType:
    return float32 if dtype == np.float16 else dtype_of(dtype)


def float_dtype(dtype: DType) -> DType:
    """The dtype in which NumPy computes a transcendental function of ``dtype``, at least float32."""
    return _at_least_float32(np.result_type(dtype.numpy, np.float16))


def promoted(operands: Sequence[Operand], dtype: DType | None = None) -> tuple[Value, ...]:
    """The operands as values of one dtype: ``dtype``, or the one that they meet in."""
    chosen = dtype or common_dtype(operands)
    return tuple(cast(as_value(operand, chosen), chosen) for operand in operands)


# --- inference ------------------------------------------------------------------------------------------------------


def _same_dtype(types: Sequence[TensorType]) -> DType:
    if len({type.dtype for type in types}) != 1:
        raise DTypeError(
            f"operands of dtypes {', '.join(str(type.dtype) for type in types)}",
            expected="one dtype",
            remedy="cast one of them with .astype",
        )
    return types[0].dtype


def _infer(attrs: Any, *types: TensorType) -> TensorType:
    return TensorType(_same_dtype(types), broadcast_shapes(*(type.shape for type in types)))


def _infer_float(attrs: Any, *types: TensorType) -> TensorType:
    if not types[0].dtype.is_float:
        raise DTypeError(f"an operand of dtype {types[0].dtype}", expected="float32 or float64", remedy="cast it")
    return _infer(attrs, *types)


def _infer_predicate(attrs: Any, *types: TensorType) -> TensorType:
    return TensorType(bool_, _infer(attrs, *types).shape)


def _infer_integer(attrs: Any, *types: TensorType) -> TensorType:
    if types[0].dtype.is_float:
        raise DTypeError(
            f"an operand of dtype {types[0].dtype}", expected="bool or integers", remedy="compare first, or cast it"
        )
    return _infer(attrs, *types)


# --- samples ---------------------------------------------------------------------------------------------------------


def _points(seed: int, shape: tuple[int, ...], low: float, high: float) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape)


_SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((2, 3), (2, 3)),
    ((), ()),
    ((0, 3), (0, 3)),
    ((2, 1, 3), (4, 1)),
    ((3,), ()),
)


def _samples(
    build: Callable[..., Value], arity: int, low: float, high: float, differentiable: bool, dtype: DType | None
) -> Callable[[], list[Sample]]:
    def make() -> list[Sample]:
        samples = []
        for shapes in _SHAPES[: 3 if arity == 1 else None]:
            arrays = [_points(7 + i, shapes[i % 2], low, high) for i in range(arity)]
            typed = tuple(array if dtype is None else array.astype(dtype.numpy) for array in arrays)
            samples.append(Sample(build, typed, tuple(range(arity)) if differentiable else ()))
        return samples

    return make


# --- declarations ------------------------------------------------------------------------------------------------------


def _function(name: str, doc: str, call: Any) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    call.__module__ = __name__
    return call


def _unary(
    name: str,
    doc: str,
    expression: str,
    evaluate: Callable[[Array], Array],
    derivative: Callable[[Value, Value, Value], Value] | None,
    low: float = -2.0,
    high: float = 2.0,
    infer: Callable[..., TensorType] = _infer,
    sample_dtype: DType | None = None,
    cost: int = 1,
) -> Unary:
    """Declare an operation of one operand; ``derivative(x, y, g)`` gives the cotangent of x, where y is the result."""

    def call(x: Operand) -> Value:
        value = as_value(x)
        return apply_one(op, (cast(value, float_dtype(value.dtype)) if infer is _infer_float else value,))

    def vjp(node: Node, g: Value) -> Sequence[Value | None]:
        assert derivative is not None
        return (derivative(node.inputs[0], node.output, g),)

    function: Unary = _function(name, doc, call)
    op = registry.add(
        OpDef(
            name,
            doc,
            infer=infer,
            evaluate=lambda attrs, x: evaluate(x),
            vjp=vjp if derivative else no_gradient,
            expression=expression,
            cost=cost,
            samples=_samples(function, 1, low, high, derivative is not None, sample_dtype),
        )
    )
    return function


def _binary(
    name: str,
    doc: str,
    expression: str,
    evaluate: Callable[[Array, Array], Array],
    derivative: Callable[[Value, Value, Value, Value], tuple[Value | None, Value | None]] | None,
    low: float = -2.0,
    high: float = 2.0,
    infer: Callable[..., TensorType] = _infer,
    commutative: bool = False,
    operand_dtype: Callable[[DType], DType] | None = None,
    sample_dtype: DType | None = None,
) -> Binary:
    """Declare an operation of two operands; ``derivative(x, y, z, g)`` gives the cotangents of x and y."""

    def call(x: Operand, y: Operand) -> Value:
        dtype = common_dtype((x, y))
        return apply_one(op, promoted((x, y), operand_dtype(dtype) if operand_dtype else dtype))

    def vjp(node: Node, g: Value) -> Sequence[Value | None]:
        assert derivative is not None
        return derivative(*node.inputs, node.output, g)

    function: Binary = _function(name, doc, call)
    op = registry.add(
        OpDef(
            name,
            doc,
            infer=infer,
            evaluate=lambda attrs, x, y: evaluate(x, y),
            vjp=vjp if derivative else no_gradient,
            expression=expression,
            commutative=commutative,
            samples=_samples(function, 2, low, high, derivative is not None, sample_dtype),
        )
    )
    return function


# --- conversion -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CastAttrs:
    dtype: DType


def _cast_array(attrs: CastAttrs, x: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        return x.astype(attrs.dtype.numpy)


CAST = registry.add(
    OpDef(
        "cast",
        "The same numbers in another dtype; to bool, whether they are not zero.",
        infer=lambda attrs, x: TensorType(attrs.dtype, x.shape),
        evaluate=_cast_array,
        vjp=lambda node, g: (cast(g, node.inputs[0].dtype),),
        attrs=CastAttrs,
        expression="{0}",
        samples=lambda: [
            Sample(lambda x: cast(x, "float64"), (_points(1, (2, 3), -2, 2).astype(np.float32),)),
            Sample(lambda x: cast(x, "int32"), (_points(1, (2, 3), -9, 9),)),
            Sample(lambda x: cast(x, "bool"), (np.array([0.0, 2.0, np.nan, -0.0]),)),
            Sample(lambda x: cast(x, "uint8"), (np.array([1, 2, 300], np.int64),)),
            Sample(lambda x: cast(x, "float32"), (_points(1, (), -2, 2),)),
        ],
    )
)


def cast(x: Operand, dtype: DType | str | type) -> Value:
    """``x`` converted to ``dtype``: itself where it has that dtype.

    Raises:
        DTypeError: graphc has no such dtype.
    """
    value, chosen = as_value(x), dtype_of(dtype)
    return value if value.dtype == chosen else apply_one(CAST, (value,), CastAttrs(chosen))


# --- arithmetic ---------------------------------------------------------------------------------------------------------


def _floor_divide(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.floor_divide(x, y))


def _mod(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.mod(x, y))


def _power(x: Array, y: Array) -> Array:
    """NumPy's power; for integers with a negative exponent, the true result cut off towards zero."""
    with np.errstate(all="ignore"):
        if x.dtype.kind not in "iub" or not np.any(y < 0):
            return np.asarray(np.power(x, y))
        sign = np.where(y % 2 == 0, 1, x)
        return np.where(y >= 0, np.power(x, np.maximum(y, 0)), np.where(np.abs(x) == 1, sign, 0)).astype(x.dtype)


def _power_derivative(x: Value, y: Value, z: Value, g: Value) -> tuple[Value, Value]:
    base = where(equal(y, 0), 0.0, multiply(y, power(x, subtract(y, 1))))
    exponent = where(logical_and(equal(x, 0), greater_equal(y, 0)), 0.0, multiply(z, log(where(equal(x, 0), 1.0, x))))
    return multiply(g, base), multiply(g, exponent)


def _no_bool(dtype: DType) -> DType:
    return dtype_of("int8") if dtype.is_bool else dtype


def _tied(chosen: Callable[[Value, Value], Value]) -> Callable[[Value, Value, Value, Value], tuple[Value, Value]]:
    """The derivative of maximum and minimum: ties share the cotangent equally."""

    def derivative(x: Value, y: Value, z: Value, g: Value) -> tuple[Value, Value]:
        half = multiply(g, 0.5)
        tie = equal(x, y)
        return (where(tie, half, where(chosen(x, y), g, 0.0)), where(tie, half, where(chosen(y, x), g, 0.0)))

    return derivative


add = _binary("add", "The sum of two operands.", "{0} + {1}", np.add, lambda x, y, z, g: (g, g), commutative=True)
subtract = _binary(
    "subtract",
    "The difference of two operands.",
    "{0} - {1}",
    np.subtract,
    lambda x, y, z, g: (g, negative(g)),
    operand_dtype=_no_bool,
)
multiply = _binary(
    "multiply",
    "The product of two operands.",
    "{0} * {1}",
    np.multiply,
    lambda x, y, z, g: (multiply(g, y), multiply(g, x)),
    commutative=True,
)
divide = _binary(
    "divide",
    "The quotient of two operands; integers are converted to float64, as NumPy does.",
    "{0} / {1}",
    np.divide,
    lambda x, y, z, g: (divide(g, y), negative(multiply(g, divide(z, y)))),
    low=0.5,
    infer=_infer_float,
    operand_dtype=lambda dtype: dtype if dtype.is_float else dtype_of("float64"),
)
floor_divide = _binary(
    "floor_divide",
    "The largest whole number not above the quotient; for integers, division by zero gives 0.",
    "floor_divide({0}, {1})",
    _floor_divide,
    None,
    low=-9,
    high=9,
    operand_dtype=_no_bool,
)
mod = _binary(
    "mod",
    "The remainder of floor division, which has the divisor's sign; for integers, modulo zero gives 0.",
    "mod({0}, {1})",
    _mod,
    lambda x, y, z, g: (g, negative(multiply(g, floor_divide(x, y)))),
    low=0.6,
    high=3.0,
    operand_dtype=_no_bool,
)
power = _binary(
    "power",
    "The first operand raised to the second; integers with a negative exponent are cut off towards zero.",
    "power({0}, {1})",
    _power,
    _power_derivative,
    low=0.5,
    operand_dtype=_no_bool,
)
maximum = _binary(
    "maximum",
    "The larger of two operands; NaN where either is NaN. Ties share the gradient equally.",
    "maximum({0}, {1})",
    np.maximum,
    _tied(lambda x, y: greater(x, y)),
    commutative=True,
)
minimum = _binary(
    "minimum",
    "The smaller of two operands; NaN where either is NaN. Ties share the gradient equally.",
    "minimum({0}, {1})",
    np.minimum,
    _tied(lambda x, y: less(x, y)),
    commutative=True,
)
arctan2 = _binary(
    "arctan2",
    "The angle of the point (second, first) in radians, from -pi to pi.",
    "arctan2({0}, {1})",
    np.arctan2,
    lambda x, y, z, g: (
        multiply(g, divide(y, add(multiply(x, x), multiply(y, y)))),
        negative(multiply(g, divide(x, add(multiply(x, x), multiply(y, y))))),
    ),
    low=0.3,
    infer=_infer_float,
    operand_dtype=float_dtype,
)
negative = _unary("negative", "The operand with the opposite sign.", "-{0}", np.negative, lambda x, y, g: negative(g))
abs = _unary("abs", "The absolute value.", "abs({0})", np.abs, lambda x, y, g: multiply(g, sign(x)))
sign = _unary("sign", "-1, 0 or 1; NaN for NaN.", "sign({0})", np.sign, None)
floor = _unary(
    "floor", "The largest whole number not above the operand.", "floor({0})", np.floor, None, infer=_infer_float
)
ceil = _unary(
    "ceil", "The smallest whole number not below the operand.", "ceil({0})", np.ceil, None, infer=_infer_float
)
trunc = _unary("trunc", "The whole part of the operand.", "trunc({0})", np.trunc, None, infer=_infer_float)
round = _unary(
    "round", "The nearest whole number; halves to even.", "round_half_even({0})", np.rint, None, infer=_infer_float
)

# --- exponentials, roots, angles ------------------------------------------------------------------------------------------


def _quiet(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def evaluate(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(x))

    return evaluate


def _smooth(
    name: str,
    doc: str,
    evaluate: Callable[[Array], Array],
    derivative: Callable[[Value, Value, Value], Value],
    low: float = -2.0,
    high: float = 2.0,
) -> Unary:
    """Declare a float function whose kernel expression is the function of the same name."""
    return _unary(name, doc, f"{name}({{0}})", _quiet(evaluate), derivative, low, high, infer=_infer_float, cost=10)


def _erf(x: Array) -> Array:
    from scipy.special import erf as scipy_erf

    return np.asarray(scipy_erf(x), x.dtype)


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), x.dtype)


exp = _smooth("exp", "e to the operand.", np.exp, lambda x, y, g: multiply(g, y))
expm1 = _smooth("expm1", "e to the operand, minus 1, exact near 0.", np.expm1, lambda x, y, g: multiply(g, add(y, 1.0)))
log = _smooth("log", "The natural logarithm.", np.log, lambda x, y, g: divide(g, x), low=0.3)
log1p = _smooth("log1p", "log(1 + x), exact near 0.", np.log1p, lambda x, y, g: divide(g, add(x, 1.0)), low=-0.7)
sqrt = _smooth("sqrt", "The square root.", np.sqrt, lambda x, y, g: divide(multiply(g, 0.5), y), low=0.3)
rsqrt = _smooth(
    "rsqrt",
    "1 / sqrt(x).",
    lambda x: 1 / np.sqrt(x),
    lambda x, y, g: multiply(multiply(g, -0.5), divide(y, x)),
    low=0.3,
)
sin = _smooth("sin", "The sine of an angle in radians.", np.sin, lambda x, y, g: multiply(g, cos(x)))
cos = _smooth("cos", "The cosine of an angle in radians.", np.cos, lambda x, y, g: negative(multiply(g, sin(x))))
tan = _smooth(
    "tan", "The tangent of an angle in radians.", np.tan, lambda x, y, g: multiply(g, add(multiply(y, y), 1.0)), -1, 1
)
arcsin = _smooth(
    "arcsin",
    "The inverse of sin, in radians.",
    np.arcsin,
    lambda x, y, g: multiply(g, rsqrt(subtract(1.0, multiply(x, x)))),
    -0.8,
    0.8,
)
arccos = _smooth(
    "arccos",
    "The inverse of cos, in radians.",
    np.arccos,
    lambda x, y, g: negative(multiply(g, rsqrt(subtract(1.0, multiply(x, x))))),
    -0.8,
    0.8,
)
arctan = _smooth(
    "arctan", "The inverse of tan, in radians.", np.arctan, lambda x, y, g: divide(g, add(multiply(x, x), 1.0))
)
sinh = _smooth("sinh", "The hyperbolic sine.", np.sinh, lambda x, y, g: multiply(g, cosh(x)))
cosh = _smooth("cosh", "The hyperbolic cosine.", np.cosh, lambda x, y, g: multiply(g, sinh(x)))
tanh = _smooth("tanh", "The hyperbolic tangent.", np.tanh, lambda x, y, g: multiply(g, subtract(1.0, multiply(y, y))))
arcsinh = _smooth(
    "arcsinh", "The inverse of sinh.", np.arcsinh, lambda x, y, g: multiply(g, rsqrt(add(multiply(x, x), 1.0)))
)
arccosh = _smooth(
    "arccosh",
    "The inverse of cosh.",
    np.arccosh,
    lambda x, y, g: multiply(g, rsqrt(subtract(multiply(x, x), 1.0))),
    1.2,
    3,
)
arctanh = _smooth(
    "arctanh", "The inverse of tanh.", np.arctanh, lambda x, y, g: divide(g, subtract(1.0, multiply(x, x))), -0.8, 0.8
)
erf = _smooth(
    "erf",
    "The error function.",
    _erf,
    lambda x, y, g: multiply(g, multiply(2 / np.pi**0.5, exp(negative(multiply(x, x))))),
)
sigmoid = _smooth("sigmoid", "1 / (1 + exp(-x)).", _sigmoid, lambda x, y, g: multiply(g, multiply(y, subtract(1.0, y))))
softplus = _smooth("softplus", "log(1 + exp(x)), without overflow.", _softplus, lambda x, y, g: multiply(g, sigmoid(x)))

relu = _unary(
    "relu",
    "max(x, 0); its derivative at 0 is 0.",
    "relu({0})",
    lambda x: np.maximum(x, x.dtype.type(0)),
    lambda x, y, g: where(greater(y, 0), g, 0.0),
)

# --- comparison and logic ---------------------------------------------------------------------------------------------------


def _comparison(
    name: str, doc: str, sign: str, evaluate: Callable[[Array, Array], Array], commutative: bool = False
) -> Binary:
    return _binary(name, doc, f"{{0}} {sign} {{1}}", evaluate, None, infer=_infer_predicate, commutative=commutative)


equal = _comparison("equal", "Whether two operands are equal.", "==", np.equal, commutative=True)
not_equal = _comparison("not_equal", "Whether two operands differ.", "!=", np.not_equal, commutative=True)
less = _comparison("less", "Whether the first operand is smaller.", "<", np.less)
less_equal = _comparison("less_equal", "Whether the first operand is smaller or equal.", "<=", np.less_equal)
greater = _comparison("greater", "Whether the first operand is larger.", ">", np.greater)
greater_equal = _comparison("greater_equal", "Whether the first operand is larger or equal.", ">=", np.greater_equal)


def _predicate(name: str, doc: str, evaluate: Callable[[Array], Array]) -> Unary:
    return _unary(name, doc, f"{name}({{0}})", evaluate, None, infer=_infer_predicate)


isnan = _predicate("isnan", "Whether the operand is not a number.", np.isnan)
isinf = _predicate("isinf", "Whether the operand is infinite.", np.isinf)
isfinite = _predicate("isfinite", "Whether the operand is neither infinite nor NaN.", np.isfinite)


def _integer_binary(name: str, doc: str, sign: str, evaluate: Callable[[Array, Array], Array]) -> Binary:
    return _binary(
        name,
        doc,
        f"{{0}} {sign} {{1}}",
        evaluate,
        None,
        low=-9,
        high=9,
        infer=_infer_integer,
        commutative=True,
        sample_dtype=dtype_of("int32"),
    )


bitwise_and = _integer_binary("bitwise_and", "Both bits; for bools, whether both are true.", "&", np.bitwise_and)
bitwise_or = _integer_binary("bitwise_or", "Either bit; for bools, whether either is true.", "|", np.bitwise_or)
bitwise_xor = _integer_binary("bitwise_xor", "Differing bits; for bools, whether they differ.", "^", np.bitwise_xor)
bitwise_not = _unary(
    "bitwise_not",
    "Every bit turned over; for bools, whether the operand is false.",
    "bitwise_not({0})",
    np.invert,
    None,
    -9,
    9,
    infer=_infer_integer,
    sample_dtype=dtype_of("int32"),
)


def logical_and(x: Operand, y: Operand) -> Value:
    """Whether both operands are true (not zero)."""
    return bitwise_and(cast(x, bool_), cast(y, bool_))


def logical_or(x: Operand, y: Operand) -> Value:
    """Whether at least one operand is true (not zero)."""
    return bitwise_or(cast(x, bool_), cast(y, bool_))


def logical_xor(x: Operand, y: Operand) -> Value:
    """Whether exactly one operand is true (not zero)."""
    return bitwise_xor(cast(x, bool_), cast(y, bool_))


def logical_not(x: Operand) -> Value:
    """Whether the operand is false (zero)."""
    return bitwise_not(cast(x, bool_))


# --- choice --------------------------------------------------------------------------------------------------------------------


def _infer_where(attrs: Any, condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if not condition.dtype.is_bool:
        raise DTypeError(f"a condition of dtype {condition.dtype}", expected="bool", remedy="compare it, as in x > 0")
    return TensorType(_same_dtype((x, y)), broadcast_shapes(condition.shape, x.shape, y.shape))


def _where_samples() -> list[Sample]:
    x, y = _points(1, (2, 3), -1, 1), _points(2, (3,), -1, 1)
    return [
        Sample(where, (x > 0, x, y[None]), (1, 2)),
        Sample(where, (np.array(True), x, y), (1, 2)),
        Sample(where, (x[:, :1] > 0, x[0], y), (1, 2)),
        Sample(where, (np.zeros((0, 3), bool), np.zeros((0, 3)), y), (1, 2)),
    ]


WHERE = registry.add(
    OpDef(
        "where",
        "The second operand where the first is true, else the third.",
        infer=_infer_where,
        evaluate=lambda attrs, condition, x, y: np.where(condition, x, y),
        vjp=lambda node, g: (None, where(node.inputs[0], g, 0.0), where(node.inputs[0], 0.0, g)),
        expression="where({0}, {1}, {2})",
        samples=_where_samples,
    )
)


def where(condition: Operand, x: Operand, y: Operand) -> Value:
    """``x`` where ``condition`` is true, else ``y``; all three broadcast, ``x`` and ``y`` are promoted."""
    return apply_one(WHERE, (cast(condition, bool_), *promoted((x, y))))


def _clip_vjp(node: Node, g: Value) -> tuple[Value, Value, Value]:
    x, low, high = node.inputs
    below, above = less(x, low), greater(x, high)
    return (
        where(logical_or(below, above), 0.0, g),
        where(logical_and(below, logical_not(greater(low, high))), g, 0.0),
        where(logical_or(above, greater(low, high)), g, 0.0),
    )


CLIP = registry.add(
    OpDef(
        "clip",
        "The operand limited to a range; the derivative is 1 inside it and on its ends.",
        infer=_infer,
        evaluate=lambda attrs, x, low, high: np.minimum(np.maximum(x, low), high),
        vjp=_clip_vjp,
        expression="minimum(maximum({0}, {1}), {2})",
        samples=lambda: [
            Sample(
                lambda x, a, b: clip(x, a, b), (_points(3, (4, 5), -2, 2), np.array(-0.5), np.array(0.8)), (0, 1, 2)
            ),
            Sample(lambda x: clip(x, None, 0.3), (_points(3, (4,), -2, 2),), (0,)),
            Sample(lambda x: clip(x, 0.1, 0.3), (_points(3, (), -2, 2),), (0,)),
        ],
    )
)


def clip(x: Operand, min: Operand = None, max: Operand = None) -> Value:
    """``x`` limited to the range from ``min`` to ``max``, where None is no limit. Where they cross, ``max`` wins."""
    if min is None and max is None:
        return as_value(x)
    if min is None:
        return minimum(x, max)
    if max is None:
        return maximum(x, min)
    return apply_one(CLIP, promoted((x, min, max)))
