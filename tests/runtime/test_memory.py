"""The arena: offsets never overlap while in use, stay near the least possible, and the checker notices when they do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc as gr
from graphc.runtime.memory import ALIGNMENT, Life, assign_offsets, check_offsets, largest_live_sum

LIVES = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 40), st.integers(0, 12)).map(
        lambda t: Life(t[0], t[1], t[1] + t[2])
    ),
    max_size=60,
)


def overlaps(lives: list[Life], offsets: list[int]) -> bool:
    """Whether any two pieces share both time and bytes: by comparing all pairs."""
    return any(
        a.first <= b.last
        and b.first <= a.last
        and offsets[i] < offsets[j] + b.bytes
        and offsets[j] < offsets[i] + a.bytes
        for i, a in enumerate(lives)
        for j, b in enumerate(lives)
        if i < j and a.bytes and b.bytes
    )


@settings(max_examples=200, deadline=None)
@given(lives=LIVES)
def test_offsets_do_not_overlap(lives: list[Life]) -> None:
    offsets, arena = assign_offsets(lives)
    assert not overlaps(lives, offsets)
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    assert arena >= largest_live_sum(lives)
    check_offsets(lives, offsets, arena)


@settings(max_examples=200, deadline=None)
@given(lives=LIVES, data=st.data())
def test_checker_agrees_with_comparing_all_pairs(lives: list[Life], data: st.DataObject) -> None:
    offsets = [ALIGNMENT * data.draw(st.integers(0, 40)) for _ in lives]
    arena = max((offset + life.bytes for offset, life in zip(offsets, lives, strict=True)), default=0)
    if overlaps([Life(-(-life.bytes // 64) * 64, life.first, life.last) for life in lives], offsets):
        with pytest.raises(gr.VerifyError, match="overlap"):
            check_offsets(lives, offsets, arena)
    else:
        check_offsets(lives, offsets, arena)


def test_checker_refuses_what_leaves_the_arena() -> None:
    with pytest.raises(gr.VerifyError, match="arena of 128 bytes"):
        check_offsets([Life(100, 0, 1)], [64], 128)
    with pytest.raises(gr.VerifyError, match="offset 8"):
        check_offsets([Life(100, 0, 1)], [8], 128)


def training_step(depth: int, width: int) -> gr.Function:
    x = gr.placeholder(("batch", width))
    parameters = []
    h: gr.Value = x
    for _ in range(depth):
        w = gr.parameter(np.full((width, width), 0.01, np.float32))
        b = gr.parameter(np.zeros(width, np.float32))
        parameters += [w, b]
        h = gr.tanh(h @ w + b) * gr.sigmoid(h)
    loss = (h * h).mean()
    gradients = gr.grad(loss, parameters)
    return gr.compile([x], loss, {p: p - 0.1 * g for p, g in zip(parameters, gradients, strict=True)})


@pytest.mark.parametrize(("depth", "width", "batch"), [(2, 32, 16), (8, 64, 128), (24, 16, 7), (60, 48, 33)])
def test_arena_is_near_the_least_possible(depth: int, width: int, batch: int) -> None:
    plan = training_step(depth, width).plan_for(batch=batch)
    assert plan.arena_bytes <= 1.1 * plan.least_bytes


def test_elementwise_results_overwrite_dead_operands() -> None:
    x = gr.placeholder((1000,))
    y = gr.cumsum(gr.exp(gr.cumsum(x)))
    function = gr.compile([x], [y, gr.cumsum(y)], disable="fuse")
    assert (
        function.plan_for().arena_bytes == 4032
    )  # one buffer of 1000 float32 in lines of 64 bytes, shared by two values
    np.testing.assert_allclose(function(np.full(1000, -0.001, np.float32))[0][-1], 632.4, rtol=1e-3)
