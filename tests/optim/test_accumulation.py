from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.optim import SGD, Adam, GradientAccumulation, Optimizer
from tests.optim.stepping import make_step

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))
START = RNG.normal(size=(3, 2))
SIZES = [4, 3, 1, 2, 2]
"""Of the micro-batches: those of the first three make one update, the others are left over."""


class Program:
    """Least squares by an optimizer, weighted by the sizes of micro-batches unless they are equal."""

    def __init__(self, optimizer: Optimizer, every: int = 1, weighted: bool = False) -> None:
        self.x, self.t = gr.placeholder(("batch", 3), "float64"), gr.placeholder(("batch", 2), "float64")
        self.weight = gr.parameter(START, "weight")
        self.loss = ((self.x @ self.weight - self.t) ** 2).sum(1).mean()
        size = gr.dim_size(self.x.shape[0]) if weighted else None
        self.optimizer = GradientAccumulation(optimizer, every, size) if every > 1 else optimizer
        self.updates = self.optimizer.updates(self.loss, [self.weight])

    def step(self, start: int, size: int) -> None:
        part = slice(start, start + size)
        make_step(self.updates, {self.x: X[part], self.t: T[part]})


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda: SGD(0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda: Adam(0.05, gradient_clip=gr.optim.clip_by_global_norm(0.5)),
    "schedule": lambda: SGD(gr.optim.schedules.step_decay(0.1, 1, 0.5)),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_equal_micro_batches_make_the_updates_of_the_large_batch(make: Any) -> None:
    large, small = Program(make()), Program(make(), every=3)
    for _ in range(3):
        before = small.weight.value
        large.step(0, 12)
        for start in (0, 4, 8):
            assert (small.weight.value == before).all()
            small.step(start, 4)
        np.testing.assert_allclose(small.weight.value, large.weight.value, rtol=1e-12)
    wanted = large.optimizer.state_dict()
    found = small.optimizer.state_dict()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, err_msg=name)
    assert {name for name in found if name not in wanted} == {
        "accumulated",
        "accumulated_weight",
        "weight.gradient_sum",
    }


def test_micro_batches_of_different_sizes_against_pytorch() -> None:
    program = Program(SGD(0.1), every=3, weighted=True)
    weight = torch.tensor(START, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1)
    loss = ((torch.tensor(X[:8]) @ weight - torch.tensor(T[:8])) ** 2).sum(1).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    starts = np.cumsum([0, *SIZES[:-1]])
    for start, size in zip(starts, SIZES, strict=True):
        program.step(int(start), size)
    np.testing.assert_allclose(program.weight.value, weight.detach().numpy(), rtol=1e-12)
    state = program.optimizer.state_dict()
    assert (int(state["accumulated"]), float(state["accumulated_weight"])) == (2, 4.0)


def test_an_unfinished_sum_is_saved_and_goes_on() -> None:
    first, second = Program(Adam(0.1), every=3), Program(Adam(0.1), every=3)
    for start in (0, 4):
        first.step(start, 4)
    assert second.optimizer.load_state_dict(first.optimizer.state_dict()) == ((), ())
    for program in (first, second):
        program.step(8, 4)
    assert (first.weight.value == second.weight.value).all()
    assert (first.weight.value != START).all()


def test_compiled_as_interpreted() -> None:
    interpreted, compiled = (Program(Adam(0.05), every=2, weighted=True) for _ in range(2))
    step = gr.compile([compiled.x, compiled.t], compiled.loss, updates=compiled.updates)
    for start, size in [(0, 5), (5, 2), (7, 4), (11, 1)]:
        interpreted.step(start, size)
        step(X[start : start + size], T[start : start + size])
    for name, array in interpreted.optimizer.state_dict().items():
        np.testing.assert_allclose(compiled.optimizer.state_dict()[name], array, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(compiled.weight.value, interpreted.weight.value, rtol=1e-12)
    assert int(compiled.optimizer.step.value) == 2
    assert gr.evaluate(compiled.optimizer.learning_rate) == 0.05


def test_gradients_that_are_not_finite_reach_no_parameter_before_their_update() -> None:
    program = Program(SGD(0.1), every=2)
    make_step(program.updates, {program.x: np.full((1, 3), np.nan), program.t: T[:1]})
    assert (program.weight.value == START).all()


def test_parameters_of_one_name_and_of_two_dtypes() -> None:
    parameters = [gr.parameter([1.0, 2.0], "w", "float32"), gr.parameter([3.0], "w", "float64")]
    optimizer = GradientAccumulation(SGD(1.0), 2)
    loss = sum(gr.cast(parameter.sum(), "float64") for parameter in parameters)
    assert isinstance(loss, gr.Value)
    updates = optimizer.updates(loss, parameters)
    assert {"w.gradient_sum", "w_1.gradient_sum"} <= set(optimizer.state_dict())
    for _ in range(2):
        make_step(updates)
    assert [parameter.value.tolist() for parameter in parameters] == [[0.0, 1.0], [2.0]]


def test_wrong_arguments() -> None:
    with pytest.raises(gr.GraphError, match="every=0"):
        GradientAccumulation(SGD(0.1), 0)
    with pytest.raises(gr.DTypeError, match="the weight is"):
        GradientAccumulation(SGD(0.1), 2, gr.constant([1.0]))
    with pytest.raises(gr.ShapeError, match="the gradient of"):
        GradientAccumulation(SGD(0.1), 2).apply({gr.parameter([1.0]): gr.constant(1.0)})
    with pytest.raises(gr.GraphError, match="no parameters"):
        GradientAccumulation(SGD(0.1), 2).apply({})
