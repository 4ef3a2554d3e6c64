from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as gr

RNG = np.random.default_rng(0)


def test_sinusoids_are_added() -> None:
    x = RNG.standard_normal((2, 5, 6))
    found = gr.evaluate(gr.nn.PositionalEncoding()(x))
    encoding = gr.evaluate(gr.positional_encoding(np.arange(5), 6, dtype="float64"))
    np.testing.assert_allclose(found, x + encoding)
    assert found[0, 3, 2] == pytest.approx(x[0, 3, 2] + math.sin(3 / 10_000 ** (2 / 6)))
    assert gr.nn.PositionalEncoding().parameters() == []


def test_dropout_after_the_sum() -> None:
    layer = gr.nn.PositionalEncoding(dropout=0.5)
    x = gr.constant(np.ones((50, 10), np.float32))
    assert 0.3 < (gr.evaluate(layer(x)) == 0).mean() < 0.7
    np.testing.assert_array_equal(gr.evaluate(layer.eval()(x)), gr.evaluate(gr.nn.PositionalEncoding()(x)))


def test_learned_rows_are_added_and_learn() -> None:
    layer = gr.nn.LearnedPositionalEncoding(8, 3, dtype="float64")
    assert list(layer.state_dict()) == ["weight"]
    x, g = RNG.standard_normal((2, 4, 5, 3))[0], RNG.standard_normal((4, 5, 3))
    result = layer(x)
    np.testing.assert_allclose(gr.evaluate(result), x + layer.weight.value[:5])
    slope = gr.evaluate(gr.vjp(result, layer.weight, gr.constant(g)))
    np.testing.assert_allclose(slope, np.concatenate([g.sum(0), np.zeros((3, 3))]), 1e-12)
    assert gr.nn.LearnedPositionalEncoding(400, 50).weight.value.std() == pytest.approx(0.02, rel=0.05)


def test_sequences_longer_than_the_learned_rows() -> None:
    layer = gr.nn.LearnedPositionalEncoding(8, 3)
    x = gr.placeholder(("n", "t", 3))
    function = gr.compile([x], layer(x))
    assert function(np.zeros((2, 8, 3), np.float32)).shape == (2, 8, 3)
    with pytest.raises(gr.IndexFault):
        function(np.zeros((2, 9, 3), np.float32))
    for shape in ((9, 3), (4, 2), (3,)):
        with pytest.raises(gr.ShapeError, match=r"LearnedPositionalEncoding\(8, 3\) was called"):
            layer(gr.placeholder(shape))


def test_rotation() -> None:
    x = RNG.standard_normal((2, 5, 6))
    for interleaved in (True, False):
        layer = gr.nn.RotaryEmbedding(100.0, interleaved)
        np.testing.assert_array_equal(
            gr.evaluate(layer(x)), gr.evaluate(gr.rotary_embedding(x, base=100.0, interleaved=interleaved))
        )
        shifted = gr.evaluate(layer(x, np.arange(5) + 7))
        np.testing.assert_array_equal(
            shifted, gr.evaluate(gr.rotary_embedding(x, np.arange(5) + 7, 100.0, interleaved))
        )


def test_repr_and_errors() -> None:
    assert repr(gr.nn.LearnedPositionalEncoding(8, 3)) == "LearnedPositionalEncoding(8, 3)"
    assert repr(gr.nn.RotaryEmbedding()) == "RotaryEmbedding(base=10000.0, interleaved=True)"
    with pytest.raises(gr.ShapeError, match="was called with"):
        gr.nn.PositionalEncoding()(gr.placeholder((3, "d")))
    with pytest.raises(gr.ShapeError, match="3 numbers for a position"):
        gr.nn.PositionalEncoding()(gr.placeholder((5, 3)))
