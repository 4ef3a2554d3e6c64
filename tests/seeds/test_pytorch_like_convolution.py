"""The figures of a walk-through that builds a PyTorch-like library: convolution, and its networks of convolutions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from examples.seeds import convolution_by_windows as by_windows
from examples.seeds.arithmetic_between_layers import FirstConvNet
from examples.seeds.simple_conv_net import SimpleConvNet
from tests.examples.running import run

# --- convolution by windows ----------------------------------------------------------------------------------------


def sample(what: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images, kernels = by_windows.SHAPES[what]
    return random.standard_normal(images), random.standard_normal(kernels)


@pytest.mark.parametrize("what", by_windows.SHAPES)
def test_convolution_by_windows_equals_the_naive_loops(what: str) -> None:
    images, kernels = sample(what)
    np.testing.assert_allclose(
        by_windows.run(images, kernels), by_windows.correlate_by_loops(images, kernels), rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize("what", by_windows.SHAPES)
def test_convolution_by_windows_equals_scipy_signal(what: str) -> None:
    images, kernels = sample(what)
    found, wanted = by_windows.run(images, kernels), by_windows.correlate_by_scipy(images, kernels)
    assert found.shape == wanted.shape == (len(images), len(kernels), *wanted.shape[2:])
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


def test_convolution_by_windows_is_conv2d_and_has_its_gradients() -> None:
    images, kernels = sample("a batch of images with channels, several kernels")
    x, k = (gr.placeholder(array.shape, "float64") for array in (images, kernels))
    ours, theirs = gr.squeeze(by_windows.correlate(x, k), axis=2), gr.conv2d(x, k)
    cotangent = np.random.default_rng(1).standard_normal((5, 4, 6, 7))
    results = [[value, *gr.grad((value * cotangent).sum(), [x, k])] for value in (ours, theirs)]
    found = gr.compile([x, k], [*results[0], *results[1]])(images, kernels)
    for ours_value, theirs_value in zip(found[:3], found[3:], strict=True):
        np.testing.assert_allclose(ours_value, theirs_value, rtol=1e-11, atol=1e-12)


# --- networks ------------------------------------------------------------------------------------------------------


def torch_layers(model: gr.nn.Module, layers: dict[str, torch.nn.Module]) -> torch.nn.ModuleDict:
    """PyTorch's layers with the weights of a model, whose layers have the same names but for dots."""
    made = torch.nn.ModuleDict(layers)
    state = model.state_dict()
    made.load_state_dict({name: torch.tensor(state[name.replace("_", ".", 1)]) for name in made.state_dict()})
    return made


def simple_conv_net(model: gr.nn.Module) -> tuple[torch.nn.ModuleDict, Any]:
    channels = (1, 5, 10, 20, 20, 20, 10)
    layers: dict[str, torch.nn.Module] = {
        f"convolutions_{place}": torch.nn.Conv2d(channels[place], channels[place + 1], 5) for place in range(6)
    }
    made = torch_layers(model, {**layers, "hidden": torch.nn.Linear(160, 20), "output": torch.nn.Linear(20, 10)})

    def forward(x: torch.Tensor) -> torch.Tensor:
        for place in range(6):
            x = torch.relu(made[f"convolutions_{place}"](x))
        return made["output"](torch.relu(made["hidden"](x.flatten(1))))

    return made, forward


def first_conv_net(model: gr.nn.Module) -> tuple[torch.nn.ModuleDict, Any]:
    made = torch_layers(
        model,
        {
            "conv1": torch.nn.Conv2d(1, 5, 5),
            "conv2": torch.nn.Conv2d(5, 10, 5),
            "hidden": torch.nn.Linear(160, 20),
            "output": torch.nn.Linear(20, 10),
        },
    )

    def forward(x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.max_pool2d(torch.relu(made["conv1"](x)), 2)
        x = torch.nn.functional.max_pool2d(torch.relu(made["conv2"](x)) * 2, 2) ** 2
        return made["output"](torch.relu(made["hidden"](x.flatten(1))) + 1)

    return made, forward


@pytest.mark.parametrize(("make", "in_pytorch"), [(SimpleConvNet, simple_conv_net), (FirstConvNet, first_conv_net)])
def test_steps_on_mnist_at_batch_64_are_those_of_pytorch(make: Any, in_pytorch: Any) -> None:
    gr.nn.init.seed(0)
    model = make()
    layers, forward = in_pytorch(model)
    digits = gr.datasets.load_digits()
    x = gr.placeholder(("batch", 1, 28, 28))
    t = gr.placeholder(("batch",), "int64")
    loss = gr.nn.CrossEntropyLoss()(model(x), t)
    gradients = gr.grad(loss, model.parameters())
    step = gr.compile([x, t], [loss, *gradients], updates=gr.optim.Adam(1e-3).updates(loss, model.parameters()))
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-3)
    for start in range(0, 256, 64):
        images = digits.train_images[start : start + 64].reshape(-1, 1, 28, 28)
        labels = digits.train_labels[start : start + 64]
        value, *slopes = step(images, labels)
        optimizer.zero_grad()
        wanted = torch.nn.functional.cross_entropy(forward(torch.tensor(images)), torch.tensor(labels))
        wanted.backward()
        if start == 0:
            for slope, parameter in zip(slopes, layers.parameters(), strict=True):
                scale = parameter.grad.abs().max().item()
                np.testing.assert_allclose(slope, parameter.grad.numpy(), rtol=1e-3, atol=1e-4 * scale)
        optimizer.step()
        np.testing.assert_allclose(value, wanted.item(), rtol=1e-3)


def test_simple_conv_net_has_the_layers_of_the_walk_through() -> None:
    shapes = [weight.shape for weight in SimpleConvNet().parameters()]
    assert shapes[0::2] == [
        (5, 1, 5, 5),
        (10, 5, 5, 5),
        (20, 10, 5, 5),
        (20, 20, 5, 5),
        (20, 20, 5, 5),
        (10, 20, 5, 5),
        (20, 160),
        (10, 20),
    ]
    assert shapes[1::2] == [(5,), (10,), (20,), (20,), (20,), (10,), (20,), (10,)]


def test_simple_conv_net_learns_mnist_to_92_percent_within_ten_epochs() -> None:
    output = run("seeds/simple_conv_net.py")
    losses = [float(value) for value in re.findall(r"loss ([.\d]+)", output)]
    accuracies = [float(value) for value in re.findall(r"test accuracy ([.\d]+)%", output)]
    assert len(losses) == len(accuracies) == 10
    assert losses[0] < 2.25 and losses[-1] < 0.5  # in the walk-through it stays at 2.3
    assert max(accuracies) >= 92.0


def test_the_variant_with_arithmetic_between_layers_learns_too() -> None:
    output = run("seeds/arithmetic_between_layers.py", "2")
    losses = [float(value) for value in re.findall(r"loss ([.\d]+)", output)]
    accuracies = [float(value) for value in re.findall(r"test accuracy ([.\d]+)%", output)]
    assert losses[1] < losses[0] / 2
    assert accuracies[-1] >= 80.0
