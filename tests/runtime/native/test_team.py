"""The team: every task is done exactly once, by whoever comes first, whatever else the machine or the process does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native.loop import program_runner
from graphc.runtime.native.team import team
from graphc.runtime.native.threads import get_num_threads, set_num_threads

COUNT = """
def kernel(args, lo, hi):
    counts = integer(args, 0)
    for i in range(lo, hi):
        store_i64_0(counts, i, load_i64_0(counts, i) + 1)
"""


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = get_num_threads()
    yield
    set_num_threads(before)


class Counting:
    """A program of steps that each add one to every item."""

    def __init__(self, items: int, chunk: int, steps: int) -> None:
        [address] = load([KernelRequest(COUNT, "kernel")])
        self.counts = np.zeros(items, np.int64)
        self._table = np.array([self.counts.ctypes.data], np.int64)
        program = np.array([[address, self._table.ctypes.data, items, chunk]] * steps, np.int64)
        self.run = program_runner(program, np.zeros(3, np.int64))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("items", "chunk"), [(1, 1), (10, 3), (1000, 1), (1000, 999), (4096, 64)])
def test_every_item_once_a_step(threads: int, items: int, chunk: int) -> None:
    set_num_threads(threads)
    work = Counting(items, chunk, 20)
    for _ in range(50):
        assert work.run() == -1
    assert (work.counts == 1000).all()


def test_workers_that_fell_asleep_are_woken() -> None:
    set_num_threads(3)
    work = Counting(100_000, 1000, 1)
    for pause in (0.0, 0.0001, 0.01, 0.05) * 5:
        work.run()
        time.sleep(pause)
    assert (work.counts == 20).all()


def test_runs_of_several_threads_at_once() -> None:
    set_num_threads(2)
    works = [Counting(5000, 50, 10) for _ in range(4)]
    callers = [threading.Thread(target=lambda w=work: [w.run() for _ in range(100)]) for work in works]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((work.counts == 1000).all() for work in works)


def test_the_team_changes_size_while_it_works() -> None:
    work = Counting(20_000, 100, 5)
    stop = threading.Event()
    runs = 0

    def call() -> None:
        nonlocal runs
        while not stop.is_set():
            work.run()
            runs += 1

    caller = threading.Thread(target=call)
    caller.start()
    for threads in (1, 4, 2, 8, 1, 3) * 5:
        set_num_threads(threads)
        assert team().workers == threads - 1
        time.sleep(0.002)
    stop.set()
    caller.join()
    assert (work.counts == 5 * runs).all()


def test_the_number_of_workers_follows_the_number_of_threads() -> None:
    for threads in (1, 4, 2):
        set_num_threads(threads)
        assert team().workers == threads - 1


def python(code: str) -> None:
    search = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": search}, check=True, timeout=120)


def test_processes_end_while_workers_look_for_work() -> None:
    python(
        "from graphc.runtime.native.threads import set_num_threads\n"
        "from tests.runtime.native.test_team import Counting\n"
        "set_num_threads(4); work = Counting(1000, 10, 3); work.run()"
    )


def test_a_forked_child_starts_anew() -> None:
    python(
        """
import os, sys
from graphc.runtime.native.team import team
from graphc.runtime.native.threads import set_num_threads
from tests.runtime.native.test_team import Counting
set_num_threads(3)
work = Counting(1000, 10, 1)
work.run()
if (child := os.fork()) == 0:
    work.run()
    assert team().workers == 0
    set_num_threads(2)
    work.run()
    os._exit(0 if team().workers == 1 and (work.counts == 3).all() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
work.run()
assert (work.counts == 2).all()
"""
    )
