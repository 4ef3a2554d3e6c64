from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.nn.agreement import agree, randomized

RNG = np.random.default_rng(0)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"norm_first": True},
    {"activation": "gelu"},
    {"bias": False, "norm_first": True, "activation": "gelu"},
    {"layer_norm_eps": 0.1},
]
EncoderLayer, DecoderLayer = gr.nn.TransformerEncoderLayer, gr.nn.TransformerDecoderLayer


def points(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def triangle(size: int) -> torch.Tensor:
    return torch.nn.Transformer.generate_square_subsequent_mask(size, dtype=torch.float64)


def theirs(kind: type[torch.nn.Module], **options: Any) -> torch.nn.Module:
    """PyTorch's layer in training mode, without its fast path and without dropout."""
    return randomized(kind(8, 2, 12, dropout=0.0, batch_first=True, **options)).train()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_encoder_layer_equals_pytorch(options: dict[str, Any]) -> None:
    reference = theirs(torch.nn.TransformerEncoderLayer, **options)
    layer = EncoderLayer(8, 2, 12, 0.0, dtype="float64", **options)
    agree(layer, reference, [points(3, 5, 8)])
    agree(
        layer,
        reference,
        [points(3, 5, 8)],
        lambda x: layer(x, causal=True),
        lambda x: reference(x, src_mask=triangle(5), is_causal=True),
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_decoder_layer_equals_pytorch(options: dict[str, Any]) -> None:
    reference = theirs(torch.nn.TransformerDecoderLayer, **options)
    layer = DecoderLayer(8, 2, 12, 0.0, dtype="float64", **options)
    arrays = [points(3, 5, 8), points(3, 7, 8)]
    agree(layer, reference, arrays)
    padded = torch.tensor(RNG.uniform(size=(3, 7)) < 0.4)
    padded[:, 0] = False
    bias = torch.tensor(points(5, 5))
    agree(
        layer,
        reference,
        arrays,
        lambda x, memory: layer(x, memory, memory_mask=~padded.numpy()[:, None, None, :], causal=True),
        lambda x, memory: reference(
            x, memory, tgt_mask=triangle(5), tgt_is_causal=True, memory_key_padding_mask=padded
        ),
    )
    agree(
        layer,
        reference,
        arrays,
        lambda x, memory: layer(x, memory, mask=bias.numpy()),
        lambda x, memory: reference(x, memory, tgt_mask=bias),
    )


@pytest.mark.parametrize("with_norm", [True, False])
def test_stacks_equal_pytorch(with_norm: bool) -> None:
    norms = [torch.nn.LayerNorm(8) if with_norm else None for _ in range(2)]
    encoder = randomized(
        torch.nn.TransformerEncoder(theirs(torch.nn.TransformerEncoderLayer), 2, norms[0], enable_nested_tensor=False)
    )
    decoder = randomized(torch.nn.TransformerDecoder(theirs(torch.nn.TransformerDecoderLayer), 2, norms[1]), seed=1)
    our_encoder, our_decoder = (
        stack(
            [layer(8, 2, 12, 0.0, dtype="float64") for _ in range(2)],
            gr.nn.LayerNorm(8, dtype="float64") if with_norm else None,
        )
        for stack, layer in (
            (gr.nn.TransformerEncoder, EncoderLayer),
            (gr.nn.TransformerDecoder, DecoderLayer),
        )
    )
    source, target = points(2, 6, 8), points(2, 4, 8)
    agree(our_encoder, encoder, [source], tolerance=1e-9)
    agree(
        our_encoder,
        encoder,
        [source],
        lambda x: our_encoder(x, causal=True),
        lambda x: encoder(x, triangle(6), is_causal=True),
        tolerance=1e-9,
    )
    agree(
        our_decoder,
        decoder,
        [target, source],
        lambda x, memory: our_decoder(x, memory, causal=True),
        lambda x, memory: decoder(x, memory, triangle(4), tgt_is_causal=True),
        tolerance=1e-9,
    )


@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=str)
def test_names_and_shapes_are_pytorchs(options: dict[str, Any]) -> None:
    for our_kind, their_kind in (
        (EncoderLayer, torch.nn.TransformerEncoderLayer),
        (DecoderLayer, torch.nn.TransformerDecoderLayer),
    ):
        layer, reference = our_kind(8, 2, 12, **options), their_kind(8, 2, 12, **options)
        assert {name: array.shape for name, array in layer.state_dict().items()} == {
            name: tuple(tensor.shape) for name, tensor in reference.state_dict().items()
        }


def test_float32_compiled_for_any_batch_and_lengths() -> None:
    layer = DecoderLayer(8, 2, 12, norm_first=True).eval()
    x, memory = gr.placeholder(("n", "t", 8), name="x"), gr.placeholder(("n", "s", 8), name="memory")
    result = layer(x, memory, causal=True)
    function = gr.compile([x, memory], result)
    for n, t, s in ((1, 1, 1), (3, 5, 2), (2, 4, 9)):
        arrays = [points(n, t, 8).astype(np.float32), points(n, s, 8).astype(np.float32)]
        wanted = gr.evaluate(result, dict(zip((x, memory), arrays, strict=True)))
        np.testing.assert_allclose(function(*arrays), wanted, 1e-4, 1e-5)


def test_training_step_follows_pytorch() -> None:
    reference = randomized(
        torch.nn.TransformerEncoder(
            torch.nn.TransformerEncoderLayer(8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True),
            2,
            torch.nn.LayerNorm(8),
            enable_nested_tensor=False,
        )
    )
    model = gr.nn.TransformerEncoder(
        [EncoderLayer(8, 2, 12, 0.0, "gelu", norm_first=True, dtype="float64") for _ in range(2)],
        gr.nn.LayerNorm(8, dtype="float64"),
    )
    model.load_state_dict(reference.state_dict())
    x = gr.placeholder(("n", "t", 8), "float64")
    loss = gr.mean(model(x, causal=True)[:, -1] ** 2)
    step = gr.compile([x], loss, updates=gr.optim.AdamW(1e-2).updates(loss, model.parameters()))
    optimizer = torch.optim.AdamW(reference.parameters(), 1e-2)
    for _ in range(4):
        array = points(2, 4, 8)
        optimizer.zero_grad()
        wanted = (reference(torch.tensor(array), triangle(4), is_causal=True)[:, -1] ** 2).mean()
        wanted.backward()
        optimizer.step()
        np.testing.assert_allclose(step(array), wanted.item(), 1e-7)


def test_dropout_in_training_alone() -> None:
    layer = EncoderLayer(8, 2, 12, dropout=0.3, dtype="float64")
    x = gr.constant(points(2, 5, 8))
    first, second = gr.evaluate([layer(x), layer(x)])
    assert not np.allclose(first, second)
    layer.eval()
    first, second = gr.evaluate([layer(x), layer(x)])
    np.testing.assert_array_equal(first, second)
    assert [module.rate for module in layer.modules() if isinstance(module, gr.nn.Dropout)] == [0.3] * 4
    decoder = DecoderLayer(8, 2, 12, dropout=0.3)
    assert [module.rate for module in decoder.modules() if isinstance(module, gr.nn.Dropout)] == [0.3] * 6


def test_layers_of_a_stack_start_differently() -> None:
    encoder = gr.nn.TransformerEncoder([EncoderLayer(8, 2, 12) for _ in range(2)])
    first, second = (layer.linear1.weight.value for layer in encoder.layers)
    assert not np.allclose(first, second)
    assert gr.nn.TransformerEncoder([])(gr.placeholder((3, 8), name="x")).name == "x"


def test_any_function_is_an_activation_and_nothing_else() -> None:
    layer = EncoderLayer(8, 2, 12, activation=gr.tanh, dtype="float64")
    reference = torch.nn.TransformerEncoderLayer(8, 2, 12, 0.0, torch.tanh, batch_first=True)
    agree(layer.eval(), randomized(reference), [points(2, 3, 8)])
    with pytest.raises(gr.GraphError, match="TransformerDecoderLayer with activation='swish'"):
        DecoderLayer(8, 2, 12, activation="swish")


def test_init_and_rng_are_for_all_weights() -> None:
    first, second = (EncoderLayer(8, 2, 12, init=gr.nn.init.he_normal, rng=5).state_dict() for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
        if name.endswith("bias"):
            assert not array.any()
