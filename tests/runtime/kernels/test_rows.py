"""Kernels that go by rows: what is computed in which pass, what is kept between passes, and what may be overwritten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import graphc as gr
from graphc.ir.graph import Graph, Node
from graphc.passes.fuse import Fuse
from graphc.runtime.kernels.rows import RowBody

RNG = np.random.default_rng(3)


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.normal(size=shape).astype(dtype)


def check(inputs: Sequence[gr.Value], outputs: Sequence[gr.Value], arrays: Sequence[np.ndarray]) -> gr.Function:
    """Compare a compiled function with the interpreter, by one and by two threads, in its first and second call."""
    function = gr.compile(inputs, list(outputs))
    wanted = gr.evaluate(list(outputs), dict(zip(inputs, arrays, strict=True)))
    before = gr.get_num_threads()
    try:
        runs = []
        for threads in (1, 2, 2):
            gr.set_num_threads(threads)
            runs.append(function(*arrays))
    finally:
        gr.set_num_threads(before)
    for place, expected in enumerate(wanted):
        tolerance = 1e-5 if expected.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(runs[0][place], expected, tolerance, tolerance)
        assert all(run[place].tobytes() == runs[0][place].tobytes() for run in runs)
    return function


def group(inputs: Sequence[gr.Value], outputs: Sequence[gr.Value]) -> Node:
    """The only fused node of a graph."""
    [node] = [node for node in Fuse()(Graph.of(inputs, outputs)).nodes if node.op.name == "fused"]
    return node


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(37,), (5, 1), (0, 4), (3, 4, 33), (2, 1, 3, 17)])
def test_chains_around_rows(shape: tuple[int, ...], dtype: str) -> None:
    x, w = gr.placeholder(shape, dtype), gr.placeholder(shape[-1:], dtype)
    y = gr.tanh(x * 0.5 + w)
    outputs = [gr.softmax(y) * w, gr.gelu(gr.layer_norm(y, w), approximate="tanh"), gr.exp(gr.log_softmax(x - w)) + y]
    function = check([x, w], outputs, [array(*shape, dtype=dtype), array(shape[-1], dtype=dtype)])
    assert [node.op.name for node in function.graph.nodes if node.inputs and not node.op.view] == ["fused"]


def test_sizes_of_two_names_that_are_equal() -> None:
    x, w = gr.placeholder((None, None)), gr.placeholder((None,))
    check([x, w], [gr.softmax(x + w) * w], [array(9, 21), array(21)])


@pytest.mark.parametrize("shape", [(6, 1, 40), (1, 5, 40), (6, 5, 1), (1, 1, 1), (40,), (1,), ()])
def test_operands_that_are_repeated(shape: tuple[int, ...]) -> None:
    x, other = gr.placeholder((6, 5, 40)), gr.placeholder(shape)
    check([x, other], [gr.softmax(x * other) + other], [array(6, 5, 40), array(*shape)])


def test_operands_that_lie_in_other_orders() -> None:
    x, y = gr.placeholder((5, 6, 7)), gr.placeholder((9, 7))
    outputs = [gr.softmax(gr.transpose(x, (2, 1, 0)) + 1.0) * 2.0, gr.tanh(gr.layer_norm(y[::-2, ::2] + 1.0))]
    check([x, y], outputs, [array(5, 6, 7), array(9, 7)])


def test_a_row_operation_after_another() -> None:
    x = gr.placeholder(("n", 33))
    y = gr.softmax(gr.tanh(gr.layer_norm(gr.log_softmax(x) * 0.5)))
    assert len(RowBody(group([x], [y]).attrs.body).passes) == 7
    check([x], [y], [array(20, 33)])


def test_sums_of_rows_end_a_group() -> None:
    x = gr.placeholder(("n", 33))
    p = gr.softmax(x * 2.0)
    outputs = [(p * p).sum(-1), p.max(-1, keepdims=True), (p > 0.1).any(-1), p]
    check([x], outputs, [array(20, 33)])


def test_what_costs_little_is_computed_again_and_the_rest_is_kept() -> None:
    x, y = gr.placeholder((4, 9)), gr.placeholder((4, 9))
    cheap = RowBody(group([x, y], [gr.log_softmax(x + y)]).attrs.body)
    assert not cheap.kept
    [dear] = RowBody(group([x], [gr.log_softmax(gr.tanh(x))]).attrs.body).kept.values()
    assert (dear.since, dear.output) == (0, 0)
    scaled = gr.log_softmax(gr.tanh(x)).sum(-1)
    [nowhere] = RowBody(group([x], [scaled]).attrs.body).kept.values()
    assert nowhere.output == -1
    check([x], [scaled], [array(4, 9)])
    t = gr.tanh(x)
    [own] = RowBody(group([x], [gr.layer_norm(t) * 2.0, t]).attrs.body).kept.values()
    assert own.output == 0
    check([x], [gr.layer_norm(t) * 2.0, t], [array(4, 9)])


def test_a_result_overwrites_an_operand_that_no_later_pass_reads() -> None:
    x = gr.placeholder((4, 9))
    rows = RowBody(group([x], [gr.layer_norm(x) * 2.0]).attrs.body)
    assert rows.shareable(0, 0)
    y = x + 1.0
    rows = RowBody(group([x], [gr.layer_norm(y), y]).attrs.body)
    assert [rows.shareable(place, 0) for place in (0, 1)] == [True, True]  # the sum is read back from its place
    rows = RowBody(group([x], [gr.softmax(x) * x]).attrs.body)
    assert not rows.shareable(0, 0)  # the exponentials are kept there while x is still needed


def test_in_place_in_a_chain_of_products() -> None:
    x, w = gr.placeholder(("n", 16)), gr.placeholder((16, 16))
    h = x
    for _ in range(3):
        h = gr.layer_norm(gr.gelu(gr.softmax(h @ w + 1.0) * 3.0) + h) * 0.5 + h
    check([x, w], [h], [array(12, 16), array(16, 16)])


def test_rows_written_into_a_concatenation() -> None:
    x, y = gr.placeholder(("n", 5)), gr.placeholder(("n", 6))
    joined = gr.concatenate([gr.softmax(x) * 2.0, gr.exp(gr.log_softmax(y))], axis=-1)
    check([x, y], [joined], [array(7, 5), array(7, 6)])


def test_large_numbers_keep_their_precision_behind_a_chain() -> None:
    # A sum and its largest item are rounded alike: the difference of both is exact.
    x = gr.placeholder((2, 5))
    given = np.arange(10, dtype=np.float32).reshape(2, 5) / 4
    [found] = check([x], [gr.log_softmax(x + 4e6)], [given])(given)
    np.testing.assert_allclose(found[0], found[1])


def test_nan_and_infinity_stay_in_their_rows() -> None:
    x = gr.placeholder((4, 40))
    function = gr.compile([x], gr.tanh(gr.layer_norm(gr.softmax(x + 1.0))) * 2.0)
    given = array(4, 40)
    clean = function(given)
    given[1, 3], given[2, 39] = np.nan, np.inf
    found = function(given)
    assert np.isnan(found[1:3]).all()
    assert found[[0, 3]].tobytes() == clean[[0, 3]].tobytes()


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "rms_norm"])
def test_gradients_equal_those_of_pytorch(name: str) -> None:
    import torch
    import torch.nn.functional as F

    operations = {
        "softmax": lambda v: F.softmax(v, -1),
        "log_softmax": lambda v: F.log_softmax(v, -1),
        "layer_norm": lambda v: F.layer_norm(v, (19,)),
        "rms_norm": lambda v: F.rms_norm(v, (19,)),
    }
    given, seed = array(7, 19, dtype="float64"), array(7, 19, dtype="float64")
    x, c = gr.placeholder((7, 19), "float64"), gr.placeholder((7, 19), "float64")
    y = gr.tanh(getattr(gr, name)(gr.gelu(x) + x)) + x
    function = gr.compile([x, c], [y, *gr.vjp([y], [x], [c])])
    tensor = torch.tensor(given, requires_grad=True)
    wanted = torch.tanh(operations[name](F.gelu(tensor) + tensor)) + tensor
    wanted.backward(torch.tensor(seed))
    for found, expected in zip(function(given, seed), (wanted.detach(), tensor.grad), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), 1e-9, 1e-11)
