from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.nn.agreement import agree, randomized

RNG = np.random.default_rng(0)
ours = gr.nn.MultiheadAttention


def points(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def pair(embed_dim: int, num_heads: int, **options: Any) -> tuple[gr.nn.Module, torch.nn.Module]:
    theirs = torch.nn.MultiheadAttention(embed_dim, num_heads, batch_first=True, **options)
    return ours(embed_dim, num_heads, dtype="float64", **options), randomized(theirs)


def torch_call(theirs: torch.nn.Module, **options: Any) -> Any:
    def call(query: torch.Tensor, key: torch.Tensor | None = None, value: torch.Tensor | None = None) -> torch.Tensor:
        key = query if key is None else key
        return theirs(query, key, key if value is None else value, need_weights=False, **options)[0]

    return call


OPTIONS: list[dict[str, Any]] = [{}, {"bias": False}, {"kdim": 5}, {"vdim": 3}, {"kdim": 5, "vdim": 3, "bias": False}]


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_pytorch(options: dict[str, Any], heads: int) -> None:
    """Weights of PyTorch's layer are loaded as they are."""
    layer, theirs = pair(8, heads, **options)
    kdim, vdim = options.get("kdim", 8), options.get("vdim", 8)
    agree(layer, theirs, [points(2, 5, 8), points(2, 7, kdim), points(2, 7, vdim)], torch_call=torch_call(theirs))


@pytest.mark.parametrize("bias", [True, False])
def test_self_and_cross_attention(bias: bool) -> None:
    layer, theirs = pair(6, 3, bias=bias)
    agree(layer, theirs, [points(2, 5, 6)], torch_call=torch_call(theirs))
    agree(layer, theirs, [points(2, 5, 6), points(2, 4, 6)], torch_call=torch_call(theirs))
    agree(layer, theirs, [points(5, 6)], torch_call=torch_call(theirs))
    layer, theirs = pair(6, 3, bias=bias, kdim=4, vdim=4)
    agree(layer, theirs, [points(2, 5, 6), points(2, 3, 4)], torch_call=torch_call(theirs))


def test_masks() -> None:
    layer, theirs = pair(6, 2)
    x = points(3, 5, 6)
    forbidden = torch.tensor(RNG.uniform(size=(5, 5)) < 0.4)
    forbidden[:, 0] = False
    padded = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] + [True] * 4])
    bias = torch.tensor(points(5, 5))
    triangle = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"attn_mask": forbidden}, {"mask": ~forbidden.numpy()}),
        ({"key_padding_mask": padded}, {"mask": ~padded.numpy()[:, None, None, :]}),
        (
            {"attn_mask": forbidden, "key_padding_mask": padded},
            {"mask": ~forbidden.numpy() & ~padded.numpy()[:, None, None, :]},
        ),
        ({"attn_mask": bias}, {"mask": bias.numpy()}),
        ({"attn_mask": triangle, "is_causal": True}, {"causal": True}),
    ]
    for their_options, our_options in cases:
        agree(
            layer,
            theirs,
            [x],
            lambda value, options=our_options: layer(value, **options),
            torch_call(theirs, **their_options),
        )


def test_rows_that_attend_to_nothing_give_the_last_bias() -> None:
    layer = ours(6, 2, dtype="float64")
    layer.out_proj.bias.value = points(6)
    mask = np.ones((5, 5), bool)
    mask[2] = False
    found = gr.evaluate(layer(points(2, 5, 6), mask=mask))
    np.testing.assert_array_equal(found[:, 2], np.broadcast_to(layer.out_proj.bias.value, (2, 6)))


def test_float32_compiled_for_any_batch_and_length() -> None:
    layer, theirs = ours(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    layer.load_state_dict(theirs.state_dict())
    x = gr.placeholder(("n", "t", 8), name="x")
    function = gr.compile([x], layer(x, causal=True))
    for shape in ((1, 1, 8), (3, 5, 8), (2, 9, 8)):
        array = points(*shape).astype(np.float32)
        tensor = torch.tensor(array)
        triangle = torch.nn.Transformer.generate_square_subsequent_mask(shape[1])
        wanted = theirs(tensor, tensor, tensor, attn_mask=triangle)[0]
        np.testing.assert_allclose(function(array), wanted.detach().numpy(), 1e-4, 1e-5)


def test_training_step_follows_pytorch() -> None:
    layer, theirs = pair(8, 2)
    layer.load_state_dict(theirs.state_dict())
    x = gr.placeholder(("n", "t", 8), "float64")
    loss = gr.sum(layer(x, causal=True) ** 2)
    step = gr.compile([x], loss, updates=gr.optim.SGD(0.001).updates(loss, layer.parameters()))
    optimizer = torch.optim.SGD(theirs.parameters(), 0.001)
    for _ in range(3):
        array = points(2, 4, 8)
        tensor = torch.tensor(array)
        optimizer.zero_grad()
        triangle = torch.nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
        wanted = (theirs(tensor, tensor, tensor, attn_mask=triangle)[0] ** 2).sum()
        wanted.backward()
        optimizer.step()
        np.testing.assert_allclose(step(array), wanted.item(), 1e-10)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(layer.state_dict()[name], parameter.detach().numpy(), 1e-9, 1e-11)


def test_self_attention_is_projected_by_one_product() -> None:
    layer = ours(8, 2)
    x = gr.placeholder(("n", 5, 8))
    function = gr.compile([x], layer(x))
    assert [step.name for step in function.plan_for(n=3).steps].count("matmul") == 2  # in, and out
    loss = gr.sum(layer(x) ** 2)
    backward = gr.compile([x], gr.grad(loss, layer.parameters()))
    # And one for the gradient of each operand of both, but for the input.
    assert [step.name for step in backward.plan_for(n=3).steps].count("matmul") == 2 + 2 * 2 - 1


def test_dropout_of_the_weights_in_training() -> None:
    layer = ours(8, 2, dropout=0.5, dtype="float64")
    x = gr.constant(points(4, 6, 8))
    training, evaluation = layer(x), layer.eval()(x)
    first, second, steady = gr.evaluate([training, layer.train()(x), evaluation])
    assert not np.allclose(first, second)
    assert not np.allclose(first, steady)
    np.testing.assert_array_equal(steady, gr.evaluate(layer.eval()(x)))


def test_names_and_shapes_are_pytorchs() -> None:
    for options in OPTIONS:
        layer, theirs = pair(8, 2, **options)
        assert {name: array.shape for name, array in layer.state_dict().items()} == {
            name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()
        }


def test_weights_start_as_pytorchs() -> None:
    torch.manual_seed(0)
    layer, theirs = ours(64, 4), torch.nn.MultiheadAttention(64, 4)
    for name, tensor in theirs.state_dict().items():
        found, wanted = layer.state_dict()[name], tensor.numpy()
        assert np.abs(found).max() == pytest.approx(np.abs(wanted).max(), rel=0.02, abs=0)
        assert found.std() == pytest.approx(wanted.std(), rel=0.05, abs=0)
    narrow = ours(64, 4, init=gr.nn.init.normal, rng=3)
    assert narrow.in_proj_weight.value.std() == pytest.approx(0.01, rel=0.05)
    np.testing.assert_array_equal(
        narrow.out_proj.weight.value, ours(64, 4, init=gr.nn.init.normal, rng=3).out_proj.weight.value
    )


def test_repr_and_summary() -> None:
    layer = ours(8, 2)
    assert repr(layer) == "MultiheadAttention(\n  (out_proj): Linear(8, 8)\n  (dropout): Dropout(0.0)\n)"
    assert "288 parameters" in layer.summary(gr.placeholder(("n", 5, 8)))


def test_operands_that_do_not_fit() -> None:
    with pytest.raises(gr.ShapeError, match="size 8 with 3 heads"):
        ours(8, 3)
    layer = ours(8, 2, kdim=5)
    x = gr.placeholder(("n", 5, 8))
    with pytest.raises(gr.ShapeError, match=r"keys of float32\[n, 5, 8\][\s\S]*last of size 5"):
        layer(x)
    with pytest.raises(gr.ShapeError, match="queries"):
        layer(gr.placeholder((8,)))
    with pytest.raises(gr.ShapeError, match="mask"):
        ours(8, 2)(x, mask=np.ones((4, 5), bool))
