"""Stochastic gradient descent."""

from __future__ import annotations

from graphc.errors import GraphError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.ops import Variable
from graphc.optim.arguments import check_at_least
from graphc.optim.clip import GradientTransform
from graphc.optim.optimizer import LearningRate, Optimizer, Rate, Rule, Slots, rate_for, with_decay

__all__ = ["SGD"]


class SGD(Optimizer):
    """``parameter - lr * gradient``, with momentum where asked for.

    With momentum the gradient is replaced by ``velocity = momentum * velocity + (1 - dampening) * gradient``, which
    starts as the first gradient; with Nesterov's by ``gradient + momentum * velocity``.

    Source: the formulas of ``torch.optim.SGD``; Sutskever et al., On the importance of initialization and momentum in
    deep learning, 2013.

    Args:
        lr: see :class:`Optimizer`.
        momentum: at least 0; 0 keeps no state.
        dampening: of the gradient in the velocity.
        weight_decay: see :class:`Optimizer`.
        nesterov: whether to look ahead; needs momentum and no dampening.
        gradient_clip: see :class:`Optimizer`.

    Raises:
        GraphError: a number is outside its range.
    """

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        gradient_clip: GradientTransform | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, gradient_clip)
        check_at_least(0.0, momentum=momentum)
        if nesterov and (momentum == 0.0 or dampening != 0.0):
            raise GraphError(
                f"nesterov=True with momentum={momentum!r} and dampening={dampening!r}",
                expected="a momentum above 0 and no dampening",
                remedy="for instance SGD(0.1, momentum=0.9, nesterov=True)",
            )
        self.momentum = momentum
        self.dampening = dampening
        self.nesterov = nesterov

    def rule(self, rate: Rate) -> Rule:
        """The formula of the class."""

        def update(parameter: Variable, gradient: Value, slots: Slots) -> Value:
            direction = with_decay(parameter, gradient, self.weight_decay)
            if self.momentum:
                velocity = slots.write("velocity", self._velocity(slots.read("velocity"), direction))
                direction = direction + self.momentum * velocity if self.nesterov else velocity
            return parameter - rate_for(rate, parameter.dtype) * direction

        return update

    def _velocity(self, velocity: Value, gradient: Value) -> Value:
        if not self.dampening:
            return self.momentum * velocity + gradient
        damped = self.momentum * velocity + (1.0 - self.dampening) * gradient
        return ops.where(ops.equal(self.step, 0), gradient, damped)
