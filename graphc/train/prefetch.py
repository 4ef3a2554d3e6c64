"""Batches that a thread prepares while steps are made."""

from __future__ import annotations

import copy
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from graphc.errors import GraphError
from graphc.train.batches import Batch, as_batch
from graphc.train.parts import Stateful

__all__ = ["Prefetch", "prefetch"]


def prefetch(batches: Iterable[Any], transform: Callable[..., Any] | None = None, depth: int = 2) -> Prefetch:
    """Batches that a thread of their own reads ahead, for what waits or works outside of Python's lock.

    Such as files that are read or mapped, decompression, and NumPy's work on large arrays. For instance::

        images = np.load("images.npy", mmap_mode="r")
        batches = gr.train.Batches(images, labels, batch_size=64)
        gr.train.fit(step, gr.train.prefetch(batches, lambda x, t: (x / np.float32(255), t)), epochs=5)

    Each iteration has a thread, which ends with it, also where the iteration is left early. What goes wrong in it is
    raised where the batch is asked for, with its traceback. Where the batches have a state, the result has: that of the
    batch that was given last, whatever was read ahead, so that a run is resumed as without prefetching.

    Args:
        batches: an iterable of batches, such as :class:`Batches`. The arrays of a batch are copied.
        transform: from the arrays of a batch to the arguments of a step, called in the thread.
        depth: how many batches wait at most.

    Raises:
        GraphError: the batches are arrays, are not iterable, or ``depth`` is below 1.
    """
    if isinstance(batches, tuple | np.ndarray) or not isinstance(batches, Iterable):
        raise GraphError(
            f"what is to be read ahead is a {type(batches).__name__}",
            expected="an iterable of batches",
            remedy="for arrays pass gr.train.Batches(images, labels, batch_size=64)",
        )
    if depth < 1:
        raise GraphError(f"depth={depth}", expected="at least 1")
    kind = _StatefulPrefetch if isinstance(batches, Stateful) else Prefetch
    return kind(batches, transform, depth)


class _Ahead(NamedTuple):
    """What the thread hands over: a batch, or the end, and the state of the batches then; or what went wrong."""

    batch: Batch | None = None
    state: Mapping[str, Any] | None = None
    error: BaseException | None = None


class Prefetch:
    """What :func:`prefetch` returns: an iterable of batches."""

    def __init__(self, batches: Any, transform: Callable[..., Any] | None, depth: int) -> None:
        self.batches = batches
        self.transform = transform
        self.depth = depth
        self._state: Mapping[str, Any] | None = None

    @property
    def examples(self) -> int | None:
        """How many examples one iteration gives, where the batches know it."""
        return getattr(self.batches, "examples", None)

    def __iter__(self) -> Iterator[Batch]:
        ahead: queue.Queue[_Ahead] = queue.Queue(self.depth)
        stop = threading.Event()
        thread = threading.Thread(target=self._work, args=(ahead, stop), name="graphc-prefetch", daemon=True)
        thread.start()
        try:
            while True:
                batch, self._state, error = ahead.get()
                if error is not None:
                    raise error
                if batch is None:
                    return
                yield batch
        finally:
            stop.set()
            while not ahead.empty():  # let the thread see that it is to stop
                ahead.get()
            if not isinstance(sys.exception(), KeyboardInterrupt):  # a source that hangs must not hold up Ctrl-C
                thread.join()

    def _work(self, ahead: queue.Queue[_Ahead], stop: threading.Event) -> None:
        try:
            for item in self.batches:
                if stop.is_set():
                    return
                ahead.put(_Ahead(self._prepared(item), self._state_now()))
                if stop.is_set():
                    return
            ahead.put(_Ahead(state=self._state_now()))
        except BaseException as error:
            ahead.put(_Ahead(error=error))

    def _prepared(self, item: Any) -> Batch:
        batch = tuple(np.array(part) if isinstance(part, np.ndarray) else part for part in as_batch(item))
        return batch if self.transform is None else as_batch(self.transform(*batch))

    def _state_now(self) -> Mapping[str, Any] | None:
        return None


class _StatefulPrefetch(Prefetch):
    """Of batches that have a state."""

    def _state_now(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = copy.deepcopy(self.batches.state_dict())
        return state

    def state_dict(self) -> Mapping[str, Any]:
        """The state of the batches after the one that was given last."""
        return self._state_now() if self._state is None else self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where :meth:`state_dict` was called."""
        self.batches.load_state_dict(state)
        self._state = None
