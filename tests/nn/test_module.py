from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr


class Block(gr.nn.Module):
    def __init__(self) -> None:
        self.inner = gr.nn.Linear(4, 4)
        self.scale = gr.parameter(np.ones(4, np.float32), "scale")
        self.steps = gr.variable(3)
        self.layers = [gr.nn.Linear(4, 4, bias=False), gr.nn.ReLU()]
        self.heads = {"left": gr.nn.Linear(4, 2), "right": gr.nn.Linear(4, 2)}

    def forward(self, x: Any) -> Any:
        x = self.scale * self.inner(x)
        for layer in self.layers:
            x = layer(x)
        return {name: head(x) for name, head in self.heads.items()}


NAMES = [
    "inner.weight",
    "inner.bias",
    "scale",
    "steps",
    "layers.0.weight",
    "heads.left.weight",
    "heads.left.bias",
    "heads.right.weight",
    "heads.right.bias",
]


def mlp() -> gr.nn.Sequential:
    return gr.nn.Sequential(gr.nn.Linear(4, 8), gr.nn.ReLU(), gr.nn.Linear(8, 3))


def test_parameters_are_named_by_their_path() -> None:
    block = Block()
    assert list(block.state_dict()) == NAMES
    parameters = dict(block.named_parameters())
    assert list(parameters) == [name for name in NAMES if name != "steps"]
    assert block.parameters() == list(parameters.values()) or all(
        a is b for a, b in zip(block.parameters(), parameters.values(), strict=True)
    )
    assert parameters["heads.left.bias"] is block.heads["left"].bias
    assert [path for path, _ in block.named_modules()] == [
        "",
        "inner",
        "layers.0",
        "layers.1",
        "heads.left",
        "heads.right",
    ]


def test_a_state_from_pytorch_and_back() -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    ours = mlp()
    assert ours.load_state_dict(theirs.state_dict()) == ((), ())
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(gr.evaluate(ours(x)), expected, rtol=1e-5, atol=1e-6)
    other = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    other.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    np.testing.assert_allclose(other(torch.tensor(x)).detach().numpy(), expected, rtol=1e-6)


def test_a_state_is_a_copy() -> None:
    model = mlp()
    state = model.state_dict()
    state["0.bias"][...] = 9
    assert not (model[0].bias.value == 9).any()
    before = model[0].bias.value
    model.load_state_dict(state)
    state["0.bias"][...] = 0
    assert (model[0].bias.value == 9).all()
    assert not (before == 9).any()


def test_names_that_do_not_match() -> None:
    model = mlp()
    state = model.state_dict()
    state["0.wieght"] = state.pop("0.weight")
    with pytest.raises(gr.GraphError) as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    assert "the state lacks '0.weight'; no variable is named '0.wieght'" in message
    assert "rename '0.wieght' to '0.weight', or pass strict=False" in message
    assert caught.value.location.filename == __file__
    state["0.bias"] = np.full(8, 7.0)
    result = model.load_state_dict(state, strict=False)
    assert result == (("0.weight",), ("0.wieght",))
    assert (model[0].bias.value == 7).all()


@pytest.mark.parametrize(
    ("wrong", "error"), [(np.zeros(3, np.float32), gr.ShapeError), (np.zeros((3, 8), complex), gr.DTypeError)]
)
def test_a_wrong_array_changes_nothing(wrong: np.ndarray, error: type[Exception]) -> None:
    model = mlp()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()} | {"2.weight": wrong}
    with pytest.raises(error, match=r"loading '2\.weight'"):
        model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_shared_module_counts_once() -> None:
    layer = gr.nn.Linear(4, 4)
    model = gr.nn.Sequential(layer, gr.nn.Tanh(), layer)
    assert len(model.parameters()) == 2
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(model.modules()) == 3


def test_modules_that_know_each_other() -> None:
    class Child(gr.nn.Module):
        def __init__(self, parent: gr.nn.Module) -> None:
            self.parent = parent
            self.weight = gr.parameter([1.0])

        def forward(self, x: Any) -> Any:
            return x * self.weight

    class Parent(gr.nn.Module):
        def __init__(self) -> None:
            self.child = Child(self)

        def forward(self, x: Any) -> Any:
            return self.child(x)

    parent = Parent()
    assert list(parent.state_dict()) == ["child.weight"]
    assert len(parent.modules()) == 2
    assert not parent.eval().child.training


def test_dataclasses_are_modules() -> None:
    @dataclass
    class Scale(gr.nn.Module):
        weight: gr.Variable
        rate: float = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.weight * self.rate

    module = gr.nn.Sequential(Scale(gr.parameter([3.0])))
    assert [name for name, _ in module.named_parameters()] == ["0.weight"]
    assert gr.evaluate(module(np.float32(2.0))) == 12.0


def test_training_and_evaluation() -> None:
    model = gr.nn.Sequential(gr.nn.Linear(3, 3), gr.nn.Sequential(gr.nn.Dropout(0.5)))
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train() is model
    assert all(module.training for module in model.modules())


def test_nodes_stand_in_the_scopes_of_their_modules() -> None:
    block = Block()
    left = block(gr.placeholder(("batch", 4)))["left"]
    assert left.node.scope == "block/heads.left"
    scopes = {node.scope for node in gr.Graph.of((), [left]).nodes if node.inputs}
    assert scopes == {"block", "block/inner", "block/layers.0", "block/layers.1", "block/heads.left"}
    assert mlp()(gr.placeholder(("batch", 4))).node.scope == "sequential/linear_2"
    with gr.scope("encoder"):
        assert gr.nn.ReLU()(gr.placeholder(3)).node.scope == "encoder/relu"


def test_a_module_that_fails_leaves_its_scope() -> None:
    with pytest.raises(gr.ShapeError):
        mlp()(gr.placeholder(("batch", 5)))
    assert gr.nn.ReLU()(gr.placeholder(3)).node.scope == "relu"


def test_sequential_is_a_sequence() -> None:
    model = mlp()
    assert len(model) == 3
    assert list(model) == [model[0], model[1], model[2]]
    assert model[-1] is model[2]
    assert isinstance(model[:2], gr.nn.Sequential)
    assert model[:2][0] is model[0]
    x = gr.placeholder(4)
    assert gr.nn.Sequential()(x) is x
    with pytest.raises(gr.DTypeError, match=r"layer 0 of a Sequential is \[") as caught:
        gr.nn.Sequential([gr.nn.ReLU()])
    assert "Sequential(*layers)" in str(caught.value)


def test_repr() -> None:
    assert repr(gr.nn.Linear(3, 4)) == "Linear(3, 4)"
    assert repr(gr.nn.Linear(3, 4, bias=False)) == "Linear(3, 4, bias=False)"
    assert repr(gr.nn.Embedding(3, 4)) == "Embedding(3, 4)"
    assert repr(gr.nn.Dropout(0.1)) == "Dropout(0.1)"
    assert repr(gr.nn.LeakyReLU()) == "LeakyReLU(negative_slope=0.01)"
    assert repr(gr.nn.Sequential(gr.nn.Sequential(gr.nn.ReLU()), gr.nn.Tanh())) == (
        "Sequential(\n  (0): Sequential(\n    (0): ReLU()\n  )\n  (1): Tanh()\n)"
    )


SUMMARY = """\
module       type        result             parameters
------------------------------------------------------
sequential   Sequential  float32[batch, 3]          67
  linear_0   Linear      float32[batch, 8]          40
  relu_1     ReLU        float32[batch, 8]           0
  dropout_2  Dropout     float32[batch, 8]           0
  linear_3   Linear      float32[batch, 3]          27
------------------------------------------------------
67 parameters, 268 bytes"""


def test_summary() -> None:
    model = gr.nn.Sequential(gr.nn.Linear(4, 8), gr.nn.ReLU(), gr.nn.Dropout(0.5), gr.nn.Linear(8, 3))
    model[2].eval()
    assert model.summary(gr.placeholder(("batch", 4))) == SUMMARY
    assert [module.training for module in model.modules()] == [True, True, True, False, True]


def test_summary_draws_no_random_streams() -> None:
    x = gr.placeholder((4,))
    generators = [gr.random.Generator(1), gr.random.Generator(1)]
    layers = [gr.nn.Dropout(0.5, generator) for generator in generators]
    layers[0].summary(x)
    streams = [layer(gr.ones(50)) for layer in layers]
    first, second = gr.evaluate(streams)
    np.testing.assert_array_equal(first, second)
