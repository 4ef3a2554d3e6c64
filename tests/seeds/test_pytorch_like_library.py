"""The figures of a walk-through that builds a PyTorch-like library on a computational graph."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from examples.seeds import operations, pytorch_idiom, recurrent_gradients, scalar_graphs, simple_net
from tests.examples.running import run
from tests.support import check_against_torch

# --- scalar graphs -------------------------------------------------------------------------------------------------


def test_both_derivatives_of_a_plus_b_are_1() -> None:
    figures = scalar_graphs.derivatives_of_a_sum()
    assert figures["dc/da"] == 1.0 and figures["dc/db"] == 1.0


def test_d_is_28_and_its_derivatives_are_11_4_and_4() -> None:
    figures = scalar_graphs.derivatives_of_a_product()
    assert figures == {"d": 28.0, "dd/da": 11.0, "dd/db": 4.0, "dd/dc": 4.0}


def test_derivatives_of_the_rational_function() -> None:
    figures = scalar_graphs.derivatives_of(scalar_graphs.rational)
    np.testing.assert_allclose(figures["df/da"], -153284.83150602411, rtol=1e-14)
    np.testing.assert_allclose(figures["df/db"], 3815.0389441500956, rtol=1e-14)


def test_derivatives_of_the_transcendental_function() -> None:
    figures = scalar_graphs.derivatives_of(scalar_graphs.transcendental)
    np.testing.assert_allclose(figures["df/da"], -1.5667411882581273e19, rtol=1e-14)
    np.testing.assert_allclose(figures["df/db"], -5.795077766989229e20, rtol=1e-14)


# --- operations ----------------------------------------------------------------------------------------------------

TORCH_OPERATIONS: dict[str, Callable[..., Any]] = {
    "matrix + row": torch.add,
    "column - row": torch.sub,
    "matrix * column": torch.mul,
    "number / matrix": torch.div,
    "-matrix": torch.neg,
    "matrix ** 3": lambda x: torch.pow(x, 3),
    "positive ** row": torch.pow,
    "sin": torch.sin,
    "cos": torch.cos,
    "exp": torch.exp,
    "log": torch.log,
    "sign": torch.sign,
    "matrix @ tall": torch.matmul,
    "matrices @ tall": torch.matmul,
    "transpose": lambda x: x.T,
    "transpose(axes)": lambda x: x.permute(1, 2, 0),
    "reshape": lambda x: x.reshape(3, 4),
    "sum": torch.sum,
    "sum(axis)": lambda x: x.sum(dim=0),
    "sum(axis, keepdims)": lambda x: x.sum(dim=(0, 2), keepdim=True),
    "softmax": lambda x: torch.softmax(x, -1),
    "softmax(axis)": lambda x: torch.softmax(x, 0),
    "zeros + x": lambda x: torch.zeros(2, 3, dtype=torch.float64) + x,
    "arange * x": lambda x: torch.arange(3.0, dtype=torch.float64) * x,
    "stop_gradient(x) * x": lambda x: x.detach() * x,
    "sliding_window": lambda x: x.unfold(1, 2, 1),
}


@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_operation_and_its_gradients_compiled(name: str) -> None:
    """With the weights of the program: 1, 2, 3 and so on."""
    tensors = [torch.tensor(array, requires_grad=True) for array in operations.OPERATIONS[name][1]]
    wanted = TORCH_OPERATIONS[name](*tensors)
    (wanted.reshape(-1) * torch.arange(1.0, wanted.numel() + 1)).sum().backward()
    value, gradients = operations.run(name)
    np.testing.assert_allclose(value, wanted.detach().numpy(), rtol=1e-13)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_operation_and_its_gradients_interpreted(name: str) -> None:
    function, arrays = operations.OPERATIONS[name]
    check_against_torch(function, TORCH_OPERATIONS[name], arrays)


def test_randn_draws_standard_normal_numbers_anew_at_every_call() -> None:
    draw = gr.compile([], gr.random.normal((200, 100), dtype="float64"))
    first, second = draw(), draw()
    assert first.shape == (200, 100) and not np.any(first == second)
    for sample in (first, second):  # five deviations of each estimate
        assert abs(sample.mean()) < 5 / np.sqrt(sample.size)
        assert abs(sample.std() - 1) < 5 / np.sqrt(2 * sample.size)


@pytest.mark.parametrize("shapes", [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((4, 1, 3), (2, 1)), ((1,), (1,))])
@pytest.mark.parametrize("sign", ["+", "-", "*", "/"])
def test_broadcasting_everywhere(sign: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    random = np.random.default_rng(0)
    apply: Callable[[Any, Any], Any] = {
        "+": lambda x, y: x + y,
        "-": lambda x, y: x - y,
        "*": lambda x, y: x * y,
        "/": lambda x, y: x / y,
    }[sign]
    check_against_torch(apply, apply, [random.uniform(0.5, 2.0, shape) for shape in shapes])


# --- layers --------------------------------------------------------------------------------------------------------


def check_layer(ours: gr.nn.Module, theirs: torch.nn.Module, *shape: int) -> None:
    """Compare the result and all gradients, of a layer in training, with PyTorch's for random cotangents."""
    theirs.double()
    ours.load_state_dict({name: array.numpy() for name, array in theirs.state_dict().items()})
    random = np.random.default_rng(0)
    data = random.standard_normal(shape)
    x = gr.placeholder(("batch", *shape[1:]), "float64")
    tensor = torch.tensor(data, requires_grad=True)
    wanted = theirs(tensor)
    cotangent = random.standard_normal(tuple(wanted.shape))
    wanted.backward(torch.tensor(cotangent))
    result, factors = ours(x), gr.placeholder(("batch", *cotangent.shape[1:]), "float64")
    gradients = gr.grad((result * factors).sum(), [x, *ours.parameters()])
    found = gr.compile([x, factors], [result, *gradients])(data, cotangent)
    slopes = [tensor.grad, *(weight.grad for weight in theirs.parameters())]
    for array, expected in zip(found, [wanted.detach(), *slopes], strict=True):
        np.testing.assert_allclose(array, expected.numpy(), rtol=1e-9, atol=1e-11)


def test_linear() -> None:
    check_layer(gr.nn.Linear(4, 3, dtype="float64"), torch.nn.Linear(4, 3), 5, 4)


def test_flatten() -> None:
    check_layer(gr.nn.Flatten(), torch.nn.Flatten(), 5, 2, 3, 4)


def test_relu() -> None:
    check_layer(gr.nn.ReLU(), torch.nn.ReLU(), 5, 4)


def test_maxpool2d() -> None:
    check_layer(gr.nn.MaxPool2d(2), torch.nn.MaxPool2d(2), 5, 3, 8, 7)


def test_batchnorm2d() -> None:
    check_layer(gr.nn.BatchNorm2d(3, dtype="float64"), torch.nn.BatchNorm2d(3), 5, 3, 6, 7)


def test_conv2d() -> None:
    check_layer(gr.nn.Conv2d(3, 4, 5, dtype="float64"), torch.nn.Conv2d(3, 4, 5), 5, 3, 9, 8)


def test_cross_entropy_loss_has_the_softmax_inside() -> None:
    logits, labels = np.random.default_rng(0).standard_normal((6, 3)), np.array([0, 1, 2, 2, 1, 0])
    check_against_torch(gr.nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(), [logits, labels])
    written_out = -np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[np.arange(6), labels].mean()
    np.testing.assert_allclose(gr.evaluate(gr.nn.CrossEntropyLoss()(logits, labels)), written_out, rtol=1e-12)


def test_sgd() -> None:
    weight = gr.parameter(np.array([1.0, 2.0]))
    loss = (weight**2).sum()
    gr.compile([], loss, updates=gr.optim.SGD(0.01).updates(loss, [weight]))()
    np.testing.assert_allclose(weight.value, [0.98, 1.96], rtol=1e-15)


# --- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_loss_of_simple_net_falls_from_above_1_to_below_0_03_within_100_steps(seed: int) -> None:
    image, label = np.random.default_rng(seed).standard_normal((1, 5, 5)), np.array([1])
    model = simple_net.SimpleNet(seed)
    theirs = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(25, 10), torch.nn.ReLU(), torch.nn.Linear(10, 2))
    names = {"1": "hidden", "3": "output"}
    state = model.state_dict()
    theirs.double().load_state_dict(
        {name: torch.tensor(state[f"{names[name[0]]}.{name[2:]}"]) for name in theirs.state_dict()}
    )
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01)
    losses = simple_net.train(model, image, label)
    assert len(losses) == 100
    assert losses[0] > 1.0 and losses[-1] < 0.03
    for loss in losses:
        optimizer.zero_grad()
        wanted = torch.nn.functional.cross_entropy(theirs(torch.tensor(image)), torch.tensor(label))
        wanted.backward()
        optimizer.step()
        np.testing.assert_allclose(loss, wanted.item(), rtol=1e-9)


@pytest.mark.parametrize("name", recurrent_gradients.CELLS)
def test_rnn_lstm_and_gru_get_their_gradients_for_free(name: str) -> None:
    inputs, hidden = recurrent_gradients.INPUTS, recurrent_gradients.HIDDEN
    sequence = np.random.default_rng(0).standard_normal((recurrent_gradients.STEPS, recurrent_gradients.BATCH, inputs))
    cell = recurrent_gradients.CELLS[name](inputs, hidden, dtype="float64")
    theirs = getattr(torch.nn, f"{name}Cell")(inputs, hidden, dtype=torch.float64)
    theirs.load_state_dict({weight: torch.tensor(array) for weight, array in cell.state_dict().items()})
    state: Any = None
    for item in torch.tensor(sequence):
        state = theirs(item, state)
    wanted = ((state[0] if name == "LSTM" else state) ** 2).mean()
    wanted.backward()
    loss, gradients = recurrent_gradients.loss_and_gradients(cell, sequence)
    np.testing.assert_allclose(loss, wanted.item(), rtol=1e-12)
    assert len(gradients) == 4
    for weight, tensor in theirs.named_parameters():
        np.testing.assert_allclose(gradients[weight], tensor.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_gradients_of_recurrent_cells_are_the_difference_quotients() -> None:
    lines = run("seeds/recurrent_gradients.py").splitlines()
    assert [line.split(":")[0] for line in lines] == list(recurrent_gradients.CELLS)
    for line in lines:
        slope, quotient = re.findall(r"(?:slope|quotient) ([-.\d]+)", line)
        assert abs(float(slope)) > 1e-3
        np.testing.assert_allclose(float(slope), float(quotient), rtol=1e-6)


def test_the_closing_program_gives_the_losses_of_pytorch_line_by_line() -> None:
    """The example runs in a process of its own, whose weights are the first ones drawn after the seed 0."""
    found = [float(value) for value in re.findall(r"loss ([.\d]+)", run("seeds/pytorch_idiom.py"))]
    gr.nn.init.seed(0)
    random = np.random.default_rng(0)
    X, y = torch.tensor(random.standard_normal((100, 3), np.float32)), torch.tensor(random.integers(0, 2, 100))
    layers = {"hidden": torch.nn.Linear(3, 5), "relu": torch.nn.ReLU(), "output": torch.nn.Linear(5, 2)}
    model = torch.nn.Sequential(OrderedDict(layers))
    model.load_state_dict({name: torch.tensor(array) for name, array in pytorch_idiom.Net().state_dict().items()})
    loss_function = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    wanted = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = loss_function(model(X), y)
        loss.backward()
        optimizer.step()
        wanted.append(loss.item())
    assert len(found) == 100 and found[-1] < found[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
