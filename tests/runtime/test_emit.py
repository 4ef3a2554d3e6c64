from __future__ import annotations

import ctypes
from typing import Any

import pytest

from graphc.runtime import emit, jit
from graphc.runtime.emit import callable_in_kernels, instruction, types


@instruction(types.int64, types.int64, types.int64)
def difference(builder: Any, x: Any, y: Any) -> Any:
    return builder.sub(x, y)


def infer_twice(kind: Any) -> Any:
    return kind(kind), lambda builder, x: builder.add(x, x)


twice = callable_in_kernels("twice", 1, infer_twice)


def compiled(expression: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    names = {"difference": difference, "twice": twice, "i8": jit.intrinsics._COMMON["i8"]}
    monkeypatch.setattr(jit.intrinsics, "namespace", lambda source: dict(names))
    result = jit._compile(f"def f(x, y):\n    return {expression}\n", "f", "int64(int64, int64)")
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(result.address)


def test_fixed_types(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled("difference(x, y)", monkeypatch)(7, 10) == -3
    assert compiled("difference(i8(x), True)", monkeypatch)(257, 0) == 0


def test_inferred_types(monkeypatch: pytest.MonkeyPatch) -> None:
    call = compiled("twice(i8(x)) + twice(y)", monkeypatch)
    assert call(100, 1000) == 2000 - 56


def test_a_wrong_number_of_operands(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(jit.KernelError, match="could not be compiled"):
        compiled("twice(x, y)", monkeypatch)


def test_names_for_people() -> None:
    assert repr(twice) == "<intrinsic twice>"
    assert repr(difference) == "<intrinsic difference>"
    assert emit.instruction(types.void)(lambda builder: None) is not None
