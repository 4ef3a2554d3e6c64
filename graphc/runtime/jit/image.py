"""Machine code in memory: an image is copied, told where it lies, and made executable.

This is all of a linker that a process with a warm cache needs, and it takes microseconds; LLVM's own would have to be
loaded first. What an image is made of is the matter of :mod:`graphc.runtime.jit.object_file`.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import struct
from collections.abc import Sequence

from graphc.errors import GraphError
from graphc.record import record

__all__ = ["ABSOLUTE", "ALIGNMENT", "MOVE_WIDE", "Image", "Relocation", "address_of", "place"]

ALIGNMENT = 64
"""Of images and of the sections in them: a line of the cache, and the widest vector."""

ABSOLUTE = 4
"""The part of a relocation that stands for the whole address, in 8 bytes."""

MOVE_WIDE = range(4)
"""The parts that stand for 16 bits of the address each, lowest first, in an instruction of AArch64 that moves them."""


@record
class Relocation:
    """A place in an image that depends on where something lies.

    Attributes:
        offset: of the place in the image.
        part: what the place holds of the address: `ABSOLUTE` or one of `MOVE_WIDE`.
        symbol: a function of the C or mathematics library, or nothing for the image itself.
        addend: what is added to the address.
    """

    offset: int
    part: int
    symbol: str
    addend: int


@record
class Image:
    """Machine code that lies anywhere in memory once its relocations are carried out.

    Attributes:
        content: the code and its constants.
        entry: where the function begins.
        relocations: what depends on the address of the content, in no order.
    """

    content: bytes
    entry: int
    relocations: tuple[Relocation, ...]

    def encode(self) -> bytes:
        """The image as bytes, for :meth:`decode`."""
        parts = [_HEADER.pack(self.entry, len(self.content), len(self.relocations)), self.content]
        for each in self.relocations:
            symbol = each.symbol.encode()
            parts += [_RELOCATION.pack(each.offset, each.addend, each.part, len(symbol)), symbol]
        return b"".join(parts)

    @classmethod
    def decode(cls, encoded: bytes) -> Image:
        """The image that :meth:`encode` wrote."""
        entry, size, count = _HEADER.unpack_from(encoded)
        position = _HEADER.size + size
        content = encoded[_HEADER.size : position]
        relocations = []
        for _ in range(count):
            offset, addend, part, length = _RELOCATION.unpack_from(encoded, position)
            position += _RELOCATION.size
            relocations.append(Relocation(offset, part, encoded[position : position + length].decode(), addend))
            position += length
        return cls(content, entry, tuple(relocations))


_HEADER = struct.Struct("<QQQ")
_RELOCATION = struct.Struct("<QqBB")
_POINTER = struct.Struct("<Q")
_INSTRUCTION = struct.Struct("<I")


def address_of(symbol: str) -> int | None:
    """Where a function of the C or mathematics library lies; None if they have no such function."""
    try:
        return ctypes.cast(getattr(_library(), symbol), ctypes.c_void_p).value
    except AttributeError:
        return None


@functools.cache
def _library() -> ctypes.CDLL:
    # A lookup through libm's own handle sees libm and the libc it depends on, and nothing of Python or Numba.
    try:
        return ctypes.CDLL("libm.so.6")
    except OSError:  # not the GNU library
        from ctypes.util import find_library  # which may start processes

        return ctypes.CDLL(find_library("m"))


def place(images: Sequence[Image]) -> list[int]:
    """Put images into memory, for as long as the process lives; returns the addresses of their entries.

    Raises:
        GraphError: the system refuses memory that can be executed, or an image needs a function that is not there.
    """
    offsets, size = [], 0
    for image in images:
        offsets.append(size)
        size += -(-len(image.content) // ALIGNMENT) * ALIGNMENT
    if not size:
        return []
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _kept.append(memory)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for offset, image in zip(offsets, images, strict=True):
        memory[offset : offset + len(image.content)] = _relocated(image, base + offset)
    # The kernel makes what was written visible to the fetching of instructions as it changes the protection.
    if _library().mprotect(ctypes.c_void_p(base), ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_EXEC):
        raise GraphError(
            f"compiled kernels cannot be executed: the system keeps {size} bytes of memory from becoming executable",
            expected="a process that may execute code that it has written",
            remedy="allow it in the rules of SELinux, seccomp or systemd (MemoryDenyWriteExecute) that hold here",
        )
    return [base + offset + image.entry for offset, image in zip(offsets, images, strict=True)]


_kept: list[mmap.mmap] = []


def _relocated(image: Image, base: int) -> bytearray:
    content = bytearray(image.content)
    for each in image.relocations:
        target = address_of(each.symbol) if each.symbol else base
        if target is None:
            raise GraphError(
                f"a compiled kernel needs the function {each.symbol}, which this system's libraries do not have",
                expected="the C and mathematics libraries that it was compiled with",
                remedy="remove what was compiled elsewhere: graphc cache clear",
            )
        target += each.addend
        if each.part == ABSOLUTE:
            _POINTER.pack_into(content, each.offset, target)
        else:
            (instruction,) = _INSTRUCTION.unpack_from(content, each.offset)
            part = target >> 16 * each.part & 0xFFFF
            _INSTRUCTION.pack_into(content, each.offset, instruction & ~(0xFFFF << 5) | part << 5)
    return content
