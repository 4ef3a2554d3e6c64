from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.errors import IndexFault
from graphc.ir.graph import Graph, Value
from graphc.ir.printer import to_text
from graphc.passes.autodiff import Autodiff
from graphc.passes.recognize import Recognize
from graphc.passes.simplify import Simplify
from tests.passes.passing import applied, check_gradients_kept, check_pass, formulas, graph_of, names, results
from tests.support import check_against_torch

PASSES = (Simplify(), Recognize())
Z = np.random.default_rng(0).standard_normal((5, 4))
LABELS = np.array([0, 3, 1, 2, 2])
P = np.random.default_rng(1).uniform(0.05, 1, (5, 4))
exp, log = gr.exp, gr.log


def total(x: Value, axis: int = -1) -> Value:
    return gr.sum(x, axis, keepdims=True)


def top(x: Value, axis: int = -1) -> Value:
    return gr.max(x, axis, keepdims=True)


def written_softmax(x: Value, axis: int = -1) -> Value:
    e = exp(x - top(x, axis))
    return e / total(e, axis)


def stopped(x: Value) -> Value:
    return gr.stop_gradient(top(x))


def guarded(x: Value) -> Value:
    return gr.where(gr.isfinite(stopped(x)), stopped(x), 0.0)


SOFTMAX: dict[str, tuple[Callable[[Value], Value], str]] = {
    "plain": (lambda z: exp(z) / total(exp(z)), "softmax(x, axis=1)"),
    "maximum subtracted": (written_softmax, "softmax(x, axis=1)"),
    "maximum stopped": (lambda z: exp(z - stopped(z)) / total(exp(z - stopped(z))), "softmax(x, axis=1)"),
    "maximum of everything": (lambda z: exp(z - gr.max(z)) / total(exp(z - gr.max(z))), "softmax(x, axis=1)"),
    "axes put back by indexing": (
        lambda z: exp(z - z.max(1)[:, None]) / exp(z - z.max(1)[:, None]).sum(1)[:, None],
        "softmax(x, axis=1)",
    ),
    "axes put back by expand_dims": (lambda z: exp(z) / gr.expand_dims(exp(z).sum(1), 1), "softmax(x, axis=1)"),
    "sum broadcast": (lambda z: exp(z) / gr.broadcast_to(total(exp(z)), (5, 4)), "softmax(x, axis=1)"),
    "first axis": (lambda z: written_softmax(z, 0), "softmax(x, axis=0)"),
    "first axis, not kept": (lambda z: exp(z) / exp(z).sum(0), "softmax(x, axis=0)"),
    "middle axis": (lambda z: written_softmax(z.reshape(5, 2, 2), 1), "softmax(reshape(x, shape=(5, 2, 2)), axis=1)"),
    "one axis": (
        lambda z: exp(z[0]) / exp(z[0]).sum(),
        "softmax(reshape(slice(x, starts=(0, 0), sizes=(1, 4), steps=(1, 1)), shape=(4,)), axis=0)",
    ),
    "times the reciprocal": (lambda z: exp(z) * (1 / total(exp(z))), "softmax(x, axis=1)"),
    "the reciprocal times": (lambda z: (1 / exp(z).sum(1))[:, None] * exp(z), "softmax(x, axis=1)"),
    "times power -1": (lambda z: exp(z) * total(exp(z)) ** -1, "softmax(x, axis=1)"),
    "guarded maximum": (lambda z: exp(z - guarded(z)) / total(exp(z - guarded(z))), "softmax(x, axis=1)"),
    "of scores": (
        lambda z: written_softmax(z @ z.T / 2.0),
        "softmax(multiply(matmul(x, transpose(x, axes=(1, 0))), 0.5), axis=1)",
    ),
    "something else subtracted": (
        lambda z: exp(z - z[:, :1]) / total(exp(z - z[:, :1])),
        "softmax(subtract(x, slice(x, starts=(0, 0), sizes=(5, 1), steps=(1, 1))), axis=1)",
    ),
    "maximum of something else": (
        lambda z: exp(z - top(gr.sin(z))) / total(exp(z - top(gr.sin(z)))),
        "softmax(subtract(x, max(sin(x), axes=(1,), keepdims=True)), axis=1)",
    ),
    "maximum over another axis": (
        lambda z: exp(z - top(z, 0)) / total(exp(z - top(z, 0))),
        "softmax(subtract(x, max(x, axes=(0,), keepdims=True)), axis=1)",
    ),
    "exp of log-softmax": (lambda z: exp(gr.log_softmax(z)), "softmax(x, axis=1)"),
    "exp of z - logsumexp": (lambda z: exp(z - gr.logsumexp(z, 0)), "softmax(x, axis=0)"),
    "scaled": (
        lambda z: 3.0 * exp(z) / total(exp(z)),
        "divide(multiply(3.0, exp(x)), sum(exp(x), axes=(1,), keepdims=True))",
    ),
    # what is not
    "another sum": (
        lambda z: exp(z) / total(exp(z * 2)),
        "divide(exp(x), sum(exp(multiply(x, 2.0)), axes=(1,), keepdims=True))",
    ),
    "over both axes": (
        lambda z: exp(z) / gr.sum(exp(z)),
        "divide(exp(x), sum(exp(x), axes=(0, 1)))",
    ),
    "sum for each row against columns": (
        lambda z: exp(z[:4]) / exp(z[:4]).sum(1),
        "divide(exp({0}), sum(exp({0}), axes=(1,)))".format("slice(x, starts=(0, 0), sizes=(4, 4), steps=(1, 1))"),
    ),
    "inverse": (lambda z: total(exp(z)) / exp(z), "divide(sum(exp(x), axes=(1,), keepdims=True), exp(x))"),
}

LOG_SOFTMAX: dict[str, tuple[Callable[[Value], Value], str]] = {
    "log of softmax": (lambda z: log(gr.softmax(z, 0)), "log_softmax(x, axis=0)"),
    "log of written softmax": (lambda z: log(written_softmax(z)), "log_softmax(x, axis=1)"),
    "plain": (lambda z: z - log(total(exp(z))), "log_softmax(x, axis=1)"),
    "sum not kept": (lambda z: z - log(exp(z).sum(1))[:, None], "log_softmax(x, axis=1)"),
    "axis 0, not kept": (lambda z: z - log(exp(z).sum(0)), "log_softmax(x, axis=0)"),
    "maximum subtracted": (lambda z: z - top(z) - log(total(exp(z - top(z)))), "log_softmax(x, axis=1)"),
    "maximum in brackets": (lambda z: z - (top(z) + log(total(exp(z - top(z))))), "log_softmax(x, axis=1)"),
    "maximum last": (lambda z: z - (log(total(exp(z - top(z)))) + top(z)), "log_softmax(x, axis=1)"),
    "maximum stopped": (lambda z: z - (log(total(exp(z - stopped(z)))) + stopped(z)), "log_softmax(x, axis=1)"),
    "anything subtracted": (lambda z: z - (log(total(exp(z - z[:, :1]))) + z[:, :1]), "log_softmax(x, axis=1)"),
    "logsumexp": (lambda z: z - gr.logsumexp(z, 1, keepdims=True), "log_softmax(x, axis=1)"),
    "logsumexp not kept": (lambda z: z - gr.logsumexp(z, 1)[:, None], "log_softmax(x, axis=1)"),
    "logsumexp over the first axis": (lambda z: z - gr.logsumexp(z, 0), "log_softmax(x, axis=0)"),
    "another maximum": (
        lambda z: z - (log(total(exp(z - top(z)))) + top(z) * 2.0),
        "subtract(x, add(log(sum(exp(subtract(x, {0})), axes=(1,), keepdims=True)), multiply({0}, 2.0)))".format(
            "max(x, axes=(1,), keepdims=True)"
        ),
    ),
    "over both axes": (
        lambda z: (z - gr.stop_gradient(gr.max(z))) - log(gr.sum(exp(z - gr.stop_gradient(gr.max(z))))),
        "subtract({0}, log(sum(exp({0}), axes=(0, 1))))".format("subtract(x, stop_gradient(max(x, axes=(0, 1))))"),
    ),
}

STABLE: dict[str, tuple[Callable[[Value], Value], str]] = {
    "sigmoid": (lambda z: 1 / (1 + exp(-z)), "sigmoid(x)"),
    "sigmoid by a power": (lambda z: (exp(-z) + 1) ** -1, "sigmoid(x)"),
    "sigmoid of the negative": (lambda z: 1 / (exp(z) + 1), "sigmoid(negative(x))"),
    "sigmoid as a quotient": (lambda z: exp(z) / (1 + exp(z)), "sigmoid(x)"),
    "softplus": (lambda z: log(1 + exp(z)), "softplus(x)"),
    "softplus by log1p": (lambda z: gr.log1p(exp(-z)), "softplus(negative(x))"),
    "log1p": (lambda z: log(z * z + 1), "log1p(multiply(x, x))"),
    "log of a difference": (lambda z: log(1 - gr.tanh(z)), "log1p(negative(tanh(x)))"),
    "expm1": (lambda z: exp(z) - 1, "expm1(x)"),
    "expm1 by addition": (lambda z: -1.0 + exp(z), "expm1(x)"),
    "1 - exp": (lambda z: 1 - exp(z), "negative(expm1(x))"),
    "log of sigmoid": (lambda z: log(gr.sigmoid(z)), "negative(softplus(negative(x)))"),
    "log of written sigmoid": (lambda z: log(1 / (1 + exp(-z))), "negative(softplus(negative(x)))"),
    "log of 1 - sigmoid": (lambda z: log(1 - gr.sigmoid(z)), "negative(softplus(x))"),
    "log1p of -sigmoid": (lambda z: gr.log1p(-gr.sigmoid(z)), "negative(softplus(x))"),
    "numbers of a larger shape": (
        lambda z: log(exp(z) + np.ones((2, 5, 4))),
        "broadcast_to(softplus(x), shape=(2, 5, 4))",
    ),
    "another constant": (lambda z: log(2 + exp(z)) / (2 + exp(z)), "divide(log(add(2.0, exp(x))), add(2.0, exp(x)))"),
    "another numerator": (lambda z: 2 / (1 + exp(z)), "divide(2.0, add(1.0, exp(x)))"),
    "minus another constant": (lambda z: exp(z) - 2, "subtract(exp(x), 2.0)"),
}


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(*pair, id=f"{kind}: {name}")
        for kind, table in (("softmax", SOFTMAX), ("log-softmax", LOG_SOFTMAX), ("stable", STABLE))
        for name, pair in table.items()
    ],
)
def test_functions_written_out(build: Callable[[Value], Value], expected: str) -> None:
    assert check_pass(build, [Z], *PASSES, rtol=1e-12) == [expected]
    check_pass(build, [Z.astype(np.float32)], *PASSES, rtol=1e-5)
    check_gradients_kept(build, [Z], *PASSES)


def test_without_simplification_the_common_forms_are_found_too() -> None:
    def build(z: Value) -> list[Value]:
        return [written_softmax(z), exp(z) / gr.broadcast_to(total(exp(z)), (5, 4)), log(written_softmax(z))]

    found = check_pass(build, [Z], Recognize(), rtol=1e-12)
    assert found == ["softmax(x, axis=1)", "softmax(x, axis=1)", "log_softmax(x, axis=1)"]


def test_printed_graph() -> None:
    graph, _ = graph_of(lambda z: written_softmax(z), [Z], [("batch", 4)])
    assert to_text(applied(graph, *PASSES)) == (
        "inputs: %x\n%x: float64[batch, 4] = placeholder()\n%0: float64[batch, 4] = softmax(%x, axis=1)\noutputs: %0\n"
    )


def test_logsumexp_of_large_numbers() -> None:
    graph, feeds = graph_of(lambda z: [log(exp(z).sum(1)), log(total(exp(z), 0))], [Z * 1e3])
    after = applied(graph, *PASSES)
    for found, axis in zip(results(after, feeds), (1, 0), strict=True):
        largest = np.max(Z * 1e3, axis, keepdims=True)
        wanted = np.log(np.exp(Z * 1e3 - largest).sum(axis, keepdims=True)) + largest
        np.testing.assert_allclose(found, wanted.reshape(found.shape), 1e-12)


def test_logsumexp_whose_maximum_is_subtracted_stays() -> None:
    def build(z: Value) -> Value:
        return gr.squeeze(top(z), 1) + log(exp(z - top(z)).sum(1))

    found = check_pass(build, [Z], *PASSES, rtol=1e-12)
    shifted = "subtract(x, max(x, axes=(1,), keepdims=True))"
    assert found == [f"add(reshape(max(x, axes=(1,), keepdims=True), shape=(5,)), log(sum(exp({shifted}), axes=(1,))))"]


@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_what_is_found_does_not_overflow(scale: float) -> None:
    z = (Z * scale).astype(np.float32)

    def build(x: Value) -> list[Value]:
        return [
            exp(x) / total(exp(x)),
            x - log(total(exp(x))),
            1 / (1 + exp(-x)),
            log(1 + exp(x)),
            log(1 - gr.sigmoid(x)),
        ]

    graph, feeds = graph_of(build, [z])
    found = results(applied(graph, *PASSES), feeds)
    exact = z.astype(np.float64)
    shifted = exact - exact.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    softplus = np.maximum(exact, 0) + np.log1p(np.exp(-np.abs(exact)))
    wanted = [np.exp(log_softmax), log_softmax, np.exp(exact - softplus), softplus, -softplus]
    for array, reference in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array, reference, 1e-5, 1e-15)


def test_infinities_and_nan() -> None:
    z = np.array([[0.0, -np.inf, 1.0], [-np.inf, -np.inf, -np.inf], [np.nan, 0, 1]])

    def build(x: Value) -> list[Value]:
        return [
            exp(x) / total(exp(x)),
            x - log(total(exp(x))),
            log(exp(x).sum(1)),
            1 / (1 + exp(-x)),
            log(1 + exp(x)),
            exp(x) - 1,
            log(1 + x),
        ]

    check_pass(build, [z], *PASSES, rtol=1e-12)
    check_pass(lambda x: build(x)[2:], [np.array([[np.inf, 0, 1]])], *PASSES, rtol=1e-12)


def test_a_row_with_plus_infinity_is_nan_as_it_was_in_part() -> None:
    z = np.array([[np.inf, 0.0, 1.0], [0.0, 1.0, 2.0]])
    graph, feeds = graph_of(lambda x: [exp(x) / total(exp(x)), x - log(total(exp(x)))], [z])
    for found, wanted in zip(results(applied(graph, *PASSES), feeds), results(graph, feeds), strict=True):
        assert np.isnan(wanted[0, 0])
        assert np.isnan(found[0]).all()
        np.testing.assert_allclose(found[1], wanted[1], 1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (3, 1), (1, 1), (2, 0)])
def test_small_shapes(shape: tuple[int, int]) -> None:
    z = np.random.default_rng(2).standard_normal(shape)

    def build(x: Value) -> list[Value]:
        return [exp(x) / total(exp(x)), x - log(total(exp(x))), 1 / (1 + exp(-x)), log(exp(x).sum(1))]

    check_pass(build, [z], *PASSES, rtol=1e-12)


# --- cross-entropy -------------------------------------------------------------------------------


def one_hot(labels: Value) -> Value:
    return gr.one_hot(labels, 4, dtype="float64")


def by_hand(labels: Value) -> Value:
    return gr.cast(gr.arange(4) == labels[:, None], "float64")


def picked(values: Value, labels: Value) -> Value:
    return gr.gather(values, labels[:, None])


def marked(logits: str = "x", labels: str = "y", classes: object = 4) -> str:
    """The loss of labels of which those that are no class are ignored."""
    valid = f"bitwise_and(greater_equal({labels}, 0), less({labels}, {classes}))"
    return f"cross_entropy({logits}, where({valid}, {labels}, -1), ignore_index=-1).0"


def from_end(labels: str = "y") -> str:
    """The loss of labels that may count from the end."""
    return f"cross_entropy(x, where(less({labels}, 0), add({labels}, 4), {labels})).0"


MARKED, FROM_END = marked(), from_end()

BY_LABELS: dict[str, tuple[Callable[[Value, Value], Value], str]] = {
    "one-hot": (lambda z, t: -(one_hot(t) * gr.log_softmax(z)).sum(-1), MARKED),
    "mean": (lambda z, t: -(gr.log_softmax(z) * one_hot(t)).sum(-1).mean(), f"divide(sum({MARKED}, axes=(0,)), 5.0)"),
    "sum of everything": (
        lambda z, t: -(gr.log_softmax(z) * one_hot(t)).sum() / 5,
        f"divide(sum({MARKED}, axes=(0,)), 5.0)",
    ),
    "mean of everything": (
        lambda z, t: -(gr.log_softmax(z) * one_hot(t)).mean(),
        f"divide(sum({MARKED}, axes=(0,)), 20.0)",
    ),
    "negative inside": (lambda z, t: (one_hot(t) * -gr.log_softmax(z)).sum(-1), MARKED),
    "likelihood": (lambda z, t: (one_hot(t) * gr.log_softmax(z)).sum(-1), f"negative({MARKED})"),
    "kept": (lambda z, t: -total(one_hot(t) * gr.log_softmax(z)), f"reshape({MARKED}, shape=(5, 1))"),
    "by hand": (lambda z, t: -(by_hand(t) * gr.log_softmax(z)).sum(-1), MARKED),
    "by where": (lambda z, t: -gr.where(t[:, None] == gr.arange(4), gr.log_softmax(z), 0.0).sum(1), MARKED),
    "by a known range": (
        lambda z, t: -(gr.cast(t[:, None] == np.arange(4), "float64") * gr.log_softmax(z)).sum(1),
        MARKED,
    ),
    "all written out": (
        lambda z, t: -(by_hand(t) * log(written_softmax(z))).sum(1).mean(),
        f"divide(sum({MARKED}, axes=(0,)), 5.0)",
    ),
    "first axis": (
        lambda z, t: -(gr.one_hot(t[:4], 5, axis=0, dtype="float64") * gr.log_softmax(z, 0)).sum(0),
        marked("transpose(x, axes=(1, 0))", "slice(y, starts=(0,), sizes=(4,), steps=(1,))", 5),
    ),
    "gather": (lambda z, t: -gr.squeeze(picked(gr.log_softmax(z), t), 1), FROM_END),
    "gather, mean": (
        lambda z, t: -picked(gr.log_softmax(z), t).mean(),
        f"divide(sum(reshape({FROM_END}, shape=(5, 1)), axes=(0, 1)), 5.0)",
    ),
    "gather, log of softmax": (lambda z, t: -log(picked(written_softmax(z), t)[:, 0]), FROM_END),
    "rows of eye": (lambda z, t: -(gr.take(gr.eye(4, dtype="float64"), t, 0) * gr.log_softmax(z)).sum(1), FROM_END),
    "rows of NumPy's eye": (lambda z, t: -(gr.take(np.eye(4), t, 0) * gr.log_softmax(z)).sum(1), FROM_END),
    "rows of eye, log of softmax": (
        lambda z, t: -log((gr.take(gr.eye(4, dtype="float64"), t, 0) * gr.softmax(z)).sum(1)),
        FROM_END,
    ),
    "log of one-hot times softmax": (
        lambda z, t: -log((one_hot(t) * gr.softmax(z)).sum(1)),
        f"where(bitwise_and(greater_equal(y, 0), less(y, 4)), {MARKED}, inf)",
    ),
    "logsumexp less the chosen logit": (lambda z, t: gr.logsumexp(z, 1) - picked(z, t)[:, 0], FROM_END),
    "logarithm of sum less the chosen logit": (
        lambda z, t: log(total(exp(z))) - picked(z, t),
        f"reshape({FROM_END}, shape=(5, 1))",
    ),
    # what is not
    "classes from 1": (
        lambda z, t: (gr.cast(t[:, None] == gr.arange(1, 5), "float64") * gr.log_softmax(z)).sum(1),
        "negative(cross_entropy(x, cast(equal(reshape(y, shape=(5, 1)), add(iota(size=4), 1)), dtype=float64)).0)",
    ),
    "gather along the other axis": (
        lambda z, t: gr.gather(gr.log_softmax(z), t[None, :4] % 4, 0),
        "gather(log_softmax(x, axis=1), mod(reshape({}, shape=(1, 4)), 4), axis=0)".format(
            "slice(y, starts=(0,), sizes=(4,), steps=(1,))"
        ),
    ),
    "several of each row": (
        lambda z, t: gr.gather(gr.log_softmax(z), gr.reshape(t[:4], (1, 4)) % 4),
        "gather(log_softmax(x, axis=1), broadcast_to(mod(reshape({}, shape=(1, 4)), 4), shape=(5, 4)), axis=1)".format(
            "slice(y, starts=(0,), sizes=(4,), steps=(1,))"
        ),
    ),
    "rows of another matrix": (
        lambda z, t: (gr.take(np.eye(4)[::-1].copy(), t, 0) * gr.log_softmax(z)).sum(1),
        "negative(cross_entropy(x, take([0.0, 0.0, 0.0, 1.0, ...], y, axis=0)).0)",
    ),
    "columns of eye": (
        lambda z, t: (gr.take(np.eye(5, 4), t, 0) * gr.log_softmax(z)).sum(1),
        "negative(cross_entropy(x, take([1.0, 0.0, 0.0, 0.0, ...], y, axis=0)).0)",
    ),
    "a condition that is not of labels": (
        lambda z, t: gr.where(z > 0, gr.log_softmax(z), 0.0).sum(1),
        "sum(where(greater(x, 0.0), log_softmax(x, axis=1), 0.0), axes=(1,))",
    ),
    "labels that are floats": (
        lambda z, t: (gr.cast(t.astype("float64")[:, None] == gr.arange(4.0), "float64") * gr.log_softmax(z)).sum(1),
        "negative(cross_entropy(x, cast(equal({}, cast(iota(size=4), dtype=float64)), dtype=float64)).0)".format(
            "reshape(cast(y, dtype=float64), shape=(5, 1))"
        ),
    ),
    "labels that were narrowed": (
        lambda z, t: (by_hand(t.astype("int8").astype("int64")) * gr.log_softmax(z)).sum(1),
        f"negative({marked('x', 'cast(cast(y, dtype=int8), dtype=int64)')})",
    ),
    "classes that are multiplied": (
        lambda z, t: (gr.cast(t[:, None] == gr.arange(4) * 2, "float64") * gr.log_softmax(z)).sum(1),
        "negative(cross_entropy(x, cast(equal(reshape(y, shape=(5, 1)), multiply(iota(size=4), 2)), dtype=float64)).0)",
    ),
    "log of other shares": (
        lambda z, t: log((by_hand(t) * gr.sigmoid(z)).sum(1)),
        "log(sum(multiply(cast(equal(iota(size=4), reshape(y, shape=(5, 1))), dtype=float64), sigmoid(x)), axes=(1,)))",
    ),
}


@pytest.mark.parametrize("name", BY_LABELS)
def test_cross_entropy_of_labels(name: str) -> None:
    build, expected = BY_LABELS[name]
    assert check_pass(build, [Z, LABELS], *PASSES, rtol=1e-12) == [expected]
    check_gradients_kept(build, [Z, LABELS], *PASSES)


def test_several_logits_of_each_row_are_no_label() -> None:
    def build(z: Value, i: Value) -> Value:
        return gr.logsumexp(z, 1, keepdims=True) - gr.gather(z, i)

    graph, _ = graph_of(build, [Z, np.array([[0, 1]] * 5)])
    assert "gather" in names(applied(graph, *PASSES))
    check_pass(build, [Z, np.array([[0, 1]] * 5)], *PASSES, rtol=1e-12)


WRONG = np.array([0, -1, 4, 3, -100])


@pytest.mark.parametrize(
    "name", ["one-hot", "by hand", "by where", "by a known range", "mean", "log of one-hot times softmax"]
)
def test_labels_that_are_no_class_give_rows_of_zeros_as_before(name: str) -> None:
    check_pass(BY_LABELS[name][0], [Z, WRONG], *PASSES, rtol=1e-12)
    if "log" not in name:
        check_gradients_kept(BY_LABELS[name][0], [Z, WRONG], *PASSES)


@pytest.mark.parametrize("name", ["gather", "rows of eye", "logsumexp less the chosen logit", "gather, log of softmax"])
def test_indices_from_the_end_and_beyond_it(name: str) -> None:
    build, _ = BY_LABELS[name]
    check_pass(build, [Z, LABELS - 4], *PASSES, rtol=1e-12)
    check_gradients_kept(build, [Z, LABELS - 4], *PASSES)
    for label in (4, -5, -100, np.iinfo(np.int64).max):
        graph, feeds = graph_of(build, [Z, np.array([0, 1, label, 2, 3])])
        for each in (graph, applied(graph, *PASSES)):
            with pytest.raises(IndexFault):
                results(each, feeds)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8"])
def test_labels_of_other_dtypes(dtype: str) -> None:
    def build(z: Value, t: Value) -> list[Value]:
        return [-(one_hot(t) * gr.log_softmax(z)).sum(1), -picked(gr.log_softmax(z), t)[:, 0]]

    labels = LABELS.astype(dtype)
    wide = "cast(y, dtype=int64)"
    assert check_pass(build, [Z, labels], *PASSES, rtol=1e-12) == [marked("x", wide), from_end(wide)]


def test_a_range_that_wraps_around_names_no_classes() -> None:
    """As int8, class 256 is the number 0: such a target is not one-hot."""
    z = np.random.default_rng(0).standard_normal((2, 300))

    def build(x: Value, t: Value) -> Value:
        return (gr.cast(t[:, None] == gr.arange(300, dtype="int8"), "float64") * gr.log_softmax(x)).sum(1)

    (found,) = check_pass(build, [z, np.array([3, 40], np.int8)], *PASSES, rtol=1e-12)
    assert "ignore_index" not in found


BY_PROBABILITIES: dict[str, tuple[Callable[[Value, Value], Value], str]] = {
    "probabilities": (lambda z, p: -(p * gr.log_softmax(z)).sum(1), "cross_entropy(x, y).0"),
    "mean": (
        lambda z, p: -(log(written_softmax(z)) * p).sum(-1).mean(),
        "divide(sum(cross_entropy(x, y).0, axes=(0,)), 5.0)",
    ),
    "first axis": (
        lambda z, p: -(p * gr.log_softmax(z, 0)).sum(0),
        "cross_entropy(transpose(x, axes=(1, 0)), transpose(y, axes=(1, 0))).0",
    ),
    "of a function": (
        lambda z, p: -(gr.softmax(p) * gr.log_softmax(z)).sum(1),
        "cross_entropy(x, softmax(y, axis=1)).0",
    ),
    "entropy": (
        lambda z, p: -(gr.softmax(z) * gr.log_softmax(z)).sum(1) * p.sum(1),
        "multiply(cross_entropy(x, softmax(x, axis=1)).0, sum(y, axes=(1,)))",
    ),
    # what is not
    "over the other axis": (
        lambda z, p: (p * gr.log_softmax(z)).sum(0),
        "sum(multiply(y, log_softmax(x, axis=1)), axes=(0,))",
    ),
    "weights of classes": (
        lambda z, p: (p[0] * gr.log_softmax(z)).sum(1),
        "sum(multiply(reshape({}, shape=(4,)), log_softmax(x, axis=1)), axes=(1,))".format(
            "slice(y, starts=(0, 0), sizes=(1, 4), steps=(1, 1))"
        ),
    ),
}


@pytest.mark.parametrize("name", BY_PROBABILITIES)
def test_cross_entropy_of_probabilities(name: str) -> None:
    build, expected = BY_PROBABILITIES[name]
    assert check_pass(build, [Z, P], *PASSES, rtol=1e-12) == [expected]
    check_gradients_kept(build, [Z, P], *PASSES)


def test_probabilities_need_not_sum_to_one() -> None:
    check_gradients_kept(BY_PROBABILITIES["probabilities"][0], [Z, Z * 3], *PASSES)
    check_pass(BY_PROBABILITIES["probabilities"][0], [Z, Z * 3], *PASSES, rtol=1e-12)


def test_smoothed_labels() -> None:
    def build(z: Value, t: Value) -> Value:
        return -((one_hot(t) * 0.9 + 0.025) * gr.log_softmax(z)).sum(1).mean()

    (found,) = check_pass(build, [Z, LABELS], *PASSES, rtol=1e-12)
    assert found.startswith("divide(sum(cross_entropy(x, add(multiply(cast(equal(")
    check_gradients_kept(build, [Z, LABELS], *PASSES)


def test_images() -> None:
    """Classes on axis 1 of (batch, classes, height, width)."""
    z = np.random.default_rng(0).standard_normal((2, 3, 2, 2))
    labels = np.random.default_rng(0).integers(0, 3, (2, 2, 2))

    def build(x: Value, t: Value) -> list[Value]:
        chosen = gr.one_hot(t, 3, axis=1, dtype="float64")
        gathered = gr.gather(gr.log_softmax(x, 1), t[:, None], 1)
        return [
            -(chosen * gr.log_softmax(x, 1)).sum(1).mean((1, 2)),
            -(chosen * gr.log_softmax(x, 1)).sum((0, 1)),
            -gathered,
        ]

    found = check_pass(build, [z, labels], *PASSES, rtol=1e-12)
    assert all("cross_entropy(transpose(x, axes=(0, 2, 3, 1))" in text for text in found)
    check_gradients_kept(build, [z, labels], *PASSES)


def test_symbolic_batch() -> None:
    def build(z: Value, t: Value) -> Value:
        return -(gr.one_hot(t, 4, dtype="float64") * log(written_softmax(z))).sum(1).mean()

    (found,) = check_pass(build, [Z, LABELS], *PASSES, shapes=[("n", 4), ("n",)], rtol=1e-12)
    assert found == f"divide(sum({MARKED}, axes=(0,)), cast(dim_size(size=n), dtype=float64))"


def test_symbolic_number_of_classes() -> None:
    def build(z: Value, t: Value) -> Value:
        return -(gr.one_hot(t, z.shape[1], dtype="float64") * gr.log_softmax(z)).sum(1)

    (found,) = check_pass(build, [Z, LABELS], *PASSES, shapes=[("n", "classes"), ("n",)], rtol=1e-12)
    assert found == marked(classes="dim_size(size=classes)")


def test_the_gradient_is_one_operation() -> None:
    def build(z: Value, t: Value) -> Value:
        return gr.grad(-(one_hot(t) * log(written_softmax(z))).sum(1).mean(), z)

    graph, _ = graph_of(build, [Z, LABELS])
    after = applied(graph, *PASSES, Autodiff(), Simplify())
    operands = MARKED.removeprefix("cross_entropy(").removesuffix(", ignore_index=-1).0")
    share = "broadcast_to(0.2, shape=(5,))"
    shifts = f"{MARKED[:-1]}1, {MARKED[:-1]}2"
    assert formulas(after.outputs) == [f"cross_entropy_grad({operands}, {shifts}, {share}, ignore_index=-1)"]
    assert not {"exp", "log", "sum", "softmax"} & set(names(after))


@pytest.mark.parametrize("offset", [1e3, 1e5])
@pytest.mark.parametrize("target", [LABELS, P], ids=["labels", "probabilities"])
def test_losses_written_out_keep_the_precision_of_large_logits(target: np.ndarray, offset: float) -> None:
    z = (Z * 3 + offset).astype(np.float32)
    given = target.astype(np.float32) if target.dtype.kind == "f" else target

    def loss(x: Value, t: Value) -> Value:
        chosen = t if t.dtype.is_float else gr.one_hot(t, 4)
        return -(chosen * log(written_softmax(x))).sum(1).mean()

    x, t = gr.placeholder(z.shape, name="x"), gr.placeholder(given.shape, given.dtype.name, name="y")
    found = gr.compile([x, t], [loss(x, t), gr.grad(loss(x, t), x)])(z, given)
    exact = torch.tensor(z.astype(np.float64), requires_grad=True)
    rows = torch.tensor(given if given.dtype.kind == "i" else given.astype(np.float64))
    wanted = torch.nn.functional.cross_entropy(exact, rows)
    (gradient,) = torch.autograd.grad(wanted, exact)
    np.testing.assert_allclose(found[0], wanted.item(), 1e-6)
    np.testing.assert_allclose(found[1], gradient.numpy(), 1e-5, 1e-7)


def test_binary_cross_entropy_from_a_written_sigmoid() -> None:
    def build(z: Value, p: Value) -> Value:
        share = 1 / (1 + exp(-z))
        return -(p * log(share) + (1 - p) * log(1 - share)).mean()

    graph, feeds = graph_of(build, [Z * 1e3, P])
    after = applied(graph, *PASSES)
    assert not {"sigmoid", "log", "exp"} & set(names(after))
    z = Z * 1e3
    softplus = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    np.testing.assert_allclose(results(after, feeds)[0], np.mean(softplus - P * z), 1e-12)
    check_gradients_kept(build, [Z, P], *PASSES)


# --- derivatives ---------------------------------------------------------------------------------


def test_a_value_that_is_differentiated_by_is_not_swallowed() -> None:
    x = gr.placeholder((5, 4), "float64", name="x")
    e = exp(x)
    share = e / total(e)
    loss = gr.sum(share * share)
    graph = Graph.of([x], [share, gr.grad(loss, e)])
    after = applied(graph, *PASSES)
    assert "softmax" not in names(after)
    values = np.exp(Z)
    sums = values.sum(1, keepdims=True)
    weights = 2 * values / sums
    wanted = (weights - (weights * values / sums).sum(1, keepdims=True)) / sums
    _, found = results(applied(after, Autodiff(), Simplify()), {x: Z})
    np.testing.assert_allclose(found, wanted, 1e-10)


def test_by_a_softmax_that_is_recognized() -> None:
    """The derivative is by the softmax itself, which stays as it was written."""
    x = gr.placeholder((5, 4), "float64", name="x")
    share = exp(x) / total(exp(x))
    graph = Graph.of([x], [gr.grad(gr.sum(log(share)), share)])
    (found,) = results(applied(graph, *PASSES, Autodiff(), Simplify()), {x: Z})
    np.testing.assert_allclose(found, np.exp(Z).sum(1, keepdims=True) / np.exp(Z), 1e-12)


def test_second_derivatives_of_what_is_found() -> None:
    def build(z: Value, t: Value) -> Value:
        loss = -(one_hot(t) * log(written_softmax(z))).sum(1).mean()
        first = gr.grad(loss, z)
        return gr.grad(gr.sum(first * gr.sin(z)), z)

    graph, feeds = graph_of(build, [Z, LABELS])
    (found,) = results(applied(graph, *PASSES, Autodiff(), Simplify()), feeds)
    (wanted,) = results(applied(graph, Autodiff()), feeds)
    np.testing.assert_allclose(found, wanted, 1e-9, 1e-12)


def test_inside_other_graphs() -> None:
    @gr.custom_gradient
    def share(x: Value) -> tuple[Value, Callable[[Value], Value]]:
        return written_softmax(x), lambda g: g * 2.0

    graph, _ = graph_of(lambda x: share(x), [Z])
    (node,) = [node for node in Recognize()(graph).nodes if node.op.name == "custom_gradient"]
    assert formulas(node.attrs.forward.outputs) == ["softmax(placeholder(), axis=1)"]


def test_nothing_to_find_gives_the_same_graph() -> None:
    graph, _ = graph_of(lambda x: gr.tanh(x) + gr.tanh(x), [Z])
    assert Recognize()(graph) is graph


def test_once_is_enough() -> None:
    for table in (SOFTMAX, LOG_SOFTMAX, STABLE):
        for name, (build, _) in table.items():
            once = Recognize()(Simplify()(graph_of(build, [Z])[0]))
            assert Recognize()(once) is once, name


def test_losses_written_out_are_those_of_pytorch() -> None:
    def build(z: Value, t: Value) -> Value:
        graph = Graph.of([z, t], [-(one_hot(t) * log(written_softmax(z))).sum(1).mean()])
        return applied(graph, *PASSES).outputs[0]

    check_against_torch(build, torch.nn.functional.cross_entropy, [Z, LABELS])
