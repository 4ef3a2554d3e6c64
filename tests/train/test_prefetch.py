from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.train import Batches, Checkpoint, LambdaCallback, Prefetch, fit, prefetch

X = np.arange(20.0)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "graphc-prefetch"]


def as_lists(batches: Any) -> list[list[float]]:
    return [batch.tolist() for (batch,) in batches]


class Endless:
    """Batches without end; keeps count of those that were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            while True:
                self.asked += 1
                yield X + self.asked
        finally:
            self.closed = True


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_it_gives_the_same_batches_in_every_epoch(depth: int) -> None:
    plain, ahead = (Batches(X, batch_size=6, seed=3) for _ in range(2))
    batches = prefetch(ahead, depth=depth)
    for _ in range(3):
        kept = list(batches)  # the buffers of the source are not those that are given
        assert as_lists(kept) == as_lists([(batch.copy(),) for (batch,) in plain])
    assert not threads()


def test_transform_is_called_in_the_thread() -> None:
    names = []

    def halved(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        names.append(threading.current_thread().name)
        return x / 2, t

    batches = prefetch(Batches(X, X, batch_size=10, shuffle=False), halved)
    found = [(x[0], t[0]) for x, t in batches]
    assert found == [(0.0, 0.0), (5.0, 10.0)]
    assert names == ["graphc-prefetch"] * 2


def test_it_reads_no_further_than_its_depth() -> None:
    source = Endless()
    iterator = iter(prefetch(source, depth=3))
    next(iterator)
    (thread,) = threads()
    wait = threading.Event()
    while source.asked < 5:  # one given, three wait, one is in the thread's hand
        wait.wait(0.001)
    wait.wait(0.05)
    assert source.asked == 5
    iterator.close()  # type: ignore[attr-defined]
    assert not thread.is_alive()


def test_leaving_early_ends_the_thread_and_the_source() -> None:
    source = Endless()
    for (batch,) in prefetch(source):
        if batch[0] > 4:
            break
    assert not threads()
    assert source.closed


def failing() -> Iterator[np.ndarray]:
    yield X
    raise ZeroDivisionError("in the source")


def test_an_exception_of_the_source_comes_with_its_traceback() -> None:
    iterator = iter(prefetch(failing()))
    np.testing.assert_array_equal(next(iterator)[0], X)
    with pytest.raises(ZeroDivisionError, match="in the source") as caught:
        next(iterator)
    assert "failing" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not threads()
    with pytest.raises(StopIteration):
        next(iterator)


def test_an_exception_of_the_transform_is_raised_by_fit() -> None:
    def wrong(x: np.ndarray) -> np.ndarray:
        raise KeyError("no such file")

    with pytest.raises(KeyError, match="no such file") as caught:
        fit(lambda x: x.mean(), prefetch(Batches(X), wrong), progress=False)
    assert "wrong" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not threads()


def test_ctrl_c_between_steps_ends_run_and_thread() -> None:
    source = Endless()

    def step(x: np.ndarray) -> float:
        if x[0] == 3.0:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    history = fit(step, prefetch(source), progress=False)
    assert history.interrupted and history.steps == 3
    assert not threads() and source.closed


def test_ctrl_c_while_the_source_hangs() -> None:
    asked, release = threading.Event(), threading.Event()

    def hanging() -> Iterator[np.ndarray]:
        yield X
        asked.wait()
        release.wait(0.05)  # until the main thread waits for the batch, in all likelihood
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
        release.wait()
        yield X

    iterator = iter(prefetch(hanging()))

    def ask() -> None:
        asked.set()
        next(iterator)

    next(iterator)
    with pytest.raises(KeyboardInterrupt):
        ask()
    (thread,) = threads()
    release.set()
    thread.join()


def test_a_resumed_run_goes_on_behind_the_batch_that_was_given_last(tmp_path: Path) -> None:
    def run(folder: str, stops: int | None, resume: bool = False) -> list[list[float]]:
        seen: list[list[float]] = []

        def step(x: np.ndarray) -> float:
            seen.append(x.tolist())
            return float(x.mean())

        ending = LambdaCallback(on_batch_end=lambda step, metrics: step == stops)
        callbacks = [ending, Checkpoint(tmp_path / folder)]
        batches = prefetch(Batches(X, batch_size=3, seed=1), depth=4)
        fit(step, batches, epochs=3, callbacks=callbacks, progress=False, resume=resume)
        return seen

    whole = run("whole", None)
    assert len(whole) == 21
    for stops in (2, 7, 10):
        assert run(f"at {stops}", stops) + run(f"at {stops}", None, resume=True) == whole


def test_batches_without_a_state_have_none() -> None:
    batches = prefetch([X, X])
    assert not hasattr(batches, "state_dict")
    assert batches.examples is None
    assert prefetch(Batches(X, batch_size=6, drop_last=True)).examples == 18


def test_wrong_arguments() -> None:
    for data in (X, (X, X), 3):
        with pytest.raises(gr.GraphError, match="what is to be read ahead is a"):
            prefetch(data)  # type: ignore[arg-type]
    with pytest.raises(gr.GraphError, match="depth=0"):
        prefetch([X], depth=0)
    assert isinstance(prefetch([X]), Prefetch)
