"""The vector registers of this processor, from which the sizes of all register tiles follow."""

from __future__ import annotations

import functools
from collections.abc import Set

from graphc.record import record
from graphc.runtime import processor

__all__ = ["Registers", "lanes", "most_sums", "panel_width", "registers", "registers_of", "tile_rows"]


@record
class Registers:
    """Vector registers.

    Attributes:
        bytes: how wide one is.
        count: how many there are.
    """

    bytes: int
    count: int


@functools.cache
def registers() -> Registers:
    """Those of this processor."""
    return registers_of(processor.architecture(), processor.features())


def registers_of(architecture: str, features: Set[str]) -> Registers:
    """Those of a processor: NEON's, which every 64-bit ARM has, AVX-512's, AVX2's, or what every 64-bit x86 has."""
    if architecture == "aarch64":
        return Registers(16, 32)
    if "avx512f" in features:
        return Registers(64, 32)
    return Registers(32 if features >= {"avx2", "fma"} else 16, 16)


def lanes(kind: str) -> int:
    """How many items of ``f32`` or ``f64`` a vector holds."""
    return registers().bytes // (4 if kind == "f32" else 8)


def most_sums() -> int:
    """How many vectors of sums a tile may keep: the registers beside them hold its operands."""
    return registers().count * 3 // 4


def panel_width(kind: str) -> int:
    """Columns of a panel of a product: two vectors."""
    return 2 * lanes(kind)


def tile_rows() -> int:
    """Rows of a tile of a product, which is as wide as a panel."""
    return most_sums() // 2
