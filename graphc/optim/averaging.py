"""Averages of parameters over the steps of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.ops import Variable
from graphc.ir.source import scope
from graphc.ir.substitute import substitute
from graphc.optim.arguments import check_share
from graphc.optim.optimizer import checked_parameter
from graphc.state import UnmatchedNames, load_values, numbered, values_of

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """Running means of parameters, ``average = decay * average + (1 - decay) * parameter`` after each update.

    They begin at the values that the parameters have when this is made, and often do better on new data. For instance::

        average = gr.optim.ExponentialMovingAverage(model.parameters(), decay=0.999)
        updates = average.updates(optimizer.updates(loss, model.parameters()))
        step = gr.compile([x, t], loss, updates=updates)
        test = gr.compile([x, t], average.averaged([loss, accuracy]))  # reads the averages

    Source: Polyak, Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992, with exponential weights, as
    ``torch.optim.swa_utils.get_ema_multi_avg_fn`` has them.

    Args:
        parameters: float variables.
        decay: the share of the average that a step keeps.
        warmup: whether the decay of step t, counted from 0, is at most ``(1 + t) / (10 + t)``, so that the first values
            are soon forgotten; as ``tf.train.ExponentialMovingAverage`` has it with ``num_updates``.

    Attributes:
        averages: the variable of the average, by parameter.

    Raises:
        DTypeError: something else than float variables was given.
        GraphError: the decay is not at least 0 and below 1.
    """

    def __init__(self, parameters: Iterable[Variable], decay: float = 0.999, warmup: bool = False) -> None:
        check_share(decay=decay)
        given = list(dict.fromkeys(checked_parameter(parameter) for parameter in parameters))
        names = numbered(parameter.name or "parameter" for parameter in given)
        self.decay = decay
        self.averages = {
            parameter: ops.variable(parameter.value, f"{name}.average")
            for parameter, name in zip(given, names, strict=True)
        }
        self._step = ops.variable(0, "step", "int64") if warmup else None

    def updates(self, updates: Mapping[Variable, Value]) -> dict[Variable, Value]:
        """Updates of parameters, with those of their averages added.

        Args:
            updates: what an optimizer gave. A parameter that is not among them stays as it is.

        Returns:
            What ``gr.compile`` takes as ``updates``.
        """
        with scope("average"):
            decay = self._decay()
            added: dict[Variable, Value] = {} if self._step is None else {self._step: self._step + 1}
            for parameter, average in self.averages.items():
                rate = ops.cast(1.0 - decay, average.dtype)
                added[average] = average + rate * (updates.get(parameter, parameter) - average)
        return dict(updates) | added

    def _decay(self) -> Value:
        if self._step is None:
            return ops.constant(self.decay, "float64")
        step = ops.cast(self._step, "float64")
        return ops.minimum(self.decay, (1.0 + step) / (10.0 + step))

    def averaged(self, values: Sequence[Value]) -> list[Value]:
        """The values, computed with the averages in the place of the parameters: what to compile for an evaluation."""
        return substitute(values, dict[Value, Value](self.averages.items()))

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Within it, the parameters hold their averages, and the averages what the parameters held.

        For what reads the parameters themselves, such as ``model.state_dict()``. No step may be made in it.
        """
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for parameter, average in self.averages.items():
            parameter.value, average.value = average.value, parameter.value

    def named_variables(self) -> dict[str, Variable]:
        """The averages by name, and the number of steps where it counts."""
        own = {} if self._step is None else {"step": self._step}
        return own | {average.name or "": average for average in self.averages.values()}

    def state_dict(self) -> dict[str, Array]:
        """Copies of the averages by name: ``weight.average`` for a parameter called ``weight``."""
        return values_of(self.named_variables())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> UnmatchedNames:
        """Copy arrays into the averages. Where anything is wrong, nothing is changed.

        Args:
            state: what :meth:`state_dict` gave.
            strict: whether names that only one side has are an error.

        Returns:
            The names that only one side has.

        Raises:
            GraphError: on request, names that only one side has.
            ShapeError: an array has another shape than the average.
        """
        return load_values(self.named_variables(), state, strict)
