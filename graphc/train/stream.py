"""Batches from a function that makes an iterator: what is generated, or read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from graphc.errors import GraphError, ShapeError
from graphc.train.batches import as_batch

__all__ = ["Stream"]


class Stream:
    """Data that a function begins anew for every epoch, such as a generator function.

    For instance::

        def lines():
            for line in open("data.csv"):
                *features, label = line.split(",")
                yield np.array(features, np.float32), np.int64(label)

        gr.train.fit(step, gr.train.Stream(lines, batch_size=64), epochs=5)

    A resumed run skips the batches of the epoch that it has had, so the function must give the same ones again.

    Args:
        make: returns an iterable: of batches, or of examples where there is a ``batch_size``.
        batch_size: how many examples, each an array or number or a tuple or list of such, are stacked to a batch; the
            last one may be smaller.
        examples: how many examples an epoch has, where that is known: for the progress bar.

    Raises:
        GraphError: ``make`` cannot be called, or ``batch_size`` is below 1.
    """

    def __init__(
        self, make: Callable[[], Iterable[Any]], batch_size: int | None = None, examples: int | None = None
    ) -> None:
        if not callable(make):
            raise GraphError(
                f"a stream is made of a {type(make).__name__}",
                expected="a function that returns an iterable",
                remedy="pass the generator function itself: Stream(lines), not Stream(lines())",
            )
        if batch_size is not None and batch_size < 1:
            raise GraphError(f"batch_size={batch_size}", expected="at least 1, or None")
        self.make = make
        self.batch_size = batch_size
        self.examples = examples

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch.

        Raises:
            ShapeError: the examples of a batch have different numbers of arrays, or shapes.
        """
        items = iter(self.make())
        if self.batch_size is None:
            yield from items
            return
        while chunk := [as_batch(item) for item in islice(items, self.batch_size)]:
            yield _stacked(chunk)


def _stacked(examples: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    try:
        return tuple(np.stack(parts) for parts in zip(*examples, strict=True))
    except ValueError as error:
        shapes = {", ".join(str(np.shape(part)) for part in example) for example in examples}
        raise ShapeError(
            f"examples of shapes {' and '.join(sorted(shapes))} in one batch",
            expected="examples of one shape",
            remedy="pad them, or let the stream give batches of its own",
        ) from error
