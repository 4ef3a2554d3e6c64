from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as gr
from graphc.ir.build import apply
from graphc.ir.graph import Value, reachable
from graphc.ir.op import registry
from graphc.ir.ops.attend import ATTENTION, ATTENTION_GRAD, AttentionAttrs
from tests.support import as_list, placeholders_for

RNG = np.random.default_rng(0)


def points(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


@pytest.mark.parametrize("name", ["attention", "attention_grad"])
def test_decomposition_gives_the_same(name: str) -> None:
    for sample in registry[name].samples():
        values = placeholders_for(sample.inputs)
        [node] = [node for node in reachable(as_list(sample.build(*values))) if node.op.name == name]
        assert node.op.decompose is not None
        simpler = list(node.op.decompose(node))
        assert [value.type for value in simpler] == [value.type for value in node.outputs]
        found = gr.evaluate([*node.outputs, *simpler], dict(zip(values, sample.inputs, strict=True)))
        for whole, part in zip(found[: len(simpler)], found[len(simpler) :], strict=True):
            np.testing.assert_allclose(whole, part, 1e-10, 1e-12)


@pytest.mark.parametrize("results", [(1,), (0, 1)])
def test_derivatives_by_the_logarithms_of_sums(results: tuple[int, ...]) -> None:
    def build(q: Value, k: Value, v: Value, scale: Value) -> list[Value]:
        outputs = apply(ATTENTION, (q, k, v, scale), AttentionAttrs(True)).outputs
        return [outputs[place] for place in results]

    gr.check_gradients(build, [points(2, 4, 3), points(2, 5, 3), points(2, 5, 2), np.array(0.7)], order=2)


def test_the_gradient_keeps_nothing_of_the_size_of_the_scores() -> None:
    q, g = gr.placeholder(("t", 4)), gr.placeholder(("t", 4))
    function = gr.compile([q, g], gr.vjp(gr.attention(q, q, q, causal=True), q, g))
    scores = 4 * 1024 * 1024
    assert function.plan_for(t=1024).arena_bytes < scores / 16


def test_what_few_ask_for_is_composed() -> None:
    """A gradient by an additive mask, rows of an open size, rows beyond what kernels have room for, dropout."""
    q, wide, mask = gr.placeholder((3, 4)), gr.placeholder((3, 257)), gr.placeholder((3, 3))

    def names(*values: Value) -> set[str]:
        return {node.op.name for node in gr.compile([q, wide, mask], list(values)).graph.nodes}

    assert "attention" in names(gr.attention(q, q, q))
    assert "attention" not in names(gr.attention(wide, wide, q))
    assert "attention" not in names(gr.attention(q, q, wide))
    assert "attention" not in names(gr.attention(q, q, q, dropout=lambda weights: weights))
    attended = gr.sum(gr.attention(q, q, q, mask))
    assert "softmax" not in names(gr.grad(attended, q))
    assert "attention_grad" in names(gr.grad(attended, q))
    assert "attention_grad" not in names(gr.grad(attended, mask))


def test_refuses_operands_that_do_not_belong_together() -> None:
    def attention(q: Value, k: Value, v: Value, *more: Value) -> None:
        apply(ATTENTION, (q, k, v, *(more or (gr.constant(np.float32(1)),))))

    row, plain, open_rows = gr.placeholder((4,)), gr.placeholder((3, 4)), gr.placeholder((3, "d"))
    one = gr.constant(np.float32(1))
    with pytest.raises(gr.ShapeError, match="two axes"):
        attention(row, plain, plain)
    with pytest.raises(gr.ShapeError, match=r"\(\.\.\., S, D\)"):
        attention(plain, gr.placeholder((3, 5)), plain)
    with pytest.raises(gr.ShapeError, match="a known size of at most 256"):
        attention(open_rows, open_rows, plain)
    with pytest.raises(gr.DTypeError, match="one dtype"):
        attention(plain, plain, gr.placeholder((3, 4), "float64"))
    with pytest.raises(gr.DTypeError, match="float32 or float64"):
        attention(*[gr.placeholder((3, 4), "int32")] * 3)
    with pytest.raises(gr.ShapeError, match="a scalar of dtype float32"):
        attention(plain, plain, plain, row)
    with pytest.raises(gr.DTypeError, match="bool or float32"):
        attention(plain, plain, plain, one, gr.placeholder((3, 3), "float64"))
    with pytest.raises(gr.ShapeError, match=r"a mask of shape \(2, 3\)"):
        attention(plain, plain, plain, one, gr.placeholder((2, 3)))
    rows = gr.placeholder((3,))
    with pytest.raises(gr.ShapeError, match="an operand of type"):
        apply(ATTENTION_GRAD, (plain, plain, plain, one, rows, rows, gr.placeholder((3, 5))), AttentionAttrs())


def test_nan_shows_and_infinite_scores_are_as_those_of_softmax() -> None:
    q, k, v = points(5, 4), points(6, 4), points(6, 4)
    values = placeholders_for([q, k, v])
    function = gr.compile(values, gr.attention(*values))
    for place in range(3):
        arrays = [q.copy(), k.copy(), v.copy()]
        arrays[place][2, 1] = math.nan
        found = function(*arrays)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(gr.evaluate(gr.attention(*arrays))))
        assert np.isnan(found).any()
    k[:, 0] = -math.inf
    q[:, 0] = [1, 0.5, 1, 2, -1]
    wanted = gr.evaluate(gr.softmax(q @ k.T / 2)) @ v
    np.testing.assert_array_equal(np.isnan(function(q, k, v)), np.isnan(wanted))
