from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import graphc as gr
from examples import gpt
from tests.examples.running import number_after, run


def test_gpt_learns_and_writes_text_and_draws_its_graph(tmp_path: Path) -> None:
    """A tenth of the full setting: letters that fit together, not yet words."""
    output = run("gpt.py", "--steps", "20", "--length", "50", "--graph", str(tmp_path))
    assert number_after("test loss", output) < 3.2  # 4.2 is the logarithm of 65: nothing learned
    written = output[output.index("20  loss") :].split("\n", 1)[1]
    assert len(written) > 50
    assert (tmp_path / "gpt.dot").read_text(encoding="utf-8").startswith("digraph")
    assert ElementTree.parse(tmp_path / "gpt.svg").getroot().tag.endswith("svg")


def torch_gpt2(weights: dict[str, torch.Tensor], ids: torch.Tensor, layers: int, heads: int) -> torch.Tensor:
    """GPT-2 as published, on weights by the names of a checkpoint, whose matrices are (inputs, outputs)."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def conv1d(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def split(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    x = weights["wte.weight"][ids] + weights["wpe.weight"][: ids.shape[1]]
    for layer in range(layers):
        name = f"h.{layer}"
        q, k, v = map(split, conv1d(norm(x, f"{name}.ln_1"), f"{name}.attn.c_attn").chunk(3, -1))
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + conv1d(attended.transpose(1, 2).flatten(2), f"{name}.attn.c_proj")
        wide = torch.nn.functional.gelu(conv1d(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc"), approximate="tanh")
        x = x + conv1d(wide, f"{name}.mlp.c_proj")
    return norm(x, "ln_f") @ weights["wte.weight"].T


def in_the_checkpoint(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """The name and the layout that the example's documentation gives for a weight of its own."""
    for ours, theirs in (("attn.in_proj_", "attn.c_attn."), ("attn.out_proj.", "attn.c_proj.")):
        name = name.replace(ours, theirs)
    return name, array.T if ".c_" in name else array


def test_gpt_computes_what_gpt_2_computes_of_its_weights() -> None:
    characters, time, width, layers, heads = 11, 9, 12, 2, 3
    model = gpt.GPT(characters, time, width, layers, heads)
    rng = np.random.default_rng(0)
    model.load_state_dict({name: rng.normal(0, 0.5, array.shape) for name, array in model.state_dict().items()})
    weights = {
        name: torch.tensor(array) for name, array in (in_the_checkpoint(*item) for item in model.state_dict().items())
    }
    ids = rng.integers(0, characters, (2, 7))
    wanted = torch_gpt2(weights, torch.tensor(ids), layers, heads)
    x = gr.placeholder(("batch", "time"), "int64")
    function = gr.compile([x], model(x))
    np.testing.assert_allclose(function(ids), wanted.numpy(), 1e-3, 1e-4)


def test_the_head_has_a_weight_of_its_own_if_asked_for() -> None:
    tied, untied = (gpt.GPT(11, 9, 12, 1, 3, tied=tied) for tied in (True, False))
    assert set(untied.state_dict()) - set(tied.state_dict()) == {"lm_head.weight"}
    ids = np.array([[1, 2, 3]])
    assert gr.evaluate(untied(gr.constant(ids))).shape == (1, 3, 11)


def test_texts_longer_than_the_positions_are_an_error() -> None:
    model = gpt.GPT(11, 4, 12, 1, 3)
    ids = gr.placeholder(("batch", "time"), "int64")
    function = gr.compile([ids], model(ids))
    with pytest.raises(gr.IndexFault):
        function(np.zeros((1, 5), np.int64))
