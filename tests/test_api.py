"""compile and evaluate: what they take, what they refuse, and which updates happen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import graphc as gr
from graphc.passes.pipeline import PIPELINE
from graphc.passes.rewrite import rewrite


def test_single_output_gives_an_array_and_a_sequence_a_list() -> None:
    x = gr.placeholder((2,))
    assert isinstance(gr.compile([x], x + 1.0)([1, 2]), np.ndarray)
    assert isinstance(gr.compile(x, [x + 1.0])([1, 2]), list)
    assert gr.compile([x], [])([1, 2]) == []
    assert isinstance(gr.evaluate(x + 1.0, {x: [1, 2]}), np.ndarray)
    assert isinstance(gr.evaluate((x + 1.0,), {x: [1, 2]}), list)


def test_unused_placeholders_are_still_arguments() -> None:
    x, y = gr.placeholder((2,)), gr.placeholder(("n",))
    function = gr.compile([x, y], x * 2.0)
    assert function([1, 2], [7, 8, 9]).tolist() == [2, 4]


def test_graph_without_inputs() -> None:
    assert gr.compile([], gr.constant(2.0) * 3.0)() == 6.0


def test_missing_input_is_named_with_its_line() -> None:
    x, y = gr.placeholder((2,), name="x"), gr.placeholder((2,), name="forgotten")
    with pytest.raises(gr.GraphError, match="'forgotten'") as caught:
        gr.compile([x], x + y)
    assert "test_api.py" in str(caught.value)
    assert "add it to the inputs" in str(caught.value)


def test_inputs_must_be_placeholders_once_each_with_different_names() -> None:
    x, other = gr.placeholder((2,), name="x"), gr.placeholder((2,), name="x")
    with pytest.raises(gr.GraphError, match="expected: placeholders"):
        gr.compile([x + 1.0], x)
    with pytest.raises(gr.GraphError, match="is an input twice"):
        gr.compile([x, x], x)
    with pytest.raises(gr.GraphError, match="two inputs are called 'x'"):
        gr.compile([x, other], x + other)


def test_updates_must_fit_their_variables() -> None:
    w = gr.parameter(np.zeros((2, 3), np.float32), name="w")
    with pytest.raises(gr.ShapeError, match=r"expected: the variable's shape: float32\[2, 3\]"):
        gr.compile([], [], {w: w.sum(0)})
    with pytest.raises(gr.DTypeError, match="float64"):
        gr.compile([], [], {w: w.astype("float64")})
    with pytest.raises(gr.GraphError, match="expected: a variable"):
        gr.compile([], [], {w + 1.0: w})  # type: ignore[dict-item]


def test_default_updates_happen_unless_overridden() -> None:
    counter = gr.variable(np.array(0, np.int64), name="counter")
    counter.default_update = counter + 1
    reads = gr.compile([], counter * 1)
    assert [int(reads()) for _ in range(3)] == [0, 1, 2]
    gr.compile([], counter * 1, {counter: counter + 10})()
    assert counter.value == 13
    unrelated = gr.variable(1.0)
    gr.compile([], unrelated * 2.0)()
    assert counter.value == 13


def test_default_update_that_reads_another_such_variable() -> None:
    inner, outer = gr.variable(np.array(1)), gr.variable(np.array(0))
    inner.default_update = inner * 2
    outer.default_update = outer + inner
    function = gr.compile([], outer * 1)
    assert [int(function()) for _ in range(4)] == [0, 1, 3, 7]


def test_unknown_pass_to_disable() -> None:
    x = gr.placeholder((2,))
    with pytest.raises(gr.GraphError, match=r"no pass 'fusion'.*\n.*'?fuse"):
        gr.compile([x], x, disable="fusion")


def test_each_pass_can_be_left_out_by_name() -> None:
    x = gr.placeholder((2,))
    names = [stage.name for stage in gr.compile([x], gr.exp(x) * 2.0, disable=["cse", "fuse"]).stages]
    assert "fuse" not in names
    assert "cse" not in names
    assert names[0] == "written"


def test_derivatives_need_the_autodiff_pass() -> None:
    x = gr.placeholder(())
    with pytest.raises(gr.GraphError, match="grad"):
        gr.compile([x], gr.grad(x * x, x), disable="autodiff")


def test_evaluate_takes_variables_among_the_feeds() -> None:
    w = gr.parameter([1.0, 2.0])
    assert gr.evaluate(w * 2.0).tolist() == [2.0, 4.0]
    assert gr.evaluate(w * 2.0, {w: [5.0, 6.0]}).tolist() == [10.0, 12.0]
    assert w.value.tolist() == [1.0, 2.0]


def test_evaluate_names_what_is_missing() -> None:
    x = gr.placeholder((2,), name="x")
    with pytest.raises(gr.FeedError, match="nothing was given for 'x'"):
        gr.evaluate(x * 2.0)


def test_the_truth_of_a_value_explains_itself() -> None:
    x = gr.placeholder((), name="x")
    with pytest.raises(gr.GraphError, match=r"gr\.where") as caught:
        _ = 1 if x > 0 else 2
    assert "1 if x > 0 else 2" in str(caught.value)


@dataclass(frozen=True)
class Wrong:
    """A pass that turns exp into sin."""

    name: str = "wrong"

    def __call__(self, graph: gr.Graph) -> gr.Graph:
        return rewrite(graph, lambda node, matcher: [gr.sin(*node.inputs)] if node.op.name == "exp" else None)


def test_verify_names_the_first_pass_that_changes_a_value() -> None:
    x = gr.placeholder(("n", 3), name="x")
    y = gr.exp(x + 0.0).sum()
    passes = (*PIPELINE[:1], Wrong(), *PIPELINE[1:])
    gr.compile([x], y, passes=passes)
    with pytest.raises(gr.PassError, match="wrong"):
        gr.compile([x], y, passes=passes, verify=True)
    with pytest.raises(gr.PassError, match="wrong"):
        gr.compile([x], y, passes=passes, verify={x: np.ones((2, 3), np.float32)})
    gr.compile([x], y, verify=True)
