"""The schedule as a picture: a row for each step, a block for each buffer of the arena."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import graphc as gr
from graphc.viz.schedule import ROW, schedule_rows, schedule_svg, step_seconds

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def step() -> gr.Function:
    x = gr.placeholder(("batch", 6), name="image")
    w = gr.parameter(np.full((6, 3), 0.1, np.float32), name="weight")
    with gr.scope("model"):
        loss = gr.tanh(x @ w).sum() + gr.exp(x).sum()
    return gr.compile([x], loss, {w: w - 0.1 * gr.grad(loss, w)})


@pytest.fixture(scope="module")
def loop() -> gr.Function:
    xs = gr.placeholder((5, 2, 3), name="xs")
    w = gr.parameter(np.full((3, 3), 0.1, np.float32), name="w")
    carry, _ = gr.scan(lambda h, x: (gr.tanh(h @ w + x), h), gr.zeros((2, 3)), xs)
    return gr.compile([xs], carry)


def elements(svg: str, name: str) -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(svg).iter(f"{SVG}g") if name in each.get("class", "").split()]


def title(element: ElementTree.Element) -> str:
    return element.findtext(f"{SVG}title") or ""


def test_a_row_for_each_step_in_order(step: gr.Function) -> None:
    plan = step.plan_for(batch=7)
    found = elements(schedule_svg(step.program, plan), "step")
    assert [row.get("data-row") for row in found] == [str(number) for number in range(len(plan.steps))]
    for number, (row, planned) in enumerate(zip(found, plan.steps, strict=True)):
        assert title(row).startswith(f"step {number}: ")
        assert f"kernel {planned.name} over {planned.extent}" in title(row)
    assert any("test_schedule.py" in title(row) for row in found)


def test_blocks_lie_where_and_when_the_plan_says(step: gr.Function) -> None:
    plan = step.plan_for(batch=7)
    arena = {number: item for number, item in enumerate(plan.buffers) if item.place == "arena" and item.bytes}
    assert arena
    found = elements(schedule_svg(step.program, plan), "block")
    assert len(found) == len(arena)
    frames = {}
    for block in found:
        match = re.match(r"b(\d+): .* at ([\d,]+), steps (\d+) to (\d+): ", title(block))
        assert match is not None
        number, offset, first, last = (int(text.replace(",", "")) for text in match.groups())
        item = arena[number]
        assert (offset, first, last) == (item.offset, item.first, item.last)
        assert (block.get("data-first"), block.get("data-last")) == (str(first), str(last))
        shape = block.find(f"{SVG}rect")
        assert shape is not None
        x, width, height = (float(shape.get(name, "")) for name in ("x", "width", "height"))
        assert height == pytest.approx((last - first + 1) * ROW - 2)
        frames[number] = (x, width, item)
    left = min(x for x, _, item in frames.values() if item.offset == 0)
    for x, width, item in frames.values():
        assert x - left == pytest.approx(item.offset / plan.arena_bytes * 560, abs=0.1)
        assert width == pytest.approx(max(item.bytes / plan.arena_bytes * 560, 1), abs=0.1)


def test_steps_of_a_loop_follow_it(loop: gr.Function) -> None:
    plan = loop.plan
    rows = schedule_rows(loop.program, plan)
    outer = next(number for number, planned in enumerate(plan.steps) if planned.calls)
    inner = plan.steps[outer].calls[0]
    numbers = [row.number for row in rows]
    at = numbers.index(str(outer))
    assert numbers[at + 1 : at + 1 + len(inner.steps)] == [f"{outer}.{n}" for n in range(len(inner.steps))]
    nested = [
        block for block in elements(schedule_svg(loop.program, plan), "block") if "nested" in block.get("class", "")
    ]
    assert len(nested) == sum(item.place == "arena" and item.bytes > 0 for item in inner.buffers)
    for block in nested:
        assert at < int(block.get("data-first", "")) <= int(block.get("data-last", "")) <= at + len(inner.steps)


def test_times_of_a_profile_stand_beside_their_steps(loop: gr.Function) -> None:
    profile = loop.profile(np.zeros((5, 2, 3), np.float32), repeats=1)
    seconds = step_seconds(profile)
    rows = schedule_rows(loop.program, loop.plan, seconds)
    assert [row.seconds for row in rows] == [seconds[row.number] for row in rows]
    assert "<text" in schedule_svg(loop.program, loop.plan, profile=profile)
    assert loop.to_svg("schedule", profile=profile) == schedule_svg(loop.program, loop.plan, profile=profile)


def test_a_plan_without_steps_is_a_picture() -> None:
    x = gr.placeholder(3, name="x")
    function = gr.compile([x], [])
    ElementTree.fromstring(function.to_svg("schedule"))
