"""Object files of both processors, as LLVM writes them here for either of them."""

from __future__ import annotations

import ctypes
import struct

import llvmlite.binding as llvm
import pytest

from graphc.runtime.jit.image import ABSOLUTE, MOVE_WIDE, Image, Relocation, place
from graphc.runtime.jit.object_file import ObjectFileError, image_of

SCALED = """
define double @scaled(double %x) {
  %y = fmul double %x, 0x40091EB851EB851F
  ret double %y
}
"""
COSINE = """
declare double @cos(double)
define double @twice(double %x) {
  %y = call double @cos(double %x)
  %z = call double @cos(double %y)
  %s = fadd double %y, %z
  ret double %s
}
"""
TABLE = """
@table = internal constant [4 x double] [double 1.0, double 2.0, double 4.0, double 8.0]
define internal double @look(i64 %n) noinline {
  %p = getelementptr [4 x double], ptr @table, i64 0, i64 %n
  %v = load double, ptr %p
  ret double %v
}
define double @chosen(double %x) {
  %n = fptosi double %x to i64
  %v = call double @look(i64 %n)
  %w = fadd double %v, 0x3FB999999999999A
  ret double %w
}
"""
SWITCH = """
define double @cases(double %x) {
  %n = fptosi double %x to i64
  switch i64 %n, label %other [ i64 0, label %a i64 1, label %b i64 2, label %c i64 3, label %d i64 4, label %e ]
a: ret double 7.5
b: %ab = fadd double %x, 3.25
   ret double %ab
c: %ac = fmul double %x, 5.5
   ret double %ac
d: %ad = fsub double %x, 9.5
   ret double %ad
e: %ae = fdiv double %x, 3.0
   ret double %ae
other: ret double -1.0
}
"""
VARIABLE = """
@count = internal global i64 1
define double @counted(double %x) {
  %n = load i64, ptr @count
  %m = add i64 %n, 1
  store i64 %m, ptr @count
  ret double %x
}
"""
ELSEWHERE = """
@variable = external global double
define double @loaded() {
  %x = load double, ptr @variable
  ret double %x
}
"""


def object_file(text: str, triple: str) -> bytes:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(triple)
    reloc, model = ("pic", "small") if triple.startswith("x86") else ("default", "jitdefault")
    machine = target.create_target_machine(opt=3, reloc=reloc, codemodel=model, jit=True)
    module = llvm.parse_assembly(f'target triple = "{triple}"\n{text}')
    return machine.emit_object(module)


def native(text: str) -> bytes:
    return object_file(text, llvm.get_default_triple())


@pytest.mark.parametrize(
    ("text", "name", "x", "result"),
    [
        (SCALED, "scaled", 2.0, 6.28),
        (COSINE, "twice", 0.0, 1.5403023058681398),
        *((TABLE, "chosen", float(n), 2.0**n + 0.1) for n in range(4)),
        *((SWITCH, "cases", float(n), r) for n, r in enumerate([7.5, 4.25, 11.0, -6.5, 4 / 3, -1.0])),
    ],
)
def test_functions_give_their_results(text: str, name: str, x: float, result: float) -> None:
    [address] = place([image_of(native(text), name)])
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)(x) == pytest.approx(result, rel=1e-15)


def test_code_of_x86_64_reaches_its_constants_wherever_it_lies() -> None:
    image = image_of(object_file(SCALED, "x86_64-unknown-linux-gnu"), "scaled")
    assert not image.relocations
    assert struct.pack("<d", 3.14) in image.content


def test_calls_of_x86_64_go_through_one_veneer_each() -> None:
    image = image_of(object_file(COSINE, "x86_64-unknown-linux-gnu"), "twice")
    [relocation] = image.relocations
    assert (relocation.symbol, relocation.part, relocation.addend) == ("cos", ABSOLUTE, 0)
    veneer = relocation.offset - 6
    assert image.content[veneer : relocation.offset] == bytes.fromhex("ff2500000000")  # jmp *(%rip)
    calls = [
        at + 5 + struct.unpack_from("<i", image.content, at + 1)[0] for at in range(veneer) if image.content[at] == 0xE8
    ]
    assert calls == [veneer, veneer]


def whole_address(image: Image, relocations: list[Relocation], base: int) -> int:
    """The address that four instructions of AArch64 make together in an image at `base`."""
    assert [each.part for each in relocations] == list(MOVE_WIDE)
    assert len({(each.symbol, each.addend) for each in relocations}) == 1
    return base + relocations[0].addend


def test_constants_of_aarch64() -> None:
    image = image_of(object_file(SCALED, "aarch64-unknown-linux-gnu"), "scaled")
    relocations = sorted(image.relocations, key=lambda each: each.part)
    assert {each.symbol for each in relocations} == {""}
    assert struct.unpack_from("<d", image.content, whole_address(image, relocations, 0)) == (3.14,)


def test_calls_of_aarch64_go_through_one_veneer_each() -> None:
    image = image_of(object_file(COSINE, "aarch64-unknown-linux-gnu"), "twice")
    [relocation] = [each for each in image.relocations if each.symbol]
    assert (relocation.symbol, relocation.part, relocation.addend) == ("cos", ABSOLUTE, 0)
    veneer = relocation.offset - 8
    assert struct.unpack_from("<II", image.content, veneer) == (0x58000050, 0xD61F0200)
    words = struct.unpack(f"<{veneer // 4}I", image.content[: veneer // 4 * 4])
    calls = [4 * place + ((word & 0x3FFFFFF) << 2) for place, word in enumerate(words) if word >> 26 == 0b100101]
    assert calls == [veneer, veneer]
    assert relocation.offset % 8 == 0


def test_calls_of_aarch64_within_an_image() -> None:
    image = image_of(object_file(TABLE, "aarch64-unknown-linux-gnu"), "chosen")
    assert {each.symbol for each in image.relocations} == {""}
    words = struct.unpack(f"<{len(image.content) // 4}I", image.content[: len(image.content) // 4 * 4])
    [call] = [(4 * place, word) for place, word in enumerate(words) if word >> 26 == 0b100101]
    distance = (call[1] & 0x3FFFFFF ^ 0x2000000) - 0x2000000
    assert 0 <= call[0] + 4 * distance < len(image.content)
    assert call[0] + 4 * distance != image.entry


@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_variables_are_refused(triple: str) -> None:
    with pytest.raises(ObjectFileError, match=r"section \.\w+ holds variables"):
        image_of(object_file(VARIABLE, triple), "counted")


def test_other_processors_are_refused() -> None:
    with pytest.raises(ObjectFileError, match="expected code for x86-64 or AArch64, found code for ELF's machine 243"):
        image_of(object_file(SCALED, "riscv64-unknown-linux-gnu"), "scaled")


def test_unknown_relocations_are_refused() -> None:
    with pytest.raises(ObjectFileError, match=r"relocation \d+ of ELF's machine 62 is not known"):
        image_of(object_file(ELSEWHERE, "x86_64-unknown-linux-gnu"), "loaded")


@pytest.mark.parametrize("content", [b"", b"\xcf\xfa\xed\xfe" + bytes(100), b"\x7fELF\x01\x01" + bytes(100)])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ObjectFileError, match="expected a 64-bit little-endian ELF file"):
        image_of(content, "f")


def test_a_function_that_is_not_defined() -> None:
    with pytest.raises(ObjectFileError, match="does not define the function other"):
        image_of(native(SCALED), "other")
    with pytest.raises(ObjectFileError, match="does not define the function cos"):
        image_of(native(COSINE), "cos")
