from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.errors import GradientError, GraphError
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import NoAttrs, OpDef
from graphc.ir.printer import to_text
from graphc.ir.pullback import pullback
from graphc.ir.types import TensorType
from graphc.passes.autodiff import Autodiff
from graphc.passes.dce import Dce
from graphc.passes.recognize import Recognize
from graphc.passes.simplify import Simplify
from tests.passes.passing import applied, formulas, graph_of, names, results
from tests.support import as_list

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((3, 4)), RNG.standard_normal((4,))
M = RNG.standard_normal((4, 2))


def expanded(
    build: Callable[..., Any], *names_and_shapes: tuple[str, tuple[int, ...]], passes: Sequence[Any] = ()
) -> str:
    """The printed graph of derivatives, after differentiation and simplification."""
    inputs = [gr.placeholder(shape, "float64", name) for name, shape in names_and_shapes]
    graph = Graph.of(inputs, as_list(build(*inputs)))
    return to_text(applied(graph, *passes, Autodiff(), Simplify(), Dce()))


# --- known gradients -----------------------------------------------------------------------------


def test_product() -> None:
    assert expanded(lambda x, y: gr.grad(gr.sum(x * y), [x, y]), ("x", (2,)), ("y", (2,))) == (
        "inputs: %x, %y\n%x: float64[2] = placeholder()\n%y: float64[2] = placeholder()\noutputs: %y, %x\n"
    )


def test_chain() -> None:
    assert expanded(lambda x: gr.grad(gr.sum(gr.sin(gr.exp(x))), x), ("x", (2,))) == (
        "inputs: %x\n"
        "%x: float64[2] = placeholder()\n"
        "%0: float64[2] = exp(%x)\n"
        "%1: float64[2] = cos(%0)\n"
        "%2: float64[2] = multiply(%1, %0)\n"
        "outputs: %2\n"
    )


def test_matrix_product() -> None:
    def build(a: Value, b: Value, g: Value) -> Any:
        return gr.vjp(a @ b, [a, b], g)

    assert expanded(build, ("a", (2, 3)), ("b", (3, 4)), ("g", (2, 4))) == (
        "inputs: %a, %b, %g\n"
        "%a: float64[2, 3] = placeholder()\n"
        "%b: float64[3, 4] = placeholder()\n"
        "%g: float64[2, 4] = placeholder()\n"
        "%0: float64[4, 3] = transpose(%b, axes=(1, 0))\n"
        "%1: float64[2, 3] = matmul(%g, %0)\n"
        "%2: float64[3, 2] = transpose(%a, axes=(1, 0))\n"
        "%3: float64[3, 4] = matmul(%2, %g)\n"
        "outputs: %1, %3\n"
    )


def test_a_value_used_twice_sums_its_cotangents() -> None:
    def build(x: Value) -> Any:
        return gr.grad(gr.sum(gr.sin(x) * x), x)

    text = expanded(build, ("x", (2,)))
    assert text.count("= add(") == 1
    graph, feeds = graph_of(build, [X])
    np.testing.assert_allclose(results(applied(graph, Autodiff()), feeds)[0], np.cos(X) * X + np.sin(X))


def test_many_uses() -> None:
    x = gr.placeholder((), "float64", name="x")
    total = x
    for power in range(2, 8):
        total = total + x**power
    (found,) = results(applied(Graph.of([x], [gr.grad(total, x)]), Autodiff()), {x: np.array(1.1)})
    np.testing.assert_allclose(found, sum(power * 1.1 ** (power - 1) for power in range(1, 8)))


def test_broadcast_operands_are_summed_back() -> None:
    def build(x: Value, y: Value, s: Value) -> Any:
        return gr.vjp(x * y + s, [x, y, s], gr.constant(np.ones((2, 3, 4))))

    x, y, s = RNG.standard_normal((2, 1, 4)), RNG.standard_normal((3, 1)), np.array(2.0)
    graph, feeds = graph_of(build, [x, y, s])
    by_x, by_y, by_s = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_allclose(by_x, np.broadcast_to(y.sum(), (2, 1, 4)))
    np.testing.assert_allclose(by_y, np.full((3, 1), x.sum()))
    np.testing.assert_allclose(by_s, 24.0)


def test_broadcast_over_symbolic_sizes() -> None:
    x, b = gr.placeholder(("n", 4), "float64", name="x"), gr.placeholder((1, 4), "float64", name="b")
    graph = Graph.of([x, b], [gr.grad(gr.sum(x * b), b)])
    after = applied(graph, Autodiff(), Simplify())
    assert formulas(after.outputs) == ["sum(x, axes=(0,), keepdims=True)"]
    np.testing.assert_allclose(results(after, {x: X, b: Y[None]})[0], X.sum(0, keepdims=True))


def test_unused_values_have_a_gradient_of_zeros() -> None:
    graph, feeds = graph_of(lambda x, y: gr.grad(gr.sum(gr.exp(x)), [y, x]), [X, Y])
    after = applied(graph, Autodiff(), Simplify())
    assert formulas(after.outputs) == ["broadcast_to(0.0, shape=(4,))", "exp(x)"]
    np.testing.assert_array_equal(results(after, feeds)[0], np.zeros(4))


def test_no_work_for_what_does_not_depend_on_wrt() -> None:
    def build(x: Value, y: Value) -> Any:
        return gr.grad(gr.sum(gr.sin(x) * gr.exp(gr.cos(y))), x)

    graph, _ = graph_of(build, [X, X])
    assert sorted(names(applied(graph, Autodiff(), Simplify()))) == ["cos", "cos", "exp", "multiply"]


def test_integer_inputs_stop_the_gradient() -> None:
    def build(x: Value, i: Value) -> Any:
        loss = gr.sum(gr.take(x, i, 0) * gr.cast(i, "float64")[:, None]) + gr.sum(
            gr.cast(gr.cast(x, "int32"), "float64")
        )
        return gr.grad(loss, x)

    graph, feeds = graph_of(build, [X, np.array([2, 0, 2])])
    (found,) = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_array_equal(found, np.broadcast_to(np.array([[0.0], [0.0], [4.0]]), (3, 4)))


def test_through_conversion_of_dtype() -> None:
    x = gr.placeholder((3,), "float32", name="x")
    graph = Graph.of([x], [gr.grad(gr.sum(gr.exp(x.astype("float64"))), x)])
    (found,) = results(applied(graph, Autodiff()), {x: np.arange(3, dtype=np.float32)})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.exp(np.arange(3)), 1e-6)


def test_a_loss_by_itself() -> None:
    x = gr.placeholder((), "float64", name="x")
    loss = gr.exp(x)
    graph = Graph.of([x], gr.grad(loss, [loss, x, loss]))
    found = results(applied(graph, Autodiff()), {x: np.array(0.5)})
    np.testing.assert_allclose(found, [1, np.exp(0.5), 1])


def test_the_same_value_twice() -> None:
    graph, feeds = graph_of(lambda x: gr.grad(gr.sum(x * x), [x, x]), [X])
    for found in results(applied(graph, Autodiff()), feeds):
        np.testing.assert_allclose(found, 2 * X)


def test_several_outputs_and_one_output_twice() -> None:
    def build(x: Value) -> Any:
        y = gr.sin(x)
        return gr.vjp([y, y * x, x], x, [gr.constant(X), gr.constant(2 * X), gr.constant(3 * X)])

    graph, feeds = graph_of(build, [X])
    (found,) = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_allclose(found, X * np.cos(X) + 2 * X * (np.cos(X) * X + np.sin(X)) + 3 * X)


# --- by values that are computed -----------------------------------------------------------------


def test_by_one_of_two_equal_values() -> None:
    x = gr.placeholder((), "float64", name="x")
    a, b = gr.exp(x), gr.exp(x)
    for wrt, other in ((a, b), (b, a)):
        graph = Graph.of([x], [gr.grad(a * a * b, wrt), other])
        found, value = results(applied(graph, Simplify(), Recognize(), Autodiff(), Simplify()), {x: np.array(0.3)})
        np.testing.assert_allclose(found, (2 if wrt is a else 1) * np.exp(0.6))
        np.testing.assert_allclose(value, np.exp(0.3))


def test_by_a_value_and_by_what_it_is_computed_from() -> None:
    x = gr.placeholder((), "float64", name="x")
    a = gr.exp(x)
    graph = Graph.of([x], gr.grad(gr.sin(a) * x, [x, a]))
    by_x, by_a = results(applied(graph, Simplify(), Autodiff()), {x: np.array(0.3)})
    e = np.exp(0.3)
    np.testing.assert_allclose(by_a, np.cos(e) * 0.3)
    np.testing.assert_allclose(by_x, np.cos(e) * e * 0.3 + np.sin(e))


def test_by_a_gradient() -> None:
    """The gradient of x * y by x is y, but what is differentiated by it is not differentiated by y."""
    x, y = gr.placeholder((), "float64", name="x"), gr.placeholder((), "float64", name="y")
    g = gr.grad(x * y, x)
    graph = Graph.of([x, y], [gr.grad(g * y, g), gr.grad(g * y, y), gr.grad(g * g, g)])
    by_g, by_y, square = results(applied(graph, Autodiff(), Simplify()), {x: np.array(2.0), y: np.array(3.0)})
    assert (by_g, by_y, square) == (3.0, 6.0, 6.0)


def test_by_a_gradient_that_depends_on_the_point() -> None:
    x = gr.placeholder((), "float64", name="x")
    g = gr.grad(gr.sin(x), x)
    graph = Graph.of([x], [gr.grad(g * g * x, g), gr.grad(g * g * x, x)])
    by_g, by_x = results(applied(graph, Simplify(), Autodiff(), Simplify()), {x: np.array(0.7)})
    np.testing.assert_allclose(by_g, 2 * np.cos(0.7) * 0.7)
    np.testing.assert_allclose(by_x, np.cos(0.7) ** 2 - 2 * 0.7 * np.cos(0.7) * np.sin(0.7))


def test_by_a_tangent() -> None:
    x = gr.placeholder((), "float64", name="x")
    tangent = gr.jvp(gr.sin(x), x, gr.constant(2.0, "float64"))
    graph = Graph.of([x], [gr.grad(tangent * tangent, tangent), gr.grad(tangent, x)])
    by_tangent, by_x = results(applied(graph, Autodiff()), {x: np.array(0.7)})
    np.testing.assert_allclose(by_tangent, 4 * np.cos(0.7))
    np.testing.assert_allclose(by_x, -2 * np.sin(0.7))


def test_by_a_variable_and_by_a_constant() -> None:
    w, c = gr.parameter(np.array([1.0, 2.0]), "w"), gr.constant(np.array([3.0, 5.0]))
    graph = Graph.of([], gr.grad(gr.sum(w * w * c), [w, c]))
    by_w, by_c = results(applied(graph, Simplify(), Autodiff(), Simplify()), {})
    np.testing.assert_allclose(by_w, [6.0, 20.0])
    np.testing.assert_allclose(by_c, [1.0, 4.0])


# --- higher order, forward mode ------------------------------------------------------------------

FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[np.ndarray]]] = {
    "elementwise": (
        lambda x: gr.sin(x) * gr.exp(x * 0.5) + x**3,
        lambda x: torch.sin(x) * torch.exp(x * 0.5) + x**3,
        [X],
    ),
    "broadcast": (lambda x, y: gr.tanh(x * y) / (1 + y * y), lambda x, y: torch.tanh(x * y) / (1 + y * y), [X, Y]),
    "matmul": (
        lambda x, m: gr.sin(x @ m) @ gr.exp(m).T,
        lambda x, m: torch.sin(x @ m) @ torch.exp(m).T,
        [X, M],
    ),
    "reductions": (
        lambda x: gr.sum(x * x, 0) * gr.mean(x, 1, keepdims=True) + gr.prod(x, 0),
        lambda x: torch.sum(x * x, 0) * torch.mean(x, 1, keepdim=True) + torch.prod(x, 0),
        [X],
    ),
    "views": (
        lambda x: gr.concatenate([x.T[1:], x.T[:2] * x.T[1:3]]).reshape(3, 5)[:, ::2] ** 2,
        lambda x: torch.cat([x.T[1:], x.T[:2] * x.T[1:3]]).reshape(3, 5)[:, ::2] ** 2,
        [X],
    ),
    "softmax": (
        lambda x: gr.softmax(x) * gr.log_softmax(x, 0),
        lambda x: torch.softmax(x, -1) * torch.log_softmax(x, 0),
        [X],
    ),
    "softmax written out": (
        lambda x: gr.exp(x - x.max(1, keepdims=True)) / gr.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True),
        lambda x: torch.softmax(x, -1),
        [X],
    ),
    "stop_gradient": (
        lambda x: gr.stop_gradient(gr.sin(x)) * x + gr.exp(x),
        lambda x: torch.sin(x).detach() * x + torch.exp(x),
        [X],
    ),
    "0-d": (lambda x: gr.sin(x) * x, lambda x: torch.sin(x) * x, [np.array(0.7)]),
    "empty": (lambda x: gr.sin(x) * x, lambda x: torch.sin(x) * x, [np.zeros((0, 3))]),
}


def evaluated(build: Callable[..., Any], arrays: Sequence[Any]) -> list[np.ndarray]:
    """Values by all the passes that derivatives go through, after a comparison with no pass but differentiation."""
    graph, feeds = graph_of(build, arrays)
    plain = results(applied(graph, Autodiff()), feeds)
    found = results(applied(graph, Simplify(), Recognize(), Autodiff(), Simplify()), feeds)
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(a, b, 1e-9, 1e-12)
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reverse_and_forward_mode_are_those_of_pytorch(name: str) -> None:
    build, torch_build, arrays = FUNCTIONS[name]
    tensors = tuple(torch.tensor(array) for array in arrays)
    value, pull = torch.func.vjp(torch_build, *tensors)
    cotangent = np.random.default_rng(3).standard_normal(tuple(value.shape))
    tangents = [np.random.default_rng(4 + place).standard_normal(array.shape) for place, array in enumerate(arrays)]
    _, pushed = torch.autograd.functional.jvp(torch_build, tensors, tuple(map(torch.tensor, tangents)))

    def derivatives(*values: Value) -> list[Value]:
        output = build(*values)
        pulled = gr.vjp(output, list(values), gr.constant(cotangent))
        return [*pulled, gr.jvp(output, list(values), [gr.constant(tangent) for tangent in tangents])]

    wanted = [*pull(torch.tensor(cotangent)), pushed]
    for found, tensor in zip(evaluated(derivatives, arrays), wanted, strict=True):
        np.testing.assert_allclose(found, tensor.detach().numpy(), 1e-10, 1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_order_is_that_of_pytorch(name: str) -> None:
    build, torch_build, arrays = FUNCTIONS[name]
    directions = [np.random.default_rng(7 + place).standard_normal(array.shape) for place, array in enumerate(arrays)]

    def product(*values: Value) -> list[Value]:
        first = gr.grad(gr.sum(gr.sin(build(*values))), list(values))
        inner = sum((gr.sum(g * d) for g, d in zip(first, directions, strict=True)), start=gr.constant(0.0, "float64"))
        pushed = gr.jvp(first, list(values), [gr.constant(direction) for direction in directions])
        return [*gr.grad(inner, list(values)), *pushed]

    tensors = tuple(torch.tensor(array, requires_grad=True) for array in arrays)
    first = torch.autograd.grad(torch.sin(torch_build(*tensors)).sum(), tensors, create_graph=True)
    inner = sum((g * torch.tensor(d)).sum() for g, d in zip(first, directions, strict=True))
    wanted = torch.autograd.grad(inner, tensors, allow_unused=True)
    found = evaluated(product, arrays)
    for array, other, tensor in zip(found, found[len(arrays) :], wanted, strict=False):
        np.testing.assert_allclose(array, tensor.numpy(), 1e-9, 1e-11)
        if name != "stop_gradient":  # a product with the Hessian from either side; it is symmetric
            np.testing.assert_allclose(other, tensor.numpy(), 1e-9, 1e-11)


def test_third_order() -> None:
    x = gr.placeholder((), "float64", name="x")
    third = gr.grad(gr.grad(gr.grad(gr.sin(x) * x, x), x), x)
    (found,) = results(applied(Graph.of([x], [third]), Autodiff(), Simplify()), {x: np.array(0.4)})
    np.testing.assert_allclose(found, -3 * np.sin(0.4) - 0.4 * np.cos(0.4))


def test_hessian_by_forward_over_reverse() -> None:
    x = gr.placeholder((3,), "float64", name="x")
    gradient = gr.grad(gr.prod(gr.sin(x)), x)
    rows = [gr.jvp(gradient, x, gr.constant(row)) for row in np.eye(3)]
    point = np.array([0.3, 0.5, 0.9])
    found = results(applied(Graph.of([x], rows), Autodiff()), {x: point})
    wanted = torch.autograd.functional.hessian(lambda x: torch.prod(torch.sin(x)), torch.tensor(point))
    np.testing.assert_allclose(np.stack(found), wanted.numpy(), 1e-10)


def test_forward_mode_of_what_is_unused() -> None:
    def build(x: Value, y: Value) -> Any:
        return gr.jvp([gr.sin(x), gr.exp(y)], x, gr.constant(2 * X))

    graph, feeds = graph_of(build, [X, Y])
    first, second = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_allclose(first, 2 * X * np.cos(X))
    np.testing.assert_array_equal(second, np.zeros(4))


# --- markers and custom gradients ----------------------------------------------------------------


def test_markers_are_erased() -> None:
    @gr.custom_gradient
    def doubled(x: Value) -> tuple[Value, Any]:
        return gr.stop_gradient(x) * 2.0, lambda g: gr.stop_gradient(g) * 2.0

    graph, feeds = graph_of(lambda x: [doubled(gr.stop_gradient(x)), gr.grad(gr.sum(doubled(x)), x)], [X])
    after = applied(graph, Autodiff())
    assert not {"stop_gradient", "custom_gradient", "grad"} & set(names(after))
    value, gradient = results(after, feeds)
    np.testing.assert_allclose(value, 2 * X)
    np.testing.assert_allclose(gradient, np.full_like(X, 2))


def test_custom_gradient_replaces_the_derivative() -> None:
    @gr.custom_gradient
    def limited(x: Value) -> tuple[Value, Any]:
        return x * 10.0, lambda g: gr.clip(g, -1.0, 1.0)

    graph, feeds = graph_of(lambda x: gr.grad(gr.sum(limited(x) * x), x), [X])
    (found,) = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_allclose(found, 10 * X + np.clip(X, -1, 1))


def test_custom_gradient_with_several_results() -> None:
    @gr.custom_gradient
    def pair(x: Value, y: Value) -> tuple[tuple[Value, Value], Any]:
        return (x * y, x + y), lambda g, h: (g * 2.0, h * 3.0)

    def build(x: Value) -> list[Value]:
        first, second = pair(x, gr.sin(x))
        return [gr.grad(gr.sum(first), x), gr.grad(gr.sum(second), x), gr.grad(gr.sum(first + second), x)]

    graph, feeds = graph_of(build, [X])
    found = results(applied(graph, Autodiff()), feeds)
    wanted = [np.full_like(X, 2), 3 * np.cos(X), 2 + 3 * np.cos(X)]
    for array, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array, other)


def test_missing_cotangent_of_an_infinite_result_is_zero() -> None:
    @gr.custom_gradient
    def pair(x: Value) -> tuple[tuple[Value, Value], Any]:
        return (x * 2.0, x / 0.0), lambda g, h: g * 2.0 + h

    graph, feeds = graph_of(lambda x: gr.grad(gr.sum(pair(x)[0]), x), [X])
    (found,) = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_array_equal(found, np.full_like(X, 2))


def test_derivatives_inside_a_custom_gradient() -> None:
    """A function may be made of gradients, and so may its gradient; nested ones are expanded too."""

    @gr.custom_gradient
    def inner(x: Value) -> tuple[Value, Any]:
        return gr.stop_gradient(gr.sin(x)), lambda g: g * gr.grad(gr.sum(gr.sin(x)), x)

    @gr.custom_gradient
    def slope(x: Value) -> tuple[Value, Any]:
        return gr.grad(gr.sum(inner(x)), x), lambda g: -g * inner(x)

    def build(x: Value) -> list[Value]:
        first = gr.grad(gr.sum(slope(x)), x)
        return [slope(x), first, gr.grad(gr.sum(first * first), x)]

    graph, feeds = graph_of(build, [X])
    after = applied(graph, Autodiff())
    assert not {"grad", "jvp", "custom_gradient", "stop_gradient"} & set(names(after))
    found = results(after, feeds)
    wanted = [np.cos(X), -np.sin(X), 2 * np.sin(X) * np.cos(X)]
    for array, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array, other, 1e-12, 1e-12)


def test_forward_mode_through_a_custom_gradient() -> None:
    @gr.custom_gradient
    def tripled(x: Value) -> tuple[Value, Any]:
        return x * 1.0, lambda g: g * 3.0

    graph, feeds = graph_of(lambda x: gr.jvp(tripled(x), x, gr.constant(X)), [X])
    (found,) = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_allclose(found, 3 * X)


def test_forward_mode_needs_linear_gradients() -> None:
    @gr.custom_gradient
    def limited(x: Value) -> tuple[Value, Any]:
        return x * 1.0, lambda g: gr.clip(g, -1.0, 1.0)

    graph, _ = graph_of(lambda x: gr.jvp(limited(x), x, gr.constant(X)), [X])
    with pytest.raises(GradientError, match="not linear in its cotangent"):
        Autodiff()(graph)


# --- the graph that is made ----------------------------------------------------------------------


def test_phases_and_origins() -> None:
    x = gr.placeholder((2,), name="x")
    with gr.scope("model"):
        value = gr.exp(x)
    after = Autodiff()(Graph.of([x], [gr.grad(gr.sum(value * value), x)]))
    phases = {node.op.name: node.phase for node in after.nodes}
    assert phases["exp"] == "forward"
    backward = [node for node in after.nodes if node.phase == "backward"]
    assert "add" in {node.op.name for node in backward}
    assert {node.scope for node in backward} >= {"model"}
    assert all(node.location is not None for node in backward)


def test_each_node_is_visited_once() -> None:
    """Values that are used twice at every level: without sums there would be 2**40 paths."""
    x = gr.placeholder((), "float64", name="x")
    value = x
    for _ in range(40):
        value = value + value
    after = Autodiff()(Graph.of([x], [gr.grad(value, x)]))
    assert len(after.nodes) < 100
    np.testing.assert_allclose(results(Dce()(after), {x: np.array(1.0)}), [2.0**40])


def test_nothing_to_differentiate_gives_the_same_graph() -> None:
    graph, _ = graph_of(lambda x: gr.exp(x), [X])
    assert Autodiff()(graph) is graph


def wrong_op(vjp: Callable[..., Any]) -> Value:
    op = OpDef("wrong", "A test.", infer=lambda attrs, x: x, evaluate=lambda attrs, x: x, vjp=vjp, attrs=NoAttrs)
    return apply_one(op, (gr.placeholder((2,), name="x"),))


def test_a_vjp_that_gives_too_few_cotangents() -> None:
    value = wrong_op(lambda node, g: ())
    with pytest.raises(GraphError, match="the vjp of wrong gave 0 cotangents") as info:
        pullback([value], [gr.constant(np.ones(2, np.float32))], value.node.inputs)
    assert "1, one for each input" in str(info.value)


def test_a_vjp_that_gives_another_dtype() -> None:
    value = wrong_op(lambda node, g: (gr.cast(g, "float64"),))
    with pytest.raises(GraphError, match="the vjp of wrong gave a cotangent of dtype float64"):
        pullback([value], [gr.constant(np.ones(2, np.float32))], value.node.inputs)


def test_cotangents_that_lack_axes_are_spread() -> None:
    def scalar(node: Node, g: Value) -> tuple[Value]:
        return (gr.sum(g) * 0.0 + 1.0,)

    value = wrong_op(scalar)
    (found,) = pullback([value], [gr.constant(np.ones(2, np.float32))], value.node.inputs)
    assert found.type == TensorType(value.dtype, (2,))
