from __future__ import annotations

import ctypes
import os
import struct
from typing import Any

import pytest

from graphc.errors import GraphError
from graphc.runtime.jit import image
from graphc.runtime.jit.image import ABSOLUTE, ALIGNMENT, MOVE_WIDE, Image, Relocation, address_of, place
from graphc.runtime.processor import architecture


def placed_bytes(images: list[Image]) -> list[bytes]:
    """What lies in memory where images without an entry of their own were put."""
    return [ctypes.string_at(at, len(each.content)) for at, each in zip(place(images), images, strict=True)]


def test_images_are_encoded() -> None:
    for each in (
        Image(b"", 0, ()),
        Image(bytes(range(256)), 17, (Relocation(8, ABSOLUTE, "memset", 0), Relocation(16, 3, "", -(2**40)))),
    ):
        assert Image.decode(each.encode()) == each


def test_nothing_takes_no_memory() -> None:
    assert place([]) == place([]) == []


def test_addresses_are_those_of_the_entries() -> None:
    images = [Image(bytes([number]) * (1 + 40 * number), number, ()) for number in range(5)]
    addresses = place(images)
    for number, address in enumerate(addresses):
        assert (address - number) % ALIGNMENT == 0
        start = address - number
        assert ctypes.string_at(start, len(images[number].content)) == images[number].content


def test_addresses_are_filled_in() -> None:
    one = Image(bytes(64), 0, ())
    other = Image(b"\xff" * 64, 0, (Relocation(8, ABSOLUTE, "", 24), Relocation(24, ABSOLUTE, "memset", -1)))
    first, second = place([one, other])
    assert ctypes.string_at(first, 64) == bytes(64)
    content = ctypes.string_at(second, 64)
    assert struct.unpack_from("<Q", content, 8) == (second + 24,)
    assert struct.unpack_from("<Q", content, 24) == (address_of("memset") - 1,)
    assert set(content[:8] + content[16:24] + content[32:]) == {0xFF}


def test_instructions_of_aarch64_are_filled_in() -> None:
    moves = [0xD2800008, 0xF2A00008, 0xF2C00008, 0xF2E00008]  # movz x8, #0, then movk with each shift
    code = struct.pack("<4I", *moves)
    [address] = place([Image(code, 0, tuple(Relocation(4 * part, part, "", 12) for part in MOVE_WIDE))])
    found = struct.unpack("<4I", ctypes.string_at(address, 16))
    assert [word & ~(0xFFFF << 5) for word in found] == moves
    assert sum((word >> 5 & 0xFFFF) << 16 * part for part, word in enumerate(found)) == address + 12


def test_functions_of_the_libraries() -> None:
    assert address_of("memset") is not None
    call = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address_of("cos"))
    assert call(0.0) == 1.0
    assert address_of("PyList_New") is None
    assert address_of("no_such_function") is None


def test_a_function_that_is_not_there() -> None:
    missing = Image(bytes(16), 0, (Relocation(0, ABSOLUTE, "no_such_function", 0),))
    with pytest.raises(GraphError, match=r"needs the function no_such_function(?s:.*)remedy: .*graphc cache clear"):
        place([missing])


def test_a_system_that_refuses_to_execute(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def mprotect(self, *arguments: Any) -> int:
            return -1

    monkeypatch.setattr(image, "_library", Refusing)
    with pytest.raises(GraphError, match=r"cannot be executed(?s:.*)remedy: .*SELinux"):
        place([Image(bytes(16), 0, ())])


def test_code_cannot_be_written() -> None:
    [address] = place([Image(bytes(16), 0, ())])
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            if start <= address < end:
                assert line.split()[1] == "r-xp"
                return
    raise AssertionError("the image is not in memory")


RETURNS_42 = {"x86_64": bytes.fromhex("b82a000000c3"), "aarch64": struct.pack("<2I", 0x52800540, 0xD65F03C0)}
"""Instructions that move 42 to the register of results, and return."""


def test_code_runs_in_the_child_of_a_fork() -> None:
    [address] = place([Image(RETURNS_42[architecture()], 0, ())])
    child = os.fork()
    if child == 0:
        os._exit(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
