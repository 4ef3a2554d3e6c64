"""How elementwise operations are declared: one call gives the operation, gradient, samples and public function.

The nodes are monomorphic: all operands have one dtype. The public functions promote as NumPy does, by ``cast`` nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import DTypeError
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.conversion import cast, common_dtype, float_dtype, promoted
from graphc.ir.ops.leaves import as_value
from graphc.ir.types import DType, TensorType, bool_, broadcast_shapes

__all__ = [
    "Binary",
    "Unary",
    "binary",
    "infer_float",
    "infer_integer",
    "infer_predicate",
    "infer_same",
    "points",
    "quiet",
    "same_dtype",
    "unary",
]

Unary: TypeAlias = Callable[[Operand], Value]
Binary: TypeAlias = Callable[[Operand, Operand], Value]


def same_dtype(types: Sequence[TensorType]) -> DType:
    """The one dtype of all operands."""
    if len({type.dtype for type in types}) != 1:
        raise DTypeError(
            f"operands of dtypes {', '.join(str(type.dtype) for type in types)}",
            expected="one dtype",
            remedy="cast one of them with .astype",
        )
    return types[0].dtype


def infer_same(attrs: Any, *types: TensorType) -> TensorType:
    """The operands' dtype, their shapes broadcast."""
    return TensorType(same_dtype(types), broadcast_shapes(*(type.shape for type in types)))


def infer_float(attrs: Any, *types: TensorType) -> TensorType:
    """As :func:`infer_same`, for floats only."""
    if not types[0].dtype.is_float:
        raise DTypeError(f"an operand of dtype {types[0].dtype}", expected="float32 or float64", remedy="cast it")
    return infer_same(attrs, *types)


def infer_predicate(attrs: Any, *types: TensorType) -> TensorType:
    """Bool, the operands' shapes broadcast."""
    return TensorType(bool_, infer_same(attrs, *types).shape)


def infer_integer(attrs: Any, *types: TensorType) -> TensorType:
    """As :func:`infer_same`, for bool and integers only."""
    if types[0].dtype.is_float:
        raise DTypeError(
            f"an operand of dtype {types[0].dtype}", expected="bool or integers", remedy="compare first, or cast it"
        )
    return infer_same(attrs, *types)


def points(seed: int, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Seeded random points of a range."""
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
            arrays = [points(7 + i, shapes[i % 2], low, high) for i in range(arity)]
            typed = tuple(array if dtype is None else array.astype(dtype.numpy) for array in arrays)
            samples.append(Sample(build, typed, tuple(range(arity)) if differentiable else ()))
        return samples

    return make


def _function(name: str, doc: str, call: Any) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    call.__module__ = __name__
    return call


def unary(
    name: str,
    doc: str,
    expression: str,
    evaluate: Callable[[Array], Array],
    derivative: Callable[[Value, Value, Value], Value] | None,
    low: float = -2.0,
    high: float = 2.0,
    infer: Callable[..., TensorType] = infer_same,
    sample_dtype: DType | None = None,
    cost: int = 1,
) -> Unary:
    """Declare an operation of one operand; ``derivative(x, y, g)`` gives the cotangent of x, where y is the result."""

    def call(x: Operand) -> Value:
        value = as_value(x)
        return apply_one(op, (cast(value, float_dtype(value.dtype)) if infer is infer_float else value,))

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


def binary(
    name: str,
    doc: str,
    expression: str,
    evaluate: Callable[[Array, Array], Array],
    derivative: Callable[[Value, Value, Value, Value], tuple[Value | None, Value | None]] | None,
    low: float = -2.0,
    high: float = 2.0,
    infer: Callable[..., TensorType] = infer_same,
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
        x, y = node.inputs
        return derivative(x, y, node.output, g)

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


def quiet(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The function without NumPy's warnings: NaN and infinities are results like others."""

    def evaluate(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(x))

    return evaluate
