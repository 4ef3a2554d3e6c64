from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.train import History, ReduceOnPlateau

LOSSES = [3.0, 2.0, 2.0, 2.1, 1.0, 1.5, 1.5, 1.5, 1.2, 1.1, 1.05, 0.99, 2.0, float("nan"), 2.0, 2.0, 2.0, 0.5, 0.6, 0.7]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 0},
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "cooldown": 2},
        {"patience": 0, "factor": 0.5, "min_rate": 0.02},
        {"patience": 1, "min_delta": 0.1},
        {"patience": 1, "mode": "max"},
    ],
    ids=str,
)
def test_against_pytorch(options: dict[str, float]) -> None:
    rate = gr.variable(0.1, dtype="float64")
    callback = ReduceOnPlateau(rate, "loss", **options)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD([torch.zeros(1)], 0.1)
    names = {"min_delta": "threshold", "min_rate": "min_lr"}
    same = {"threshold": 0.0, "eps": 0.0} | {names.get(name, name): value for name, value in options.items()}
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, threshold_mode="abs", **same)  # type: ignore[arg-type]
    callback.on_train_begin(History())
    rates = []
    for epoch, loss in enumerate(LOSSES, 1):
        callback.on_epoch_end(epoch, {"loss": loss})
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
        assert float(rate.value) == rates[-1]
        fresh = ReduceOnPlateau(rate, "loss", **options)  # type: ignore[arg-type]
        fresh.load_state_dict(json.loads(json.dumps(callback.state_dict())))
        callback = fresh
    assert len(set(rates)) > 1


def test_the_rate_reaches_the_optimizer_in_a_run() -> None:
    x, weight, rate = gr.placeholder("batch", "float64"), gr.parameter(0.0, dtype="float64"), gr.variable(1.0)
    loss = (weight * x).mean()
    step = gr.compile(x, loss * 0.0, updates=gr.optim.SGD(rate).updates(loss, [weight]))
    callback = ReduceOnPlateau(rate, "loss", factor=0.5, patience=0)
    gr.train.fit(step, np.ones(2), epochs=4, callbacks=[callback], progress=False)
    assert float(weight.value) == -(1.0 + 1.0 + 0.5 + 0.25)
    assert float(rate.value) == 0.125


def test_a_rate_below_the_least_one_is_left() -> None:
    rate = gr.variable(0.01)
    callback = ReduceOnPlateau(rate, "loss", patience=0, min_rate=0.1)
    callback.on_epoch_end(1, {"loss": float("nan")})
    assert float(rate.value) == np.float32(0.01)


def test_wrong_arguments() -> None:
    for rate in (0.1, gr.variable([0.1]), gr.variable(1)):
        with pytest.raises(gr.DTypeError, match="the learning rate to reduce is"):
            ReduceOnPlateau(rate)  # type: ignore[arg-type]
    with pytest.raises(gr.GraphError, match="factor=1"):
        ReduceOnPlateau(gr.variable(0.1), factor=1.0)
    with pytest.raises(gr.GraphError, match="ReduceOnPlateau watches 'validation_loss'"):
        ReduceOnPlateau(gr.variable(0.1)).on_epoch_end(1, {"loss": 1.0})
