from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.op import Array
from graphc.runtime import epochs
from graphc.train import Callback, Checkpoint, Evaluator, JSONLog, LambdaCallback, evaluate, fit
from graphc.train.metrics import Means

NAMES = ["loss", "accuracy"]


def data(examples: int = 53) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((examples, 4)).astype(np.float32), rng.integers(0, 3, examples)


class Training:
    """A model with momentum and dropout, which begins alike each time."""

    def __init__(self) -> None:
        gr.random.seed(1)
        x, t = gr.placeholder(("batch", 4), name="x"), gr.placeholder("batch", "int64", name="t")
        self.model = gr.nn.Sequential(gr.nn.Dropout(0.2), gr.nn.Linear(4, 3, rng=5))
        logits = self.model(x)
        outputs = [gr.cross_entropy(logits, t), gr.train.accuracy(logits, t)]
        self.optimizer = gr.optim.SGD(0.1, momentum=0.9)
        self.step = gr.compile([x, t], outputs, self.optimizer.updates(outputs[0], self.model.parameters()))
        self.test = gr.compile([x, t], outputs)

    def fit(self, *callbacks: Callback, **options: Any) -> gr.train.History:
        options = {"epochs": 3, "batch_size": 8, "names": NAMES, "progress": False} | options
        return fit(self.step, data(), callbacks=callbacks, **options)

    def state(self) -> list[Array]:
        variables = [*self.model.parameters(), *self.optimizer.named_variables().values()]
        return [variable.value for variable in variables]


def check_same(one: Training, other: Training) -> None:
    for array, same in zip(one.state(), other.state(), strict=True):
        np.testing.assert_array_equal(array, same)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[gr.Function]:
    """The functions that are called, one entry for each call."""
    made: list[gr.Function] = []
    plain = gr.Function.__call__

    def counted(self: gr.Function, *args: Any, **named: Any) -> Any:
        made.append(self)
        return plain(self, *args, **named)

    monkeypatch.setattr(gr.Function, "__call__", counted)
    return made


def watching() -> Callback:
    """A callback that wants every step."""
    return LambdaCallback(on_batch_end=lambda step, metrics: None)


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"drop_last": True}, {"seed": 4, "batch_size": 53}])
def test_native_runs_train_as_calls_do(options: dict[str, Any], calls: list[gr.Function]) -> None:
    native = Training()
    history = native.fit(**options)
    assert calls == []
    called = Training()
    other = called.fit(watching(), **options)
    assert len(calls) == other.steps
    assert history.metrics == other.metrics
    assert history.steps == other.steps
    assert history.examples == other.examples
    check_same(native, called)


def test_other_data_and_functions_are_called(calls: list[gr.Function]) -> None:
    images, labels = data()
    training = Training()
    batches = [(images[:9], labels[:9]), (images[9:], labels[9:])]
    fit(training.step, batches, progress=False)
    assert len(calls) == 2
    ahead = gr.train.prefetch(gr.train.Batches(images, labels, batch_size=20))
    fit(training.step, ahead, progress=False)
    assert len(calls) == 5
    fit(lambda x, t: training.step(x, t), (images, labels), batch_size=30, progress=False)
    assert len(calls) == 7
    fit(training.step, gr.train.Batches(images, labels, batch_size=20), progress=False)
    assert len(calls) == 7


def test_validation_is_native_too(calls: list[gr.Function]) -> None:
    training = Training()
    history = training.fit(validation=(training.test, data(30)), epochs=2)
    assert calls == []
    again = Training()
    batches = [tuple(array[start : start + 8] for array in data(30)) for start in range(0, 30, 8)]
    other = again.fit(validation=(again.test, batches), epochs=2)
    assert history.metrics == other.metrics


def test_evaluating() -> None:
    training = Training()
    arrays = data()
    batches = [tuple(array[start : start + 10] for array in arrays) for start in range(0, 53, 10)]
    results = []
    for given in (arrays, batches):
        gr.random.seed(2)
        results.append(evaluate(training.test, given, 10))
    assert results[0] == results[1]


def test_an_evaluator_is_native(calls: list[gr.Function]) -> None:
    x = gr.placeholder("batch", name="x")
    evaluator = Evaluator([x], {"mean": x.mean(), "largest": gr.train.mean_over_items(x * x)})
    array = np.arange(10, dtype=np.float32)
    metrics = evaluate(evaluator, array, 4)
    assert metrics == {"mean": 4.5, "largest": 28.5}
    assert len(calls) == 1  # which finishes the sums
    assert metrics == evaluate(evaluator, [array[:7], array[7:]])
    assert len(calls) == 1 + 3


def test_means_of_many_results_have_the_bits_of_one_after_another() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.standard_normal(1000).astype(np.float32), rng.integers(-9, 9, 1000), rng.random(1000) * 1e300]
    one, many = Means(None), Means(None)
    for row in zip(*columns, strict=True):
        one.add(row, 7)
    many.add_stacked([column[:1] for column in columns], 7)
    many.add_stacked([column[1:] for column in columns], 7)
    assert one.state_dict() == many.state_dict()
    assert one.latest() == many.latest()
    assert one.as_dict() == many.as_dict()


class Pacing(Callback):
    """Asks for some steps, and keeps those after which it is called."""

    def __init__(self, every: int | None) -> None:
        self.every = every
        self.seen: list[tuple[int, float]] = []

    def period(self) -> int | None:
        return self.every

    def on_batch_end(self, step: int, metrics: dict[str, float]) -> bool:
        self.seen.append((step, metrics["loss"]))
        return step == 12


def test_callbacks_are_called_after_the_steps_that_they_ask_for(
    monkeypatch: pytest.MonkeyPatch, calls: list[gr.Function]
) -> None:
    monkeypatch.setattr(epochs, "_FIRST_TICKS", 1 << 40)  # no native run ends before its time
    three, five, ends = Pacing(3), Pacing(5), Pacing(None)
    history = Training().fit(three, five, ends)
    assert calls == []
    assert [step for step, _ in three.seen] == [3, 5, 6, 7, 9, 10, 12]
    assert three.seen == five.seen == ends.seen
    assert (history.steps, history.epochs, history.stopped) == (12, 1, True)
    every: list[tuple[int, float]] = []
    other = Training().fit(LambdaCallback(on_batch_end=lambda step, metrics: every.append((step, metrics["loss"]))))
    assert set(three.seen) <= set(every)
    assert other.steps == 21


def test_what_a_class_says_of_steps_does_not_hold_for_its_subclasses() -> None:
    class Saving(Checkpoint):
        def on_batch_end(self, step: int, metrics: dict[str, float]) -> None:
            super().on_batch_end(step, metrics)

    class Quiet(Pacing):
        def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
            pass

    class Looking(Callback):
        def on_safe_point(self, run: Any) -> None:
            pass

    assert Callback().period() is None
    assert LambdaCallback(on_epoch_end=print).period() is None
    assert LambdaCallback(on_batch_end=print).period() == 1
    assert Looking().period() == 1
    assert Quiet(7).period() == 7
    assert Saving("folder", every_steps=4).period() == 1
    assert Checkpoint("folder", every_steps=4).period() == 4
    assert Checkpoint("folder").period() is None
    assert JSONLog("log", every_steps=2).period() == 2
    assert gr.train.EarlyStopping().period() is None


def test_logs_hold_the_same_lines(tmp_path: Path) -> None:
    logs = []
    for name, others in (("native", []), ("called", [watching()])):
        log = JSONLog(tmp_path / name, every_steps=2)
        Training().fit(log, *others)
        logs.append(
            [{key: value for key, value in line.items() if key != "time"} for line in gr.train.read_log(log.path)]
        )
    assert logs[0] == logs[1]
    assert [line["step"] for line in logs[0][:5]] == [2, 4, 6, 7, 8]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("watched", ["before", "after", "never"])
def test_a_run_is_resumed_at_any_step(tmp_path: Path, watched: str, shuffle: bool) -> None:
    whole = Training()
    history = whole.fit(shuffle=shuffle, epochs=2)
    before = Checkpoint(tmp_path, every_steps=1 if watched == "before" else 2, every_epochs=None, keep=20)
    first = Training()
    before.parts = {"model": first.model, "optimizer": first.optimizer}
    first.fit(before, shuffle=shuffle, epochs=2)
    files = sorted(tmp_path.glob("step-*"))
    assert len(files) == (14 if watched == "before" else 7)
    for file in files:
        training = Training()
        again = Checkpoint(tmp_path / file.stem, model=training.model, optimizer=training.optimizer)
        resumed = training.fit(
            again, *([watching()] if watched == "after" else []), resume=file, shuffle=shuffle, epochs=2
        )
        assert resumed.metrics == history.metrics
        assert resumed.steps == history.steps
        check_same(training, whole)


def test_ctrl_c_ends_a_native_run_which_can_be_resumed(tmp_path: Path, calls: list[gr.Function]) -> None:
    whole = Training()
    history = whole.fit()
    training = Training()

    class Pressing(Callback):
        def on_epoch_begin(self, epoch: int) -> None:
            if epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    checkpoint = Checkpoint(tmp_path, model=training.model, optimizer=training.optimizer)
    stopped = training.fit(checkpoint, Pressing())
    assert stopped.interrupted
    assert stopped.epochs == 1
    assert 7 < stopped.steps <= 14
    again = Training()
    checkpoint = Checkpoint(tmp_path, model=again.model, optimizer=again.optimizer)
    resumed = again.fit(checkpoint, resume=True)
    assert resumed.metrics == history.metrics
    check_same(again, whole)
    assert calls == []


def test_native_runs_show_progress(capsys: pytest.CaptureFixture[str]) -> None:
    training = Training()
    training.fit(epochs=2, progress=True, validation=(training.test, data(9)))
    text = capsys.readouterr().err
    assert "epoch 1/2: 100%" in text
    assert "epoch 2/2: 100%" in text
    assert "53.0/53.0" in text
    assert "validation_accuracy=" in text


def test_a_fault_in_the_data_tells_the_row() -> None:
    training = Training()
    images, labels = data()
    labels[50] = 3
    with pytest.raises(gr.IndexFault, match="in row 50 of 't', in step"):
        fit(training.step, (images, labels), progress=False)


def test_results_that_are_no_scalars() -> None:
    x = gr.placeholder(("batch", 2))
    with pytest.raises(gr.GraphError, match=r"a call returned shape \(2,\)"):
        fit(gr.compile([x], x.sum(axis=0)), np.ones((8, 2)), progress=False)
    with pytest.raises(gr.GraphError, match="a call returned nothing"):
        fit(gr.compile([x], []), np.ones((8, 2)), progress=False)
    with pytest.raises(gr.GraphError, match="2 scalars for the names loss"):
        fit(gr.compile([x], [x.sum(), x.mean()]), np.ones((8, 2)), names=["loss"], progress=False)
