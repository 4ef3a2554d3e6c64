"""Random numbers: Philox4x32-10, as :mod:`graphc.ir.ops.philox` defines it, sixteen blocks side by side."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.ops.philox import BLOCK_BITS, GROUP, MULTIPLIERS, ROUNDS, WEYL, group_size
from graphc.ir.types import TensorType
from graphc.runtime.kernels.base import Kernel, code, kernel_for

_MASK = 0xFFFFFFFF

_PHILOX = f"""\
            place = (stream << {BLOCK_BITS}) + group * {GROUP} + lane
            c0 = place & {_MASK}
            c1 = (place >> 32) & {_MASK}
            c2 = count & {_MASK}
            c3 = (count >> 32) & {_MASK}
            k0 = seed & {_MASK}
            k1 = (seed >> 32) & {_MASK}
            for _ in range({ROUNDS}):
                p0 = c0 * {MULTIPLIERS[0]}
                p1 = c2 * {MULTIPLIERS[1]}
                c0 = ((p1 >> 32) & {_MASK}) ^ c1 ^ k0
                c1 = p1 & {_MASK}
                c2 = ((p0 >> 32) & {_MASK}) ^ c3 ^ k1
                c3 = p0 & {_MASK}
                k0 = (k0 + {WEYL[0]}) & {_MASK}
                k1 = (k1 + {WEYL[1]}) & {_MASK}"""


def _fraction(dtype: str, word: str, next_word: str) -> str:
    """A number in [0, 1) from one word, or from two for float64; the products are exact."""
    if dtype == "f32":
        return f"f32(i32({word} >> 8)) * f32({2**-24!r})"
    return f"(f64(i32({word} >> 5)) * f64({2.0**26!r}) + f64(i32({next_word} >> 6))) * f64({2**-53!r})"


def _uniform(dtype: str) -> list[str]:
    """The numbers that a block makes."""
    pairs = (("c0", ""), ("c1", ""), ("c2", ""), ("c3", "")) if dtype == "f32" else (("c0", "c1"), ("c2", "c3"))
    return [_fraction(dtype, *pair) for pair in pairs]


def _normal(dtype: str) -> list[str]:
    """The numbers that a block makes, after :func:`_lengths_and_angles`."""
    pairs = range(2) if dtype == "f32" else range(1)
    return [f"length{pair} * {function}(angle{pair})" for pair in pairs for function in ("cos", "sin")]


def _lengths_and_angles(dtype: str) -> list[str]:
    if dtype == "f32":
        radii = [f"f32(i32({word} >> 1)) * f32({2**-31!r}) + f32({2**-32!r})" for word in ("c0", "c2")]
        turns = [_fraction(dtype, word, "") for word in ("c1", "c3")]
    else:
        radii = [f"f64(1) - {_fraction(dtype, 'c0', 'c1')}"]
        turns = [_fraction(dtype, "c2", "c3")]
    lines = []
    for pair, (radius, turn) in enumerate(zip(radii, turns, strict=True)):
        lines.append(f"            length{pair} = sqrt({dtype}(-2) * log({radius}))")
        lines.append(f"            angle{pair} = {turn} * {dtype}(6.283185307179586)")
    return lines


def _kernel(node: Node, prepare: list[str], numbers: list[str]) -> Kernel:
    dtype, size = node.output.dtype, group_size(node.output.dtype)
    kind = code(dtype)
    stores = [f"            store_{kind}_1(to, {w * GROUP} + lane, {number})" for w, number in enumerate(numbers)]
    body = "\n".join([_PHILOX, *prepare, *stores])
    source = f"""
def kernel(args, lo, hi):
    state = integer(args, 0)
    out = integer(args, 1)
    spare = integer(args, 2)
    items = integer(args, 3)
    stream = integer(args, 4)
    seed = load_i64_0(state, 0)
    count = load_i64_0(state, 1)
    for group in range(lo, hi):
        first = group * {size}
        left = items - first
        to = out + first * {dtype.itemsize}
        if left < {size}:  # the last group has more numbers than are wanted
            to = spare
        for lane in range({GROUP}):
{body}
        if left < {size}:
            for i in range(left):
                store_{kind}_1(out, first + i, load_{kind}_1(spare, i))
"""
    items = node.output.size
    groups = (items + (size - 1)) // size
    sizes = (items, node.attrs.stream)
    return Kernel(node.op.name, source, groups, sizes, (TensorType(dtype, (size,)),), work=20 * items)


@kernel_for("random_uniform")
def random_uniform(node: Node) -> Kernel:
    """Numbers in [0, 1), bit for bit those of the reference."""
    kind = code(node.output.dtype)
    return _kernel(node, [], _uniform(kind))


@kernel_for("random_normal")
def random_normal(node: Node) -> Kernel:
    """Normally distributed numbers, two from a length and an angle."""
    kind = code(node.output.dtype)
    return _kernel(node, _lengths_and_angles(kind), _normal(kind))
