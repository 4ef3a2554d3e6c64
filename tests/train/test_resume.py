from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.train import (
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    LambdaCallback,
    fit,
    inspect_checkpoint,
    load_checkpoint,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 4)).astype(np.float32)
T = RNG.integers(0, 3, 50)
EPOCHS = 4
STEPS = 7  # in an epoch


@dataclass
class Program:
    """Everything that a training program builds, as each start of it does."""

    model: gr.nn.Module
    optimizer: gr.optim.Optimizer
    step: gr.Function
    test: gr.Function

    @classmethod
    def build(cls, make_optimizer: Callable[[], gr.optim.Optimizer], dropout: bool = True) -> Program:
        gr.random.seed(7)
        middle = gr.nn.Dropout(0.5, gr.random.Generator(3)) if dropout else gr.nn.BatchNorm1d(8)
        last = gr.nn.Dropout(0.25)
        model = gr.nn.Sequential(gr.nn.Linear(4, 8, rng=1), middle, gr.nn.ReLU(), last, gr.nn.Linear(8, 3, rng=2))
        x, t = gr.placeholder(("batch", 4)), gr.placeholder("batch", "int64")
        optimizer = make_optimizer()
        loss = gr.cross_entropy(model(x), t)
        step = gr.compile([x, t], loss, updates=optimizer.updates(loss, model.parameters()))
        return cls(model, optimizer, step, gr.compile([x, t], gr.cross_entropy(model.eval()(x), t)))

    def bits(self) -> dict[str, bytes]:
        state = self.model.state_dict() | self.optimizer.state_dict()
        return {name: array.tobytes() for name, array in state.items()}

    def fit(self, folder: Path, *callbacks: Callback, resume: Any = True, data: Any = (X, T), **options: Any) -> Any:
        """Train with a checkpoint in the folder, as the first of the callbacks."""
        names = [name for name in options if name.startswith("every") or name in ("monitor", "mode", "keep")]
        checkpoint = Checkpoint(
            folder, model=self.model, optimizer=self.optimizer, **{name: options.pop(name) for name in names}
        )
        settings = {"epochs": EPOCHS, "batch_size": 8, "progress": False, "validation": (self.test, (X, T)), **options}
        return fit(self.step, data, callbacks=[checkpoint, *callbacks], resume=resume, **settings)


def adam() -> gr.optim.Optimizer:
    return gr.optim.Adam(gr.optim.schedules.cosine_decay(0.05, EPOCHS * STEPS))


def momentum() -> gr.optim.Optimizer:
    return gr.optim.SGD(gr.variable(0.1), momentum=0.9, nesterov=True)


def outcome(program: Program, history: History) -> tuple[Any, ...]:
    """All that must be the same, bit for bit."""
    return program.bits(), history.metrics, history.examples, history.steps, history.interrupted, history.stopped


def interrupted_at(step: int = 0, epoch: int = 0) -> Callback:
    """Ctrl-C while a step is made, or after an epoch."""

    def press(now: bool) -> None:
        if now:
            os.kill(os.getpid(), signal.SIGINT)

    return LambdaCallback(
        on_batch_end=lambda count, metrics: press(count == step),
        on_epoch_end=lambda count, metrics: press(count == epoch),
    )


@pytest.mark.parametrize("dropout", [True, False], ids=["dropout", "batch-norm"])
@pytest.mark.parametrize("make_optimizer", [adam, momentum])
def test_a_resumed_run_gives_the_same_bits(
    tmp_path: Path, make_optimizer: Callable[[], gr.optim.Optimizer], dropout: bool
) -> None:
    whole = Program.build(make_optimizer, dropout)
    wanted = outcome(whole, whole.fit(tmp_path / "whole"))
    stops = [interrupted_at(step=3), interrupted_at(step=4), interrupted_at(epoch=1), interrupted_at(step=2 * STEPS)]
    for stop in stops:
        history = Program.build(make_optimizer, dropout).fit(tmp_path / "run", stop)
        assert history.interrupted
    resumed = Program.build(make_optimizer, dropout)
    assert outcome(resumed, resumed.fit(tmp_path / "run")) == wanted
    assert wanted[0] != Program.build(make_optimizer, dropout).bits()


def test_ctrl_c_while_validating(tmp_path: Path) -> None:
    whole = Program.build(adam)
    wanted = outcome(whole, whole.fit(tmp_path / "whole"))
    stopped = Program.build(adam)

    def press(*batch: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return stopped.test(*batch)

    history = stopped.fit(tmp_path / "run", validation=(press, (X, T)))
    assert (history.steps, history.epochs, history.interrupted) == (STEPS, 0, True)
    resumed = Program.build(adam)
    assert outcome(resumed, resumed.fit(tmp_path / "run")) == wanted


def test_any_checkpoint_of_a_run_leads_to_the_same_end(tmp_path: Path) -> None:
    """As where the process was killed: after the save, the run went on."""
    whole = Program.build(adam)
    wanted = outcome(whole, whole.fit(tmp_path / "whole", every_steps=5, every_epochs=None, keep=9))
    files = sorted((tmp_path / "whole").glob("step-*"))
    assert [file.name for file in files] == [f"step-{step:08d}.safetensors" for step in (5, 10, 15, 20, 25, 28)]
    for file in files:
        resumed = Program.build(adam)
        assert outcome(resumed, resumed.fit(tmp_path / file.stem, resume=file)) == wanted
    after = Program.build(adam)
    assert outcome(after, after.fit(tmp_path / "longer", resume=tmp_path / "whole")) == wanted


def test_more_epochs(tmp_path: Path) -> None:
    whole = Program.build(adam)
    wanted = outcome(whole, whole.fit(tmp_path / "whole"))
    for epochs in (2, 3, 1, EPOCHS):
        program = Program.build(adam)
        history = program.fit(tmp_path / "run", epochs=epochs)
    assert outcome(program, history) == wanted


class Source:
    """Batches from elsewhere, which differ from epoch to epoch, with a state."""

    def __init__(self) -> None:
        self.begun = -1
        self.given = self.first = 0

    def __iter__(self) -> Iterator[Any]:
        self.begun += not self.first
        first, self.first = self.first, 0
        for self.given in range(first + 1, STEPS + 1):
            rows = np.random.default_rng([self.begun, self.given]).integers(0, 50, 8)
            yield X[rows], T[rows]

    def state_dict(self) -> dict[str, Any]:
        return {"begun": self.begun, "given": self.given % STEPS}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.begun, self.given = state["begun"], state["given"]
        self.first = self.given


@pytest.mark.parametrize("make", [lambda: [(X[start::7], T[start::7]) for start in range(STEPS)], Source])
def test_data_that_is_an_iterable(tmp_path: Path, make: Callable[[], Any]) -> None:
    whole = Program.build(adam)
    wanted = outcome(whole, whole.fit(tmp_path / "whole", data=make()))
    for stop in (3, 12, 20):
        Program.build(adam).fit(tmp_path / "run", interrupted_at(step=stop), data=make())
    resumed = Program.build(adam)
    assert outcome(resumed, resumed.fit(tmp_path / "run", data=make())) == wanted


def test_early_stopping_goes_on_too(tmp_path: Path) -> None:
    def stopping(program: Program) -> EarlyStopping:
        return EarlyStopping("loss", patience=2, mode="max", restore=program.model.parameters())

    whole = Program.build(adam)
    wanted = outcome(whole, whole.fit(tmp_path / "whole", stopping(whole), epochs=9))
    assert wanted[-1]
    assert len(wanted[2]) < 9
    for stop in (5, 2 * STEPS + 1):
        program = Program.build(adam)
        program.fit(tmp_path / "run", stopping(program), interrupted_at(step=stop), epochs=9)
    for _ in range(2):  # a run that has come to its end stays there
        resumed = Program.build(adam)
        assert outcome(resumed, resumed.fit(tmp_path / "run", stopping(resumed), epochs=9)) == wanted
    patient = Program.build(adam)
    longer = EarlyStopping("loss", patience=8, mode="max")
    assert patient.fit(tmp_path / "run", longer, epochs=9).epochs == 9


def test_last_best_and_recent(tmp_path: Path) -> None:
    losses = iter([3.0, 1.0, 2.0, 0.5, 4.0, 0.7])
    program = Program.build(adam)
    seen: list[bytes] = []

    def scripted(*batch: Any) -> float:
        seen.append(program.model.state_dict()["0.weight"].tobytes())
        return next(losses)

    def validate(epochs: int) -> Any:
        return program.fit(
            tmp_path,
            epochs=epochs,
            monitor="validation_loss",
            keep=2,
            validation=(scripted, [X]),
        )

    validate(2)
    for epochs, best in ((3, 2), (4, 4), (6, 4)):
        validate(epochs)
        model = Program.build(adam).model
        info = load_checkpoint(tmp_path / "best.safetensors", model=model)
        assert len(info.state["run"]["history"]["seconds"]) == best
        assert model.state_dict()["0.weight"].tobytes() == seen[best - 1]
    assert inspect_checkpoint(tmp_path).state["run"]["history"]["steps"] == 6 * STEPS
    names = ["best", "last", f"step-{5 * STEPS:08d}", f"step-{6 * STEPS:08d}"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{name}.safetensors" for name in names]


def test_when_it_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def saves(**options: Any) -> list[int]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        Program.build(adam).fit(folder, epochs=3, keep=99, **options)
        return [int(file.stem.removeprefix("step-")) for file in sorted(folder.glob("step-*"))]

    assert saves() == [7, 14, 21]
    assert saves(every_epochs=2) == [14, 21]
    assert saves(every_epochs=None) == [21]
    assert saves(every_epochs=None, every_steps=10) == [10, 20, 21]
    # It looks at the time between native runs, each of which is to be one step here.
    monkeypatch.setattr("graphc.runtime.epochs._FIRST_TICKS", 1)
    monkeypatch.setattr("graphc.runtime.epochs._SECONDS", 0.0)
    clock = iter(range(0, 10**6, 60))
    monkeypatch.setattr("graphc.train.checkpoint_callback.time.monotonic", lambda: next(clock))
    assert saves(every_epochs=None, every_minutes=4) == [4, 8, 12, 16, 20, 21]


def test_ctrl_c_says_what_was_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Program.build(adam).fit(tmp_path, interrupted_at(step=3))
    file = tmp_path / "last.safetensors"
    assert capsys.readouterr().err == f"interrupted after step 3; saved in {file}, to be resumed there\n"
    Program.build(adam).fit(tmp_path)
    assert capsys.readouterr().err == ""


def test_the_progress_bar_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Program.build(adam).fit(tmp_path, interrupted_at(step=3))
    capsys.readouterr()
    Program.build(adam).fit(tmp_path, epochs=1, progress=True)
    text = capsys.readouterr().err
    assert "epoch 1/1:  48%" in text
    assert "50.0/50.0" in text


def test_a_new_run_does_not_replace_another(tmp_path: Path) -> None:
    Program.build(adam).fit(tmp_path, epochs=1)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(gr.GraphError, match="holds the checkpoints of another run") as caught:
        Program.build(adam).fit(tmp_path, epochs=1, resume=False)
    assert "resume=True" in caught.value.remedy
    other = Program.build(adam)
    other.fit(tmp_path / "other", epochs=1)
    with pytest.raises(gr.GraphError, match="holds the checkpoints of another run"):
        Program.build(adam).fit(tmp_path, epochs=2, resume=tmp_path / "other")
    assert (tmp_path / "last.safetensors").read_bytes() == before
    program = Program.build(adam)
    replacing = Checkpoint(tmp_path, overwrite=True, model=program.model, optimizer=program.optimizer)
    fit(program.step, (X, T), callbacks=[replacing], progress=False)
    assert (tmp_path / "last.safetensors").read_bytes() != before


def test_what_cannot_be_resumed(tmp_path: Path) -> None:
    Program.build(adam).fit(tmp_path / "run", interrupted_at(step=3))
    path = tmp_path / "run" / "last.safetensors"

    def refused(message: str, program: Program, **options: Any) -> None:
        before = program.bits()
        with pytest.raises(gr.GraphError, match=message):
            program.fit(tmp_path / "run", **options)
        assert program.bits() == before

    refused("batch_size=8 is loaded into batches with batch_size=9", Program.build(adam), batch_size=9)
    refused("examples=50 is loaded into batches with examples=40", Program.build(adam), data=(X[:40], T[:40]))
    refused("the data is an iterable without a state", Program.build(adam), data=[(X, T)])
    refused("part 'optimizer'", Program.build(momentum))
    refused(r"part 'optimizer': 'weight_1\.exp_avg' is", Program.build(adam, dropout=False))
    refused("none.safetensors cannot be read", Program.build(adam), resume=tmp_path / "none.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused("is damaged", Program.build(adam))
    with pytest.raises(gr.GraphError, match="resume=True without a Checkpoint among the callbacks"):
        fit(lambda x: 0.0, X, resume=True, progress=False)


def test_a_step_that_is_a_python_function(tmp_path: Path) -> None:
    """The default generator is saved with it; others are given as parts."""

    def build() -> tuple[Any, gr.Variable, Checkpoint]:
        gr.random.seed(5)
        w, generator = gr.variable(np.zeros(3)), gr.random.Generator(9)
        noise = gr.random.normal((3,), dtype="float64") + generator.uniform((3,), dtype="float64")
        function = gr.compile([], (w**2).mean(), updates={w: w + noise})
        return (lambda x: function()), w, Checkpoint(tmp_path, model={"w": w}, generator=generator, every_epochs=None)

    step, w, _ = build()
    fit(step, X, epochs=2, progress=False)
    wanted = w.value
    stepping, _, checkpoint = build()
    fit(stepping, X, epochs=2, callbacks=[checkpoint, interrupted_at(step=1)], progress=False)
    step, w, checkpoint = build()
    fit(step, X, epochs=2, callbacks=[checkpoint], resume=True, progress=False)
    np.testing.assert_array_equal(w.value, wanted)


def test_arguments_of_checkpoint(tmp_path: Path) -> None:
    for options, message in (
        ({"every_epochs": 0}, "every_epochs=0"),
        ({"every_steps": -1}, "every_steps=-1"),
        ({"every_minutes": 0.0}, r"every_minutes=0\.0"),
        ({"keep": -1}, "keep=-1"),
        ({"monitor": "loss", "mode": "best"}, "mode='best'"),
        ({"run": {}}, "a part is called 'run'"),
        ({"callback_Mine": {}}, "a part is called 'callback_Mine'"),
    ):
        with pytest.raises(gr.GraphError, match=message):
            Checkpoint(tmp_path, **options)  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(gr.GraphError, match=r"the folder .*file for checkpoints cannot be made: File exists"):
        fit(lambda x: 0.0, X, callbacks=[Checkpoint(tmp_path / "file")], progress=False)
    with pytest.raises(gr.GraphError, match="Checkpoint watches 'accuracy', which is not among the metrics loss"):
        fit(lambda x: 0.0, X, callbacks=[Checkpoint(tmp_path / "new", monitor="accuracy")], progress=False)
