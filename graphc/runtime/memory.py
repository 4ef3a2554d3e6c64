"""Memory: where buffers lie in the arena, and an independent check of it.

Offsets are chosen greedily by size (Pisarchyk & Lee 2020, "Efficient memory management for deep neural net inference"):
buffers in an order of falling size go to the lowest gap that is free for all of their life. Several orders are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc.errors import VerifyError
from graphc.record import record

__all__ = ["ALIGNMENT", "Life", "aligned", "assign_offsets", "check_offsets", "largest_live_sum"]

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""


@record
class Life:
    """A piece of memory and the steps, first and last, between which it is in use."""

    bytes: int
    first: int
    last: int


def aligned(size: int) -> int:
    """Rounded up to the alignment; nothing takes no memory."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def largest_live_sum(lives: Sequence[Life]) -> int:
    """The largest sum of aligned sizes that are in use at one time: no assignment needs less."""
    events: dict[int, int] = {}
    for life in lives:
        size = aligned(life.bytes)
        events[life.first] = events.get(life.first, 0) + size
        events[life.last + 1] = events.get(life.last + 1, 0) - size
    total = peak = 0
    for time in sorted(events):
        total += events[time]
        peak = max(peak, total)
    return peak


_ORDERS: tuple[Callable[[Life], tuple[int, ...]], ...] = (
    lambda life: (-life.bytes, life.first),
    lambda life: (life.first - life.last, -life.bytes),
    lambda life: (-life.bytes * (life.last - life.first + 1), life.first),
    lambda life: (life.first, -life.bytes),
)


def assign_offsets(lives: Sequence[Life]) -> tuple[list[int], int]:
    """Offsets in bytes for pieces of memory such that none overlap while both are in use, and the size of the arena."""
    bound = largest_live_sum(lives)
    best: tuple[list[int], int] | None = None
    for order in _ORDERS:
        offsets, size = _assign(lives, sorted(range(len(lives)), key=lambda i: (order(lives[i]), i)))
        if best is None or size < best[1]:
            best = offsets, size
        if best[1] <= bound:
            break
    return best or ([], 0)


def _assign(lives: Sequence[Life], order: Sequence[int]) -> tuple[list[int], int]:
    offsets = [0] * len(lives)
    first, last, low, high = (np.zeros(len(lives), np.int64) for _ in range(4))
    arena = placed = 0
    for i in order:
        life = lives[i]
        size = aligned(life.bytes)
        if not size:
            continue
        conflict = np.flatnonzero((first[:placed] <= life.last) & (last[:placed] >= life.first))
        place = 0
        if conflict.size:
            begins, ends = low[conflict], high[conflict]
            ranked = np.argsort(begins, kind="stable")
            begins = begins[ranked]
            covered = np.concatenate(([0], np.maximum.accumulate(ends[ranked])))
            fits = np.flatnonzero(begins - covered[:-1] >= size)
            place = int(covered[fits[0]] if fits.size else covered[-1])
        first[placed], last[placed], low[placed], high[placed] = life.first, life.last, place, place + size
        placed += 1
        offsets[i] = place
        arena = max(arena, place + size)
    return offsets, arena


def check_offsets(lives: Sequence[Life], offsets: Sequence[int], arena: int) -> None:
    """Check, by another method than the one that chose them, that no two pieces in use at one time overlap.

    Replays the steps: at each, every byte that comes into use must be free.

    Raises:
        VerifyError: two pieces overlap, or one leaves the arena or is misaligned.
    """
    begins: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for i, life in enumerate(lives):
        if life.bytes:
            begins.setdefault(life.first, []).append(i)
            ends.setdefault(life.last, []).append(i)
            if offsets[i] % ALIGNMENT or offsets[i] < 0 or offsets[i] + life.bytes > arena:
                raise VerifyError(
                    f"a buffer of {life.bytes} bytes at offset {offsets[i]} of an arena of {arena} bytes",
                    expected=f"a multiple of {ALIGNMENT} that leaves it inside",
                )
    owner = np.full(-(-arena // ALIGNMENT), -1, np.int64)
    for time in sorted(set(begins) | set(ends)):
        for i in begins.get(time, ()):
            lines = owner[offsets[i] // ALIGNMENT : -(-(offsets[i] + lives[i].bytes) // ALIGNMENT)]
            if np.any(lines >= 0):
                other = int(lines[lines >= 0][0])
                raise VerifyError(f"buffers {i} and {other} overlap at step {time}", expected="memory that is free")
            lines[:] = i
        for i in ends.get(time, ()):
            owner[offsets[i] // ALIGNMENT : -(-(offsets[i] + lives[i].bytes) // ALIGNMENT)] = -1
