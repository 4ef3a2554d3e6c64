from __future__ import annotations

import numpy as np

import graphc as gr
from tests.ir.ops.agreement import same


def test_the_default_generator_can_be_seeded() -> None:
    def draws() -> list[np.ndarray]:
        x = gr.constant(np.ones(50, np.float32))
        values = [
            gr.random.uniform((4,)),
            gr.random.normal((4,)),
            gr.random.bernoulli(0.5, (50,)),
            gr.random.dropout(x, 0.5),
        ]
        result: list[np.ndarray] = gr.compile([], values)()
        return result

    gr.random.seed(11)
    first, second = draws(), draws()
    assert gr.random.default_generator.state.value.tolist() == [11, 2]
    assert not np.array_equal(first[0], second[0])
    gr.random.seed(11)
    for actual, expected in zip([*draws(), *draws()], [*first, *second], strict=True):
        same(actual, expected)


def test_a_generator_of_ones_own() -> None:
    x = gr.constant(np.ones(50, np.float32))
    mine, direct = gr.random.Generator(3), gr.random.Generator(3)
    for actual, expected in [
        (gr.random.uniform((4,), 1, 2, "float64", generator=mine), direct.uniform((4,), 1, 2, "float64")),
        (gr.random.normal((4,), 1, 2, "float64", generator=mine), direct.normal((4,), 1, 2, "float64")),
        (gr.random.bernoulli(0.3, (4,), generator=mine), direct.bernoulli(0.3, (4,))),
        (gr.random.dropout(x, 0.3, generator=mine), direct.dropout(x, 0.3)),
    ]:
        same(gr.evaluate(actual), gr.evaluate(expected))
    assert gr.random.default_generator.state is not mine.state
