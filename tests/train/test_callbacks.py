from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.train import Callback, EarlyStopping, History, LambdaCallback


def epochs_of(callback: Callback, values: list[float], name: str = "validation_loss") -> int:
    """After how many epochs the callback ends a run."""
    history = History()
    callback.on_train_begin(history)
    count = 0
    for count, value in enumerate(values, 1):
        if callback.on_epoch_end(count, {name: value}):
            break
    callback.on_train_end(history)
    return count


def test_early_stopping_waits_for_its_patience() -> None:
    values = [3.0, 2.0, 2.5, 2.0, 1.0, 1.5, 1.5, 1.5, 0.0]
    assert epochs_of(EarlyStopping(), values) == 3
    assert epochs_of(EarlyStopping(patience=2), values) == 8
    assert epochs_of(EarlyStopping(patience=9), values) == 9


def test_early_stopping_options() -> None:
    callback = EarlyStopping("accuracy", mode="max")
    assert epochs_of(callback, [0.5, 0.6, 0.6, 0.9], "accuracy") == 3
    assert (callback.best, callback.best_epoch) == (0.6, 2)
    assert epochs_of(EarlyStopping(min_delta=0.5), [3.0, 2.0, 1.6, 0.0]) == 3
    assert epochs_of(EarlyStopping(patience=1), [1.0, float("nan"), float("nan"), 0.0]) == 3
    assert epochs_of(callback, [0.5, 0.6], "accuracy") == 2


def test_early_stopping_restores_the_best_values() -> None:
    weight = gr.parameter([0.0])
    callback = EarlyStopping("loss", patience=5, restore=[weight])
    callback.on_train_begin(History())
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 4.0], 1):
        weight.value = np.array([float(epoch)])
        assert not callback.on_epoch_end(epoch, {"loss": loss})
    callback.on_train_end(History())
    assert weight.value.tolist() == [2.0]


def test_early_stopping_of_an_unknown_metric() -> None:
    with pytest.raises(gr.GraphError, match="watches 'validation_loss', which is not among the metrics loss, accuracy"):
        EarlyStopping().on_epoch_end(1, {"loss": 1.0, "accuracy": 0.5})
    with pytest.raises(gr.GraphError, match="mode='best'"):
        EarlyStopping(mode="best")  # type: ignore[arg-type]


def test_lambda_callback_leaves_the_other_methods() -> None:
    seen: list[int] = []
    callback = LambdaCallback(on_epoch_begin=seen.append)
    callback.on_epoch_begin(4)
    assert callback.on_epoch_end(4, {}) is None
    assert seen == [4]
