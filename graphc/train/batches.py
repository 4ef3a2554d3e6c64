"""Mini-batches: from arrays in a random order, or as another source gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import GraphError, ShapeError
from graphc.ir.op import Array

__all__ = ["Batch", "Batches", "Data"]

Batch: TypeAlias = tuple[Any, ...]
"""The arguments of one call."""

Data: TypeAlias = Any
"""An array, a tuple of arrays whose first axes are one, or another iterable: of batches."""


class Batches:
    """Mini-batches of arrays, for every iteration in a new order.

    Iterating gives tuples of arrays with ``batch_size`` examples. They are views of buffers that the next batch
    overwrites: nothing is copied but the batch itself. Without shuffling they are views of the arrays.

    Its state is the order of the iteration that was begun last, and how many batches that gave: where it is loaded, the
    next iteration goes on there.

    Args:
        arrays: arrays with one length of the first axis.
        batch_size: examples in a batch.
        shuffle: whether the order is random.
        seed: of the generator of the orders.
        drop_last: whether examples that do not fill the last batch are left out.

    Attributes:
        given: how many batches the iteration gave that was begun last.

    Raises:
        ShapeError: an array is 0-d, the lengths differ, or there is not one batch.
    """

    def __init__(
        self, *arrays: Any, batch_size: int = 32, shuffle: bool = True, seed: int = 0, drop_last: bool = False
    ) -> None:
        self.arrays: tuple[Array, ...] = tuple(np.asarray(array) for array in arrays)
        shapes = [array.shape for array in self.arrays]
        if not shapes or not all(shapes) or len({shape[0] for shape in shapes}) != 1:
            raise ShapeError(
                f"arrays of shapes {', '.join(map(str, shapes)) or '(none)'} were given as data",
                expected="at least one array, and one length of their first axes",
                remedy="put examples along the first axis; pass batches made elsewhere as a list or a generator",
            )
        if batch_size < 1:
            raise ShapeError(f"batch_size={batch_size}", expected="at least 1")
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        if not len(self):
            raise ShapeError(
                f"{len(self.arrays[0])} examples make no batch of {batch_size}",
                expected="enough examples for one batch",
                remedy="add data, or use a smaller batch_size" + (", or drop_last=False" if drop_last else ""),
            )
        self._rng = np.random.default_rng(seed)
        self._state = self._rng.bit_generator.state
        self.given = 0
        self._skipped = 0

    @property
    def examples(self) -> int:
        """How many examples one iteration gives."""
        length = len(self.arrays[0])
        return length - length % self.batch_size if self.drop_last else length

    def __len__(self) -> int:
        """How many batches one iteration gives."""
        return -(-self.examples // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order, given = self.begin()
        for batch in self._batches(order, given):
            self.given += 1
            yield batch
        self.end()

    def begin(self) -> tuple[Array | None, int]:
        """Begin an iteration, for who makes the batches and counts them in ``given``.

        Returns:
            The order of the examples, None for that of the arrays, and how many batches were given before.
        """
        self._state = self._rng.bit_generator.state
        self.given, self._skipped = self._skipped, 0
        return self._rng.permutation(len(self.arrays[0])) if self.shuffle else None, self.given

    def end(self) -> None:
        """End the iteration: all batches were given, and more were asked for."""
        self._state = self._rng.bit_generator.state
        self.given = 0

    def _batches(self, order: Array | None, first: int) -> Iterator[Batch]:
        """The batches of one iteration, without those before ``first``."""
        starts = range(0, self.examples, self.batch_size)[first:]
        spans = [slice(start, min(start + self.batch_size, self.examples)) for start in starts]
        if order is None:
            yield from (tuple(array[span] for array in self.arrays) for span in spans)
            return
        buffers = [np.empty((self.batch_size, *array.shape[1:]), array.dtype) for array in self.arrays]
        for span in spans:
            chosen = order[span]
            outs = [buffer[: len(chosen)] for buffer in buffers]
            for array, out in zip(self.arrays, outs, strict=True):
                array.take(chosen, 0, out, "clip")  # other modes go through one more buffer
            yield tuple(outs)

    def _settings(self) -> dict[str, Any]:
        return {
            "examples": len(self.arrays[0]),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is, as JSON has it."""
        return self._settings() | {"order": self._state, "given": self.given}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where :meth:`state_dict` was called: after the last batch that was given.

        Raises:
            GraphError: the state is that of other batches.
        """
        for name, own in self._settings().items():
            if state[name] != own:
                raise GraphError(
                    f"the state of batches with {name}={state[name]} is loaded into batches with {name}={own}",
                    expected="the same number of examples and the same options",
                    remedy="use those, or load the model and optimizer alone and begin a new run",
                )
        self._rng.bit_generator.state = self._state = state["order"]
        self.given = self._skipped = state["given"]


def as_batches(data: Data, epochs: int, batch_size: int, shuffle: bool, seed: int, drop_last: bool) -> Iterable[Any]:
    """What to iterate over, once for every epoch.

    Raises:
        ShapeError: arrays do not make batches.
        GraphError: the data is not iterable, or is an iterator that ends with its first epoch.
    """
    if isinstance(data, tuple | np.ndarray):
        arrays = data if isinstance(data, tuple) else (data,)
        return Batches(*arrays, batch_size=batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)
    if not isinstance(data, Iterable):
        raise GraphError(
            f"the data is a {type(data).__name__}",
            expected="an array, a tuple of arrays, or an iterable of batches",
        )
    if epochs > 1 and isinstance(data, Iterator):
        raise GraphError(
            f"the data is an iterator ({type(data).__name__}), which ends with its first epoch; there are {epochs}",
            expected="what can be iterated again: arrays, a list, an object with __iter__",
            remedy="pass gr.train.Stream(function), where the function makes the iterator, or train for one epoch",
        )
    return data


def as_batch(item: Any) -> Batch:
    """The arguments that an item of an iterable stands for: those in a tuple or list, or itself alone."""
    return tuple(item) if isinstance(item, tuple | list) else (item,)


def examples_in(batch: Batch) -> int:
    """The length of the first axis of the first argument; 1 where that has no axes."""
    shape = np.shape(batch[0]) if batch else ()
    return int(shape[0]) if shape else 1
