from __future__ import annotations

import ctypes
import inspect

import numpy as np

from graphc.runtime.instructions.primitives import PRIMITIVES
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest

Word = ctypes.c_int64


def compiled(body: str, parameters: str = "a, b, c"):
    count = len(parameters.split(","))
    source = f"def f({parameters}):\n" + "\n".join(f"    {line}" for line in inspect.cleandoc(body).splitlines()) + "\n"
    [address] = load([KernelRequest(source, "f", f"int64({', '.join(['int64'] * count)})")])
    return ctypes.CFUNCTYPE(Word, *[Word] * count)(address)


def test_words() -> None:
    swap = compiled("old = word(a, b)\nset_word(a, b, c)\nreturn old")
    memory = np.array([5, 6, 7])
    assert swap(memory.ctypes.data, 1, -9) == 6
    assert memory.tolist() == [5, -9, 7]


def test_int_at() -> None:
    memory = np.array([3, -4], np.int32)
    assert compiled("return int_at(a)", "a")(memory[1:].ctypes.data) == -4


def test_exchange() -> None:
    memory = np.array([4])
    exchange = compiled("return 1 if exchange(a, b, c) else 0")
    assert exchange(memory.ctypes.data, 5, 9) == 0
    assert memory[0] == 4
    assert exchange(memory.ctypes.data, 4, 9) == 1
    assert memory[0] == 9


def test_calls() -> None:
    seen: list[object] = []
    functions = {
        "call_kernel": ctypes.CFUNCTYPE(None, ctypes.c_void_p, Word, Word)(lambda *values: seen.append(values)),
        "call_with_int": ctypes.CFUNCTYPE(None, ctypes.c_int)(seen.append),
        "call_with_pointer": ctypes.CFUNCTYPE(None, ctypes.c_void_p)(seen.append),
        "call_int": ctypes.CFUNCTYPE(ctypes.c_int)(lambda: -7),
        "call_pointer": ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: 2**40),
        "call_pointer_of_word": ctypes.CFUNCTYPE(ctypes.c_void_p, Word)(lambda value: value + 2**33),
        "call_run": ctypes.CFUNCTYPE(Word, Word, Word, Word, Word)(lambda *values: sum(values)),
    }
    at = {name: ctypes.cast(function, ctypes.c_void_p).value for name, function in functions.items()}
    compiled("call_kernel(a, b, c, c + 1)\nreturn 0")(at["call_kernel"], 2**35, -3)
    compiled("call_with_int(a, b)\nreturn 0", "a, b")(at["call_with_int"], -5)
    compiled("call_with_pointer(a, b)\nreturn 0", "a, b")(at["call_with_pointer"], 2**36)
    assert seen == [(2**35, -3, -2), -5, 2**36]
    assert compiled("return call_int(a)", "a")(at["call_int"]) == -7
    assert compiled("return call_pointer(a)", "a")(at["call_pointer"]) == 2**40
    assert compiled("return call_pointer_of_word(a, b)", "a, b")(at["call_pointer_of_word"], 5) == 2**33 + 5
    assert compiled("return call_run(a, b, c, 30, 400)")(at["call_run"], 1, 2) == 433


def test_fetch_add_and_acquire() -> None:
    memory = np.array([4])
    body = "old = fetch_add(a, b)\nrelax()\nreturn old * 100 + acquire(a)"
    assert compiled(body, "a, b")(memory.ctypes.data, 3) == 407


def test_call_share() -> None:
    seen: list[tuple[int, ...]] = []
    share = ctypes.CFUNCTYPE(Word, *[Word] * 5)(lambda *given: seen.append(given) or 0)
    compiled("call_share(a, b, c, 3, 4, 5)\nreturn 0")(ctypes.cast(share, ctypes.c_void_p).value, 1, 2)
    assert seen == [(1, 2, 3, 4, 5)]


def test_all_primitives_are_named_as_they_are() -> None:
    assert all(function.name == name for name, function in PRIMITIVES.items())
