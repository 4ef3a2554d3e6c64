from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import graphc as gr
from graphc.optim import SGD, ExponentialMovingAverage
from tests.optim.stepping import make_step

RNG = np.random.default_rng(0)
X, T, START = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2)), RNG.normal(size=(2, 3))


class Program:
    def __init__(self, warmup: bool = False) -> None:
        self.x = gr.placeholder((6, 3), "float64")
        self.weight = gr.parameter(START, "weight")
        self.loss = ((self.x @ self.weight.T - T) ** 2).mean()
        self.average = ExponentialMovingAverage([self.weight], 0.8, warmup)
        self.updates = self.average.updates(SGD(0.1).updates(self.loss, [self.weight]))


def test_against_pytorch() -> None:
    program = Program()
    step = gr.compile([program.x], program.loss, updates=program.updates)
    test = gr.compile([program.x], program.average.averaged([program.loss]))
    layer = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(START))
    model = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.8))  # type: ignore[no-untyped-call]
    model.update_parameters(layer)  # the first call copies
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    inputs, targets = torch.tensor(X), torch.tensor(T)
    for _ in range(5):
        step(X)
        optimizer.zero_grad()
        ((layer(inputs) - targets) ** 2).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        model.update_parameters(layer)
    np.testing.assert_allclose(program.weight.value, layer.weight.detach().numpy(), rtol=1e-12)
    average = program.average.averages[program.weight]
    np.testing.assert_allclose(average.value, model.module.weight.detach().numpy(), rtol=1e-12)
    assert not np.allclose(average.value, program.weight.value)
    assert test(X)[0] == pytest.approx(((model(inputs) - targets) ** 2).mean().item(), rel=1e-12)


def test_warmup_is_that_of_its_formula() -> None:
    program = Program(warmup=True)
    wanted = START
    for t in range(40):
        make_step(program.updates, {program.x: X})
        decay = min(0.8, (1 + t) / (10 + t))
        wanted = decay * wanted + (1 - decay) * program.weight.value
    np.testing.assert_allclose(program.average.averages[program.weight].value, wanted, rtol=1e-12)
    assert program.average.state_dict()["step"] == 40


def test_swapping_and_back() -> None:
    program = Program()
    average = program.average.averages[program.weight]
    make_step(program.updates, {program.x: X})
    before, mean = program.weight.value, average.value
    of_averages = gr.evaluate(program.average.averaged([program.loss]), {program.x: X})
    with program.average.swapped():
        assert (program.weight.value == mean).all() and (average.value == before).all()
        assert gr.evaluate([program.loss], {program.x: X}) == of_averages
    assert (program.weight.value == before).all() and (average.value == mean).all()
    with pytest.raises(ZeroDivisionError), program.average.swapped():
        raise ZeroDivisionError
    assert (program.weight.value == before).all() and (average.value == mean).all()


def test_state_goes_on_in_another_program() -> None:
    first, second = Program(warmup=True), Program(warmup=True)
    make_step(first.updates, {first.x: X})
    second.weight.value = first.weight.value
    assert second.average.load_state_dict(first.average.state_dict()) == ((), ())
    for program in (first, second):
        make_step(program.updates, {program.x: X})
    found, wanted = (program.average.state_dict() for program in (second, first))
    assert list(found) == ["step", "weight.average"]
    assert all((found[name] == wanted[name]).all() for name in found)


def test_parameters_without_update_of_one_name_and_of_float32() -> None:
    parameters = [gr.parameter([1.0], "w", "float32"), gr.parameter([2.0], "w", "float32")]
    average = ExponentialMovingAverage([*parameters, parameters[0]], 0.5)
    assert list(average.state_dict()) == ["w.average", "w_1.average"]
    parameters[1].value = np.array([4.0])
    updates = average.updates({})
    assert {str(value.type) for value in updates.values()} == {"float32[1]"}
    make_step(updates)
    assert [variable.value.tolist() for variable in average.averages.values()] == [[1.0], [3.0]]


def test_it_is_kept_in_checkpoints(tmp_path: Path) -> None:
    first, second = Program(), Program()
    make_step(first.updates, {first.x: X})
    gr.train.save_checkpoint(tmp_path / "file", average=first.average)
    gr.train.load_checkpoint(tmp_path / "file", average=second.average)
    found, wanted = (program.average.averages[program.weight].value for program in (second, first))
    assert (found == wanted).all()


def test_wrong_arguments() -> None:
    with pytest.raises(gr.GraphError, match="decay=1"):
        ExponentialMovingAverage([], decay=1.0)
    with pytest.raises(gr.DTypeError, match="as a parameter"):
        ExponentialMovingAverage([gr.variable(1)])


def test_a_resumed_run_has_the_same_bits_also_in_the_middle_of_an_accumulation(tmp_path: Path) -> None:
    data = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))

    def run(name: str, stops: int | None, resume: bool = False) -> dict[str, np.ndarray]:
        x, t = gr.placeholder(("batch", 3), "float64"), gr.placeholder(("batch", 2), "float64")
        weight = gr.parameter(START, "weight")
        loss = ((x @ weight.T - t) ** 2).mean()
        optimizer = gr.optim.GradientAccumulation(gr.optim.Adam(0.1), 3, gr.dim_size(x.shape[0]))
        average = ExponentialMovingAverage([weight], 0.9, warmup=True)
        step = gr.compile([x, t], loss, updates=average.updates(optimizer.updates(loss, [weight])))
        parts = {"weights": {"weight": weight}, "optimizer": optimizer, "average": average}
        callbacks = [
            gr.train.LambdaCallback(on_batch_end=lambda count, metrics: count == stops),
            gr.train.Checkpoint(tmp_path / name, **parts),
        ]
        batches = gr.train.prefetch(gr.train.Batches(*data, batch_size=3, seed=2))
        gr.train.fit(step, batches, epochs=2, callbacks=callbacks, progress=False, resume=resume)
        return {"weight": weight.value} | optimizer.state_dict() | average.state_dict()

    whole = run("whole", None)
    run("stopped", 8)
    found = run("stopped", None, resume=True)
    assert list(found) == list(whole)
    assert all(found[name].tobytes() == whole[name].tobytes() for name in whole)
    assert int(whole["accumulated"]) == 2
