from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.errors import FeedError, PassError
from graphc.ir.build import apply, apply_one
from graphc.ir.dims import maximum
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import OpDef, no_gradient
from graphc.ir.printer import to_text
from graphc.passes.autodiff import Autodiff
from graphc.passes.check import check_passes
from graphc.passes.dce import Dce
from graphc.passes.pipeline import PIPELINE, Stage, run_passes
from graphc.passes.rewrite import Matcher, in_bodies, rewrite
from graphc.passes.simplify import Simplify
from graphc.passes.source import GraphSource


@dataclass(frozen=True)
class Replace:
    """A pass for the tests: operations of one name become what a function makes of their operands."""

    op: str
    build: Callable[..., Value]
    name: str = "replace"

    def __call__(self, graph: Graph) -> Graph:
        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            return (self.build(*node.inputs),) if node.op.name == self.op else None

        return rewrite(graph, rule)


def program() -> tuple[Graph, Value, gr.Variable]:
    x = gr.placeholder(("n", 3), name="x")
    w = gr.parameter(np.arange(3, dtype=np.float32), "w")
    loss = gr.mean(gr.sin(x * w) ** 2)
    return Graph.of([x], [loss, gr.exp(x)], {w: w - 0.5 * gr.grad(loss, w)}), x, w


def stages_of(graph: Graph, *passes: Any) -> list[Stage]:
    stages = [Stage("written", graph)]
    for each in passes:
        graph = each(graph)
        stages.append(Stage(each.name, graph))
    return stages


def test_all_passes_keep_the_values() -> None:
    graph, x, _ = program()
    stages = run_passes(graph, PIPELINE)
    check_passes(stages)
    check_passes(stages, {x: np.array([[np.nan, np.inf, 1.0], [0.0, -0.0, -np.inf]])})


def test_through_compile() -> None:
    x = gr.placeholder((None, 3), name="x")
    t = gr.placeholder((None,), "int64", name="t")
    w, b = gr.parameter(np.zeros((3, 2), np.float32), "w"), gr.parameter(np.zeros(2, np.float32), "b")
    loss = gr.cross_entropy(x @ w + b, t)
    updates = {p: p - 0.1 * g for p, g in zip((w, b), gr.grad(loss, [w, b]), strict=True)}
    step = gr.compile([x, t], loss, updates, verify=True)
    np.testing.assert_allclose(step(np.ones((4, 3), np.float32), np.array([0, 1, 1, 0])), np.log(2), 1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        Replace("sin", gr.cos),
        Replace("sin", lambda x: gr.sin(x) * 1.001),
        Replace("multiply", lambda x, y: gr.multiply(x, y) + 1e-2),
        Replace("exp", lambda x: gr.where(x > 0.9, 0.0, gr.exp(x))),
    ],
)
def test_the_first_wrong_pass_is_named(wrong: Replace) -> None:
    graph, _, _ = program()
    stages = stages_of(graph, Dce(), Simplify(), wrong, Simplify("later"))
    with pytest.raises(PassError, match="the pass 'replace' changed"):
        check_passes(stages)


def test_the_message_tells_what_changed_and_by_how_much() -> None:
    x = gr.placeholder((4,), "float64", name="x")
    graph = Graph.of([x], [gr.cos(x), gr.floor(x)])
    wrong = Replace("floor", lambda x: gr.where(x == 2.5, 7.0, gr.floor(x)))
    with pytest.raises(PassError) as info:
        check_passes(stages_of(graph, wrong), {x: np.array([0.5, 1.5, 2.5, 3.5])})
    assert str(info.value).splitlines()[0] == (
        "the pass 'replace' changed output 1: 1 of 4 items; the largest difference is at [2], where 2.0 became 7.0"
    )
    assert "disable='replace'" in info.value.remedy
    assert info.value.location is not None
    assert "gr.floor(x)" in info.value.location.text


def test_next_values_are_compared_by_variable() -> None:
    graph, _, w = program()
    with pytest.raises(PassError, match="changed the next value of 'w'"):
        check_passes(stages_of(graph, Replace("subtract", lambda x, y: x - 2.0 * y)))
    kept = Graph.of(graph.inputs, graph.outputs, {w: w})
    with pytest.raises(PassError, match="changed the next value of 'w'"):
        check_passes([Stage("written", graph), Stage("forget", kept)])
    lost = Graph.of(graph.inputs, graph.outputs)
    with pytest.raises(PassError, match="changed the next value of 'w'"):
        check_passes([Stage("written", graph), Stage("forget", lost)])


def test_outputs_that_are_lost() -> None:
    graph, _, _ = program()
    lost = Graph.of(graph.inputs, graph.outputs[:1], dict(graph.updates))
    with pytest.raises(PassError, match="the pass 'forget' lost output 1"):
        check_passes([Stage("written", graph), Stage("forget", lost)])


def test_results_of_another_type() -> None:
    graph, _, _ = program()
    wide = Graph.of(graph.inputs, [graph.outputs[0].astype("float64"), graph.outputs[1]], dict(graph.updates))
    with pytest.raises(PassError, match="changed output 0: float64\\[\\] where float32\\[\\] was"):
        check_passes([Stage("written", graph), Stage("widen", wide)])


def test_an_update_that_changes_nothing_may_go() -> None:
    v = gr.variable(np.arange(3.0), "v")
    x = gr.placeholder((3,), "float64", name="x")
    graph = Graph.of([x], [x + v], {v: v})
    assert Dce()(graph).updates == ()
    check_passes(stages_of(graph, Dce()))


def test_infinities_and_nan_are_themselves_alone() -> None:
    x = gr.placeholder((3,), name="x")
    point = {x: np.array([np.nan, np.inf, 1.0], np.float32)}
    graph = Graph.of([x], [gr.exp(x)])
    check_passes(stages_of(graph, Replace("exp", lambda x: gr.exp(x) * 1.0)), point)
    for wrong in (lambda x: gr.where(gr.isnan(x), 0.0, gr.exp(x)), lambda x: gr.minimum(gr.exp(x), 3e38)):
        with pytest.raises(PassError, match="became"):
            check_passes(stages_of(graph, Replace("exp", wrong)), point)


def test_integers_and_bools_are_compared_exactly() -> None:
    x = gr.placeholder((3,), "int64", name="x")
    big = {x: np.array([2**60, 1, 2])}
    graph = Graph.of([x], [gr.abs(x), gr.abs(x) > 1])
    with pytest.raises(PassError, match="changed output 0"):
        check_passes(stages_of(graph, Replace("abs", lambda x: gr.abs(x) + gr.cast(x > 2**50, "int64"))), big)
    with pytest.raises(PassError, match="changed output 1: 1 of 3 items"):
        check_passes(stages_of(graph, Replace("greater", lambda x, y: x >= y)), big)


def test_rounding_is_allowed_by_dtype() -> None:
    for dtype, small, large in (("float32", 1e-6, 1e-3), ("float64", 1e-12, 1e-7)):
        x = gr.placeholder((50,), dtype, name="x")
        graph = Graph.of([x], [gr.sin(x)])
        check_passes(stages_of(graph, Replace("sin", lambda x, e=small: gr.sin(x) * (1 + e))))
        with pytest.raises(PassError):
            check_passes(stages_of(graph, Replace("sin", lambda x, e=large: gr.sin(x) * (1 + e))))


def test_a_graph_that_cannot_be_evaluated() -> None:
    graph, _, _ = program()
    with pytest.raises(PassError, match="after the pass 'replace' the graph cannot be evaluated"):
        check_passes(stages_of(graph, Replace("sin", lambda x: x + gr.sum(gr.take(gr.sin(x), np.array([99]), 0)))))


def test_sizes_that_must_be_equal() -> None:
    """Open sizes that meet each other, or a number, are given one value."""
    x, y = gr.placeholder((None, None), name="x"), gr.placeholder((None, "m"), name="y")
    z = gr.placeholder((None, 4), name="z")
    graph = Graph.of([x, y, z], [x @ y + 1.0, x + z, gr.sum(y[:, :1])])
    check_passes(run_passes(graph))
    with pytest.raises(PassError):
        check_passes(stages_of(graph, Replace("matmul", lambda x, y: x @ y + 0.1)))


def test_sizes_that_are_expressions() -> None:
    x, y = gr.placeholder(("n", 2), name="x"), gr.placeholder((gr.placeholder(("n",)).shape[0] * 2,), name="y")
    graph = Graph.of([x, y], [x.reshape(-1) + y])
    check_passes(run_passes(graph))


def test_variables_of_equal_items_are_moved() -> None:
    """With a bias of zeros as it is, a pass that drops it would not be found."""
    b = gr.parameter(np.zeros(3, np.float32), "b")
    x = gr.placeholder((3,), name="x")
    graph = Graph.of([x], [gr.exp(x) + b])
    with pytest.raises(PassError):
        check_passes(stages_of(graph, Replace("add", lambda x, y: x)))
    np.testing.assert_array_equal(b.value, np.zeros(3))


def test_integers_drawn_are_indices() -> None:
    table = gr.parameter(np.arange(8, dtype=np.float32).reshape(2, 4), "table")
    ids = gr.placeholder((5,), "int32", name="ids")
    check_passes(run_passes(Graph.of([ids], [gr.take(table, ids, 0)])))
    with pytest.raises(FeedError, match="the numbers of the verification do not fit") as info:
        check_passes(run_passes(Graph.of([ids], [gr.take(table, ids + 2, 0)])))
    assert "verify={placeholder: array" in info.value.remedy


def test_inputs_that_the_graph_is_not_defined_for() -> None:
    x = gr.placeholder(("n", 3), name="x")
    stages = run_passes(Graph.of([x], [gr.max(x[1:], 0)]))
    check_passes(stages)
    with pytest.raises(FeedError, match="do not fit the graph"):
        check_passes(stages, {x: np.ones((1, 3))})


def test_given_arrays() -> None:
    graph, x, w = program()
    stages = run_passes(graph)
    check_passes(stages, {x: np.ones((2, 3)), w: np.ones(3)})
    with pytest.raises(FeedError, match="nothing was given for 'x'"):
        check_passes(stages, {})
    with pytest.raises(FeedError, match="the array for 'x' has shape"):
        check_passes(stages, {x: np.ones((2, 4))})


def test_the_same_seed_draws_the_same_numbers() -> None:
    graph, _, _ = program()
    stages = stages_of(graph, Replace("sin", gr.cos))
    messages = []
    for seed in (1, 1, 2):
        with pytest.raises(PassError) as info:
            check_passes(stages, seed=seed)
        messages.append(str(info.value))
    assert messages[0] == messages[1] != messages[2]


def reproducer_of(function: Callable[[], object]) -> tuple[PassError, str]:
    with pytest.raises(PassError) as caught:
        function()
    path = caught.value.reproducer
    assert path is not None
    assert f"run {path}, which shows it" in caught.value.remedy
    text = path.read_text()
    path.unlink()
    return caught.value, text


def run_program(text: str) -> tuple[int, str, str]:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, cwd=root)
    return done.returncode, done.stdout, done.stderr


def wrong_pass(graph: Graph) -> Callable[[], object]:
    """Verification of a graph after a pass that makes cosines of sines, among others that do nothing wrong."""
    wrong = Replace("sin", gr.cos)
    passes = [Dce(), wrong, Simplify("later")]
    return lambda: check_passes(run_passes(graph, passes), passes=passes)


def network() -> Graph:
    """A graph of many nodes, one of which is a sine."""
    x, t = gr.placeholder(("batch", 4), name="x"), gr.placeholder(("batch",), "int64", name="t")
    w, v = (
        gr.parameter(np.linspace(-1, 1, 20).reshape(shape), n, "float32") for n, shape in (("w", (4, 5)), ("v", (5, 4)))
    )
    hidden = gr.tanh(x @ w) + 0.5
    waves = gr.sin(hidden * 2.0)
    loss = gr.cross_entropy(waves @ v, t) + gr.mean(hidden**2)
    dw, dv = gr.grad(loss, [w, v])
    return Graph.of([x, t], [loss, gr.exp(x)], {w: w - 0.5 * dw, v: v - 0.5 * dv})


def test_a_program_shows_the_fault_in_the_smallest_graph() -> None:
    error, text = reproducer_of(wrong_pass(network()))
    assert text.startswith(f'"""{error.found.splitlines()[0]}\n')
    assert "to 2." in text.splitlines()[2]
    assert 'registry["sin"]' in text
    code, out, problem = run_program(text)
    assert code == 1
    assert "= sin(" in out and "= cos(" in out
    assert "the pass 'replace' changed output 0" in problem


def test_the_program_ends_well_once_the_pass_is_right() -> None:
    _, text = reproducer_of(wrong_pass(network()))
    code, out, problem = run_program(text.replace('registry["cos"]', 'registry["sin"]'))
    assert (code, problem) == (0, "")
    assert out.endswith("the fault is gone\n")


def test_the_program_runs_the_pass_where_it_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of a pass of the package, made wrong for the test, and so right again in another process."""
    sound = Simplify.__call__
    monkeypatch.setattr(Simplify, "__call__", lambda self, graph: Replace("sin", gr.cos)(sound(self, graph)))
    graph = network()
    _, text = reproducer_of(lambda: check_passes(run_passes(graph), passes=PIPELINE))
    assert "for each in PIPELINE if each.name == 'simplify'" in text
    code, out, problem = run_program(text)
    assert (code, problem) == (0, "")
    assert "--- simplify" in out and out.endswith("the fault is gone\n")


def test_through_compile_with_a_wrong_pass() -> None:
    graph = network()
    x, t = graph.inputs
    error, text = reproducer_of(
        lambda: gr.compile(
            [x, t], graph.outputs, passes=[Replace("sin", gr.cos)], verify={x: np.ones((70, 4)), t: [0] * 70}
        )
    )
    assert "the pass 'replace' changed output 0" in error.found
    assert "zlib.decompress" in text
    assert run_program(text)[0] == 1


def test_a_fault_in_an_update() -> None:
    w = gr.parameter(np.arange(3, dtype=np.float32), "w")
    x = gr.placeholder((3,), name="x")
    graph = Graph.of([x], [gr.sum(x * w)], {w: w - 0.5 * x})

    @dataclass(frozen=True)
    class Keep:
        name: str = "keep"

        def __call__(self, graph: Graph) -> Graph:
            return Graph.of(graph.inputs, graph.outputs, {variable: variable for variable, _ in graph.updates})

    _, text = reproducer_of(lambda: check_passes(run_passes(graph, [Keep()]), passes=[Keep()]))
    code, out, problem = run_program(text)
    assert code == 1
    assert "updates:" in out
    assert "changed the next value of 'w'" in problem


def test_a_fault_in_the_backward_graph_and_in_loops() -> None:
    xs = gr.placeholder(("t", "n"), name="xs")
    w = gr.parameter(np.ones(1, np.float32), "w")
    total, _ = gr.scan(lambda s, x: (gr.sin(s * w + x), None), xs[0] * 0.0, xs)
    graph = Autodiff()(Graph.of([xs], [gr.grad(gr.sum(total), w), gr.sum(gr.flatten(xs)[1:])]))
    _, text = reproducer_of(lambda: check_passes(run_passes(graph, [Turn()]), passes=[Turn()]))
    assert 'phase("backward")' in text or "ScanAttrs(" in text
    code, _, problem = run_program(text)
    assert code == 1
    assert "the pass 'turn'" in problem


@dataclass(frozen=True)
class Turn:
    """A pass for the tests: loops run from the other end."""

    name: str = "turn"

    def __call__(self, graph: Graph) -> Graph:
        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            if node.op.name != "scan":
                return None
            return apply(node.op, node.inputs, replace(node.attrs, reverse=not node.attrs.reverse)).outputs

        return rewrite(graph, rule)


def test_graphs_that_cannot_be_written_as_a_program() -> None:
    @dataclass(frozen=True)
    class Attrs:
        call: Callable[..., Any]

    op = OpDef("odd", "", lambda attrs, x: x, lambda attrs, x: attrs.call(x), no_gradient, Attrs)
    x = gr.placeholder((3,), name="x")
    graph = Graph.of([x], [apply_one(op, (x,), Attrs(np.sin))])
    wrong = Replace("odd", gr.cos)
    with pytest.raises(PassError, match="the pass 'replace' changed output 0") as caught:
        check_passes(run_passes(graph, [wrong]), passes=[wrong])
    assert caught.value.reproducer is None


def test_sizes_and_attributes_are_written() -> None:
    x = gr.placeholder(("n", None, 3), name="x")
    n, m = x.shape[0], x.shape[1]
    y = gr.concatenate([x, x], 0)[: 3 * (n // 2) + 1]
    z = gr.pad(y, [(0, 0), (0, n), (1, 1)]).reshape(-1)
    level = gr.where(z > 0, gr.log(z), -np.inf).astype("float64")
    graph = Graph.of([x], [level, gr.zeros((maximum(n, 2 * m),))])
    source = GraphSource({})
    name = source.graph(graph)
    scope: dict[str, Any] = {}
    exec("\n".join([*sorted(source.imports), *source.lines]), scope)
    twin = scope[name]
    assert to_text(twin) == to_text(graph)
    point = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    for found, wanted in zip(
        gr.evaluate(list(twin.outputs), {twin.inputs[0]: point}),
        gr.evaluate(list(graph.outputs), {x: point}),
        strict=True,
    ):
        np.testing.assert_array_equal(found, wanted)


# --- graphs inside nodes


def looping() -> tuple[Graph, Value]:
    x, b = gr.placeholder((None, 3), name="x"), gr.placeholder((None,), name="b")
    carry, ys = gr.scan(lambda h, x: (gr.tanh(h * x + b), gr.sin(h)), x[0], x)
    shorter = gr.cond(carry.sum() > -100.0, lambda: gr.exp(carry), lambda: carry * b)
    last = gr.while_loop(lambda s: s.sum() < 5.0, lambda s: s + gr.abs(b) + 1.0, shorter)
    loss = (shorter * carry).sum() + ys.sum()
    return Graph.of([x, b], [last, loss, *gr.grad(loss, [x, b])]), x


def test_passes_keep_the_values_of_loops() -> None:
    """The sizes that a step takes for equal are drawn equal."""
    graph, _ = looping()
    check_passes(run_passes(graph))


@pytest.mark.parametrize("name", ["tanh", "sin", "exp"])
def test_a_wrong_value_inside_a_loop_is_found(name: str) -> None:
    graph, _ = looping()

    @dataclass(frozen=True)
    class Inside:
        name: str = "inside"

        def __call__(self, graph: Graph) -> Graph:
            return in_bodies(graph, Replace(name, lambda v: v * 0.5))

    with pytest.raises(PassError, match="the pass 'inside' changed output"):
        check_passes(stages_of(graph, Inside()))


def test_sizes_inside_a_loop_that_do_not_agree() -> None:
    graph, x = looping()
    with pytest.raises(FeedError, match="a size left open"):
        check_passes(run_passes(graph), {x: np.ones((4, 3)), graph.inputs[1]: np.ones(2)})
