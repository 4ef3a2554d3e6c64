from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.optim import schedules

LENGTH = 25


def rates(schedule: Callable[[Any], Any], length: int = LENGTH) -> list[float]:
    step = gr.placeholder((), "int64", name="step")
    rate = schedule(step)
    assert rate.shape == ()
    return [float(gr.evaluate(rate, {step: np.array(index)})) for index in range(length)]


def rates_of_torch(make: Callable[[torch.optim.Optimizer], Any], lr: float = 0.2, length: int = LENGTH) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(length):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(found) < length:
            scheduler.step()
    return found


lr_scheduler = torch.optim.lr_scheduler


def warm_cosine(optimizer: torch.optim.Optimizer) -> Any:
    warm = lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=6)
    return lr_scheduler.SequentialLR(optimizer, [warm, lr_scheduler.CosineAnnealingLR(optimizer, 19)], [6])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schedules.constant(0.2), lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        (schedules.step_decay(0.2, 7), lambda o: lr_scheduler.StepLR(o, 7)),
        (schedules.step_decay(0.2, 4, gamma=0.5), lambda o: lr_scheduler.StepLR(o, 4, gamma=0.5)),
        (schedules.exponential_decay(0.2, 0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        (schedules.cosine_decay(0.2, 25, min_lr=0.01), lambda o: lr_scheduler.CosineAnnealingLR(o, 25, eta_min=0.01)),
        (schedules.linear_warmup(0.2, 10), lambda o: lr_scheduler.LinearLR(o, total_iters=10)),
        (schedules.one_cycle(0.2, 25), lambda o: lr_scheduler.OneCycleLR(o, 0.2, 25)),
        (
            schedules.one_cycle(0.2, 40, pct_start=0.5, div_factor=5.0, final_div_factor=50.0),
            lambda o: lr_scheduler.OneCycleLR(o, 0.2, 40, pct_start=0.5, div_factor=5.0, final_div_factor=50.0),
        ),
        (
            schedules.piecewise_constant([3, 11], [0.2, 0.02, 0.002]),
            lambda o: lr_scheduler.MultiStepLR(o, [3, 11], gamma=0.1),
        ),
        (schedules.linear_warmup(schedules.cosine_decay(0.2, 19), 6, start_factor=0.25), warm_cosine),
    ],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_rates_are_those_of_pytorch(ours: Callable[[Any], Any], theirs: Callable[[Any], Any]) -> None:
    np.testing.assert_allclose(rates(ours), rates_of_torch(theirs), rtol=1e-12)


def test_rates_after_the_end_stay() -> None:
    assert rates(schedules.cosine_decay(0.2, 5, min_lr=0.01), 9)[5:] == pytest.approx([0.01] * 4)
    ends = rates(schedules.one_cycle(0.2, 5), 9)[4:]
    assert ends == pytest.approx([0.2 / 25 / 1e4] * 5)


def test_one_cycle_without_a_rise() -> None:
    found = rates(schedules.one_cycle(0.2, 10, pct_start=0.1), 10)
    assert found[0] == pytest.approx(0.2)
    assert sorted(found, reverse=True) == found


def test_a_warm_up_from_zero() -> None:
    assert rates(schedules.linear_warmup(0.4, 4, start_factor=0.0), 6) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4])


def test_a_function_of_the_users() -> None:
    w = gr.parameter(np.ones(1))
    optimizer = gr.optim.SGD(lambda step: 1.0 / (1.0 + gr.cast(step, "float64")))
    optimizer.updates(gr.sum(w), [w])
    optimizer.step.value = 3
    assert gr.evaluate(optimizer.learning_rate, {}) == 0.25


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: schedules.constant(-0.1), "lr=-0.1"),
        (lambda: schedules.step_decay(0.1, 0), "step_size=0"),
        (lambda: schedules.cosine_decay(0.1, 0), "total_steps=0"),
        (lambda: schedules.linear_warmup(0.1, 0), "steps=0"),
        (lambda: schedules.linear_warmup(0.1, 5, start_factor=1.5), "start_factor=1.5"),
        (lambda: schedules.one_cycle(0.1, 1), "total_steps=1"),
        (lambda: schedules.one_cycle(0.1, 10, pct_start=1.0), "pct_start=1.0"),
        (lambda: schedules.piecewise_constant([3, 2], [1.0, 2.0, 3.0]), r"boundaries \[3, 2\]"),
        (lambda: schedules.piecewise_constant([3], [1.0]), r"rates \[1.0\]"),
    ],
)
def test_wrong_arguments(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(gr.GraphError, match=text) as caught:
        make()
    assert "expected: " in str(caught.value)
