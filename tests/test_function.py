"""A compiled function shows itself: stages, plan, sources, explanation, profile."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gr


@pytest.fixture
def step() -> gr.Function:
    x = gr.placeholder(("batch", 6), name="image")
    t = gr.placeholder(("batch",), "int64", name="label")
    w = gr.parameter(np.full((6, 3), 0.1, np.float32), name="weight")
    b = gr.parameter(np.zeros(3, np.float32), name="bias")
    loss = gr.cross_entropy(gr.tanh(x @ w + b), t)
    dw, db = gr.grad(loss, [w, b])
    return gr.compile([x, t], loss, {w: w - 0.1 * dw, b: b - 0.1 * db})


def test_stages_tell_how_the_graph_changed(step: gr.Function) -> None:
    names = [stage.name for stage in step.stages]
    assert names[0] == "written"
    assert {"simplify", "recognize", "autodiff", "cse", "dce", "fold_updates", "fuse"} <= set(names)
    written, differentiated = step.stage("written"), step.stage("autodiff")
    assert any(node.op.name == "grad" for node in written.nodes)
    assert not any(node.op.name == "grad" for node in differentiated.nodes)
    assert step.stage() is step.graph is step.stages[-1].graph
    assert any(node.op.name == "gemm" for node in step.graph.nodes)
    assert all(stage.seconds >= 0 for stage in step.stages)
    assert dict(step.stages)["fuse"] is step.graph
    with pytest.raises(gr.GraphError, match=r"no stage 'fusd'.*\n.*'fuse'"):
        step.stage("fusd")


def test_plan_needs_sizes_or_a_call(step: gr.Function) -> None:
    with pytest.raises(gr.GraphError, match=r"plan_for\(batch=\.\.\.\)"):
        _ = step.plan
    planned = step.plan_for(batch=5)
    assert planned.sizes == {"batch": 5}
    step(np.ones((7, 6), np.float32), np.zeros(7, np.int64))
    assert step.plan.sizes == {"batch": 7}
    assert step.peak_bytes == step.plan.arena_bytes > 0
    with pytest.raises(gr.GraphError, match="'batch'"):
        step.plan_for()


def test_plan_prints_steps_and_buffers(step: gr.Function) -> None:
    text = str(step.plan_for(batch=5))
    assert "plan for batch=5" in text
    assert "matmul(" in text
    assert "input, steps" in text
    assert "weight" in text
    assert text == str(step.plan_for(batch=5))


def test_sources_are_readable_python(step: gr.Function) -> None:
    sources = step.sources()
    assert sources
    for text in sources.values():
        assert text.lstrip().startswith("def kernel(args, lo, hi):")
        compile(text, "kernel", "exec")


def test_texts_and_pictures_of_any_stage(step: gr.Function) -> None:
    assert "grad" in step.to_text("written")
    assert "fused" in step.to_text()
    assert step.to_dot("autodiff").lstrip().startswith("digraph")
    assert step.to_dot() == step.to_dot("final")


def test_explanation_names_passes_and_kernels(step: gr.Function) -> None:
    text = step.explain()
    for word in ("simplify", "autodiff", "fuse", "fused: ", "gemm", "kernels", "not fused"):
        assert word in text


def test_profile_times_each_step_and_changes_nothing(step: gr.Function) -> None:
    x, t = np.ones((7, 6), np.float32), np.zeros(7, np.int64)
    before = step(x, t)
    profile = step.profile(x, t, repeats=3)
    assert len(profile.steps) == len(step.plan.steps)
    assert profile.seconds > 0
    assert "test_function.py" in str(profile)
    assert step(x, t) < before


def test_one_step_trains(step: gr.Function) -> None:
    x, t = np.eye(6, dtype=np.float32), np.array([0, 1, 2, 0, 1, 2])
    losses = [float(step(x, t)) for _ in range(50)]
    assert losses[-1] < losses[0]
    assert losses == sorted(losses, reverse=True)
