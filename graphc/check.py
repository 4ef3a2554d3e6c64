"""A check of gradients for users: what autodiff gives against finite differences."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from graphc.api import evaluate
from graphc.errors import GradientError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.op import Array

__all__ = ["check_gradients"]


def check_gradients(
    build: Callable[..., Any],
    arrays: Sequence[Any],
    *,
    order: int = 1,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Check the gradients of a function of values by each of its float arguments.

    For instance::

        gr.check_gradients(lambda x, w: gr.tanh(x @ w), [x, w], order=2)

    The outputs are weighted with random cotangents: their sum alone would hide errors that cancel in it. For each
    argument the derivative along one random direction is compared with a central difference,
    ``(f(x + eps * v) - f(x - eps * v)) / (2 * eps)``, in float64.

    Args:
        build: takes a value for each array and returns a value, or several; those that are not float are ignored.
        arrays: the point of the check; float arrays are converted to float64.
        order: 2 checks second derivatives too.
        eps: the step of the differences.
        rtol: the error allowed in proportion to the derivative.
        atol: the error allowed besides.
        seed: of the cotangents and directions.

    Raises:
        GradientError: a derivative is wrong (the message names the argument and both numbers), or the function has no
            float argument or no float output.
    """
    if order < 1:
        raise GradientError(f"order={order}", expected="at least 1")
    rng = np.random.default_rng(seed)
    point = [_in_float64(array) for array in arrays]
    names = _argument_names(build, len(point))
    function = build
    for current in range(1, order + 1):
        weighted = _Weighted(function, rng)
        _check_first_order(weighted, point, names, current, rng, eps, rtol, atol)
        function = weighted.gradients


def _in_float64(array: Any) -> Array:
    result: Array = np.asarray(array)
    return result.astype(np.float64) if result.dtype.kind == "f" else result


def _argument_names(build: Callable[..., Any], count: int) -> list[str]:
    """The names of the parameters of ``build`` where each stands for one array, else their places."""
    try:
        parameters = list(inspect.signature(build).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if len(parameters) >= count and all(p.kind is not p.VAR_POSITIONAL for p in parameters[:count]):
        return [repr(parameter.name) for parameter in parameters[:count]]
    return [f"argument {index}" for index in range(count)]


class _Weighted:
    """The sum of a function's float outputs, weighted with random cotangents that stay the same, and its gradients."""

    def __init__(self, function: Callable[..., Any], rng: np.random.Generator) -> None:
        self._function = function
        self._rng = rng
        self._cotangents: list[Array] = []

    def outputs(self, *values: Value) -> tuple[list[Value], list[Value]]:
        """The float outputs and their cotangents."""
        made = self._function(*values)
        outputs = [value for value in ([made] if isinstance(made, Value) else made) if value.dtype.is_float]
        if not outputs:
            raise GradientError("the function has no float output", expected="a float value to differentiate")
        if not self._cotangents:
            self._cotangents = [self._rng.standard_normal(tuple(map(int, value.shape))) for value in outputs]
        pairs = zip(outputs, self._cotangents, strict=True)
        return outputs, [ops.constant(array, value.dtype) for value, array in pairs]

    def total(self, *values: Value) -> Value:
        """The weighted sum."""
        terms = [ops.sum(output * cotangent) for output, cotangent in zip(*self.outputs(*values), strict=True)]
        return reduce(ops.add, terms)

    def gradients(self, *values: Value) -> list[Value]:
        """The gradients of the weighted sum by the float arguments."""
        outputs, cotangents = self.outputs(*values)
        gradients: list[Value] = ops.vjp(outputs, [value for value in values if value.dtype.is_float], cotangents)
        return gradients


def _check_first_order(
    weighted: _Weighted,
    point: Sequence[Array],
    names: Sequence[str],
    order: int,
    rng: np.random.Generator,
    eps: float,
    rtol: float,
    atol: float,
) -> None:
    places = [index for index, array in enumerate(point) if array.dtype.kind == "f"]
    if not places:
        raise GradientError("no argument is a float array", expected="at least one to differentiate by")
    values = [ops.placeholder(array.shape, array.dtype.name, name) for array, name in zip(point, names, strict=True)]
    total = weighted.total(*values)
    gradients = evaluate(weighted.gradients(*values), dict(zip(values, point, strict=True)))
    for place, gradient in zip(places, gradients, strict=True):
        direction = rng.standard_normal(point[place].shape)
        ends = []
        for shift in (eps, -eps):
            moved = [array + shift * direction if index == place else array for index, array in enumerate(point)]
            ends.append(float(evaluate(total, dict(zip(values, moved, strict=True)))))
        expected = (ends[0] - ends[1]) / (2.0 * eps)
        found = float(np.vdot(gradient, direction))
        if not abs(found - expected) <= atol + rtol * abs(expected):
            raise GradientError(
                f"the derivative of order {order} by {names[place]} along a random direction is {found:.10g}",
                expected=f"{expected:.10g}, as central differences with eps={eps:g} give it",
                remedy="correct the gradient; or move the point where the function has a kink or a jump there",
            )
