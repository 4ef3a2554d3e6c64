from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native import loop, pyfunction, threads
from graphc.runtime.native.loop import program_runner

SCALE = """
def kernel(args, lo, hi):
    x = integer(args, 0)
    y = integer(args, 1)
    for i in range(lo, hi):
        store_f32_1(y, i, load_f32_0(x, i) * f32(1.5) + f32(2))
"""
# Part k of the sum, over the items of one task: the order of summation depends on the chunk alone.
PARTIAL_SUMS = """
def kernel(args, lo, hi):
    x = integer(args, 0)
    parts = integer(args, 1)
    chunk = integer(args, 2)
    total = f32(0)
    for i in range(lo, hi):
        total += exp(load_f32_0(x, i))
    store_f32_1(parts, lo // chunk, total)
"""
TOTAL = """
def kernel(args, lo, hi):
    parts = integer(args, 0)
    total = f32(0)
    for i in range(lo, hi):
        total += load_f32_0(parts, i)
    store_f32_1(integer(args, 1), 0, total)
"""
# Appends [lo, hi, thread] to a log.
LOG = """
def kernel(args, lo, hi):
    log = integer(args, 0)
    place = word(log, 0)
    while not exchange(log, place, place + 1):
        place = word(log, 0)
    set_word(log, 1 + 2 * place, lo)
    set_word(log, 2 + 2 * place, hi)
"""
FAULT = """
def kernel(args, lo, hi):
    for i in range(lo, hi):
        if i % 10 == 9:
            report_fault(integer(args, 0), 1, 100 + i, i)
"""
SLEEP = """
def kernel(args, lo, hi):
    x = load_f64_0(integer(args, 0), 0)
    for i in range(hi):
        x = sin(x) + f64(1)
    store_f64_0(integer(args, 0), 0, x)
"""


def address(source: str) -> int:
    return load([KernelRequest(source, "kernel")])[0]


def table(*words: int | np.ndarray) -> np.ndarray:
    return np.array([word.ctypes.data if isinstance(word, np.ndarray) else word for word in words], np.int64)


def program(*steps: tuple[int, np.ndarray, int, int]) -> np.ndarray:
    rows = [(kernel, words.ctypes.data, extent, chunk) for kernel, words, extent, chunk in steps]
    return np.array(rows, np.int64).reshape(-1, loop.STEP_WORDS)


def status() -> np.ndarray:
    return np.zeros(loop.STATUS_WORDS, np.int64)


@pytest.fixture(autouse=True)
def _threads_restored() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@pytest.fixture(params=["native", "ctypes"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "ctypes":
        monkeypatch.setattr(pyfunction, "supported", lambda: False)


@pytest.mark.usefixtures("_way")
def test_an_empty_program() -> None:
    assert program_runner(program(), status())() == -1


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("size", "chunk"), [(1000, 1000), (1000, 5000), (1000, 1), (1000, 7), (1000, 999), (1, 1), (0, 4)]
)
def test_every_item_is_done(count: int, size: int, chunk: int) -> None:
    threads.set_num_threads(count)
    x, y = np.random.default_rng(0).random(size, np.float32), np.zeros(size + 1, np.float32)
    words = table(x, y)
    assert program_runner(program((address(SCALE), words, size, chunk)), status())() == -1
    np.testing.assert_allclose(y[:size], x * 1.5 + 2, rtol=1e-6)
    assert y[size] == 0


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize(("extent", "chunk"), [(10, 3), (8, 2), (3, 2), (100, 9)])
def test_tasks_are_the_same_for_every_number_of_threads(count: int, extent: int, chunk: int) -> None:
    threads.set_num_threads(count)
    log = np.zeros(101, np.int64)
    words = table(log)
    assert program_runner(program((address(LOG), words, extent, chunk)), status())() == -1
    expected = [(lo, min(extent, lo + chunk)) for lo in range(0, extent, chunk)]
    assert sorted(map(tuple, log[1 : 1 + 2 * log[0]].reshape(-1, 2).tolist())) == expected


def test_an_extent_of_one_task_is_one_call() -> None:
    log = np.zeros(9, np.int64)
    words = table(log)
    kernel = address(LOG)
    program_runner(program((kernel, words, 5, 5), (kernel, words, 5, 8), (kernel, words, 0, 1)), status())()
    assert log.tolist() == [3, 0, 5, 0, 5, 0, 0, 0, 0]


def test_results_have_the_same_bits_for_every_number_of_threads() -> None:
    size, chunk = 100_003, 1024
    x = np.random.default_rng(1).normal(size=size).astype(np.float32)
    parts, total = np.zeros(-(-size // chunk), np.float32), np.zeros(1, np.float32)
    first, second = table(x, parts, chunk), table(parts, total)
    runner = program_runner(
        program((address(PARTIAL_SUMS), first, size, chunk), (address(TOTAL), second, parts.size, parts.size)), status()
    )
    seen = set()
    for count in (1, 2, 3, 2, 1, 7):
        threads.set_num_threads(count)
        for _ in range(5):
            parts[:] = total[:] = -1
            assert runner() == -1
            seen.add((parts.tobytes(), total.tobytes()))
    assert len(seen) == 1
    np.testing.assert_allclose(total[0], np.exp(x.astype(np.float64)).sum(), rtol=1e-5)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("chunk", [4, 100])
def test_the_first_fault_ends_the_run(count: int, chunk: int) -> None:
    threads.set_num_threads(count)
    found, log = status(), np.zeros(9, np.int64)
    logging, failing = table(log), table(found)
    steps = program((address(LOG), logging, 1, 1), (address(FAULT), failing, 40, chunk), (address(LOG), logging, 2, 2))
    runner = program_runner(steps, found)
    assert runner() == 1
    code, value, position = found
    assert code == 1
    assert value == 100 + position
    assert position in ({9} if count == 1 else {9, 19, 29, 39})
    assert log[0] == 1
    found[:] = 0
    steps[1, 2] = 9
    assert runner() == -1
    assert log[0] == 3


def test_programs_are_used_in_place() -> None:
    x, y = np.ones(10, np.float32), np.zeros(10, np.float32)
    words = table(x, y)
    steps = program((address(SCALE), words, 3, 3))
    runner = program_runner(steps, status())
    runner()
    assert y.tolist() == [3.5] * 3 + [0] * 7
    steps[0, 2:] = 5
    x[:] = 2
    runner()
    assert y.tolist() == [5.0] * 5 + [0] * 5


def test_a_runner_keeps_its_program_alive() -> None:
    x, y = np.ones(4, np.float32), np.zeros(4, np.float32)
    words = table(x, y)
    runner = program_runner(program((address(SCALE), words, 4, 2)), status())
    gc.collect()
    filler = [np.full((1, 4), -1, np.int64) for _ in range(100)]
    assert runner() == -1
    assert y.tolist() == [3.5] * 4
    del filler


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (np.zeros((2, 3), np.int64), status()),
        (np.zeros(4, np.int64), status()),
        (np.zeros((2, 4)), status()),
        (np.zeros((2, 8), np.int64)[:, ::2], status()),
        (np.zeros((2, 4), np.int64), np.zeros(2, np.int64)),
        (np.zeros((2, 4), np.int64), np.zeros(3)),
    ],
)
def test_arrays_that_are_no_program(steps: np.ndarray, words: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        program_runner(steps, words)


def test_the_gil_is_free_during_a_run() -> None:
    x = np.zeros(1)
    words = table(x)
    runner = program_runner(program((address(SLEEP), words, 20_000_000, 20_000_000)), status())
    worker = threading.Thread(target=runner)
    start = time.perf_counter()
    worker.start()
    started = time.perf_counter() - start
    worker.join()
    assert started < 0.5 * (time.perf_counter() - start)


def test_threads_run_at_once() -> None:
    threads.set_num_threads(2)
    rng, kernel = np.random.default_rng(2), address(SCALE)
    failures = []

    def work(size: int) -> None:
        x, y = rng.random(size, np.float32), np.zeros(size, np.float32)
        words = table(x, y)
        runner = program_runner(program(*[(kernel, words, size, 100)] * 5), status())
        for _ in range(50):
            y[:] = 0
            if runner() != -1 or not np.allclose(y, x * 1.5 + 2):
                failures.append(size)

    workers = [threading.Thread(target=work, args=(1000 + 10 * number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_a_forked_child_runs_without_its_parents_team() -> None:
    search = os.pathsep.join(path for path in sys.path if path)
    child = """
import os, sys
import numpy as np
from graphc.runtime.native import threads
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native.loop import program_runner
source = '''
def kernel(args, lo, hi):
    for i in range(lo, hi):
        store_i64_0(integer(args, 0), i, load_i64_0(integer(args, 0), i) + 1)
'''
[address] = load([KernelRequest(source, "kernel")])
x = np.zeros(1000, np.int64)
table = np.array([x.ctypes.data])
run = program_runner(np.array([[address, table.ctypes.data, 1000, 10]]), np.zeros(3, np.int64))
threads.set_num_threads(2)
run()
child = os.fork()
if child == 0:
    run(); run()
    os._exit(0 if (x == 3).all() else 1)
_, status = os.waitpid(child, 0)
run()
assert (x == 2).all()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    subprocess.run([sys.executable, "-c", child], env={**os.environ, "PYTHONPATH": search}, check=True, timeout=120)
