"""Gradient accumulation: updates of a large batch from small ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphc.errors import DTypeError, GraphError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.ops import Variable
from graphc.ir.source import scope
from graphc.optim.optimizer import Optimizer, Rate, Rule, checked_gradients

__all__ = ["GradientAccumulation"]


class GradientAccumulation(Optimizer):
    """Sums the gradients of ``every`` calls, and lets an optimizer make one update with their mean in the last.

    For losses that are means over examples this is the update for the batch of all their examples, but for rounding;
    the memory is that of one small batch. In the calls between, parameters and the optimizer's state stay as they are.
    A count that the end of an epoch leaves unfinished goes on in the next. For instance::

        optimizer = gr.optim.GradientAccumulation(gr.optim.Adam(1e-3), every=8, weight=gr.dim_size(x.shape[0]))
        step = gr.compile([x, t], loss, updates=optimizer.updates(loss, model.parameters()))

    Args:
        optimizer: what makes the updates; its schedule counts these, and it clips the mean.
        every: how many calls make an update.
        weight: the weight of a call's gradients in the mean, a 0-d value: the size of the batch, where the last one of
            an epoch may be smaller. By default all calls weigh the same.

    Raises:
        GraphError: ``every`` is below 1.
        DTypeError: the weight is not a number of shape ().
    """

    def __init__(self, optimizer: Optimizer, every: int, weight: Value | None = None) -> None:
        if every < 1:
            raise GraphError(f"every={every}", expected="at least 1")
        if weight is not None and (weight.shape != () or weight.dtype.is_bool):
            raise DTypeError(
                f"the weight is {weight!r}",
                expected="a number of shape ()",
                remedy="for the size of the batch pass gr.dim_size(x.shape[0])",
            )
        super().__init__(optimizer.lr, optimizer.weight_decay, optimizer.gradient_clip)
        self.optimizer = optimizer
        self.every = every
        self.weight = weight
        self._calls = ops.variable(0, "accumulated", "int64")
        self._weight_sum = ops.variable(0.0, "accumulated_weight", "float64")

    def rule(self, rate: Rate) -> Rule:
        """The formula of the optimizer."""
        return self.optimizer.rule(rate)

    @property
    def step(self) -> Variable:
        """How many updates the optimizer made, 0-d int64."""
        return self.optimizer.step

    @property
    def learning_rate(self) -> Value:
        """The learning rate of the next update, 0-d."""
        return self.optimizer.learning_rate

    def apply(self, gradients: Mapping[Variable, Value] | Iterable[tuple[Variable, Value]]) -> dict[Variable, Value]:
        """The next values of the sums, and in each ``every``-th call those of the parameters; see Optimizer."""
        given = checked_gradients(gradients)
        with scope("accumulation"):
            weight = ops.cast(1.0 if self.weight is None else self.weight, "float64")
            sums = {self._calls: self._calls + 1, self._weight_sum: self._weight_sum + weight}
            due = ops.greater_equal(sums[self._calls], self.every)
            means = {}
            for parameter, gradient in given.items():
                variable = self._slots_of(parameter).read("gradient_sum")
                sums[variable] = variable + gradient * ops.cast(weight, gradient.dtype)
                means[parameter] = sums[variable] / ops.cast(sums[self._weight_sum], gradient.dtype)
        updates = self.optimizer.apply(means)
        with scope("accumulation"):
            cleared = {variable: ops.where(due, ops.zeros_like(total), total) for variable, total in sums.items()}
            return {variable: ops.where(due, value, variable) for variable, value in updates.items()} | cleared

    def named_variables(self) -> dict[str, Variable]:
        """The variables of the optimizer's state, and the sums and their count, by name."""
        own = {"accumulated": self._calls, "accumulated_weight": self._weight_sum}
        return self.optimizer.named_variables() | super().named_variables() | own
