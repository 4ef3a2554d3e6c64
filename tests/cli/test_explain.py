from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import graphc as gr
from graphc.ir.graph import Graph
from graphc.passes.explain import Apart, changes, explain_fusion, fusion_report
from graphc.passes.fuse import Fuse
from graphc.passes.pipeline import PIPELINE, run_passes
from tests.cli.conftest import Outcome


def apart(build: Callable[[gr.Value], gr.Value | list[gr.Value]], limits: Fuse | None = None) -> list[Apart]:
    x = gr.placeholder((4, 4), name="x")
    made = build(x)
    return list(explain_fusion(Graph.of([x], [made] if isinstance(made, gr.Value) else made), limits).apart)


def sums(x: gr.Value) -> list[gr.Value]:
    y = gr.exp(x)
    return [y.sum(axis=0), y.sum(axis=1)]


def around_a_product(x: gr.Value) -> gr.Value:
    y = gr.exp(x)
    return gr.tanh(y @ y) + y


@pytest.mark.parametrize(
    ("build", "limits", "wanted"),
    [
        pytest.param(
            lambda x: gr.exp(x) - gr.sin(x).sum(axis=0),
            Fuse(),
            ("%2 sum", "%3 subtract", "reduction", "a reduction between: it is complete only when its kernel is"),
            id="reduction",
        ),
        pytest.param(
            lambda x: gr.exp(x[0]) + x,
            Fuse(),
            ("%2 exp", "%3 add", "shape", "other shape: [4] and [4, 4]"),
            id="shape",
        ),
        pytest.param(
            sums,
            Fuse(),
            ("%0 exp", "%2 sum", "axes", "their groups reduce over other axes: (0,) and (1,)"),
            id="axes",
        ),
        pytest.param(
            lambda x: gr.sin(gr.exp(x)),
            Fuse(most_nodes=1),
            ("%0 exp", "%1 sin", "nodes", "limit of 1 nodes"),
            id="nodes",
        ),
        pytest.param(
            lambda x: gr.sin(gr.exp(x)),
            Fuse(most_span=0),
            ("%0 exp", "%1 sin", "span", "limit of 0 nodes between the ends of a group"),
            id="span",
        ),
        pytest.param(
            lambda x: gr.sin(gr.exp(x)),
            Fuse(most_operands=1),
            ("%0 exp", "%1 sin", "operands", "limit of 1 operands"),
            id="operands",
        ),
        pytest.param(
            around_a_product,
            Fuse(),
            ("%0 exp", "%3 add", "path", "a path leaves and comes back through %1 matmul"),
            id="path",
        ),
    ],
)
def test_reasons(build: Callable[[gr.Value], gr.Value], limits: Fuse, wanted: tuple[str, str, str, str]) -> None:
    (found,) = apart(build, limits)
    assert (found.producer, found.consumer, found.reason, found.text) == wanted
    assert found.line.startswith("test_explain.py:")


def test_forward_and_backward_are_apart() -> None:
    x = gr.placeholder(("n",), name="x")
    y = gr.tanh(x)
    stages = run_passes(Graph.of([x], [gr.exp(y), gr.grad(gr.sin(y).sum(), x)]))
    report = fusion_report(stages)
    assert report is not None
    assert {(each.reason, each.text.partition(":")[0]) for each in report.apart} >= {("phase", "forward and backward")}


def test_what_came_together_is_not_told_as_apart() -> None:
    report = explain_fusion(Graph.of([x := gr.placeholder((3,), name="x")], [gr.exp(x) * gr.sin(x) + 1.0]))
    assert [each.nodes for each in report.together] == [("%0 exp", "%1 sin", "%2 multiply", "%4 add")]
    assert report.together[0].shape == "[3]"
    assert report.apart == ()
    assert str(report).endswith("neighbours that were not fused:\n  none")


def test_pairs_are_those_of_the_groups_that_fusion_makes() -> None:
    """Each neighbour is either in a fused node with the other or told to be apart, never both."""
    x = gr.placeholder(("n", 4), name="x")
    y = gr.exp(x)
    graph = Graph.of([x], [gr.tanh(y @ y.T).sum() + y.sum(axis=1), y * gr.sin(x), gr.log(y.sum(axis=0))])
    report = explain_fusion(graph)
    groups = [set(each.nodes) for each in report.together]
    assert len(groups) == sum(node.op.name == "fused" for node in Fuse()(graph).nodes)
    assert report.apart
    for each in report.apart:
        assert not any({each.producer, each.consumer} <= group for group in groups)


def test_steps_of_loops_are_explained_too() -> None:
    start = gr.placeholder((3,), name="start")
    xs = gr.placeholder((5, 3), name="xs")
    final, _ = gr.scan(lambda state, x: (gr.tanh(gr.exp(state) + x), state), start, xs)
    report = explain_fusion(Graph.of([start, xs], [final]))
    assert any(len(each.nodes) == 3 and "tanh" in each.nodes[2] for each in report.together)


def test_changes_count_operations() -> None:
    x = gr.placeholder(("n",), name="x")
    found = {each.name: each for each in changes(run_passes(Graph.of([x], [gr.exp(x + 0.0), gr.exp(x + 0.0)])))}
    assert found["simplify"].gone == {"add": 2}
    assert found["cse"].gone == {"exp": 1}
    assert not found["fuse"].new
    assert "nothing changed" in str(found["fuse"])


def test_fusion_may_be_left_out() -> None:
    x = gr.placeholder(("n",), name="x")
    assert fusion_report(run_passes(Graph.of([x], [gr.exp(x)]), PIPELINE, ["fuse"])) is None


def test_the_command(graphc: Callable[..., Outcome]) -> None:
    code, out, _ = graphc("explain", "model.py:step")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[: len(PIPELINE)]] == [each.name for each in PIPELINE]
    assert f"fused, with the values of the stage '{PIPELINE[-2].name}':" in lines
    assert "neighbours that were not fused:" in lines


def test_the_command_as_json(graphc: Callable[..., Outcome]) -> None:
    code, out, _ = graphc("explain", "model.py:step", "--json")
    data = json.loads(out)
    assert code == 0
    assert [each["name"] for each in data["passes"]] == [each.name for each in PIPELINE]
    assert any("tanh" in name for each in data["fusion"]["together"] for name in each["nodes"])
