from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import graphc as gr
from graphc.ir.ops.philox import RANDOM_NORMAL, RANDOM_UNIFORM, STREAMS, Generator, RandomAttrs, philox
from graphc.ir.types import dtype_of
from tests.ir.ops.agreement import same

# Counter, key, result: the rows `philox4x32 10` of the file kat_vectors of Random123 1.14, the authors' own library.
KNOWN = """
00000000 00000000 00000000 00000000 00000000 00000000   6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff   408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0   d16cfe09 94fdcceb 5001e420 24126ea1
"""


@pytest.mark.parametrize("row", KNOWN.split("\n")[1:-1])
def test_philox_gives_the_known_answers(row: str) -> None:
    numbers = [int(word, 16) for word in row.split()]
    c0, c1, c2, c3 = (np.array([word], np.uint64) for word in numbers[:4])
    assert [int(word[0]) for word in philox((c0, c1, c2, c3), (numbers[4], numbers[5]))] == numbers[6:]


def draw(op: Any, items: int, dtype: str = "float32", seed: int = 1, count: int = 0, stream: int = 0) -> np.ndarray:
    attrs = RandomAttrs((items,), dtype_of(dtype), stream)
    result: np.ndarray = op.evaluate(attrs, np.array([seed, count]))
    return result


def test_the_first_numbers_are_those_of_the_first_blocks() -> None:
    # Seed, counter and stream 0: block b has the counter (b, 0, 0, 0) and the key (0, 0).
    blocks = [philox((np.array([b], np.uint64), *[np.zeros(1, np.uint64)] * 3), (0, 0)) for b in range(16)]
    words = np.array(blocks, np.uint64)[:, :, 0]
    singles = draw(RANDOM_UNIFORM, 64, seed=0).reshape(4, 16).T
    same(singles, (words >> np.uint64(8)).astype(np.float32) * np.float32(2**-24))
    doubles = draw(RANDOM_UNIFORM, 32, "float64", seed=0).reshape(2, 16).T
    high, low = words[:, ::2] >> np.uint64(5), words[:, 1::2] >> np.uint64(6)
    same(doubles, (high * np.uint64(2**26) + low).astype(np.float64) * 2.0**-53)


@pytest.mark.parametrize("op", [RANDOM_UNIFORM, RANDOM_NORMAL], ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_number_depends_on_its_place_alone(op: Any, dtype: str) -> None:
    whole = draw(op, 1000, dtype)
    for items in (0, 1, 31, 32, 33, 64, 65, 999):
        same(draw(op, items, dtype), whole[:items])


@pytest.mark.parametrize("op", [RANDOM_UNIFORM, RANDOM_NORMAL], ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_seed_counter_and_stream_each_matter(op: Any, dtype: str) -> None:
    settings = [(s, c, t) for s in (0, -1, 2**40) for c in (0, 1, 2**40) for t in (0, 1, STREAMS - 1)]
    draws = [draw(op, 2000, dtype, *setting) for setting in settings]
    for i, first in enumerate(draws):
        for second in draws[:i]:
            assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_are_uniform(dtype: str) -> None:
    u = draw(RANDOM_UNIFORM, 100_000, dtype)
    assert u.min() >= 0 and u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 0.01
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / u.size)
    assert abs(u.var() - 1 / 12) < 0.001
    for lag in (1, 2, 4, 16, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 4 / np.sqrt(u.size)
    scaled = u * 2.0 ** (24 if dtype == "float32" else 53)
    same(scaled, np.floor(scaled))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_normal(dtype: str) -> None:
    z = draw(RANDOM_NORMAL, 100_000, dtype).astype(np.float64)
    assert np.isfinite(z).all()
    assert stats.kstest(z, "norm").pvalue > 0.01
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 0.02
    assert abs(stats.skew(z)) < 0.04
    assert abs(stats.kurtosis(z)) < 0.08
    for lag in (1, 16, 32):
        assert abs(np.corrcoef(z[:-lag], z[lag:])[0, 1]) < 4 / np.sqrt(z.size)
    # The two numbers of a pair come from one length: neither they nor their squares may be correlated.
    pairs = z[: z.size // 64 * 64].reshape(-1, 2, 16)
    assert abs(np.corrcoef(pairs[:, 0].ravel() ** 2, pairs[:, 1].ravel() ** 2)[0, 1]) < 0.02


def test_random_operations_refuse() -> None:
    generator = Generator(0)
    with pytest.raises(gr.DTypeError, match="float32 or float64"):
        generator.uniform((2,), dtype="int64")
    with pytest.raises(gr.ShapeError, match="holds None"):
        generator.normal((2, None))  # type: ignore[arg-type]
    with pytest.raises(gr.DTypeError, match="int64"):
        RANDOM_UNIFORM.infer(RandomAttrs((), gr.float32, 0), gr.TensorType(gr.float32, (2,)))
    with pytest.raises(gr.ShapeError, match="stream"):
        RANDOM_UNIFORM.infer(RandomAttrs((), gr.float32, STREAMS), gr.TensorType(gr.int64, (2,)))


# --- Generator


def test_calls_draw_different_streams_and_evaluations_repeat_them() -> None:
    generator = Generator(7)
    first, second = generator.uniform((100,)), generator.uniform((100,))
    a, b = gr.evaluate([first, second])
    assert not np.array_equal(a, b)
    same(gr.evaluate(first), a)
    same(gr.evaluate(Generator(7).uniform((100,))), a)
    assert not np.array_equal(gr.evaluate(Generator(8).uniform((100,))), a)


def test_state_and_its_update() -> None:
    generator = Generator(-3, name="noise")
    assert generator.state.name == "noise"
    assert Generator(0).state.name == "random_state"
    assert not generator.state.trainable
    same(generator.state.value, np.array([-3, 0]))
    assert generator.state.default_update is not None
    same(gr.evaluate(generator.state.default_update), np.array([-3, 1]))
    assert repr(generator) == "Generator(seed=-3, counter=0)"


def test_every_call_of_a_compiled_function_draws_anew() -> None:
    generator = Generator(5)
    step = gr.compile([], [generator.uniform((3, 50)), generator.normal((70,), dtype="float64")])
    draws = []
    for count in range(3):
        same(generator.state.value, np.array([5, count]))
        draws.append(step())
        attrs = RandomAttrs((3, 50), gr.float32, 0)
        same(draws[-1][0], RANDOM_UNIFORM.evaluate(attrs, np.array([5, count])))
        attrs = RandomAttrs((70,), gr.float64, 1)
        np.testing.assert_allclose(draws[-1][1], RANDOM_NORMAL.evaluate(attrs, np.array([5, count])), rtol=1e-12)
    generator.seed(5)
    for before in draws:
        for actual, expected in zip(step(), before, strict=True):
            same(actual, expected)


def test_seeding_restarts_the_streams() -> None:
    generator = Generator(1)
    first = gr.evaluate(generator.normal((10,)))
    generator.uniform(())
    generator.seed(1)
    same(gr.evaluate(generator.normal((10,))), first)


@pytest.mark.parametrize("seed", [1.5, "a", None, True, 2**63, -(2**63) - 1])
def test_seeds_are_64_bit_integers(seed: Any) -> None:
    with pytest.raises(gr.GraphError, match="the seed"):
        Generator(seed)


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63), np.int64(3)])
def test_all_64_bits_of_a_seed_are_used(seed: int) -> None:
    generator = Generator(seed)
    assert int(generator.state.value[0]) == int(seed)
    attrs = RandomAttrs((5,), gr.float32, 0)
    same(gr.evaluate(generator.uniform((5,))), RANDOM_UNIFORM.evaluate(attrs, np.array([seed, 0])))


def test_uniform_in_a_range() -> None:
    u = gr.evaluate(Generator(1).uniform((10_000,), -3, 5.0))
    assert u.dtype == np.float32
    assert stats.kstest(u, stats.uniform(-3, 8).cdf).pvalue > 0.01
    ranges = gr.evaluate(Generator(1).uniform((1000, 2), np.array([0, 10]), np.array([1, 20]), "float64"))
    assert ranges.dtype == np.float64
    assert (ranges.min(0) >= [0, 10]).all() and (ranges.max(0) <= [1, 20]).all()
    assert gr.evaluate(Generator(1).uniform()).shape == ()


def test_normal_of_a_mean_and_deviation() -> None:
    z = gr.evaluate(Generator(1).normal((10_000,), 3.0, 0.5))
    assert z.dtype == np.float32
    assert stats.kstest(z, stats.norm(3, 0.5).cdf).pvalue > 0.01
    z = gr.evaluate(Generator(1).normal((10_000,), np.float64(-1), 2, dtype="float64"))
    assert stats.kstest(z, stats.norm(-1, 2).cdf).pvalue > 0.01


def test_a_gradient_flows_to_the_mean_and_the_deviation() -> None:
    mean, std = gr.placeholder((), "float64"), gr.placeholder((), "float64")
    generator = Generator(1)
    z = generator.normal((5,), mean, std, "float64")
    slopes = gr.evaluate([*gr.grad(gr.sum(z), [mean, std]), z], {mean: 2.0, std: 3.0})
    same(slopes[0], np.float64(5))
    np.testing.assert_allclose(slopes[1], ((slopes[2] - 2) / 3).sum())


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0, 1])
def test_bernoulli(p: float) -> None:
    hits = gr.evaluate(Generator(1).bernoulli(p, (100, 200)))
    assert hits.dtype == bool and hits.shape == (100, 200)
    assert abs(hits.mean() - p) <= 4 * np.sqrt(p * (1 - p) / hits.size)


def test_bernoulli_of_values() -> None:
    p = np.linspace(0, 1, 5)
    hits = gr.evaluate(Generator(1).bernoulli(gr.constant(p), (4000, 5)))
    np.testing.assert_allclose(hits.mean(0), p, atol=0.03)
    assert gr.evaluate(Generator(1).bernoulli(p)).shape == (5,)
    with pytest.raises(gr.GraphError, match=r"p=1\.5"):
        Generator(1).bernoulli(1.5, (2,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout(dtype: str, rate: float) -> None:
    x = gr.placeholder((200, "n"), dtype)
    y = Generator(1).dropout(x, rate)
    slope = gr.grad(gr.sum(y * y), x)
    a = np.random.default_rng(0).uniform(1, 2, (200, 300)).astype(dtype)
    dropped, gradient = gr.evaluate([y, slope], {x: a})
    assert dropped.dtype == np.dtype(dtype)
    kept = dropped != 0
    assert abs(kept.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / a.size)
    np.testing.assert_allclose(dropped[kept], a[kept] / (1 - rate), rtol=1e-6)
    # The backward pass drops the same items.
    np.testing.assert_allclose(gradient, 2 * dropped / (1 - rate) * kept, rtol=1e-5)


def test_dropout_of_nothing_and_of_all() -> None:
    x = gr.placeholder((3,))
    assert Generator(1).dropout(x, 0) is x
    same(gr.evaluate(Generator(1).dropout(gr.constant([1.0, np.inf, np.nan]), 1.0)), np.zeros(3, np.float32))


def test_dropout_refuses() -> None:
    x = gr.placeholder((3,))
    for rate in (-0.1, 1.1, "a", None, gr.constant(0.5)):
        with pytest.raises(gr.GraphError, match="rate="):
            Generator(1).dropout(x, rate)  # type: ignore[arg-type]
    with pytest.raises(gr.DTypeError, match="dropout of dtype int64"):
        Generator(1).dropout([1, 2], 0.5)


def test_symbolic_shapes() -> None:
    x = gr.placeholder(("n", "m"))
    u = Generator(3).uniform(x.shape)
    assert u.shape == x.shape
    a = np.zeros((3, 50), np.float32)
    same(gr.evaluate(u + x, {x: a}), gr.evaluate(Generator(3).uniform((3, 50))))
