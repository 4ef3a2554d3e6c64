"""Learning-rate schedules: functions of the number of updates already made, computed in the graph.

A schedule takes a 0-d integer value, 0 at the first update, and returns a 0-d value; any function that does may be
given as an optimizer's ``lr``: ``SGD(lambda step: 0.1 / (1.0 + 0.01 * step))``. The schedules here compute in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphc.errors import GraphError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.optim.arguments import check_at_least, check_share

__all__ = [
    "Schedule",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "linear_warmup",
    "one_cycle",
    "piecewise_constant",
    "step_decay",
]

Schedule: TypeAlias = Callable[[Any], Value]


def _float(step: Any) -> Value:
    return ops.cast(step, "float64")


def constant(lr: float) -> Schedule:
    """``lr`` at every step."""
    check_at_least(0.0, lr=lr)
    return lambda step: ops.constant(lr, "float64")


def step_decay(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """``lr * gamma**(step // step_size)``."""
    check_at_least(0.0, lr=lr, gamma=gamma)
    check_at_least(1, step_size=step_size)
    return lambda step: lr * ops.power(gamma, _float(ops.floor_divide(step, step_size)))


def exponential_decay(lr: float, gamma: float) -> Schedule:
    """``lr * gamma**step``."""
    check_at_least(0.0, lr=lr, gamma=gamma)
    return lambda step: lr * ops.power(gamma, _float(step))


def _half_cosine(start: float, end: float, fraction: Value) -> Value:
    """From ``start`` at 0 to ``end`` at 1 along half a cosine."""
    return end + (start - end) * 0.5 * (1.0 + ops.cos(math.pi * fraction))


def cosine_decay(lr: float, total_steps: int, min_lr: float = 0.0) -> Schedule:
    """From ``lr`` to ``min_lr`` along half a cosine in ``total_steps`` steps; ``min_lr`` from then on.

    Source: Loshchilov, Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2016, eq. 5, without restarts.
    """
    check_at_least(0.0, lr=lr, min_lr=min_lr)
    check_at_least(1, total_steps=total_steps)
    return lambda step: _half_cosine(lr, min_lr, ops.minimum(_float(step) / total_steps, 1.0))


def linear_warmup(after: float | Schedule, steps: int, start_factor: float = 1.0 / 3.0) -> Schedule:
    """A rate that grows in ``steps`` steps from ``start_factor`` times the first rate of ``after`` to that rate.

    The schedule ``after`` (a number is a constant one) then runs from its own step 0.

    Source: Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 2017, section 2.2.
    """
    check_at_least(1, steps=steps)
    check_share(start_factor=start_factor)
    follow = after if callable(after) else constant(after)

    def rate(step: Any) -> Value:
        fraction = ops.minimum(_float(step) / steps, 1.0)
        return follow(ops.maximum(step - steps, 0)) * (start_factor + (1.0 - start_factor) * fraction)

    return rate


def one_cycle(
    max_lr: float, total_steps: int, pct_start: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4
) -> Schedule:
    """One rise, for a share ``pct_start`` of the steps, and one fall, both along half a cosine; then the last rate.

    From ``max_lr / div_factor`` to ``max_lr`` and down to ``max_lr / (div_factor * final_div_factor)``.

    Source: Smith, Topin, Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates, 2017, in
    the form of ``torch.optim.lr_scheduler.OneCycleLR``.
    """
    check_at_least(0.0, max_lr=max_lr)
    check_at_least(1.0, div_factor=div_factor, final_div_factor=final_div_factor)
    check_at_least(2, total_steps=total_steps)
    check_share(pct_start=pct_start)
    start = max_lr / div_factor
    end = start / final_div_factor
    peak, last = pct_start * total_steps - 1.0, total_steps - 1.0

    def rate(step: Any) -> Value:
        position = ops.minimum(_float(step), last)
        fall = _half_cosine(max_lr, end, (position - peak) / (last - peak))
        if peak <= 0.0:
            return fall
        return ops.where(position < peak, _half_cosine(start, max_lr, position / peak), fall)

    return rate


def piecewise_constant(boundaries: Sequence[int], rates: Sequence[float]) -> Schedule:
    """``rates[i]`` before step ``boundaries[i]``, and the last of ``rates`` from the last boundary on.

    Raises:
        GraphError: there is not one rate more than boundaries, or the boundaries do not rise.
    """
    steps, values = list(boundaries), list(rates)
    if len(values) != len(steps) + 1 or sorted(set(steps)) != steps:
        raise GraphError(
            f"boundaries {steps} with rates {values}",
            expected="rising boundaries, and one rate more than boundaries",
            remedy="for instance piecewise_constant([100, 200], [0.1, 0.01, 0.001])",
        )

    def rate(step: Any) -> Value:
        result = ops.constant(values[-1], "float64")
        for boundary, value in zip(reversed(steps), reversed(values[:-1]), strict=True):
            result = ops.where(ops.less(step, boundary), value, result)
        return result

    return rate
