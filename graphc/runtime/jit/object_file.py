"""From the object file that LLVM writes for a kernel to an image that can be put into memory.

Code for x86-64 reaches its constants by their distance, and functions too; code for AArch64 is compiled for the large
code model, which makes whole addresses of constants. Functions of libraries may lie farther away than a call reaches:
it goes to a veneer in the image, which jumps there. Layout: System V ABI, chapter 4, "Object Files", with the
processors' supplements for x86-64 ("Relocation") and for AArch64 ("ELF for the Arm 64-bit Architecture", section 5.7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from graphc.record import record
from graphc.runtime.jit.image import ABSOLUTE, ALIGNMENT, MOVE_WIDE, Image, Relocation

__all__ = ["ObjectFileError", "image_of"]

_X86_64, _AARCH64 = 62, 183  # the numbers of machines
_WHOLE = {(_AARCH64, 257)}  # R_AARCH64_ABS64
_PARTS = {263: 0, 264: 0, 265: 1, 266: 1, 267: 2, 268: 2, 269: 3}  # R_AARCH64_MOVW_UABS_G0 to _G3, checked or not
_DISTANCES = {(_X86_64, 2), (_X86_64, 4)}  # R_X86_64_PC32, _PLT32
_BRANCHES = {(_AARCH64, 282), (_AARCH64, 283)}  # R_AARCH64_JUMP26, _CALL26
_VENEERS = {  # both jump to the address that follows
    _X86_64: bytes.fromhex("ff2500000000"),  # jmp *(%rip)
    _AARCH64: struct.pack("<2I", 0x58000050, 0xD61F0200),  # ldr x16, +8; br x16
}

_SYMBOLS, _RELOCATIONS, _NO_CONTENT = 2, 4, 8  # kinds of sections
_WRITABLE, _LOADED = 1, 2  # what is done with them
_UNDEFINED = 0


class ObjectFileError(ValueError):
    """An object file that is none, or that holds what a kernel has no use for."""


@record
class _Section:
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def placed(self) -> bool:
        """Whether it becomes a part of the image: what unwinds the stack does not, for kernels raise nothing."""
        return bool(self.flags & _LOADED and self.size) and self.name != ".eh_frame"


@record
class _Symbol:
    name: str
    section: int
    value: int


def image_of(object_file: bytes, function: str) -> Image:
    """The image of `function`, which the object file defines.

    Raises:
        ObjectFileError: the file is not a 64-bit little-endian ELF object file for x86-64 or AArch64; it does not
            define the function; or it holds variables, or relocations of kinds that such code does without.
    """
    if object_file[:6] != b"\x7fELF\x02\x01":
        raise ObjectFileError(f"expected a 64-bit little-endian ELF file, found one that begins {object_file[:6]!r}")
    (machine,) = struct.unpack_from("<H", object_file, 0x12)
    if machine not in (_X86_64, _AARCH64):
        raise ObjectFileError(f"expected code for x86-64 or AArch64, found code for ELF's machine {machine}")
    sections = list(_sections(object_file))
    content, starts = bytearray(), {}
    for number, section in enumerate(sections):
        if section.placed:
            if section.flags & _WRITABLE or section.kind == _NO_CONTENT:
                raise ObjectFileError(f"section {section.name} holds variables")
            content += bytes(-len(content) % ALIGNMENT)
            starts[number] = len(content)
            content += object_file[section.offset : section.offset + section.size]
    symbols = list(_symbols(object_file, sections))
    entry = next((symbol for symbol in symbols if symbol.name == function and symbol.section in starts), None)
    if entry is None:
        raise ObjectFileError(f"it does not define the function {function}")

    relocations: list[Relocation] = []
    veneers: dict[str, int] = {}
    for section in sections:
        if section.kind != _RELOCATIONS or section.info not in starts:
            continue
        for position in range(section.offset, section.offset + section.size, 24):
            place, kind, number, addend = struct.unpack_from("<QIIq", object_file, position)
            symbol, offset = symbols[number], starts[section.info] + place
            if symbol.section == _UNDEFINED:
                name, target = symbol.name, addend
            elif symbol.section in starts:
                name, target = "", starts[symbol.section] + symbol.value + addend
            else:
                raise ObjectFileError(f"a relocation needs section {sections[symbol.section].name}, which is not kept")
            if (machine, kind) in _WHOLE:
                relocations.append(Relocation(offset, ABSOLUTE, name, target))
            elif machine == _AARCH64 and kind in _PARTS:
                relocations.append(Relocation(offset, MOVE_WIDE[_PARTS[kind]], name, target))
            elif (machine, kind) in _DISTANCES | _BRANCHES:
                if name and name not in veneers:
                    content += bytes(-len(content) % 8)
                    veneers[name] = len(content)
                    content += _VENEERS[machine] + bytes(8)
                    relocations.append(Relocation(len(content) - 8, ABSOLUTE, name, 0))
                distance = (veneers[name] + addend if name else target) - offset
                if machine == _X86_64:
                    struct.pack_into("<i", content, offset, distance)
                else:
                    (instruction,) = struct.unpack_from("<I", content, offset)
                    struct.pack_into("<I", content, offset, instruction & ~0x3FFFFFF | distance >> 2 & 0x3FFFFFF)
            else:
                raise ObjectFileError(f"relocation {kind} of ELF's machine {machine} is not known")
    return Image(bytes(content), starts[entry.section] + entry.value, tuple(relocations))


def _sections(file: bytes) -> Iterator[_Section]:
    (table,) = struct.unpack_from("<Q", file, 0x28)
    size, count, names = struct.unpack_from("<HHH", file, 0x3A)
    headers = [struct.unpack_from("<IIQQQQII", file, table + number * size) for number in range(count)]
    for name, kind, flags, _, offset, length, link, info in headers:
        yield _Section(_text(file, headers[names][4] + name), kind, flags, offset, length, link, info)


def _symbols(file: bytes, sections: list[_Section]) -> Iterator[_Symbol]:
    for section in sections:
        if section.kind == _SYMBOLS:
            for position in range(section.offset, section.offset + section.size, 24):
                name, _, _, defined_in, value = struct.unpack_from("<IBBHQ", file, position)
                yield _Symbol(_text(file, sections[section.link].offset + name), defined_in, value)


def _text(file: bytes, start: int) -> str:
    return file[start : file.index(b"\0", start)].decode()
