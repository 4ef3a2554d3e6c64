"""Random numbers as pure functions of a generator's state: Philox4x32-10, a counter-based generator.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Every number depends on
the seed, the generator's counter, the stream (which call of the generator it is) and the number's place alone, so it
does not matter who computes it when.

The key is the seed. The 128-bit counter holds, from its low end, the block (40 bits), the stream (24) and the
generator's counter (64). Sixteen neighbouring blocks of four 32-bit words make a group: word w of block b of the group
is number ``16 * w + b`` of its 64, which lets kernels compute, and store, sixteen blocks side by side.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import product
from graphc.ir.graph import Value
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, multiply, subtract
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import greater_equal, less
from graphc.ir.ops.creation import DTypeLike, ShapeLike, zeros_like
from graphc.ir.ops.leaves import Variable, as_value, constant, is_weak, variable
from graphc.ir.ops.shape import known_shape
from graphc.ir.types import DType, Shape, TensorType, dtype_of, float32, float64, int64
from graphc.record import record

__all__: list[str] = []  # Generator is public as graphc.random.Generator

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
GROUP = 16
"""Blocks in a group."""
BLOCK_BITS = 40
STREAMS = 1 << (64 - BLOCK_BITS)

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counter: tuple[Array, Array, Array, Array], key: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Philox4x32-10: four 32-bit words for each 128-bit counter, all as uint64 arrays; section 3.3 of the paper."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _HALF) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


@record
class RandomAttrs:
    shape: Shape
    dtype: DType
    stream: int


def group_size(dtype: DType) -> int:
    """How many numbers a group of blocks makes: four from a block in float32, two in float64."""
    return GROUP * 16 // dtype.itemsize


def _words(attrs: RandomAttrs, state: Array) -> tuple[Array, Array, Array, Array]:
    """The words of all blocks, as arrays of shape (groups, 16)."""
    seed, count = (int(number) & 0xFFFFFFFFFFFFFFFF for number in state)
    items = int(product(attrs.shape))
    groups = -(-items // group_size(attrs.dtype))
    place = np.arange(groups * GROUP, dtype=np.uint64) + np.uint64(attrs.stream << BLOCK_BITS)
    high = (np.full_like(place, count & 0xFFFFFFFF), np.full_like(place, count >> 32))
    words = philox((place & _LOW, place >> _HALF, *high), (seed & 0xFFFFFFFF, seed >> 32))
    w0, w1, w2, w3 = (word.reshape(groups, GROUP) for word in words)
    return w0, w1, w2, w3


def _arranged(attrs: RandomAttrs, *columns: Array) -> Array:
    """Numbers of shape (groups, 16), one array for each place in a block, as the result."""
    items = int(product(attrs.shape))
    return np.concatenate(columns, 1).reshape(-1)[:items].reshape(attrs.shape).astype(attrs.dtype.numpy)


def _double(first: Array, second: Array) -> Array:
    """53 bits of two words as a number in [0, 1)."""
    whole = (first >> np.uint64(5)).astype(np.float64) * 2**26 + (second >> np.uint64(6)).astype(np.float64)
    return whole * 2.0**-53


def _evaluate_uniform(attrs: RandomAttrs, state: Array) -> Array:
    words = _words(attrs, state)
    if attrs.dtype.itemsize == 8:
        return _arranged(attrs, _double(words[0], words[1]), _double(words[2], words[3]))
    return _arranged(attrs, *((word >> np.uint64(8)).astype(np.float32) * np.float32(2**-24) for word in words))


def _box_muller(radius: Array, turn: Array) -> tuple[Array, Array]:
    """Two independent normal numbers from a number in (0, 1] and one in [0, 1) (Box and Muller 1958)."""
    length = np.sqrt(-2 * np.log(radius))
    angle = turn * radius.dtype.type(2 * np.pi)
    return length * np.cos(angle), length * np.sin(angle)


def _single(word: Array) -> Array:
    """31 bits of a word as a number in (0, 1]: the finer, the longer the tails that they make."""
    return (word >> np.uint64(1)).astype(np.float32) * np.float32(2**-31) + np.float32(2**-32)


def _evaluate_normal(attrs: RandomAttrs, state: Array) -> Array:
    w0, w1, w2, w3 = _words(attrs, state)
    if attrs.dtype.itemsize == 8:
        return _arranged(attrs, *_box_muller(1 - _double(w0, w1), _double(w2, w3)))
    turns = [(word >> np.uint64(8)).astype(np.float32) * np.float32(2**-24) for word in (w1, w3)]
    return _arranged(attrs, *_box_muller(_single(w0), turns[0]), *_box_muller(_single(w2), turns[1]))


def _infer_random(attrs: RandomAttrs, state: TensorType) -> TensorType:
    if state != TensorType(int64, (2,)):
        raise DTypeError(f"a generator's state of type {state}", expected="int64[2]: seed and counter")
    if not attrs.dtype.is_float:
        raise DTypeError(f"random numbers of dtype {attrs.dtype}", expected="float32 or float64")
    if not 0 <= attrs.stream < STREAMS:
        raise ShapeError(f"the stream {attrs.stream}", expected=f"0 to {STREAMS - 1}", remedy="make a new Generator")
    return TensorType(attrs.dtype, attrs.shape)


def _samples(name: str, *dtypes: DType) -> list[Sample]:
    def sample(shape: Shape, dtype: DType, stream: int) -> Sample:
        attrs = RandomAttrs(shape, dtype, stream)
        return Sample(lambda state: apply_one(registry[name], (state,), attrs), (np.array([-5, 7]),))

    cases = ((3, 67), 0), ((2, 32), STREAMS - 1), ((), 1), ((0, 3), 1), ((1, 1), 2)
    return [sample(shape, dtype, stream) for dtype in dtypes for shape, stream in cases]


RANDOM_UNIFORM = registry.add(
    OpDef(
        "random_uniform",
        "Numbers in [0, 1), all multiples of 2**-24 (float32) or 2**-53 (float64) equally likely.",
        infer=_infer_random,
        evaluate=_evaluate_uniform,
        vjp=no_gradient,
        attrs=RandomAttrs,
        samples=lambda: _samples("random_uniform", float32, float64),
    )
)

RANDOM_NORMAL = registry.add(
    OpDef(
        "random_normal",
        "Normally distributed numbers of mean 0 and variance 1 (Box and Muller 1958).",
        infer=_infer_random,
        evaluate=_evaluate_normal,
        vjp=no_gradient,
        attrs=RandomAttrs,
        samples=lambda: _samples("random_normal", float64),
    )
)


def _fraction(number: Any, what: str) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float | np.number) or not 0 <= number <= 1:
        raise GraphError(f"{what}={number!r}", expected="a number from 0 to 1")
    return float(number)


class Generator:
    """A source of random numbers in graphs: a seed, and a counter which every call of a compiled function raises by 1.

    Each method call builds a value with its own stream of numbers. The same seed gives the same numbers, whatever the
    number of threads. Gradients do not flow to the state.

    Args:
        seed: an integer of 64 bits.
        name: of the variable that holds the state.
    """

    def __init__(self, seed: int, name: str = "random_state") -> None:
        self.state: Variable = variable(np.zeros(2, np.int64), name)
        """The seed and the counter, int64[2]."""
        self.state.default_update = add(self.state, constant(np.array([0, 1])))
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start again, as a new generator does.

        Compiled functions repeat their numbers, and values built from now on draw those of the first values again:
        values built before and after should not meet in one function.

        Raises:
            GraphError: the seed is not an integer of 64 bits.
        """
        given: Any = seed
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or not -(2**63) <= given < 2**63:
            raise GraphError(f"the seed {seed!r}", expected="an integer from -2**63 to 2**63 - 1")
        self.state.value = np.array([seed, 0], np.int64)
        self._streams = itertools.count()

    def __repr__(self) -> str:
        seed, count = self.state.value.tolist()
        return f"Generator(seed={seed}, counter={count})"

    def _draw(self, op: OpDef, shape: ShapeLike, dtype: DTypeLike) -> Value:
        return apply_one(op, (self.state,), RandomAttrs(known_shape(shape), dtype_of(dtype), next(self._streams)))

    def uniform(
        self, shape: ShapeLike = (), low: Operand = 0.0, high: Operand = 1.0, dtype: DTypeLike = "float32"
    ) -> Value:
        """Numbers from ``low`` to ``high``, equally likely; ``high`` itself only by rounding.

        Args:
            shape: integers, Dims and names.
            low, high: scalars, or what broadcasts with the shape.
            dtype: float32 or float64.
        """
        numbers = self._draw(RANDOM_UNIFORM, shape, dtype)
        if is_weak(low) and is_weak(high) and (low, high) == (0, 1):
            return numbers
        width = high - low if is_weak(low) and is_weak(high) else subtract(high, low)
        return add(multiply(numbers, width), low)

    def normal(
        self, shape: ShapeLike = (), mean: Operand = 0.0, std: Operand = 1.0, dtype: DTypeLike = "float32"
    ) -> Value:
        """Normally distributed numbers.

        Args:
            shape: integers, Dims and names.
            mean, std: mean and standard deviation, scalars, or what broadcasts with the shape.
            dtype: float32 or float64.
        """
        numbers = self._draw(RANDOM_NORMAL, shape, dtype)
        scaled = numbers if is_weak(std) and std == 1 else multiply(numbers, std)
        return scaled if is_weak(mean) and mean == 0 else add(scaled, mean)

    def bernoulli(self, p: Operand, shape: ShapeLike | None = None) -> Value:
        """True with probability ``p``, else False, in steps of 2**-24.

        Args:
            p: a number from 0 to 1, or a value of such numbers.
            shape: integers, Dims and names; the shape of ``p`` for None.

        Raises:
            GraphError: ``p`` is a number that is not from 0 to 1.
        """
        chance = p if isinstance(p, Value) else constant(_fraction(p, "p")) if is_weak(p) else as_value(p)
        return less(self._draw(RANDOM_UNIFORM, chance.shape if shape is None else shape, "float32"), chance)

    def dropout(self, x: Operand, rate: float) -> Value:
        """Each item is 0 with probability ``rate``, else divided by ``1 - rate``, which keeps its mean.

        Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", section 10.

        Args:
            x: float32 or float64, any shape.
            rate: a number from 0 to 1.

        Raises:
            GraphError: ``rate`` is not a number from 0 to 1.
            DTypeError: ``x`` is not float.
        """
        value, chance = as_value(x), _fraction(rate, "rate")
        if not value.dtype.is_float:
            raise DTypeError(f"dropout of dtype {value.dtype}", expected="float32 or float64", remedy="cast it")
        if chance in (0, 1):
            return zeros_like(value) if chance else value
        kept = greater_equal(self._draw(RANDOM_UNIFORM, value.shape, "float32"), chance)
        return where(kept, multiply(value, 1 / (1 - chance)), constant(0, value.dtype))
