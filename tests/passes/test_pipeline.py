from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, reject

import graphc as gr
from graphc.errors import FeedError, GradientError, GraphError, PassError
from graphc.ir.graph import Graph
from graphc.ir.op import registry
from graphc.ir.printer import to_text
from graphc.passes.check import check_passes
from graphc.passes.pipeline import PIPELINE, Pass, run_passes
from tests.passes.passing import names, results
from tests.random_graphs import RandomGraph, random_graphs
from tests.support import as_list, calls_made, placeholders_for


@dataclass(frozen=True)
class Broken:
    """A pass for the tests that loses all nodes."""

    name: str = "broken"

    def __call__(self, graph: Graph) -> Graph:
        return replace(graph, nodes=())


@dataclass(frozen=True)
class Refusing:
    """A pass for the tests that fails."""

    name: str = "refusing"

    def __call__(self, graph: Graph) -> Graph:
        raise GraphError("no such thing", expected="a thing", location=graph.outputs[0].node.location)


def training_step() -> tuple[Graph, dict[gr.Value, np.ndarray]]:
    """Softmax regression, written out, with momentum."""
    rng = np.random.default_rng(0)
    x, t = gr.placeholder(("n", 4), name="x"), gr.placeholder(("n",), "int64", name="t")
    w = gr.parameter(rng.standard_normal((4, 3)).astype(np.float32), "w")
    v = gr.variable(np.zeros((4, 3), np.float32), "v")
    e = gr.exp(x @ w - gr.max(x @ w, -1, keepdims=True))
    share = e / gr.sum(e, -1, keepdims=True)
    loss = -(gr.one_hot(t, 3) * gr.log(share)).sum(-1).mean()
    speed = 0.9 * v + gr.grad(loss, w)
    graph = Graph.of([x, t], [loss, share], {v: speed, w: w - 0.1 * speed})
    return graph, {x: rng.standard_normal((6, 4)).astype(np.float32), t: rng.integers(0, 3, 6)}


def test_every_stage_is_kept() -> None:
    graph, _ = training_step()
    stages = run_passes(graph)
    assert [stage.name for stage in stages] == ["written", *(each.name for each in PIPELINE)]
    assert stages[0].graph is graph
    for before, after in itertools.pairwise(stages):
        assert after.changed == (after.graph is not before.graph)
        assert after.seconds >= 0


def test_names_of_passes_differ() -> None:
    assert len({each.name for each in PIPELINE}) == len(PIPELINE)


def test_values_after_every_stage() -> None:
    graph, feeds = training_step()
    stages = run_passes(graph)
    names_of_stages = [stage.name for stage in stages]
    differentiated = stages[names_of_stages.index("autodiff") :]
    wanted = results(differentiated[0].graph, feeds)
    for stage in differentiated[1:]:
        for found, array in zip(results(stage.graph, feeds), wanted, strict=True):
            np.testing.assert_allclose(found, array, 2e-5, 1e-6, err_msg=stage.name)


def test_a_training_step_on_its_way() -> None:
    """The loss and its gradient are one operation each, and the gradient of the weights has no buffer."""
    stages = {stage.name: stage.graph for stage in run_passes(training_step()[0])}
    recognized = names(stages["recognize"])
    assert {"softmax", "cross_entropy", "grad"} <= set(recognized)
    assert not {"exp", "log"} & set(recognized)
    assert "grad" not in names(stages["autodiff"])
    assert names(stages["cse"]).count("matmul") == 2
    folded = names(stages["dce_updates"])
    assert (folded.count("matmul"), folded.count("gemm")) == (1, 1)
    assert folded.count("cross_entropy") == folded.count("cross_entropy_grad") == 1


def test_the_order_of_nodes_is_the_same_every_time() -> None:
    texts = {to_text(run_passes(training_step()[0])[-1].graph) for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize("name", [each.name for each in PIPELINE if each.name != "autodiff"])
def test_each_pass_can_be_left_out(name: str) -> None:
    graph, feeds = training_step()
    stages = run_passes(graph, disable=[name])
    assert name not in [stage.name for stage in stages]
    reference = results(run_passes(graph)[-1].graph, feeds)
    for found, wanted in zip(results(stages[-1].graph, feeds), reference, strict=True):
        np.testing.assert_allclose(found, wanted, 2e-5, 1e-6)


def test_differentiation_alone() -> None:
    graph, feeds = training_step()
    stages = run_passes(graph, disable=[each.name for each in PIPELINE if each.name != "autodiff"])
    assert [stage.name for stage in stages] == ["written", "autodiff"]
    wanted = results(run_passes(graph)[-1].graph, feeds)
    for found, array in zip(results(stages[-1].graph, feeds), wanted, strict=True):
        np.testing.assert_allclose(found, array, 2e-5, 1e-6)


def test_a_pass_that_does_not_exist() -> None:
    with pytest.raises(GraphError, match="there is no pass 'simplfy' to disable") as info:
        run_passes(training_step()[0], disable=["simplfy"])
    assert "simplify" in info.value.expected


def test_a_pass_that_fails() -> None:
    passes: list[Pass] = [PIPELINE[0], Refusing()]
    with pytest.raises(PassError, match="the pass 'refusing' failed: no such thing") as info:
        run_passes(training_step()[0], passes)
    assert info.value.expected == "a thing"
    assert info.value.location is not None
    assert PIPELINE[0].name in info.value.remedy
    assert isinstance(info.value.__cause__, GraphError)


def test_a_derivative_that_does_not_exist_is_no_failure_of_a_pass() -> None:
    x = gr.placeholder((3,))
    last = gr.while_loop(lambda s: s.sum() < 3.0, lambda s: s * 2.0, x)
    with pytest.raises(GradientError, match="while_loop has no reverse-mode gradient"):
        run_passes(Graph.of([x], [gr.grad(last.sum(), x)]))


def test_a_pass_that_breaks_the_graph() -> None:
    with pytest.raises(PassError, match="the pass 'broken' failed"):
        run_passes(training_step()[0], [Broken()])


def test_passes_of_the_users() -> None:
    graph, _ = training_step()
    assert [stage.name for stage in run_passes(graph, [PIPELINE[0]])] == ["written", PIPELINE[0].name]
    assert [stage.name for stage in run_passes(graph, [])] == ["written"]


@pytest.mark.parametrize("name", [name for name, op in registry.items() if op.samples()])
def test_passes_keep_what_the_samples_of_an_operation_give(name: str) -> None:
    """Results, and gradients by random cotangents, on the ordinary and the odd inputs that every operation declares."""
    rng = np.random.default_rng(0)
    for sample in registry[name].samples():
        arrays = [np.asarray(array) for array in sample.inputs]
        values = placeholders_for(arrays)
        outputs = as_list(sample.build(*values))
        results = [value for value in outputs if value.dtype.is_float]
        by = [values[place] for place in sample.differentiable]
        if results and by:
            cotangents = [gr.constant(rng.standard_normal(value.shape), value.dtype) for value in results]
            outputs = [*outputs, *gr.vjp(results, by, cotangents)]
        graph = Graph.of(values, outputs)
        check_passes(run_passes(graph), dict(zip(values, arrays, strict=True)))


@given(program=random_graphs())
def test_passes_keep_what_random_graphs_give(program: RandomGraph) -> None:
    stages = run_passes(Graph.of(program.inputs, program.outputs, program.updates))
    try:
        check_passes(stages, program.feeds)
    except FeedError:  # a maximum over the rows after the first, of which there are none
        reject()


def deep_training_step(layers: int) -> Graph:
    x = gr.placeholder(("n", 4), name="x")
    parameters = []
    value = x
    for number in range(layers):
        w = gr.parameter(np.eye(4, dtype=np.float32), f"w{number}")
        parameters.append(w)
        value = gr.tanh(value @ w + value * 0.5) * 1.0 + value
    loss = gr.mean(value * value)
    updates = {w: w - 0.1 * g for w, g in zip(parameters, gr.grad(loss, parameters), strict=True)}
    return Graph.of([x], [loss], updates)


def test_work_grows_linearly_to_ten_thousand_nodes() -> None:
    small, large = deep_training_step(60), deep_training_step(480)
    assert max(len(stage.graph.nodes) for stage in run_passes(large)) > 9_500
    assert calls_made(lambda: run_passes(large)) < 9 * calls_made(lambda: run_passes(small))
