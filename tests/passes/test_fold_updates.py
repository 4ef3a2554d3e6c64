from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.errors import DTypeError, ShapeError
from graphc.ir.graph import Graph, Value
from graphc.ir.printer import to_text
from graphc.passes.autodiff import Autodiff
from graphc.passes.cse import Cse
from graphc.passes.dce import Dce
from graphc.passes.fold_updates import FoldUpdates
from graphc.passes.simplify import Simplify
from tests.passes.passing import applied, formula, formulas, names, results
from tests.support import calls_made, check_against_torch

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((4, 5)), RNG.standard_normal((5, 3))
RATE = np.array(0.3)


class Setting:
    """A parameter W and another variable V of shape (4, 3), and placeholders a @ b of their shape and a rate."""

    def __init__(self) -> None:
        self.w = gr.parameter(np.random.default_rng(1).standard_normal((4, 3)), "W")
        self.v = gr.variable(np.random.default_rng(2).standard_normal((4, 3)), "V")
        self.a = gr.placeholder((4, "k"), "float64", "a")
        self.b = gr.placeholder(("k", 3), "float64", "b")
        self.rate = gr.placeholder((), "float64", "rate")
        self.g = self.a @ self.b

    @property
    def feeds(self) -> dict[Value, np.ndarray]:
        return {self.a: A, self.b: B, self.rate: RATE}


Updates = Mapping[Value, Value]
Make = Callable[[Setting], Updates]


def both(s: Setting, v: Value, w: Value) -> Updates:
    return {s.v: v, s.w: w}


def momentum(s: Setting) -> Updates:
    v = 0.9 * s.v + s.g
    return {s.w: s.w - s.rate * v, s.v: v}


def nesterov(s: Setting) -> Updates:
    v = 0.9 * s.v + s.g
    return {s.w: s.w - s.rate * (s.g + 0.9 * v), s.v: v}


def decayed_momentum(s: Setting) -> Updates:
    v = 0.9 * s.v + (s.g + 0.1 * s.w)
    return {s.w: s.w - s.rate * v, s.v: v}


def adam(s: Setting) -> Updates:
    v = 0.9 * s.v + 0.1 * s.g
    return {s.v: v, s.w: s.w - s.rate * v / (gr.sqrt(s.g * s.g) + 1e-8)}


FOLDED: dict[str, tuple[Make, list[str]]] = {
    "descent": (lambda s: {s.w: s.w - 0.1 * s.g}, ["gemm(W, a, b, -0.1, 1.0)"]),
    "sum": (lambda s: {s.w: s.w + s.g}, ["gemm(W, a, b, 1.0, 1.0)"]),
    "product first": (lambda s: {s.w: s.g * 2.0 + s.w}, ["gemm(W, a, b, 2.0, 1.0)"]),
    "negative product": (lambda s: {s.w: -s.g + s.w}, ["gemm(W, a, b, -1.0, 1.0)"]),
    "schedule": (lambda s: {s.w: s.w - s.rate * s.g}, ["gemm(W, a, b, negative(rate), 1.0)"]),
    "scaled twice": (lambda s: {s.w: s.w - s.rate * (s.g * 0.5)}, ["gemm(W, a, b, multiply(rate, -0.5), 1.0)"]),
    "divided": (lambda s: {s.w: s.w - s.g / s.rate / 4.0}, ["gemm(W, a, b, multiply(divide(1.0, rate), -0.25), 1.0)"]),
    "decay by a factor": (lambda s: {s.w: s.w * 0.9 - 0.1 * s.g}, ["gemm(W, a, b, -0.1, 0.9)"]),
    "decay in the gradient": (lambda s: {s.w: s.w - 0.1 * (s.g + 0.5 * s.w)}, ["gemm(W, a, b, -0.1, 0.95)"]),
    "decay with a schedule": (
        lambda s: {s.w: s.w - s.rate * (s.g + 0.5 * s.w)},
        ["gemm(W, a, b, negative(rate), add(multiply(rate, -0.5), 1.0))"],
    ),
    "decay of everything": (
        lambda s: {s.w: (s.w - s.rate * s.g) * 0.5},
        ["gemm(W, a, b, multiply(rate, -0.5), 0.5)"],
    ),
    "average": (lambda s: {s.v: s.v * s.rate + (1 - s.rate) * s.g}, ["gemm(V, a, b, subtract(1.0, rate), rate)"]),
    "momentum": (
        momentum,
        ["subtract(W, multiply(rate, gemm(V, a, b, 1.0, 0.9)))", "gemm(V, a, b, 1.0, 0.9)"],
    ),
    "transposed product": (
        lambda s: {s.w: s.w - s.rate * (s.b.T @ s.a.T).T},
        ["gemm(W, a, b, negative(rate), 1.0)"],
    ),
    "transposed and scaled": (
        lambda s: {s.w: s.w - s.rate * gr.transpose(0.5 * (s.b.T @ s.a.T))},
        ["gemm(W, a, b, multiply(rate, -0.5), 1.0)"],
    ),
    "transposed operands": (
        lambda s: {s.w: s.w - s.rate * (gr.exp(s.a).T.T @ gr.sin(s.b))},
        ["gemm(W, exp(a), sin(b), negative(rate), 1.0)"],
    ),
    "two products": (
        lambda s: {s.w: s.w - s.rate * (s.g + gr.sin(s.a) @ s.b)},
        ["gemm(gemm(W, a, b, negative(rate), 1.0), sin(a), b, negative(rate), 1.0)"],
    ),
    "clipped result": (
        lambda s: {s.w: gr.clip(s.w - s.rate * s.g, -1, 1)},
        ["clip(gemm(W, a, b, negative(rate), 1.0), -1.0, 1.0)"],
    ),
    "rate of shape (1, 1)": (
        lambda s: {s.w: s.w - gr.reshape(s.rate, (1, 1)) * s.g},
        ["gemm(W, a, b, negative(reshape(reshape(rate, shape=(1, 1)), shape=())), 1.0)"],
    ),
}

KEPT: dict[str, Make] = {
    "nesterov": nesterov,
    "adam": adam,
    "momentum with decay": decayed_momentum,
    "lasso": lambda s: {s.w: s.w - s.rate * (s.g + 0.5 * gr.sign(s.w))},
    "product alone": lambda s: {s.w: s.rate * s.g},
    "gradient clipped by value": lambda s: {s.w: s.w - s.rate * gr.clip(s.g, -1, 1)},
    "gradient clipped by norm": lambda s: {s.w: s.w - s.rate * s.g / gr.sqrt(gr.sum(s.g * s.g))},
    "broadcast operand": lambda s: {s.w: s.g + s.w[0]},
    "weights of items": lambda s: {s.w: s.w - s.v * s.g},
    "nothing to do with products": lambda s: {s.w: s.w * 0.5 + s.v},
}


def stages(s: Setting, updates: Updates) -> tuple[Graph, Graph]:
    graph = applied(Graph.of([s.a, s.b, s.rate], [], updates), Simplify(), Cse())
    return graph, applied(graph, FoldUpdates())


@pytest.mark.parametrize("name", FOLDED)
def test_folded(name: str) -> None:
    make, expected = FOLDED[name]
    s = Setting()
    graph, after = stages(s, make(s))
    assert [formula(value) for _, value in after.updates] == expected
    assert "matmul" not in names(after)
    for found, wanted in zip(results(after, s.feeds), results(graph, s.feeds), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-13, 1e-13)


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    s = Setting()
    graph, after = stages(s, KEPT[name](s))
    assert after is graph


def test_without_simplification() -> None:
    s = Setting()
    graph = Graph.of([s.a, s.b, s.rate], [], {s.w: s.w - gr.broadcast_to(s.rate, (4, 3)) * s.g * 1.0 + 0.0})
    after = applied(graph, FoldUpdates())
    assert formulas(after.results) == ["add(gemm(W, a, b, negative(rate), 1.0), 0.0)"]
    np.testing.assert_allclose(results(after, s.feeds), results(graph, s.feeds), 1e-13)


def test_negative_products_without_simplification() -> None:
    s = Setting()
    graph = Graph.of([s.a, s.b, s.rate], [], {s.w: s.w + -(s.rate * (s.rate * s.g))})
    after = applied(graph, FoldUpdates())
    assert formulas(after.results) == ["gemm(W, a, b, negative(multiply(rate, rate)), 1.0)"]
    np.testing.assert_allclose(results(after, s.feeds), results(graph, s.feeds), 1e-13)


def test_before_differentiation() -> None:
    """A variable that derivatives are taken by is added to as any other matrix."""
    s = Setting()
    loss = gr.sum(gr.sin(s.w))
    graph = Graph.of([s.a, s.b, s.rate], [gr.grad(loss, s.w)], {s.w: s.w - s.rate * s.g})
    after = applied(graph, FoldUpdates())
    assert formulas([after.updates[0][1]]) == ["gemm(W, a, b, negative(rate), 1.0)"]


def test_a_product_in_use_is_kept() -> None:
    s = Setting()
    graph = Graph.of([s.a, s.b, s.rate], [gr.sum(s.g)], {s.w: s.w - s.rate * s.g})
    assert FoldUpdates()(graph) is graph


def test_a_next_value_that_is_an_output_too() -> None:
    s = Setting()
    following = s.w - s.rate * s.g
    graph = Graph.of([s.a, s.b, s.rate], [following], {s.w: following})
    after = applied(graph, FoldUpdates())
    assert after.outputs[0] is after.updates[0][1]
    assert formulas(after.outputs) == ["gemm(W, a, b, negative(rate), 1.0)"]


def test_sums_that_feed_no_update_stay() -> None:
    s = Setting()
    graph = Graph.of([s.a, s.b], [s.w + s.g], {s.v: s.v * 0.5})
    assert FoldUpdates()(graph) is graph


def test_one_item_is_no_scalar_of_another() -> None:
    """Of two matrices of shape (1, 1), neither is taken for the scalar."""
    w = gr.parameter(np.ones((1, 1)), "w")
    a, b = (gr.placeholder((1, 1), "float64", name) for name in "ab")
    graph = Graph.of([a, b], [], {w: w - a * (a @ b)})
    assert FoldUpdates()(graph) is graph
    graph = Graph.of([a, b], [], {w: w - 0.5 * (a @ b)})
    assert formulas(applied(graph, FoldUpdates()).results) == ["gemm(w, a, b, -0.5, 1.0)"]


def test_integers_stay() -> None:
    w = gr.variable(np.ones((2, 2), np.int64), "w")
    a = gr.placeholder((2, 2), "int64", name="a")
    graph = Graph.of([a], [], {w: w + a @ a})
    assert FoldUpdates()(graph) is graph


def test_training_step_of_a_perceptron() -> None:
    x = gr.placeholder(("n", 4), name="x")
    t = gr.placeholder(("n",), "int64", name="t")
    first = gr.parameter(RNG.standard_normal((4, 5)).astype(np.float32), "first")
    second = gr.parameter(RNG.standard_normal((3, 5)).astype(np.float32), "second")
    loss = gr.cross_entropy(gr.relu(x @ first) @ second.T, t)
    updates = {w: w - 0.1 * g for w, g in zip((first, second), gr.grad(loss, [first, second]), strict=True)}
    graph = applied(Graph.of([x, t], [loss], updates), Simplify(), Autodiff(), Simplify(), Cse())
    after = applied(graph, FoldUpdates())
    assert names(graph).count("matmul") == 5
    assert names(after).count("matmul") == 3
    assert [value.node.op.name for _, value in after.updates] == ["gemm", "gemm"]
    feeds = {x: RNG.standard_normal((6, 4)).astype(np.float32), t: np.array([0, 1, 2, 0, 1, 2])}
    for found, wanted in zip(results(after, feeds), results(graph, feeds), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


def test_printed_graph() -> None:
    s = Setting()
    _, after = stages(s, {s.w: s.w - 0.1 * s.g})
    assert to_text(after) == (
        "inputs: %a, %b, %rate\n"
        "%a: float64[4, k] = placeholder()\n"
        "%b: float64[k, 3] = placeholder()\n"
        "%rate: float64[] = placeholder()\n"
        "%W: float64[4, 3] = variable(trainable=True)\n"
        "%0: float64[] = constant(-0.1)\n"
        "%1: float64[] = constant(1.0)\n"
        "%2: float64[4, 3] = gemm(%W, %a, %b, %0, %1)\n"
        "updates:\n"
        "  %W <- %2\n"
    )


def test_work_is_linear_in_the_number_of_terms() -> None:
    def work(count: int, shared: bool) -> int:
        s = Setting()
        total = s.w
        for number in range(count):
            total = total - (0.1 + number) * (s.v if shared else gr.sin(s.a * float(number)) @ s.b)
        graph = Graph.of([s.a, s.b], [], {s.w: total})
        assert names(Dce()(FoldUpdates()(graph))).count("gemm") == (0 if shared else count)
        return calls_made(lambda: FoldUpdates()(graph))

    for shared in (False, True):
        assert work(480, shared) < 8.5 * work(60, shared)


# --- rows at indices ------------------------------------------------------------------------------------------------


class Rows:
    """A table of shape (5, 3), indices of its rows with their amounts, products of the table's shape, and a rate."""

    def __init__(self) -> None:
        self.table = gr.parameter(np.random.default_rng(1).standard_normal((5, 3)), "T")
        self.ids = gr.placeholder(("n",), "int64", "ids")
        self.u = gr.placeholder(("n", 3), "float64", "u")
        self.a = gr.placeholder((5, "k"), "float64", "a")
        self.b = gr.placeholder(("k", 3), "float64", "b")
        self.rate = gr.placeholder((), "float64", "rate")
        self.g = gr.index_add(gr.zeros((5, 3), "float64"), self.ids, self.u)

    @property
    def inputs(self) -> list[Value]:
        return [self.ids, self.u, self.a, self.b, self.rate]

    def stages(self, following: Value) -> tuple[Graph, Graph]:
        graph = applied(Graph.of(self.inputs, [], {self.table: following}), Simplify(), Cse())
        return graph, applied(graph, FoldUpdates())

    def feeds(self, count: int) -> dict[Value, np.ndarray]:
        rng = np.random.default_rng(2)
        arrays = [rng.integers(-5, 5, count), *(rng.standard_normal(shape) for shape in ((count, 3), (5, 2), (2, 3)))]
        return dict(zip(self.inputs, [*arrays, RATE], strict=True))


SPARSE: dict[str, tuple[Callable[[Rows], Value], str]] = {
    "descent": (lambda r: r.table - 0.1 * r.g, "index_add(T, ids, multiply(u, -0.1), axis=0)"),
    "sum": (lambda r: r.g + r.table, "index_add(T, ids, multiply(u, 1.0), axis=0)"),
    "schedule": (lambda r: r.table - r.rate * r.g, "index_add(T, ids, multiply(u, negative(rate)), axis=0)"),
    "scaled twice": (
        lambda r: r.table - r.rate * (r.g / 2.0),
        "index_add(T, ids, multiply(u, multiply(rate, -0.5)), axis=0)",
    ),
    "two uses": (
        lambda r: r.table - 0.1 * (r.g + gr.index_add(gr.zeros((5, 3), "float64"), r.ids, gr.sin(r.u))),
        "index_add(index_add(T, ids, multiply(u, -0.1), axis=0), ids, multiply(sin(u), -0.1), axis=0)",
    ),
    "with a product": (
        lambda r: r.table - 0.1 * (r.g + r.a @ r.b),
        "index_add(gemm(T, a, b, -0.1, 1.0), ids, multiply(u, -0.1), axis=0)",
    ),
    "with a product and decay": (
        lambda r: r.table - 0.1 * (r.a @ r.b + r.g + 0.5 * r.table),
        "index_add(gemm(T, a, b, -0.1, 0.95), ids, multiply(u, -0.1), axis=0)",
    ),
    "columns": (
        lambda r: r.table - 0.1 * gr.index_add(gr.zeros((5, 3), "float64"), r.ids % 3, r.table @ r.u.T, axis=1),
        "index_add(T, mod(ids, 3), multiply(matmul(T, transpose(u, axes=(1, 0))), -0.1), axis=1)",
    ),
}

DENSE: dict[str, Callable[[Rows], Value]] = {
    "decay": lambda r: r.table - 0.1 * (r.g + 0.5 * r.table),
    "momentum": lambda r: 0.9 * r.table + r.g,
    "decay with a schedule": lambda r: r.table * r.rate - 0.1 * r.g,
    "square": lambda r: r.table - 0.1 * r.g * r.g,
    "clipped": lambda r: r.table - 0.1 * gr.clip(r.g, -1, 1),
    "alone": lambda r: 0.1 * r.g,
    "transposed": lambda r: r.table - 0.1 * gr.reshape(r.g.T, (5, 3)),
    "added to something": lambda r: r.table - 0.1 * gr.index_add(gr.ones((5, 3), "float64"), r.ids, r.u),
    "its own rows": lambda r: gr.index_add(r.table, r.ids, r.u),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse(name: str) -> None:
    make, expected = SPARSE[name]
    rows = Rows()
    graph, after = rows.stages(make(rows))
    assert [formula(value) for _, value in after.updates] == [expected]
    assert "broadcast_to" not in names(after)
    for count in (0, 1, 40):
        (found,), (wanted,) = (results(each, rows.feeds(count)) for each in (after, graph))
        np.testing.assert_allclose(found, wanted, 1e-13, 1e-13)


@pytest.mark.parametrize("name", DENSE)
def test_dense(name: str) -> None:
    rows = Rows()
    graph, after = rows.stages(DENSE[name](rows))
    assert after is graph


def test_a_sparse_gradient_in_use_is_kept() -> None:
    rows = Rows()
    graph = Graph.of([rows.ids, rows.u], [gr.sum(rows.g * rows.g)], {rows.table: rows.table - 0.1 * rows.g})
    assert FoldUpdates()(graph) is graph


def largest_arena_buffer(step: gr.Function) -> int:
    return max(buffer.bytes for buffer in step.plan.buffers if buffer.place == "arena")


@pytest.mark.parametrize("rate", [0.5, gr.optim.schedules.exponential_decay(0.5, 0.9)], ids=["number", "schedule"])
def test_descent_on_a_table_touches_the_rows_that_were_used_alone(rate: gr.optim.LearningRate) -> None:
    """No gradient of the table's size is stored, and no kernel goes over the table."""
    table = gr.parameter(np.random.default_rng(0).standard_normal((20_000, 8)).astype(np.float32), "table")
    ids = gr.placeholder(("n", 2), "int64")
    loss = gr.sum(gr.tanh(gr.take(table, ids, 0)))
    step = gr.compile([ids], loss, updates=gr.optim.SGD(rate).updates(loss, [table]))
    chosen = np.array([[7, 19_999], [3, 7], [7, -2]])
    before = table.value
    step(chosen)
    expected = before.copy()
    np.add.at(expected, chosen, -0.5 * (1 - np.tanh(before[chosen]) ** 2))
    np.testing.assert_allclose(table.value, expected, 1e-5, 1e-6)
    untouched = np.setdiff1d(np.arange(20_000), chosen % 20_000)
    np.testing.assert_array_equal(table.value[untouched], before[untouched])
    plan = step.plan
    assert [each.name for each in plan.steps].count("index_add") == 1
    assert "copy" not in {each.name for each in plan.steps}
    assert largest_arena_buffer(step) <= 6 * 8 * 4
    assert max(each.work for each in plan.steps) < 20_000
    of_table = [number for number, buffer in enumerate(plan.buffers) if buffer.bytes == 20_000 * 8 * 4]
    assert [plan.buffers[number].place for number in of_table] == ["variable"]


def test_tables_that_are_used_twice_or_as_a_product_too_are_updated_in_place() -> None:
    rng = np.random.default_rng(0)
    for tied in (False, True):
        table = gr.parameter(rng.standard_normal((3000, 4)), "table")
        ids, others = (gr.placeholder((6,), "int64", name) for name in ("ids", "others"))
        rows = gr.take(table, ids, 0) * gr.tanh(gr.take(table, others, 0))
        loss = gr.sum(gr.tanh(gr.sum(rows, 0) @ table.T) ** 2) if tied else gr.sum(rows)
        following = table - 0.1 * gr.grad(loss, table)
        step = gr.compile([ids, others], loss, updates={table: following})
        chosen = rng.integers(0, 3000, (2, 6))
        wanted = gr.evaluate(following, dict(zip((ids, others), chosen, strict=True)))
        step(*chosen)
        np.testing.assert_allclose(table.value, wanted, 1e-12)
        assert largest_arena_buffer(step) < 3000 * 4 * 8
        assert sorted(each.name for each in step.plan.steps if each.name in ("gemm", "index_add")) == [
            *["gemm"] * tied,
            *["index_add"] * 2,
        ]


def test_weight_decay_and_adam_have_dense_gradients() -> None:
    for optimizer in (gr.optim.SGD(0.1, weight_decay=0.01), gr.optim.SGD(0.1, momentum=0.9), gr.optim.Adam()):
        table = gr.parameter(np.ones((3000, 4)), "table")
        ids = gr.placeholder((6,), "int64")
        loss = gr.sum(gr.take(table, ids, 0) ** 2)
        step = gr.compile([ids], loss, updates=optimizer.updates(loss, [table]))
        assert step.plan.arena_bytes >= 3000 * 4 * 8


# --- the operation -------------------------------------------------------------------------------


def test_gemm_is_that_of_pytorch() -> None:
    def build(c: Value, a: Value, b: Value, alpha: Value, beta: Value) -> Value:
        return gr.gemm(c, a, b, alpha, beta)

    def torch_build(
        c: torch.Tensor, a: torch.Tensor, b: torch.Tensor, alpha: torch.Tensor, beta: torch.Tensor
    ) -> torch.Tensor:
        return beta * c + alpha * (a @ b)

    c = RNG.standard_normal((4, 3))
    check_against_torch(build, torch_build, [c, A, B, np.array(-0.7), np.array(1.3)])
    check_against_torch(build, torch_build, [c[:0], A[:0], B, np.array(-0.7), np.array(1.3)])
    check_against_torch(build, torch_build, [c, A[:, :0], B[:0], np.array(-0.7), np.array(0.0)])


def test_gemm_in_simpler_terms() -> None:
    node = gr.gemm(RNG.standard_normal((4, 3)), A, B, 0.5, 2.0).node
    assert node.op.decompose is not None
    np.testing.assert_allclose(gr.evaluate(node.op.decompose(node)), gr.evaluate(node.outputs), 1e-14)


def test_gemm_promotes_and_has_defaults() -> None:
    c = np.ones((2, 2), np.float32)
    value = gr.gemm(c, np.ones((2, 3)), np.ones((3, 2)))
    assert str(value.type) == "float64[2, 2]"
    np.testing.assert_array_equal(gr.evaluate(value), np.full((2, 2), 4.0))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3), (2, 4), (5, 3)), "c of shape \\(2, 3\\), a of \\(2, 4\\) and b of \\(5, 3\\)"),
        (((2, 4), (2, 4), (4, 3)), "c of shape \\(2, 4\\)"),
        (((3, 3), (2, 4), (4, 3)), "c of shape \\(3, 3\\)"),
        (((3,), (2, 4), (4, 3)), "c of shape \\(3,\\)"),
    ],
)
def test_gemm_of_shapes_that_do_not_fit(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    c, a, b = (gr.placeholder(shape) for shape in shapes)
    with pytest.raises(ShapeError, match=message):
        gr.gemm(c, a, b)


def test_gemm_of_other_dtypes() -> None:
    c, a, b = (gr.placeholder((2, 2), "int32") for _ in range(3))
    with pytest.raises(DTypeError, match="gemm: operands of dtypes int32"):
        gr.gemm(c, a, b, 1, 1)
    c, a, b, alpha = (gr.placeholder(shape) for shape in ((2, 2), (2, 2), (2, 2), (2,)))
    with pytest.raises(ShapeError, match="alpha of shape \\(2,\\)"):
        gr.gemm(c, a, b, alpha)
