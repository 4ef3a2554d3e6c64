"""Activation functions as modules, named as in ``torch.nn``; each applies the function that it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.nn.module import Module

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]


class ReLU(Module):
    """``max(x, 0)``: see :func:`graphc.relu`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.relu(x)


class ReLU6(Module):
    """``min(max(x, 0), 6)``: see :func:`graphc.relu6`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.relu6(x)


@dataclass(eq=False)
class LeakyReLU(Module):
    """``x`` where it is positive, else ``negative_slope * x``: see :func:`graphc.leaky_relu`."""

    negative_slope: float = 0.01

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.leaky_relu(x, self.negative_slope)


@dataclass(eq=False)
class ELU(Module):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``: see :func:`graphc.elu`."""

    alpha: float = 1.0

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.elu(x, self.alpha)


class SELU(Module):
    """The scaled exponential linear unit: see :func:`graphc.selu`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.selu(x)


@dataclass(eq=False)
class GELU(Module):
    """``x`` times the standard normal distribution function of ``x``, or its approximation through tanh.

    See :func:`graphc.gelu`.
    """

    approximate: Literal["none", "tanh"] = "none"

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.gelu(x, self.approximate)


class SiLU(Module):
    """``x * sigmoid(x)``: see :func:`graphc.silu`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.silu(x)


class Mish(Module):
    """``x * tanh(softplus(x))``: see :func:`graphc.mish`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.mish(x)


class Tanh(Module):
    """The hyperbolic tangent: see :func:`graphc.tanh`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.tanh(x)


@dataclass(eq=False)
class Hardtanh(Module):
    """``x`` limited to the range from ``min_val`` to ``max_val``: see :func:`graphc.hardtanh`."""

    min_val: float = -1.0
    max_val: float = 1.0

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.hardtanh(x, self.min_val, self.max_val)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``: see :func:`graphc.sigmoid`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.sigmoid(x)


class LogSigmoid(Module):
    """``log(sigmoid(x))``: see :func:`graphc.log_sigmoid`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.log_sigmoid(x)


class Softplus(Module):
    """``log(1 + exp(x))``: see :func:`graphc.softplus`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.softplus(x)


class Softsign(Module):
    """``x / (1 + |x|)``: see :func:`graphc.softsign`."""

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.softsign(x)


@dataclass(eq=False)
class Softmax(Module):
    """Exponentials divided by their sum along ``axis``: see :func:`graphc.softmax`."""

    axis: int = -1

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.softmax(x, self.axis)


@dataclass(eq=False)
class LogSoftmax(Module):
    """The logarithm of :class:`Softmax`: see :func:`graphc.log_softmax`."""

    axis: int = -1

    def forward(self, x: Operand) -> Value:
        """The activation of ``x``."""
        return ops.log_softmax(x, self.axis)
