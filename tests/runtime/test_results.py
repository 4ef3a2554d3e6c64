"""Memory of results: used again once nobody can see it, and never before."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.runtime import results
from graphc.runtime.results import ResultMemory

LARGE = 1 << 16
FLOAT32 = np.dtype(np.float32)


def following() -> gr.Function:
    x = gr.placeholder(("n",))
    return gr.compile([x], x + 1.0)


def torch_tensor(result: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(result)


def torch_tensor_by_dlpack(result: np.ndarray) -> Any:
    import torch

    return torch.from_dlpack(result)


def first_by_address(held: Any) -> np.ndarray:
    return np.ctypeslib.as_array(held.data_as(ctypes.POINTER(ctypes.c_float)), (9,))


@pytest.mark.parametrize(
    ("hold", "see"),
    [
        (lambda result: result, np.asarray),
        (lambda result: result[10:20:2], np.asarray),
        (lambda result: result.reshape(2, -1).T[::3], np.asarray),
        (lambda result: result.view(np.int32)[1:], lambda held: held.view(np.float32)),
        (memoryview, np.asarray),
        (lambda result: result.flat, lambda held: held[5:9]),
        (iter, lambda held: np.array([next(held), next(held)])),
        (lambda result: result.ctypes, first_by_address),
        (np.ctypeslib.as_ctypes, np.ctypeslib.as_array),
        (lambda result: result.__dlpack__(), lambda held: np.from_dlpack(_Capsule(held))),
        (torch_tensor, np.asarray),
        (torch_tensor_by_dlpack, np.asarray),
        (lambda result: result.base, lambda held: held[-held.ctypes.data % 64 :][: 4 * LARGE].view(np.float32)),
        (lambda result: weakref.ref(result.base), lambda held: np.ones(1) if held() is None else held()),
    ],
)
def test_what_somebody_sees_is_not_overwritten(hold: Callable[[Any], Any], see: Callable[[Any], Any]) -> None:
    function = following()
    zeros = np.zeros(LARGE, np.float32)
    held = hold(function(zeros))
    for value in range(1, 5):
        function(zeros + value)
    if isinstance(held, weakref.ref):
        block = held()
        fresh = function(zeros)
        assert block is None or not np.shares_memory(block, fresh)
        return
    np.testing.assert_array_equal(see(held), 1)


class _Capsule:
    """A capsule of DLPack as an object that hands it out."""

    def __init__(self, capsule: object) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: object) -> object:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def test_memory_is_used_again() -> None:
    function = following()
    zeros = np.zeros(LARGE, np.float32)
    assert len({function(zeros).ctypes.data for _ in range(8)}) == 1
    places = set()
    for _ in range(8):
        kept = function(zeros)
        places.add(kept.ctypes.data)
    assert len(places) == 2


def test_results_are_ordinary_arrays() -> None:
    for size in (3, LARGE):
        result = following()(np.zeros(size, np.float32))
        assert type(result) is np.ndarray
        assert result.flags.c_contiguous
        assert result.flags.writeable
        result += 1
        np.testing.assert_array_equal(result, 2)


def test_a_result_as_the_next_argument() -> None:
    function = following()
    value = np.zeros(LARGE, np.float32)
    for _ in range(20):
        value = function(value)
    np.testing.assert_array_equal(value, 20)


def test_results_of_one_call_are_apart() -> None:
    x = gr.placeholder(("n",))
    function = gr.compile([x], [x + 1.0, x + 2.0, x + 3.0])
    for _ in range(3):
        arrays = function(np.zeros(LARGE, np.float32))
        for place, array in enumerate(arrays):
            np.testing.assert_array_equal(array, place + 1)


def test_threads_that_keep_some_of_their_results() -> None:
    function = following()
    wrong: list[float] = []

    def work(thread: int) -> None:
        rng = np.random.default_rng(thread)
        kept: list[tuple[float, np.ndarray]] = []
        for turn in range(60):
            value = float(1000 * thread + turn)
            kept.append((value + 1, function(np.full(LARGE, value, np.float32))))
            if len(kept) > 3:
                kept.pop(int(rng.integers(4)))
            wrong.extend(wanted for wanted, array in kept if not (array == wanted).all())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_MOST_BYTES", 3 << 20)
    memory = ResultMemory()
    block = memory.maker((1 << 18,), FLOAT32)()
    ended = weakref.ref(block.base)
    block = None
    for size in range(1, 4):
        memory.maker(((1 << 18) - size,), FLOAT32)()
    assert ended() is None


def test_without_counts_of_references_every_result_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_counts", False)
    assert ResultMemory().maker((LARGE,), FLOAT32)().base is None
