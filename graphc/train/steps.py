"""The steps over batches: calls of a function one by one, or many in one native run where the batches are of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from graphc.function import Function
from graphc.train.batches import Batches, as_batch, examples_in
from graphc.train.metrics import Means
from graphc.train.parts import Stateful

if TYPE_CHECKING:
    from graphc.runtime.epochs import Epoch

__all__ = ["Made", "Steps"]


@dataclass(frozen=True, slots=True)
class Made:
    """Steps that were made since the caller's last turn.

    Attributes:
        result: what the call returned; of native steps, for each output the array of its values.
        examples: those of each step.
        count: how many steps there were.
        native: whether they were made in a native run.
    """

    result: Any
    examples: int
    count: int = 1
    native: bool = False

    def add_to(self, means: Means) -> None:
        """Count the results.

        Raises:
            GraphError: they are no scalars, or do not fit the names.
        """
        if self.native:
            means.add_stacked(self.result, self.examples)
        else:
            means.add(self.result, self.examples)


class Steps:
    """Makes the steps of a function over batches, again and again.

    Args:
        function: takes the arrays of a batch.
        batches: are iterated over.
    """

    def __init__(self, function: Callable[..., Any], batches: Iterable[Any]) -> None:
        self.function = function
        self.batches = batches
        self._epoch: Epoch | None = None

    def __call__(self, most: Callable[[], int | None] | None = None, done: int = 0) -> Iterator[Made]:
        """One iteration over the batches.

        Args:
            most: tells how many steps may be made before the caller has its turn, None for any number. Without it, the
                caller has its turn after every step.
            done: how many batches there were before, where the iteration goes on; those with a state know it.
        """
        if most is not None and isinstance(self.function, Function) and type(self.batches) is Batches:
            yield from self._native(self.function, self.batches, most)
            return
        for item in self.batches if isinstance(self.batches, Stateful) else islice(self.batches, done, None):
            batch = as_batch(item)
            yield Made(self.function(*batch), examples_in(batch))

    def _native(self, function: Function, batches: Batches, most: Callable[[], int | None]) -> Iterator[Made]:
        order, given = batches.begin()
        if self._epoch is None:
            self._epoch = function.epoch(
                *batches.arrays, batch_size=batches.batch_size, shuffle=order, drop_last=batches.drop_last
            )
        epoch = self._epoch
        epoch.restart(order, given)
        while (first := epoch.finished) < epoch.steps:
            last = batches.given = epoch.advance(most())
            examples = min(batches.batch_size, batches.examples - first * batches.batch_size)
            yield Made([array[first:last] for array in epoch.results], examples, last - first, native=True)
        batches.end()
