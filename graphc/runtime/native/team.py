"""The team: threads that help with the tasks of a step, made and woken by native code alone.

Every thread has a range of a step's tasks of its own, and takes them from its lower end one by one; who has none left
takes one from the upper end of another's. So a thread does the same part of one step after the other, whose data its
own cache holds; and on a busy machine no step waits for a thread to begin: the caller does all of the tasks if nobody
comes, and at most it waits for one that was interrupted within a task. A worker without work looks for some a while,
then sleeps on a semaphore.

The team is one table of words in memory. A range is one word: the step's number (so that what was seen in one step
cannot be taken in the next), the end and the begin of the tasks that are left.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import textwrap
import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native import threads

__all__ = ["SHARE_SOURCE", "TEAM_WORDS", "WORKER", "Team", "team"]

# Words of the table; those that threads write on their own lie in cache lines of their own.
_DONE, _SLEEPING, _OWNER = 8, 16, 24
_KERNEL, _TABLE, _EXTENT, _CHUNK = range(32, 36)
_STEP, _WORKERS, _STOP, _POST, _WAIT, _SEMAPHORE = range(40, 46)
_RANGES = 64
"""Here begin the threads' own lines, the callers' first: the range, the address of the table, the thread's number."""
_LINE = 8
_RANGE, _TEAM, _NUMBER = range(3)
MOST_WORKERS = 255
TEAM_WORDS = _RANGES + _LINE * (MOST_WORKERS + 1)

_TASK_BITS = 20
MOST_TASKS = (1 << _TASK_BITS) - 1
"""A range has room for so many tasks."""

_LOOKS = 3000
"""How often a worker looks for work before it sleeps: about 50 us."""

_LOOKS_AROUND = 32
"""Every so many looks at its own range, a worker looks at those of the others."""

# Does tasks until no thread has one left. The claimed task is not done yet, so the step's words stay as they are until
# it is.
_TAKE = f"""
at, empty = number, 0
while empty < parts:
    place = team + {8 * _RANGES} + {8 * _LINE} * at
    range_ = acquire(place)
    low, high = range_ & {MOST_TASKS}, (range_ >> {_TASK_BITS}) & {MOST_TASKS}
    if low >= high:
        at, empty = at + 1 if at + 1 < parts else 0, empty + 1
    elif exchange(place, range_, range_ + 1 if at == number else range_ - {1 << _TASK_BITS}):
        chunk = word(team, {_CHUNK})
        first = (low if at == number else high - 1) * chunk
        call_kernel(word(team, {_KERNEL}), word(team, {_TABLE}), first, min(word(team, {_EXTENT}), first + chunk))
        fetch_add(team + {8 * _DONE}, 1)
        empty = 0
"""

_WORKER_SOURCE = f"""
def work(own):
    team, number = word(own, {_TEAM}), word(own, {_NUMBER})
    looks = {_LOOKS_AROUND}
    while acquire(team + {8 * _STOP}) == 0:
        range_ = acquire(own)
        if (range_ & {MOST_TASKS}) < ((range_ >> {_TASK_BITS}) & {MOST_TASKS}):
            looks = 0
        if looks % {_LOOKS_AROUND} == 0:
            parts = word(team, {_WORKERS}) + 1
{textwrap.indent(_TAKE, 12 * " ")}
        looks += 1
        if looks < {_LOOKS}:
            relax()
        else:
            looks = 0
            fetch_add(team + {8 * _SLEEPING}, 1)
            # Work that came after the last look may have found nobody asleep: look once more.
            busy = False
            for at in range(word(team, {_WORKERS}) + 1):
                range_ = acquire(team + {8 * _RANGES} + {8 * _LINE} * at)
                busy = busy or (range_ & {MOST_TASKS}) < ((range_ >> {_TASK_BITS}) & {MOST_TASKS})
            awake = False
            while busy and not awake:
                sleeping = acquire(team + {8 * _SLEEPING})
                if sleeping == 0:
                    busy = False
                else:
                    awake = exchange(team + {8 * _SLEEPING}, sleeping, sleeping - 1)
            if not awake:
                call_with_pointer(word(team, {_WAIT}), word(team, {_SEMAPHORE}))
    return 0
"""

WORKER = KernelRequest(_WORKER_SOURCE, "work", "int64(int64)")
"""What a worker does from its start to its end."""

SHARE_SOURCE = f"""
def share(team, kernel, table, extent, chunk):
    tasks = (extent + chunk - 1) // chunk
    parts = word(team, {_WORKERS}) + 1
    if parts == 1 or tasks > {MOST_TASKS} or not exchange(team + {8 * _OWNER}, 0, 1):
        # No team, or another run has it.
        for task in range(tasks):
            call_kernel(kernel, table, task * chunk, min(extent, (task + 1) * chunk))
        return 0
    set_word(team, {_KERNEL}, kernel)
    set_word(team, {_TABLE}, table)
    set_word(team, {_EXTENT}, extent)
    set_word(team, {_CHUNK}, chunk)
    set_word(team, {_DONE}, 0)
    step = word(team, {_STEP}) + 1
    set_word(team, {_STEP}, step)
    begin = 0
    for part in range(parts):
        end = (tasks * (part + 1) + parts - 1) // parts
        place = team + {8 * _RANGES} + {8 * _LINE} * part
        exchange(place, acquire(place), (step << {2 * _TASK_BITS}) | (end << {_TASK_BITS}) | begin)
        begin = end
    wanted = min(tasks, parts) - 1
    while wanted > 0:
        sleeping = acquire(team + {8 * _SLEEPING})
        if sleeping == 0:
            wanted = 0
        elif exchange(team + {8 * _SLEEPING}, sleeping, sleeping - 1):
            call_with_pointer(word(team, {_POST}), word(team, {_SEMAPHORE}))
            wanted -= 1
    number = 0
{textwrap.indent(_TAKE, 4 * " ")}
    while acquire(team + {8 * _DONE}) < tasks:
        relax()
    exchange(team + {8 * _OWNER}, 1, 0)
    return 0
"""


@dataclass
class Team:
    """The workers of this process.

    Attributes:
        words: the table that native code shares; its memory stays where it is as long as the process lives.
    """

    words: NDArray[np.int64]
    _semaphore: ctypes.Array[ctypes.c_char]
    _workers: list[ctypes.c_ulong] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def workers(self) -> int:
        """How many threads there are beside the callers'."""
        return len(self._workers)

    def resize(self, workers: int) -> None:
        """Have so many workers; waits for a step under way. Fewer start where the system gives no more threads."""
        workers = min(workers, MOST_WORKERS)
        with self._lock:
            if workers == len(self._workers) or not self.words[_SEMAPHORE]:
                return
            self._stop()
            library = ctypes.CDLL(None)
            [work] = load([WORKER])
            for number in range(1, workers + 1):
                handle = ctypes.c_ulong()
                own = self.words[_RANGES + _LINE * number :]
                own[_TEAM], own[_NUMBER] = self.words.ctypes.data, number
                if library.pthread_create(
                    ctypes.byref(handle), None, ctypes.c_void_p(work), ctypes.c_void_p(own.ctypes.data)
                ):
                    break
                self._workers.append(handle)
            self.words[_WORKERS] = len(self._workers)

    def stop(self) -> None:
        """End the workers; runs go on without them."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        """A worker ends after the task that it has claimed, so steps under way come to their end."""
        library = ctypes.CDLL(None)
        self.words[_WORKERS] = 0
        self.words[_STOP] = 1
        for _ in self._workers:
            library.sem_post(self._semaphore)
        for handle in self._workers:
            library.pthread_join(handle, None)
        self._workers.clear()
        self.words[_STOP] = self.words[_SLEEPING] = 0
        library.sem_init(self._semaphore, 0, 0)

    def forget(self) -> None:
        """In a forked child, which has none of its parent's threads: as if none had ever been."""
        self._workers.clear()
        self._lock = threading.Lock()
        self.words[[_DONE, _SLEEPING, _OWNER, _WORKERS, _STOP]] = 0
        self.words[_RANGES + _RANGE :: _LINE] = 0
        ctypes.CDLL(None).sem_init(self._semaphore, 0, 0)


@functools.cache
def team() -> Team:
    """The team of this process, at first without workers."""
    library = ctypes.CDLL(None)
    memory = np.zeros(TEAM_WORDS + 8, np.int64)
    words = memory[-memory.ctypes.data % 64 // 8 :][:TEAM_WORDS]
    semaphore = ctypes.create_string_buffer(64)
    made = Team(words, semaphore)
    if library.sem_init(semaphore, 0, 0) == 0:
        words[_POST] = ctypes.cast(library.sem_post, ctypes.c_void_p).value or 0
        words[_WAIT] = ctypes.cast(library.sem_wait, ctypes.c_void_p).value or 0
        words[_SEMAPHORE] = ctypes.addressof(semaphore)
    threads.observers.append(lambda count: made.resize(count - 1))
    atexit.register(made.stop)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made.forget)
    return made
