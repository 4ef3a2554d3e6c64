from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import graphc as gr
from tests.support import check_against_torch

RNG = np.random.default_rng(0)


def test_sinusoids_are_those_of_the_paper() -> None:
    found = gr.evaluate(gr.positional_encoding(np.arange(50), 6, dtype="float64"))
    assert found.shape == (50, 6)
    for position in (0, 1, 49):
        for i in range(3):
            angle = position / 10_000 ** (2 * i / 6)
            assert found[position, 2 * i] == pytest.approx(math.sin(angle), abs=1e-15)
            assert found[position, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-15)


def test_sinusoids_of_other_positions_and_bases() -> None:
    positions = np.array([[0.5, 3.0], [-2.0, 7.0]])
    found = gr.evaluate(gr.positional_encoding(positions, 4, 100.0))
    assert (found.dtype, found.shape) == (np.float32, (2, 2, 4))
    np.testing.assert_allclose(found[..., 2], np.sin(positions / 10), 1e-6)
    assert gr.evaluate(gr.positional_encoding(3, 0)).shape == (0,)
    gr.check_gradients(lambda p: gr.positional_encoding(p, 4, dtype="float64"), [positions], order=2)


def test_sinusoids_of_open_lengths_and_far_positions() -> None:
    x = gr.placeholder(("n", "t", 8))
    encoding = gr.positional_encoding(gr.arange(x.shape[1]) + 1_000_000, 8)
    function = gr.compile([x], x + encoding)
    for length in (0, 1, 9):
        found = function(np.zeros((2, length, 8), np.float32))
        wanted = gr.evaluate(gr.positional_encoding(np.arange(length) + 1_000_000, 8, dtype="float64"))
        np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), 0, 1e-6)


@pytest.mark.parametrize("dim", [3, -2])
def test_sinusoids_come_in_pairs(dim: int) -> None:
    with pytest.raises(gr.ShapeError, match=f"{dim} numbers for a position"):
        gr.positional_encoding(np.arange(4), dim)


def rotated(x: torch.Tensor, positions: torch.Tensor, base: float, interleaved: bool) -> torch.Tensor:
    """Rotation by multiplication of complex numbers."""
    half = x.shape[-1] // 2
    angles = positions[..., None] * base ** (-torch.arange(half, dtype=torch.float64) / max(half, 1))
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    if interleaved:
        return torch.stack([turned.real, turned.imag], -1).reshape(x.shape)
    return torch.cat([turned.real, turned.imag], -1)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 5, 8), (1, 2), (2, 0, 4), (0, 5, 4)], ids=str)
def test_rotation_against_torch(shape: tuple[int, ...], interleaved: bool) -> None:
    x = RNG.standard_normal(shape)
    positions = torch.arange(shape[-2], dtype=torch.float64)
    check_against_torch(
        lambda x: gr.rotary_embedding(x, base=100.0, interleaved=interleaved),
        lambda x: rotated(x, positions, 100.0, interleaved),
        [x],
    )


def test_rotation_at_given_positions() -> None:
    x, positions = RNG.standard_normal((2, 3, 4, 6)), RNG.integers(0, 99, (2, 1, 4))
    check_against_torch(
        lambda x: gr.rotary_embedding(x, positions),
        lambda x: rotated(x, torch.tensor(positions, dtype=torch.float64), 10_000.0, True),
        [x],
    )


def test_products_depend_on_distances_alone() -> None:
    q, k = RNG.standard_normal((2, 1, 8))
    near, far = (
        gr.evaluate(gr.rotary_embedding(q, [start]) @ gr.rotary_embedding(k, [start + 3]).T) for start in (0, 1000)
    )
    np.testing.assert_allclose(near, far, 1e-11)


@pytest.mark.parametrize("interleaved", [True, False])
def test_rotation_of_open_lengths_compiled(interleaved: bool) -> None:
    x = gr.placeholder(("n", 2, "t", 4))
    g = gr.placeholder(("n", 2, "t", 4))
    result = gr.rotary_embedding(x, interleaved=interleaved)
    outputs = [result, gr.vjp(result, x, g)]
    function = gr.compile([x, g], outputs)
    for length in (0, 1, 7):
        arrays = [RNG.standard_normal((3, 2, length, 4)).astype(np.float32) for _ in range(2)]
        for found, wanted in zip(
            function(*arrays), gr.evaluate(outputs, dict(zip((x, g), arrays, strict=True))), strict=True
        ):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


def test_shapes_that_cannot_be_rotated() -> None:
    for shape in ((4,), (3, 5), (3, "d")):
        with pytest.raises(gr.ShapeError, match="D is an even number"):
            gr.rotary_embedding(gr.placeholder(shape))
    with pytest.raises(gr.ShapeError):
        gr.rotary_embedding(gr.placeholder((3, 4)), np.arange(5))
    with pytest.raises(gr.ShapeError):
        gr.rotary_embedding(gr.placeholder((3, 4)), np.zeros((2, 3)))
