"""Adam and AdamW."""

from __future__ import annotations

from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.ops import Variable
from graphc.optim.arguments import check_at_least, check_share
from graphc.optim.clip import GradientTransform
from graphc.optim.optimizer import LearningRate, Optimizer, Rate, Rule, Slots, rate_for, with_decay

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Steps along the mean of gradients over the root of the mean of their squares.

    With running means ``m = beta1 * m + (1 - beta1) * gradient`` and ``v = beta2 * v + (1 - beta2) * gradient**2``,
    and t counted from 1, the next value is ``parameter - lr * mhat / (sqrt(vhat) + eps)`` where
    ``mhat = m / (1 - beta1**t)`` and ``vhat = v / (1 - beta2**t)``.

    Source: Kingma, Ba, Adam: A Method for Stochastic Optimization, 2014, algorithm 1, as ``torch.optim.Adam`` has it;
    ``amsgrad``: Reddi, Kale, Kumar, On the Convergence of Adam and Beyond, 2018, algorithm 2.

    Args:
        lr: see :class:`Optimizer`.
        betas: decay of the running means of gradients and of their squares.
        eps: keeps the denominator from zero.
        weight_decay: see :class:`Optimizer`.
        amsgrad: whether the denominator uses the largest ``v`` so far.
        gradient_clip: see :class:`Optimizer`.

    Raises:
        GraphError: a number is outside its range.
    """

    decoupled = False

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        gradient_clip: GradientTransform | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, gradient_clip)
        check_share(beta1=betas[0], beta2=betas[1])
        check_at_least(0.0, eps=eps)
        self.betas = betas
        self.eps = eps
        self.amsgrad = amsgrad

    def rule(self, rate: Rate) -> Rule:
        """The formula of the class. What depends on t alone is computed in float64, as scalars."""
        beta1, beta2 = self.betas
        t = ops.cast(self.step + 1, "float64")
        step_size = rate / (1.0 - ops.power(beta1, t))
        scale = ops.rsqrt(1.0 - ops.power(beta2, t))

        def update(parameter: Variable, gradient: Value, slots: Slots) -> Value:
            dtype = parameter.dtype
            start: Value = parameter
            if not self.decoupled:
                gradient = with_decay(parameter, gradient, self.weight_decay)
            elif self.weight_decay:
                start = parameter * (1.0 - rate_for(rate, dtype) * self.weight_decay)
            mean = slots.write("exp_avg", beta1 * slots.read("exp_avg") + (1.0 - beta1) * gradient)
            square = beta2 * slots.read("exp_avg_sq") + (1.0 - beta2) * (gradient * gradient)
            slots.write("exp_avg_sq", square)
            if self.amsgrad:
                square = slots.write("max_exp_avg_sq", ops.maximum(slots.read("max_exp_avg_sq"), square))
            denominator = ops.sqrt(square) * ops.cast(scale, dtype) + self.eps
            return start - ops.cast(step_size, dtype) * mean / denominator

        return update


class AdamW(Adam):
    """:class:`Adam` with decoupled weight decay: the parameter itself is first multiplied by ``1 - lr * weight_decay``.

    Source: Loshchilov, Hutter, Decoupled Weight Decay Regularization, 2017, algorithm 2, as ``torch.optim.AdamW`` has
    it.
    """

    decoupled = True

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        gradient_clip: GradientTransform | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad, gradient_clip=gradient_clip)
