"""Initializers: how the weights of a layer start.

An initializer is a function ``(shape, rng, **options) -> array`` of float64 numbers; give it options with
:func:`functools.partial`: ``Linear(784, 256, init=partial(he_normal, negative_slope=0.01))``. Shapes are those of
weights as layers store them: (outputs, inputs) for a matrix, (outputs, inputs, *window) for a convolution. Numbers are
drawn in float64 whatever the layer's dtype, so one seed gives one set of weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from graphc.errors import ShapeError
from graphc.ir.dims import Size
from graphc.ir.op import Array
from graphc.ir.ops.leaves import as_shape
from graphc.ir.types import shape_text

__all__ = [
    "Initializer",
    "Rng",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "normal",
    "ones",
    "orthogonal",
    "seed",
    "uniform",
    "zeros",
]

Shape: TypeAlias = tuple[int, ...]
Initializer: TypeAlias = Callable[[Shape, np.random.Generator], Array]
Rng: TypeAlias = np.random.Generator | int | None
"""Where random numbers come from: a generator, a seed for a new one, or None for the default generator."""

_default = np.random.default_rng(0)


def seed(value: int) -> None:
    """Start the default generator anew. It is what layers without an ``rng`` draw from; at import its seed is 0.

    So a program that makes the same layers in the same order has the same weights in every run.
    """
    global _default
    _default = np.random.default_rng(value)


def as_generator(rng: Rng) -> np.random.Generator:
    """The generator that ``rng`` stands for."""
    if rng is None:
        return _default
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs each output of a weight reads, and how many outputs each input reaches.

    Raises:
        ShapeError: the weight has fewer than two axes, so that the two are not defined.
    """
    if len(shape) < 2:
        raise ShapeError(
            f"a weight of shape {shape} has no numbers of inputs and outputs",
            expected="a shape (outputs, inputs, *window)",
            remedy="use zeros, ones, normal or uniform for vectors",
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _he_deviation(shape: Shape, negative_slope: float) -> float:
    return math.sqrt(2.0 / ((1.0 + negative_slope**2) * max(fans(shape)[0], 1)))


def he_normal(shape: Shape, rng: np.random.Generator, *, negative_slope: float = 0.0) -> Array:
    """Normal with variance ``2 / ((1 + negative_slope**2) * fan_in)``, for layers before ReLU or LeakyReLU.

    Source: He, Zhang, Ren, Sun, Delving Deep into Rectifiers, 2015, eq. 10 and 15.
    """
    return rng.normal(0.0, _he_deviation(shape, negative_slope), shape)


def he_uniform(shape: Shape, rng: np.random.Generator, *, negative_slope: float = 0.0) -> Array:
    """Uniform, symmetric around 0, with the variance of :func:`he_normal`."""
    bound = math.sqrt(3.0) * _he_deviation(shape, negative_slope)
    return rng.uniform(-bound, bound, shape)


def _glorot_deviation(shape: Shape, gain: float) -> float:
    return gain * math.sqrt(2.0 / max(sum(fans(shape)), 1))


def glorot_normal(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> Array:
    """Normal with variance ``gain**2 * 2 / (fan_in + fan_out)``, for layers before tanh or sigmoid.

    Source: Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 12.
    """
    return rng.normal(0.0, _glorot_deviation(shape, gain), shape)


def glorot_uniform(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> Array:
    """Uniform between plus and minus ``gain * sqrt(6 / (fan_in + fan_out))``.

    Source: Glorot, Bengio, 2010, eq. 16.
    """
    bound = math.sqrt(3.0) * _glorot_deviation(shape, gain)
    return rng.uniform(-bound, bound, shape)


def orthogonal(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> Array:
    """A random matrix with orthonormal rows, or columns where it has more rows, times ``gain``.

    Axes after the first count as one. Drawn uniformly (Haar) by the QR decomposition of a normal matrix.

    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks, 2013. The sign correction is that of Mezzadri, How to generate random matrices from the classical compact
    groups, 2007, section 5.
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return gain * (q if rows >= columns else q.T).reshape(shape)


def uniform(shape: Shape, rng: np.random.Generator, *, low: float = -0.05, high: float = 0.05) -> Array:
    """Uniform between ``low`` and ``high``."""
    return rng.uniform(low, high, shape)


def normal(shape: Shape, rng: np.random.Generator, *, mean: float = 0.0, std: float = 0.01) -> Array:
    """Normal with a mean and a standard deviation."""
    return rng.normal(mean, std, shape)


def zeros(shape: Shape, rng: np.random.Generator) -> Array:
    """Zeros; draws nothing."""
    return np.zeros(shape)


def ones(shape: Shape, rng: np.random.Generator) -> Array:
    """Ones; draws nothing."""
    return np.ones(shape)


def fixed_sizes(*sizes: Size) -> Shape:
    """Sizes of a parameter as integers.

    Raises:
        ShapeError: one is not an integer of at least 0.
    """
    shape = as_shape(sizes, "shape of a parameter")
    known = tuple(size for size in shape if isinstance(size, int))
    if len(known) < len(shape):
        raise ShapeError(
            f"a parameter was to have the shape {shape_text(shape)}",
            expected="integers: the sizes of a parameter are fixed when it is made",
            remedy="give the layer a number instead of a symbolic size",
        )
    return known


def initial(initializer: Initializer, shape: Shape, rng: Rng) -> Array:
    """What an initializer gives for a shape.

    Raises:
        ShapeError: it gives an array of another shape.
    """
    array: Array = np.asarray(initializer(shape, as_generator(rng)))
    if array.shape != shape:
        name = getattr(initializer, "__name__", repr(initializer))
        raise ShapeError(
            f"the initializer {name} returned shape {array.shape}",
            expected=f"the shape that it was called with, {shape}",
            remedy="return rng.normal(size=shape), or any other array of that shape",
        )
    return array
