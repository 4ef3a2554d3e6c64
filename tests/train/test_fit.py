from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.train import EarlyStopping, LambdaCallback, evaluate, fit

X = np.arange(10.0, dtype=np.float32)


def mean_step(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.mean())


def test_a_model_learns() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 2))
    inputs = rng.normal(size=(200, 3)).astype(np.float32)
    labels = (inputs @ weights).argmax(1)
    x, t = gr.placeholder(("batch", 3)), gr.placeholder("batch", "int64")
    model = gr.nn.Linear(3, 2)
    logits = model(x)
    outputs = [gr.cross_entropy(logits, t), gr.train.accuracy(logits, t)]
    step = gr.compile([x, t], outputs, updates=gr.optim.Adam(0.05).updates(outputs[0], model.parameters()))
    test = gr.compile([x, t], outputs)
    names = ["loss", "accuracy"]
    data = (inputs[:150], labels[:150])
    history = fit(
        step,
        data,
        epochs=20,
        batch_size=16,
        names=names,
        validation=(test, (inputs[150:], labels[150:])),
        progress=False,
    )
    assert history.epochs == 20
    assert history.steps == 20 * 10
    assert list(history.metrics) == ["loss", "accuracy", "validation_loss", "validation_accuracy"]
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert history["validation_accuracy"][-1] > 0.95
    assert not history.interrupted
    assert not history.stopped
    whole = [float(array) for array in test(*data)]
    means = evaluate(test, data, batch_size=40, names=names)
    assert means == pytest.approx(dict(zip(names, whole, strict=True)), rel=1e-5)


def test_means_are_weighted_by_the_sizes_of_batches() -> None:
    history = fit(mean_step, X, batch_size=4, progress=False)
    assert history["loss"] == [pytest.approx(4.5)]
    assert history.examples == [10]
    assert history.steps == 3
    assert history.examples_per_second[0] > 0
    assert evaluate(mean_step, X, batch_size=3) == {"loss": pytest.approx(4.5)}


def test_dropping_the_last_batch() -> None:
    history = fit(mean_step, X, batch_size=4, shuffle=False, drop_last=True, progress=False)
    assert history["loss"] == [pytest.approx(3.5)]
    assert history.examples == [8]


def test_the_same_seed_gives_the_same_batches() -> None:
    def order(seed: int) -> list[list[float]]:
        seen: list[list[float]] = []

        def step(x: np.ndarray) -> float:
            seen.append(x.tolist())
            return 0.0

        fit(step, (X,), epochs=2, batch_size=5, seed=seed, progress=False)
        return seen

    assert order(3) == order(3)
    assert order(3) != order(4)


def test_batches_of_an_iterable_are_taken_as_they_come() -> None:
    batches = [(X[:2], X[:2]), [X[2:5], X[2:5]], (X[5:], X[5:])]
    seen: list[int] = []

    def step(x: np.ndarray, t: np.ndarray) -> dict[str, float]:
        assert x is not t
        seen.append(len(x))
        return {"loss": float(x.mean()), "largest": float(t.max())}

    history = fit(step, batches, epochs=2, progress=False)
    assert seen == [2, 3, 5, 2, 3, 5]
    assert history["loss"] == pytest.approx([4.5, 4.5])
    assert history["largest"] == pytest.approx([(1 * 2 + 4 * 3 + 9 * 5) / 10] * 2)
    single = fit(mean_step, (part for part in (X[:3], X[3:])), progress=False)
    assert single["loss"] == pytest.approx([4.5])


def test_names_of_results() -> None:
    def step(x: np.ndarray) -> list[float]:
        return [1.0, 2.0, 3.0]

    assert list(fit(step, X, progress=False).metrics) == ["loss", "metric_1", "metric_2"]
    assert list(fit(step, X, names="abc", progress=False).metrics) == ["a", "b", "c"]
    with pytest.raises(gr.GraphError, match="3 scalars for the names loss, accuracy") as caught:
        fit(step, X, names=["loss", "accuracy"], progress=False)
    assert caught.value.location.filename == __file__
    with pytest.raises(KeyError, match=r"no metric is named 'acc'; there are loss, metric_1, metric_2"):
        fit(step, X, progress=False)["acc"]


def test_results_that_are_not_scalars() -> None:
    with pytest.raises(gr.GraphError, match=r"a call returned shape \(10,\)"):
        fit(lambda x: x, X, progress=False)
    with pytest.raises(gr.GraphError, match="a call returned nothing"):
        fit(lambda x: [], X, progress=False)


def test_data_that_is_none() -> None:
    with pytest.raises(gr.GraphError, match="the data is a int"):
        fit(mean_step, 3, progress=False)
    with pytest.raises(gr.GraphError, match="the data gave no batch"):
        fit(mean_step, [], progress=False)
    with pytest.raises(gr.GraphError, match="the data gave no batch"):
        evaluate(mean_step, iter([]))
    with pytest.raises(gr.GraphError, match=r"iterator.*ends with its first epoch; there are 2"):
        fit(mean_step, iter([X]), epochs=2, progress=False)
    with pytest.raises(gr.GraphError, match=r"iterator.*ends with its first epoch"):
        fit(mean_step, X, epochs=2, validation=(mean_step, iter([X])), progress=False)
    with pytest.raises(gr.ShapeError, match=r"shapes \(10,\), \(9,\)"):
        fit(mean_step, (X, X[1:]), progress=False)
    with pytest.raises(gr.GraphError, match="epochs=-1"):
        fit(mean_step, X, epochs=-1, progress=False)


def test_no_epochs() -> None:
    history = fit(mean_step, X, epochs=0, progress=False)
    assert history.epochs == 0
    assert history.metrics == {}


def test_callbacks_are_called_in_order() -> None:
    calls: list[Any] = []
    callback = LambdaCallback(
        on_train_begin=lambda history: calls.append("begin"),
        on_epoch_begin=lambda epoch: calls.append(("epoch", epoch)),
        on_batch_end=lambda step, metrics: calls.append((step, metrics["loss"])),
        on_epoch_end=lambda epoch, metrics: calls.append(("end", epoch, sorted(metrics))),
        on_train_end=lambda history: calls.append(history.epochs),
    )
    fit(
        mean_step,
        X,
        epochs=2,
        batch_size=5,
        shuffle=False,
        validation=(mean_step, X),
        callbacks=[callback],
        progress=False,
    )
    ends = ["loss", "validation_loss"]
    assert calls == [
        "begin",
        ("epoch", 1),
        (1, 2.0),
        (2, 7.0),
        ("end", 1, ends),
        ("epoch", 2),
        (3, 2.0),
        (4, 7.0),
        ("end", 2, ends),
        2,
    ]


def test_callbacks_end_a_run() -> None:
    history = fit(mean_step, X, epochs=9, callbacks=[EarlyStopping("loss", patience=1)], progress=False)
    assert history.epochs == 3
    assert history.stopped
    seventh = LambdaCallback(on_batch_end=lambda step, metrics: step == 7)
    history = fit(mean_step, X, epochs=9, batch_size=2, callbacks=[seventh], progress=False)
    assert (history.steps, history.epochs, history.stopped) == (7, 1, True)


class Interrupted:
    """Batches, in the middle of which Ctrl-C is pressed."""

    def __init__(self, at: int, times: int = 1) -> None:
        self.at = at
        self.times = times

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(6):
            if index == self.at:
                for _ in range(self.times):
                    os.kill(os.getpid(), signal.SIGINT)
            yield X


def test_ctrl_c_ends_a_run_after_the_step() -> None:
    ended: list[bool] = []
    callback = LambdaCallback(on_train_end=lambda history: ended.append(history.interrupted))
    history = fit(mean_step, Interrupted(2), epochs=4, callbacks=[callback], progress=False)
    assert history.interrupted
    assert (history.steps, history.epochs) == (3, 0)
    assert ended == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_validating() -> None:
    history = fit(mean_step, X, epochs=4, validation=(mean_step, Interrupted(1)), progress=False)
    assert history.interrupted
    assert (history.steps, history.epochs) == (1, 0)


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(mean_step, Interrupted(2, times=2), progress=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_program_stays() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        history = fit(mean_step, Interrupted(2), progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
    assert history.steps == 6
    assert not history.interrupted


def test_training_in_another_thread() -> None:
    histories: list[Any] = []
    thread = threading.Thread(target=lambda: histories.append(fit(mean_step, X, progress=False)))
    thread.start()
    thread.join()
    assert histories[0].epochs == 1


def test_the_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    def step(x: np.ndarray) -> tuple[float, float]:
        return 0.25, 0.75

    fit(step, X, epochs=2, batch_size=4, names=["loss", "accuracy"], validation=(step, X))
    text = capsys.readouterr().err
    assert "epoch 1/2: 100%" in text
    assert "epoch 2/2: 100%" in text
    assert "10.0/10.0" in text
    assert " examples/s, loss=0.25, accuracy=0.75, validation_loss=0.25, validation_accuracy=0.75]" in text
    fit(step, [X], progress=True)
    assert "epoch 1/1: 10.0 examples" in capsys.readouterr().err
    fit(step, X, progress=False)
    assert capsys.readouterr().err == ""
