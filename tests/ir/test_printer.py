from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir import ops
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph, Value
from graphc.ir.op import OpDef, no_gradient
from graphc.ir.ops.fused import fused
from graphc.ir.printer import array_text, node_text, to_text
from graphc.ir.source import phase, scope
from graphc.ir.types import DType, float32


def logistic_step() -> Graph:
    x = ops.placeholder((None, 3), name="x")
    t = ops.placeholder((None,), "int64", name="t")
    w = ops.parameter(np.zeros((3, 1), np.float32), name="w")
    counter = ops.variable(0, name="counter")
    with scope("model"):
        y = ops.sigmoid(ops.sum(x * ops.reshape(w, (3,)), axis=1))
    with scope("loss"), phase("backward"):
        loss = ops.sum(y - t.astype("float32"), keepdims=True)
    return Graph.of([x, t], [loss], {w: w * 0.5, counter: counter + 1})


LOGISTIC_STEP = """\
inputs: %x, %t
%x: float32[?0, 3] = placeholder()
%t: int64[?1] = placeholder()
%w: float32[3, 1] = variable(trainable=True)
%0: float32[3] = reshape(%w, shape=(3,))
%1: float32[?0, 3] = multiply(%x, %0)
%2: float32[?0] = sum(%1, axes=(1,))
%3: float32[?0] = sigmoid(%2)
%4: float32[?1] = cast(%t, dtype=float32)
%5: float32[?1] = subtract(%3, %4)
%6: float32[1] = sum(%5, axes=(0,), keepdims=True)
%7: float32[] = constant(0.5)
%8: float32[3, 1] = multiply(%w, %7)
%counter: int64[] = variable()
%9: int64[] = constant(1)
%10: int64[] = add(%counter, %9)
outputs: %6
updates:
  %w <- %8
  %counter <- %10
"""


def test_text_of_a_training_step() -> None:
    assert to_text(logistic_step()) == LOGISTIC_STEP


def test_graphs_of_one_structure_have_one_text() -> None:
    """Unnamed sizes and objects differ from build to build."""
    assert to_text(logistic_step()) == to_text(logistic_step()) == LOGISTIC_STEP


def test_locations_are_comments_without_folders() -> None:
    lines = to_text(logistic_step(), locations=True).splitlines()
    assert [line.split("  # ")[0] for line in lines] == LOGISTIC_STEP.splitlines()
    comments = [line.split("  # ")[1] for line in lines if "  # " in line]
    assert len(comments) == LOGISTIC_STEP.count(" = ")
    assert re.fullmatch(r'test_printer\.py:\d+: x = ops\.placeholder\(\(None, 3\), name="x"\)', comments[0])
    assert comments[6].startswith("model, test_printer.py:")
    assert comments[8].startswith("loss, backward, test_printer.py:")


def test_graphs_inside_nodes_are_indented() -> None:
    x = ops.placeholder(("n", 2), name="x")
    a, b = ops.placeholder(("n", 2), name="a"), ops.placeholder((2,))
    body = Graph.of([a, b], [ops.exp(a + b), a * 2.0])
    results = fused(body, [x, ops.variable([1.0, 2.0], name="bias")])
    assert (
        to_text(Graph.of([x], [results[1], ops.negative(results[0])]))
        == """\
inputs: %x
%x: float32[n, 2] = placeholder()
%bias: float32[2] = variable()
%0: float32[n, 2], %1: float32[n, 2] = fused(%x, %bias)
  body:
    inputs: %0.a, %0.0
    %0.a: float32[n, 2] = placeholder()
    %0.0: float32[2] = placeholder()
    %0.1: float32[n, 2] = add(%0.a, %0.0)
    %0.2: float32[n, 2] = exp(%0.1)
    %0.3: float32[] = constant(2.0)
    %0.4: float32[n, 2] = multiply(%0.a, %0.3)
    outputs: %0.2, %0.4
%2: float32[n, 2] = negative(%0)
outputs: %1, %2
"""
    )


def test_several_graphs_of_one_node_share_its_numbers() -> None:
    @ops.custom_gradient
    def doubled(x: Value) -> tuple[Value, Callable[[Value], Value]]:
        return x + x, lambda g: g * 2.0

    x = ops.placeholder((None,), name="x")
    text = to_text(Graph.of([x], [doubled(doubled(x))]))
    assert "%0: float32[?0] = custom_gradient(%x, function='doubled')\n  forward:\n    inputs: %0.0\n" in text
    assert "  backward:\n    inputs: %0.2, %0.3\n" in text
    assert "%1: float32[?0] = custom_gradient(%0, function='doubled')\n  forward:\n    inputs: %1.0\n" in text
    assert_names_are_unique(text)


def assert_names_are_unique(text: str) -> None:
    names = list(
        itertools.chain.from_iterable(
            re.findall(r'(%(?:"(?:\\.|[^"\\])*"|[^ :,])+): ', line) for line in text.splitlines()
        )
    )
    assert len(names) == len(set(names))


def test_names_are_kept_and_told_apart() -> None:
    names = ["w", "w", "w.2", None, "3", "two words", 'say "hi"\n', "größe", "\ud800", "layers[0].bias", "a/b-c"]
    values = [ops.variable(0.0, name=name) for name in names]
    lines = to_text(Graph.of((), values)).splitlines()
    assert [line.split(": float32")[0] for line in lines[:-1]] == [
        "%w",
        "%w.2",
        "%w.2.2",
        "%0",
        '%"3"',
        '%"two words"',
        r'%"say \"hi\"\n"',
        "%größe",
        r'%"\ud800"',
        "%layers[0].bias",
        "%a/b-c",
    ]


@given(st.lists(st.text(max_size=5), max_size=8))
def test_any_names_are_told_apart_and_stay_on_their_line(names: list[str]) -> None:
    values = [ops.variable(0.0, name=name) for name in names]
    lines = to_text(Graph.of((), [ops.negative(value) for value in values])).split("\n")
    assert len(lines) == 2 * len(names) + 2 * bool(names) + (not names)
    results = [line.partition(": float32")[0] for line in lines if " = " in line]
    assert len(set(results)) == len(results)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.int64(-3), "-3"),
        (np.bool_(True), "True"),
        (np.float64(np.nan), "nan"),
        (np.float64(1e-300), "1e-300"),
        (np.zeros((0, 3)), "[]"),
        (np.array([1, 2], np.int8), "[1, 2]"),
        (np.arange(6.0).reshape(2, 3), "[0.0, 1.0, 2.0, 3.0, ...]"),
    ],
)
def test_constants_are_short(array: Any, text: str) -> None:
    assert array_text(np.asarray(array)) == text
    assert f" = constant({text})\n" in to_text(Graph.of((), [ops.constant(np.asarray(array))]))


class Plain:
    """An object whose repr is its address."""


@dataclass(frozen=True)
class ManyAttrs:
    function: Any
    objects: tuple[Any, ...]
    dtype: DType
    array: Any
    size: Any
    text: str
    number: np.float32
    hidden: int = 3
    absent: Any = None


def test_attributes_are_readable_and_without_addresses() -> None:
    op = OpDef("many", "", infer=lambda attrs, x: x, evaluate=lambda attrs, x: x, vjp=no_gradient, attrs=ManyAttrs)
    x = ops.placeholder((None, "n"), name="x")
    fixed = np.arange(9)
    fixed.flags.writeable = False
    attrs = ManyAttrs(
        np.linalg.norm, (Plain(), print, "a", x.shape[0]), float32, fixed, x.shape[0] * 2, "b", np.float32(2)
    )
    assert to_text(Graph.of([x], [apply_one(op, [x], attrs)])).splitlines()[2] == (
        "%0: float32[?0, n] = many(%x, function=norm, objects=(Plain, <built-in function print>, 'a', ?0), "
        "dtype=float32, array=[0, 1, 2, 3, ...], size=2*?0, text='b', number=2.0)"
    )


def test_unnamed_sizes_are_numbered_by_their_first_place() -> None:
    second, first = ops.placeholder((None, None)), ops.placeholder((None,))
    graph = Graph.of([first, second], [ops.reshape(second, (second.size,)) * 2.0, first])
    assert [line.split(" = ")[0] for line in to_text(graph).splitlines()[1:4]] == [
        "%0: float32[?0]",
        "%1: float32[?1, ?2]",
        "%2: float32[?1*?2]",
    ]


def test_text_of_one_node() -> None:
    x = ops.placeholder(3, name="x")
    graph = Graph.of([x], [ops.exp(x) + x])
    assert [node_text(graph, node) for node in graph.nodes] == to_text(graph).splitlines()[1:-1]
    stranger = ops.exp(ops.sin(x)).node
    assert node_text(graph, stranger) == "%?: float32[3] = exp(%?)"


def test_an_empty_graph_has_an_empty_text() -> None:
    assert to_text(Graph.of((), ())) == ""
