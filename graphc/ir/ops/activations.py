"""Activation functions, composed of simpler operations. Integers become floats.

At kinks they have the derivatives that PyTorch gives them.
"""

from __future__ import annotations

import math
from typing import Literal

from graphc.errors import GraphError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import abs, add, divide, multiply, negative
from graphc.ir.ops.choice import relu, where
from graphc.ir.ops.comparison import greater, greater_equal, less_equal
from graphc.ir.ops.conversion import cast, float_dtype
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.transcendental import erf, expm1, sigmoid, softplus, tanh

__all__ = [
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "relu6",
    "selu",
    "silu",
    "softsign",
]

# Klambauer et al. 2017, "Self-normalizing neural networks", equation 14: mean 0 and variance 1 are a fixed point.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _as_float(x: Operand) -> Value:
    value = as_value(x)
    return cast(value, float_dtype(value.dtype))


def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Value:
    """``x`` where it is positive, else ``negative_slope * x`` (Maas et al. 2013). Any shape."""
    value = _as_float(x)
    return where(greater(value, 0), value, multiply(value, negative_slope))


def elu(x: Operand, alpha: float = 1.0) -> Value:
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2015). Any shape."""
    value = _as_float(x)
    positive = greater(value, 0)
    return where(positive, value, multiply(expm1(where(positive, 0.0, value)), alpha))


def selu(x: Operand) -> Value:
    """``elu`` scaled so that activations keep mean 0 and variance 1 (Klambauer et al. 2017, equation 2). Any shape."""
    return multiply(elu(x, _SELU_ALPHA), _SELU_SCALE)


def gelu(x: Operand, approximate: Literal["none", "tanh"] = "none") -> Value:
    """``x`` times the normal distribution's probability of less than ``x`` (Hendrycks and Gimpel 2016).

    Args:
        x: any shape.
        approximate: ``"none"``: ``x (1 + erf(x / sqrt 2)) / 2``; ``"tanh"``: the paper's approximation
            ``x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``, computed as ``x`` times the sigmoid of twice that
            argument, which is the same and loses nothing where ``tanh`` is almost -1.

    Raises:
        GraphError: there is no such approximation.
    """
    value = _as_float(x)
    if approximate == "none":
        return multiply(multiply(value, 0.5), add(erf(multiply(value, math.sqrt(0.5))), 1.0))
    if approximate == "tanh":
        twice = 2 * math.sqrt(2 / math.pi)
        slope = add(multiply(multiply(value, value), 0.044715 * twice), twice)
        return multiply(value, sigmoid(multiply(value, slope)))
    raise GraphError(f"gelu: approximate={approximate!r}", expected="'none' or 'tanh'")


def silu(x: Operand) -> Value:
    """``x * sigmoid(x)``, also called swish (Hendrycks and Gimpel 2016, section 4). Any shape."""
    value = _as_float(x)
    return multiply(value, sigmoid(value))


def mish(x: Operand) -> Value:
    """``x * tanh(softplus(x))`` (Misra 2019). Any shape."""
    value = _as_float(x)
    return multiply(value, tanh(softplus(value)))


def hardtanh(x: Operand, min_val: float = -1.0, max_val: float = 1.0) -> Value:
    """``x`` limited to the range from ``min_val`` to ``max_val``; its derivative is 0 at both ends. Any shape."""
    value = _as_float(x)
    return where(less_equal(value, min_val), min_val, where(greater_equal(value, max_val), max_val, value))


def relu6(x: Operand) -> Value:
    """``min(max(x, 0), 6)``; its derivative is 0 at both ends. Any shape."""
    value = _as_float(x)
    return where(greater_equal(value, 6), 6.0, relu(value))


def softsign(x: Operand) -> Value:
    """``x / (1 + |x|)``. Any shape."""
    value = _as_float(x)
    return divide(value, add(abs(value), 1.0))


def log_sigmoid(x: Operand) -> Value:
    """``log(sigmoid(x))``, without underflow. Any shape."""
    return negative(softplus(negative(_as_float(x))))
