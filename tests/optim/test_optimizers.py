from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr

from .stepping import make_step

STEPS = 12

CASES: list[tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = [
    (gr.optim.SGD, torch.optim.SGD, {"lr": 0.1}),
    (gr.optim.SGD, torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.05}),
    (gr.optim.SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (gr.optim.SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    (gr.optim.SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    (gr.optim.Adam, torch.optim.Adam, {}),
    (gr.optim.Adam, torch.optim.Adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (gr.optim.Adam, torch.optim.Adam, {"lr": 0.3, "betas": (0.5, 0.6), "amsgrad": True}),
    (gr.optim.AdamW, torch.optim.AdamW, {}),
    (gr.optim.AdamW, torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.0}),
    (gr.optim.AdamW, torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}),
    (gr.optim.RMSProp, torch.optim.RMSprop, {}),
    (gr.optim.RMSProp, torch.optim.RMSprop, {"alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1, "centered": True}),
    (gr.optim.RMSProp, torch.optim.RMSprop, {"lr": 0.03, "momentum": 0.9, "centered": True}),
    (gr.optim.RMSProp, torch.optim.RMSprop, {"lr": 0.03, "momentum": 0.5}),
    (gr.optim.Adagrad, torch.optim.Adagrad, {}),
    (gr.optim.Adagrad, torch.optim.Adagrad, {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
    (gr.optim.Adagrad, torch.optim.Adagrad, {"lr": 0.3, "initial_accumulator_value": 0.7}),
]


class Problem:
    """Linear regression with two parameters, on a new batch at each step."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.start = [rng.normal(size=(4, 3)), rng.normal(size=3)]
        self.batches = [(rng.normal(size=(5, 4)), rng.normal(size=(5, 3))) for _ in range(STEPS)]
        self.x = gr.placeholder((5, 4), "float64", name="x")
        self.t = gr.placeholder((5, 3), "float64", name="t")
        self.parameters = [gr.parameter(array, name) for array, name in zip(self.start, "wb", strict=True)]
        weight, bias = self.parameters
        difference = self.x @ weight + bias - self.t
        self.loss = gr.mean(difference * difference)

    def trained(self, optimizer: Any) -> list[np.ndarray]:
        updates = optimizer.updates(self.loss, self.parameters)
        for x, t in self.batches:
            make_step(updates, {self.x: x, self.t: t})
        return [parameter.value for parameter in self.parameters]

    def trained_by_torch(
        self,
        make: Callable[..., torch.optim.Optimizer],
        clip: Callable[[list[torch.Tensor]], Any] = lambda parameters: None,
        schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
    ) -> list[np.ndarray]:
        weight, bias = parameters = [torch.tensor(array, requires_grad=True) for array in self.start]
        optimizer = make(parameters)
        scheduler = schedule(optimizer) if schedule else None
        for x, t in self.batches:
            optimizer.zero_grad()
            ((torch.tensor(x) @ weight + bias - torch.tensor(t)) ** 2).mean().backward()
            clip(parameters)
            optimizer.step()
            if scheduler:
                scheduler.step()
        return [parameter.detach().numpy() for parameter in parameters]


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("ours", "theirs", "options"), CASES)
def test_every_option_moves_parameters_as_pytorch_does(
    ours: Callable[..., Any], theirs: Callable[..., Any], options: dict[str, Any]
) -> None:
    problem = Problem()
    found = problem.trained(ours(**options))
    expected = problem.trained_by_torch(lambda parameters: theirs(parameters, **options))
    assert_close(found, expected)
    assert all(np.abs(array - start).max() > 1e-3 for array, start in zip(found, problem.start, strict=True))


@pytest.mark.parametrize("make", [gr.optim.SGD, gr.optim.AdamW])
def test_a_schedule_as_learning_rate(make: Callable[..., Any]) -> None:
    problem = Problem()
    theirs = torch.optim.SGD if make is gr.optim.SGD else torch.optim.AdamW
    optimizer = make(gr.optim.schedules.exponential_decay(0.2, 0.8), weight_decay=0.1)
    assert gr.evaluate(optimizer.learning_rate, {}) == pytest.approx(0.2)
    found = problem.trained(optimizer)
    expected = problem.trained_by_torch(
        lambda parameters: theirs(parameters, lr=0.2, weight_decay=0.1),
        schedule=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8),
    )
    assert_close(found, expected)
    assert optimizer.step.value == STEPS
    assert gr.evaluate(optimizer.learning_rate, {}) == pytest.approx(0.2 * 0.8**STEPS)


@pytest.mark.parametrize(
    ("clip", "theirs"),
    [
        (gr.optim.clip_by_global_norm(0.5), lambda ps: torch.nn.utils.clip_grad_norm_(ps, 0.5)),
        (gr.optim.clip_by_norm(0.2), lambda ps: [torch.nn.utils.clip_grad_norm_([p], 0.2) for p in ps]),
        (gr.optim.clip_by_value(0.05), lambda ps: torch.nn.utils.clip_grad_value_(ps, 0.05)),
    ],
)
def test_gradient_clip_comes_before_weight_decay(clip: Any, theirs: Any) -> None:
    problem = Problem()
    found = problem.trained(gr.optim.SGD(0.1, weight_decay=0.3, gradient_clip=clip))
    expected = problem.trained_by_torch(lambda ps: torch.optim.SGD(ps, lr=0.1, weight_decay=0.3), clip=theirs)
    assert_close(found, expected)


def test_plain_sgd_is_one_subtraction_of_one_product() -> None:
    w = gr.parameter(np.ones((2, 3), np.float32))
    updates = gr.optim.SGD(0.25).updates(gr.sum(w * w), [w])
    assert list(updates) == [w]
    subtract = updates[w].node
    product = subtract.inputs[1].node
    gradient = product.inputs[1].node
    assert (subtract.op.name, product.op.name, gradient.op.name) == ("subtract", "multiply", "grad")
    assert subtract.inputs[0] is w
    rate = product.inputs[0]
    assert (rate.node.op.name, rate.shape, str(rate.dtype)) == ("constant", (), "float32")


@pytest.mark.parametrize("make", [gr.optim.SGD, gr.optim.Adam, gr.optim.AdamW, gr.optim.RMSProp, gr.optim.Adagrad])
@pytest.mark.parametrize("rate", [0.1, np.float64(0.1), gr.optim.schedules.cosine_decay(0.1, 10)])
def test_float32_parameters_stay_float32(make: Any, rate: Any) -> None:
    w = gr.parameter(np.ones(3, np.float32))
    updates = make(rate, weight_decay=0.1).updates(gr.sum(w * w), [w])
    assert all(value.type == variable.type for variable, value in updates.items())
    make_step(updates)
    assert (w.value < 1).all()


def test_a_variable_as_learning_rate_is_read_at_every_step() -> None:
    w, rate = gr.parameter(np.ones(2, np.float64)), gr.variable(0.5)
    updates = gr.optim.SGD(rate).updates(gr.sum(w), [w])
    make_step(updates)
    rate.value = 0.25
    make_step(updates)
    assert w.value.tolist() == [0.25, 0.25]


def test_compiled_updates_equal_those_of_the_interpreter() -> None:
    options = {"weight_decay": 0.1, "gradient_clip": gr.optim.clip_by_global_norm(0.5)}
    problem, same = Problem(), Problem()
    rate = gr.optim.schedules.linear_warmup(0.2, 4)
    step = gr.compile(
        [problem.x, problem.t],
        problem.loss,
        updates=gr.optim.AdamW(rate, **options).updates(problem.loss, problem.parameters),
    )
    losses = [float(step(x, t)) for x, t in problem.batches]
    expected = same.trained(gr.optim.AdamW(rate, **options))
    assert_close([parameter.value for parameter in problem.parameters], expected)
    assert len(set(losses)) == STEPS


def test_apply_takes_pairs_and_mappings_of_gradients() -> None:
    w, v = gr.parameter(np.ones(2)), gr.parameter(np.ones(2))
    gradients = gr.grad(gr.sum(w * v * 3.0), [w, v])
    for given in (dict(zip((w, v), gradients, strict=True)), list(zip((w, v), gradients, strict=True))):
        updates = gr.optim.SGD(0.1).apply(given)
        np.testing.assert_allclose(gr.evaluate(updates[w], {}), [0.7, 0.7])
        assert set(updates) == {w, v}


def test_two_calls_for_one_parameter_share_its_state() -> None:
    w = gr.parameter(np.ones(2))
    optimizer = gr.optim.Adam()
    first = optimizer.updates(gr.sum(w), [w])
    second = optimizer.updates(gr.sum(w * w), [w])
    assert set(first) == set(second)
    assert len(first) == 4


def test_state_round_trip_continues_a_run() -> None:
    whole, first, second = Problem(), Problem(), Problem()
    expected = whole.trained(gr.optim.Adam(0.1))
    optimizer = gr.optim.Adam(0.1)
    updates = optimizer.updates(first.loss, first.parameters)
    for x, t in first.batches[:5]:
        make_step(updates, {first.x: x, first.t: t})
    state = optimizer.state_dict()
    assert list(state) == ["step", "w.exp_avg", "w.exp_avg_sq", "b.exp_avg", "b.exp_avg_sq"]

    resumed = gr.optim.Adam(0.1)
    updates = resumed.updates(second.loss, second.parameters)
    resumed.load_state_dict(state)
    for before, after in zip(first.parameters, second.parameters, strict=True):
        after.value = before.value
    for x, t in second.batches[5:]:
        make_step(updates, {second.x: x, second.t: t})
    assert_close([parameter.value for parameter in second.parameters], expected)


def test_states_of_parameters_with_one_name_are_numbered() -> None:
    parameters = [gr.parameter(np.ones(2), "weight") for _ in range(3)] + [gr.parameter(np.ones(2))]
    optimizer = gr.optim.SGD(0.1, momentum=0.9)
    optimizer.updates(gr.sum(parameters[0]), parameters)
    assert list(optimizer.state_dict()) == [
        "weight.velocity",
        "weight_1.velocity",
        "weight_2.velocity",
        "parameter.velocity",
    ]


def test_a_parameter_that_the_loss_does_not_need_stays() -> None:
    w, unused = gr.parameter(np.ones(2)), gr.parameter(np.ones(2))
    updates = gr.optim.SGD(0.1, momentum=0.5).updates(gr.sum(w), [w, unused])
    make_step(updates)
    assert unused.value.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: gr.optim.SGD(-1.0), "lr=-1.0"),
        (lambda: gr.optim.SGD(float("nan")), "lr=nan"),
        (lambda: gr.optim.SGD(0.1, momentum=-0.5), "momentum=-0.5"),
        (lambda: gr.optim.SGD(0.1, weight_decay=-1), "weight_decay=-1"),
        (lambda: gr.optim.SGD(0.1, nesterov=True), "nesterov=True with momentum=0.0"),
        (lambda: gr.optim.Adam(betas=(0.9, 1.0)), "beta2=1.0"),
        (lambda: gr.optim.Adam(eps=-1e-8), "eps=-1e-08"),
        (lambda: gr.optim.RMSProp(alpha=-0.1), "alpha=-0.1"),
        (lambda: gr.optim.Adagrad(lr_decay=-0.1), "lr_decay=-0.1"),
        (lambda: gr.optim.clip_by_value(-1.0), "limit=-1.0"),
    ],
)
def test_numbers_outside_their_range(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(gr.GraphError, match=text) as caught:
        make()
    assert "expected: " in str(caught.value)
    assert caught.value.location.filename == __file__


def test_wrong_learning_rates() -> None:
    w = gr.parameter(np.ones(2))
    with pytest.raises(gr.DTypeError, match="the learning rate 'fast'"):
        gr.optim.SGD("fast")
    with pytest.raises(gr.DTypeError, match=r"float32\[2\]"):
        gr.optim.SGD(gr.variable([0.1, 0.2]))
    with pytest.raises(gr.DTypeError, match=r"the learning rate is 0\.1"):
        gr.optim.SGD(lambda step: 0.1).updates(gr.sum(w), [w])


def test_wrong_parameters() -> None:
    w, x = gr.parameter(np.ones(2)), gr.placeholder(2)
    loss = gr.sum(w * x)
    with pytest.raises(gr.GraphError, match="no parameters"):
        gr.optim.SGD(0.1).updates(loss, [])
    with pytest.raises(gr.DTypeError, match="placeholder"):
        gr.optim.SGD(0.1).updates(loss, [x])
    with pytest.raises(gr.DTypeError, match="int64"):
        gr.optim.SGD(0.1).updates(loss, [gr.variable(3)])
    with pytest.raises(gr.ShapeError, match="the gradient of"):
        gr.optim.SGD(0.1).apply({w: loss})
