"""Derivatives as nodes: they stand in the graph as written, and the autodiff pass expands them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from graphc.errors import DTypeError, GradientError
from graphc.ir.build import apply, apply_one
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.interpret import run_body
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.creation import zeros_like
from graphc.ir.ops.leaves import as_value, constant, placeholder
from graphc.ir.source import phase
from graphc.ir.substitute import substitute
from graphc.ir.types import TensorType
from graphc.record import record

__all__ = ["custom_gradient", "grad", "jvp", "stop_gradient", "value_and_grad", "vjp"]


@record
class DerivativeAttrs:
    """The inputs are ``outputs`` values to differentiate, then as many directions, then those to differentiate by."""

    outputs: int


def _expanded_later(attrs: Any, *arrays: Array) -> Array:
    raise GradientError("a derivative was evaluated before the autodiff pass expanded it")


def _infer_grad(attrs: DerivativeAttrs, *types: TensorType) -> tuple[TensorType, ...]:
    return types[2 * attrs.outputs :]


def _infer_jvp(attrs: DerivativeAttrs, *types: TensorType) -> tuple[TensorType, ...]:
    return types[: attrs.outputs]


GRAD = registry.add(
    OpDef(
        "grad",
        "The product of cotangents with the Jacobian of outputs by values (reverse mode).",
        infer=_infer_grad,
        evaluate=_expanded_later,
        vjp=no_gradient,
        attrs=DerivativeAttrs,
    )
)

JVP = registry.add(
    OpDef(
        "jvp",
        "The product of the Jacobian of outputs by values with tangents (forward mode).",
        infer=_infer_jvp,
        evaluate=_expanded_later,
        vjp=no_gradient,
        attrs=DerivativeAttrs,
    )
)


def differentiated_by(node: Node) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The values that a node differentiates, and those that it differentiates them by; none if it is no derivative."""
    if node.op is GRAD:
        count = node.attrs.outputs
        return node.inputs[:count], node.inputs[2 * count :]
    if node.op is JVP:
        count = node.attrs.outputs
        return node.inputs[:count], node.inputs[count : (count + len(node.inputs)) // 2]
    return (), ()


def _values(given: Value | Iterable[Value], what: str) -> tuple[Value, ...]:
    values = (given,) if isinstance(given, Value) else tuple(given)
    for value in values:
        if not isinstance(value, Value):
            raise DTypeError(f"{what} holds {value!r}", expected="graphc values")
        if not value.dtype.is_float:
            raise GradientError(
                f"{what} holds {value!r}, whose dtype is {value.dtype}",
                expected="values of float32 or float64: only those have derivatives",
                remedy="cast before the computation, or leave it out",
            )
    return values


def _directions(given: Operand, targets: Sequence[Value], single: bool, what: str) -> tuple[Value, ...]:
    operands = (given,) if single else tuple(given)
    if len(operands) != len(targets):
        raise GradientError(f"{len(operands)} {what}", expected=f"{len(targets)}, one for each value")
    values = tuple(as_value(operand, target.dtype) for operand, target in zip(operands, targets, strict=True))
    for value, target in zip(values, targets, strict=True):
        if value.type != target.type:
            raise GradientError(
                f"{what} of type {value.type}", expected=f"the type of the value that it belongs to, {target.type}"
            )
    return values


def grad(loss: Value, wrt: Any, *, unused: str = "zeros") -> Any:
    """The gradient of a scalar by one value, or by each of several.

    Args:
        loss: a float value of shape ().
        wrt: a value or a sequence of values: placeholders, variables, or anything computed from them.
        unused: what to do where the loss does not depend on a value: ``"zeros"`` or ``"error"``.

    Returns:
        A value of the type of ``wrt``, or a list of such values for a sequence.

    Raises:
        GradientError: the loss is not a float scalar, a value is not float, or, on request, is unused.
    """
    (scalar,) = _values(loss, "the loss")
    if scalar.shape != ():
        raise GradientError(
            f"the loss has shape {scalar.shape}",
            expected="a scalar, shape ()",
            remedy="reduce it with .mean() or .sum(), or use gr.vjp with a cotangent",
        )
    return vjp(scalar, wrt, constant(1.0, scalar.dtype), unused=unused)


def value_and_grad(loss: Value, wrt: Any) -> tuple[Value, Any]:
    """The loss and its gradient: ``(loss, grad(loss, wrt))``."""
    return loss, grad(loss, wrt)


def vjp(outputs: Any, wrt: Any, cotangents: Any, *, unused: str = "zeros") -> Any:
    """The vector-Jacobian product: for each of ``wrt``, the sum over outputs of cotangent times derivative.

    Args:
        outputs: a float value or a sequence of them.
        wrt: a float value or a sequence of them.
        cotangents: for each output, a value of its type.
        unused: what to do where no output depends on a value: ``"zeros"`` or ``"error"``.

    Returns:
        A value, or a list of values for a sequence, of the types of ``wrt``.

    Raises:
        GradientError: the types do not fit, or, on request, a value is unused.
    """
    if unused not in ("zeros", "error"):
        raise GradientError(f"unused={unused!r}", expected="'zeros' or 'error'")
    results, by = _values(outputs, "the outputs"), _values(wrt, "wrt")
    directions = _directions(cotangents, results, isinstance(outputs, Value), "cotangents")
    if unused == "error":
        _require_dependence(results, by)
    node = apply(GRAD, (*results, *directions, *by), DerivativeAttrs(len(results)))
    return node.outputs[0] if isinstance(wrt, Value) else list(node.outputs)


def _require_dependence(outputs: Sequence[Value], wrt: Sequence[Value]) -> None:
    nodes = set(Graph.of((), outputs).nodes)
    for value in wrt:
        if value.node not in nodes:
            raise GradientError(
                f"no output depends on {value!r}",
                expected="each value of wrt to take part in the computation",
                remedy="leave it out, or pass unused='zeros' for a gradient of zeros",
            )


def jvp(outputs: Any, wrt: Any, tangents: Any) -> Any:
    """The Jacobian-vector product: for each output, the sum over ``wrt`` of derivative times tangent.

    Args:
        outputs: a float value or a sequence of them.
        wrt: a float value or a sequence of them.
        tangents: for each of ``wrt``, a value of its type.

    Returns:
        A value, or a list of values for a sequence, of the types of ``outputs``.

    Raises:
        GradientError: the types do not fit.
    """
    results, by = _values(outputs, "the outputs"), _values(wrt, "wrt")
    directions = _directions(tangents, by, isinstance(wrt, Value), "tangents")
    node = apply(JVP, (*results, *by, *directions), DerivativeAttrs(len(results)))
    return node.outputs[0] if isinstance(outputs, Value) else list(node.outputs)


STOP_GRADIENT = registry.add(
    OpDef(
        "stop_gradient",
        "The operand, as a constant to differentiation.",
        infer=lambda attrs, x: x,
        evaluate=lambda attrs, x: x,
        vjp=no_gradient,
        expression="{0}",
        samples=lambda: [Sample(stop_gradient, (_sample_array(),))],
    )
)


def _sample_array() -> Array:
    import numpy as np

    return np.linspace(-1, 1, 6).reshape(2, 3)


def stop_gradient(x: Operand) -> Value:
    """``x``, through which no gradient flows."""
    return apply_one(STOP_GRADIENT, (as_value(x),))


@record(eq=False)
class CustomGradientAttrs:
    """Graphs of the results (of the arguments), and of the cotangents (of arguments and cotangents)."""

    forward: Graph
    backward: Graph
    function: str = "custom_gradient"


def _custom_vjp(node: Node, *cotangents: Value | None) -> list[Value]:
    given = [
        zeros_like(value) if cotangent is None else cotangent
        for value, cotangent in zip(node.outputs, cotangents, strict=True)
    ]
    backward: Graph = node.attrs.backward
    return substitute(backward.outputs, dict(zip(backward.inputs, (*node.inputs, *given), strict=True)))


CUSTOM_GRADIENT = registry.add(
    OpDef(
        "custom_gradient",
        "A function of the user's with a gradient of the user's.",
        infer=lambda attrs, *types: tuple(value.type for value in attrs.forward.outputs),
        evaluate=lambda attrs, *arrays: run_body(attrs.forward, arrays),
        vjp=_custom_vjp,
        attrs=CustomGradientAttrs,
        decompose=lambda node: substitute(
            node.attrs.forward.outputs, dict(zip(node.attrs.forward.inputs, node.inputs, strict=True))
        ),
        samples=lambda: [Sample(custom_gradient(lambda x: (x * x, lambda g: g * x * 2.0)), (_sample_array(),), (0,))],
    )
)


def _require_closed(function: str, body: Graph) -> None:
    """A value that is not an argument would have no cotangent: its gradient would silently be zero."""
    arguments = set(body.inputs)
    for node in body.nodes:
        if node.op.name in ("placeholder", "variable") and node.outputs[0] not in arguments:
            raise GradientError(
                f"{function} depends on {node.outputs[0]!r}, which is not among its arguments",
                expected="a function of its arguments alone",
                remedy="pass it as an argument, and return its cotangent",
            )


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function of values a gradient of its own.

    ``function(*values)`` returns a pair: its result (a value or a tuple of them), and a function which takes the
    cotangent of each result and returns the cotangent of each argument. It must take all that it depends on, variables
    too, as arguments::

        @gr.custom_gradient
        def clipped_identity(x):
            return x, lambda g: gr.clip(g, -1.0, 1.0)

    Raises:
        GradientError: when called, if the pair or the types of the cotangents are not as they must be.
    """

    def call(*operands: Operand) -> Any:
        values = [as_value(operand) for operand in operands]
        arguments = [placeholder(value.shape, value.dtype) for value in values]
        made = function(*arguments)
        if not (isinstance(made, tuple) and len(made) == 2 and callable(made[1])):
            raise GradientError(
                f"{function.__name__} returned {made!r}", expected="a pair: the result, and a function of its cotangent"
            )
        single = isinstance(made[0], Value)
        results: tuple[Value, ...] = (made[0],) if single else tuple(made[0])
        seeds = [placeholder(value.shape, value.dtype) for value in results]
        with phase("backward"):
            returned = made[1](*seeds)
        cotangents: tuple[Value, ...] = (returned,) if isinstance(returned, Value) else tuple(returned)
        if [value.type for value in cotangents] != [value.type for value in values]:
            raise GradientError(
                f"the gradient of {function.__name__} returned types {', '.join(str(v.type) for v in cotangents)}",
                expected=f"the types of its arguments: {', '.join(str(value.type) for value in values)}",
            )
        forward, backward = Graph.of(arguments, results), Graph.of((*arguments, *seeds), cotangents)
        _require_closed(function.__name__, forward)
        _require_closed(function.__name__, backward)
        attrs = CustomGradientAttrs(forward, backward, function.__name__)
        node = apply(CUSTOM_GRADIENT, values, attrs)
        return node.outputs[0] if single else node.outputs

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call
