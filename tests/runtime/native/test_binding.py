from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.runtime.native import pyfunction
from graphc.runtime.native.binding import ArgumentSpec, argument_binder

F32, I64, BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)
Binder = Callable[[Any], int]


@pytest.fixture(params=["native", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Binders work natively, or in Python where objects are laid out in an unknown way."""
    if request.param == "python":
        monkeypatch.setattr(pyfunction, "supported", lambda: False)
    return str(request.param)


@pytest.fixture
def words() -> np.ndarray:
    return np.full(8, -1, np.int64)


@pytest.fixture
def bind(way: str, words: np.ndarray) -> Binder:
    specs = [ArgumentSpec(F32, (3, 4), [0, 5]), ArgumentSpec(I64, (), [2]), ArgumentSpec(BOOL, (2, 0, 3), [])]
    return argument_binder(specs, words)


def good() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((3, 4), np.float32), np.array(5), np.zeros((2, 0, 3), bool)


def test_binds(bind: Binder, words: np.ndarray) -> None:
    args = good()
    assert bind(args) == 0
    x, y = args[0].ctypes.data, args[1].ctypes.data
    assert words.tolist() == [x, -1, y, -1, -1, x, -1, -1]
    other = good()
    assert bind(other) == 0
    assert words[0] == other[0].ctypes.data


class Subclass(np.ndarray):
    pass


def misaligned() -> np.ndarray:
    return np.zeros(49, np.uint8)[1:].view(np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((3, 4), np.float64),
        np.zeros((3, 4), np.int32),
        np.zeros((3, 4), ">f4"),
        np.zeros((4, 3), np.float32),
        np.zeros((3, 5), np.float32),
        np.zeros(12, np.float32),
        np.zeros((1, 3, 4), np.float32),
        np.zeros((3, 8), np.float32)[:, ::2],
        np.zeros((4, 3), np.float32).T,
        np.asfortranarray(np.zeros((3, 4), np.float32)),
        misaligned(),
        np.zeros((3, 4), np.float32).view(Subclass),
        np.ma.zeros((3, 4), np.float32),
        np.float32(1),
        [[0.0] * 4] * 3,
        None,
        1.5,
        "text",
        memoryview(np.zeros((3, 4), np.float32)),
    ],
)
def test_refuses(bind: Binder, value: object) -> None:
    first, second, third = good()
    assert bind((value, second, third)) == 1
    assert bind((first, value, third)) == 2
    assert bind((first, second, value)) == 3


def test_a_view_of_a_larger_array_is_taken(bind: Binder, words: np.ndarray) -> None:
    whole = np.zeros((9, 4), np.float32)
    assert bind((whole[3:6], *good()[1:])) == 0
    assert words[0] == whole.ctypes.data + 3 * 4 * 4


@pytest.mark.parametrize("args", [(), good()[:2], (*good(), np.zeros(1)), list(good()), None, np.zeros(3), {}])
def test_other_numbers_of_arguments(bind: Binder, args: object) -> None:
    assert bind(args) == 4


def test_no_arguments(way: str, words: np.ndarray) -> None:
    bind = argument_binder([], words)
    assert bind(()) == 0
    assert bind((1,)) == 1


def test_many_arguments_of_many_ranks(way: str) -> None:
    words = np.zeros(40, np.int64)
    shapes = [(2,) * (index % 5) for index in range(40)]
    bind = argument_binder([ArgumentSpec(F32, shape, [39 - index]) for index, shape in enumerate(shapes)], words)
    arrays = tuple(np.zeros(shape, np.float32) for shape in shapes)
    assert bind(arrays) == 0
    assert words[::-1].tolist() == [array.ctypes.data for array in arrays]
    assert bind((*arrays[:37], np.zeros(3, np.float32), *arrays[38:])) == 38


def test_it_keeps_what_it_writes_to(way: str) -> None:
    words = np.zeros(4, np.int64)
    alive = weakref.ref(words)
    bind = argument_binder([ArgumentSpec(F32, (1,), [3])], words)
    del words
    gc.collect()
    kept = alive()
    assert kept is not None
    x = np.zeros(1, np.float32)
    assert bind((x,)) == 0
    assert kept[3] == x.ctypes.data
    del bind, kept
    gc.collect()
    assert alive() is None


def test_it_leaks_no_references(bind: Binder) -> None:
    import sys

    args = good()
    before = [sys.getrefcount(value) for value in (*args, args)]
    for _ in range(1000):
        bind(args)
        bind((1, 2, 3))
    assert [sys.getrefcount(value) for value in (*args, args)] == before


@pytest.mark.parametrize("relocation", [-1, 4, 1000])
def test_relocations_outside_the_words(way: str, relocation: int) -> None:
    with pytest.raises(ValueError, match=f"relocation to word {relocation}; expected an index of the 4 words"):
        argument_binder([ArgumentSpec(F32, (1,), [relocation])], np.zeros(4, np.int64))


@pytest.mark.parametrize("words", [np.zeros(4), np.zeros((2, 2), np.int64), np.zeros(8, np.int64)[::2]])
def test_words_that_are_none(way: str, words: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a contiguous vector of int64"):
        argument_binder([], words)
