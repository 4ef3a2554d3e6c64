"""RMSProp and Adagrad: the learning rate of each item scaled by the size of its gradients."""

from __future__ import annotations

from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.ops import Variable
from graphc.optim.arguments import check_at_least
from graphc.optim.clip import GradientTransform
from graphc.optim.optimizer import LearningRate, Optimizer, Rate, Rule, Slots, rate_for, with_decay

__all__ = ["Adagrad", "RMSProp"]


class RMSProp(Optimizer):
    """Steps along the gradient over the root of the running mean of its squares.

    With ``v = alpha * v + (1 - alpha) * gradient**2`` the direction is ``gradient / (sqrt(v) + eps)``; ``centered``
    subtracts the square of the running mean of gradients from ``v`` there. With momentum, directions add up:
    ``velocity = momentum * velocity + direction``.

    Source: Hinton, Neural Networks for Machine Learning, 2012, lecture 6e; centered: Graves, Generating Sequences With
    Recurrent Neural Networks, 2013, eq. 38 to 45; as ``torch.optim.RMSprop`` has them.

    Args:
        lr: see :class:`Optimizer`.
        alpha: decay of the running means.
        eps: keeps the denominator from zero.
        weight_decay: see :class:`Optimizer`.
        momentum: at least 0.
        centered: whether the running variance replaces the running mean of squares.
        gradient_clip: see :class:`Optimizer`.

    Raises:
        GraphError: a number is outside its range.
    """

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        gradient_clip: GradientTransform | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, gradient_clip)
        check_at_least(0.0, alpha=alpha, eps=eps, momentum=momentum)
        self.alpha = alpha
        self.eps = eps
        self.momentum = momentum
        self.centered = centered

    def rule(self, rate: Rate) -> Rule:
        """The formula of the class."""

        def running_mean(slots: Slots, slot: str, item: Value) -> Value:
            return slots.write(slot, self.alpha * slots.read(slot) + (1.0 - self.alpha) * item)

        def update(parameter: Variable, gradient: Value, slots: Slots) -> Value:
            gradient = with_decay(parameter, gradient, self.weight_decay)
            square = running_mean(slots, "square_avg", gradient * gradient)
            if self.centered:
                mean = running_mean(slots, "grad_avg", gradient)
                square = square - mean * mean
            direction = gradient / (ops.sqrt(square) + self.eps)
            if self.momentum:
                direction = slots.write("velocity", self.momentum * slots.read("velocity") + direction)
            return parameter - rate_for(rate, parameter.dtype) * direction

        return update


class Adagrad(Optimizer):
    """Steps along the gradient over the root of the sum of its squares so far.

    With ``s = s + gradient**2`` the next value is ``parameter - rate * gradient / (sqrt(s) + eps)``, where
    ``rate = lr / (1 + step * lr_decay)`` and the step counts from 0.

    Source: Duchi, Hazan, Singer, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization, 2011,
    as ``torch.optim.Adagrad`` has it.

    Args:
        lr: see :class:`Optimizer`.
        lr_decay: how the learning rate falls with the steps.
        weight_decay: see :class:`Optimizer`.
        initial_accumulator_value: what the sum of squares starts from.
        eps: keeps the denominator from zero.
        gradient_clip: see :class:`Optimizer`.

    Raises:
        GraphError: a number is outside its range.
    """

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        gradient_clip: GradientTransform | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, gradient_clip)
        check_at_least(0.0, lr_decay=lr_decay, initial_accumulator_value=initial_accumulator_value, eps=eps)
        self.lr_decay = lr_decay
        self.initial_accumulator_value = initial_accumulator_value
        self.eps = eps

    def rule(self, rate: Rate) -> Rule:
        """The formula of the class."""
        if self.lr_decay:
            rate = rate / (1.0 + ops.cast(self.step, "float64") * self.lr_decay)

        def update(parameter: Variable, gradient: Value, slots: Slots) -> Value:
            gradient = with_decay(parameter, gradient, self.weight_decay)
            total = slots.read("sum", self.initial_accumulator_value) + gradient * gradient
            slots.write("sum", total)
            return parameter - rate_for(rate, parameter.dtype) * gradient / (ops.sqrt(total) + self.eps)

        return update
