from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

import graphc as gr
from graphc.nn import init

SHAPE = (400, 300)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def assert_uniform(array: np.ndarray, bound: float) -> None:
    assert array.shape == SHAPE
    assert np.abs(array).max() <= bound
    assert np.abs(array).max() > 0.999 * bound
    assert array.mean() == pytest.approx(0.0, abs=0.01 * bound)
    assert array.var() == pytest.approx(bound**2 / 3, rel=0.02)


def assert_normal(array: np.ndarray, deviation: float) -> None:
    assert array.shape == SHAPE
    assert array.mean() == pytest.approx(0.0, abs=0.02 * deviation)
    assert array.std() == pytest.approx(deviation, rel=0.01)
    assert np.mean(array**4) == pytest.approx(3 * deviation**4, rel=0.05)


def test_he() -> None:
    assert_normal(init.he_normal(SHAPE, rng()), math.sqrt(2 / 300))
    assert_normal(init.he_normal(SHAPE, rng(), negative_slope=0.5), math.sqrt(2 / 1.25 / 300))
    assert_uniform(init.he_uniform(SHAPE, rng()), math.sqrt(6 / 300))


def test_glorot() -> None:
    assert_normal(init.glorot_normal(SHAPE, rng()), math.sqrt(2 / 700))
    assert_uniform(init.glorot_uniform(SHAPE, rng()), math.sqrt(6 / 700))
    assert_uniform(init.glorot_uniform(SHAPE, rng(), gain=2.0), 2 * math.sqrt(6 / 700))


def test_uniform_normal_zeros_ones() -> None:
    array = init.uniform(SHAPE, rng(), low=1.0, high=3.0)
    assert array.min() >= 1.0
    assert array.max() <= 3.0
    assert array.mean() == pytest.approx(2.0, rel=0.01)
    assert_normal(init.normal(SHAPE, rng()), 0.01)
    assert init.normal(SHAPE, rng(), mean=5.0, std=2.0).mean() == pytest.approx(5.0, rel=0.01)
    assert (init.zeros(SHAPE, rng()) == 0).all()
    assert (init.ones(SHAPE, rng()) == 1).all()


@pytest.mark.parametrize("shape", [(7, 7), (3, 9), (9, 3), (4, 2, 5)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    array = init.orthogonal(shape, rng(), gain=2.0)
    assert array.shape == shape
    matrix = array.reshape(shape[0], -1)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4.0 * np.eye(len(small)), atol=1e-12)


def test_orthogonal_is_uniform_over_the_group() -> None:
    generator = rng()
    first = np.array([init.orthogonal((2, 2), generator)[0, 0] for _ in range(2000)])
    assert first.mean() == pytest.approx(0.0, abs=0.05)
    assert (first**2).mean() == pytest.approx(0.5, abs=0.03)


def test_convolutions_count_their_window() -> None:
    assert init.fans((8, 3, 5, 5)) == (75, 200)
    array = init.he_normal((64, 32, 3, 3), rng())
    assert array.std() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.02)


def test_the_same_seed_gives_the_same_weights() -> None:
    def weights() -> list[np.ndarray]:
        model = gr.nn.Sequential(gr.nn.Linear(3, 4), gr.nn.Linear(4, 2))
        return list(model.state_dict().values())

    init.seed(5)
    first, other = weights(), weights()
    init.seed(5)
    again = weights()
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not any((a == b).all() for a, b in zip(first, other, strict=True))


def test_a_layers_own_seed_and_generator() -> None:
    by_seed = gr.nn.Linear(3, 4, rng=7).weight.value
    assert (by_seed == gr.nn.Linear(3, 4, rng=np.random.default_rng(7)).weight.value).all()
    assert (by_seed == gr.nn.Linear(3, 4, rng=7, dtype="float64").weight.value.astype(np.float32)).all()
    generator = np.random.default_rng(7)
    layers = [gr.nn.Linear(3, 4, rng=generator) for _ in range(2)]
    assert not (layers[0].weight.value == layers[1].weight.value).any()


def test_he_is_meant_for_matrices() -> None:
    with pytest.raises(gr.ShapeError, match=r"shape \(3,\) has no numbers of inputs and outputs"):
        init.he_normal((3,), rng())


def test_an_initializer_of_another_shape() -> None:
    def transposed(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.normal(size=shape[::-1])

    with pytest.raises(gr.ShapeError, match=r"initializer transposed returned shape \(3, 4\)") as caught:
        gr.nn.Linear(3, 4, init=transposed)
    assert caught.value.expected == "the shape that it was called with, (4, 3)"
    with pytest.raises(gr.ShapeError, match="partial"):
        gr.nn.Linear(3, 4, init=partial(transposed))


def test_sizes_of_parameters_are_integers() -> None:
    x = gr.placeholder(("batch", "width"))
    with pytest.raises(gr.ShapeError, match=r"shape \(4, width\)"):
        gr.nn.Linear(x.shape[1], 4)
    with pytest.raises(gr.ShapeError, match="-3"):
        gr.nn.Embedding(5, -3)
