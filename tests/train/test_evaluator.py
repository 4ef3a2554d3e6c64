from __future__ import annotations

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.train import (
    Evaluator,
    Metric,
    accuracy,
    confusion_matrix,
    evaluate,
    f1_score,
    fit,
    mean_over_items,
    perplexity,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 4)).astype(np.float32)
T = RNG.integers(0, 4, 23)


class Program:
    def __init__(self) -> None:
        self.x, self.t = gr.placeholder(("batch", 4)), gr.placeholder("batch", "int64")
        self.loss = gr.cross_entropy(self.x, self.t)
        self.confusion = confusion_matrix(self.x, self.t)
        self.metrics: dict[str, gr.Value | Metric] = {
            "loss": self.loss,
            "accuracy": accuracy(self.x, self.t),
            "f1": Metric(f1_score, self.confusion),
            "micro": Metric(lambda counts: f1_score(counts, "micro"), self.confusion),
            "perplexity": perplexity(gr.cross_entropy(self.x, self.t, reduction="none")),
        }
        self.test = Evaluator([self.x, self.t], self.metrics)

    def at_once(self) -> dict[str, float]:
        """The metrics of all examples in one batch, with the interpreter and without an evaluator's sums."""
        values = [self.loss, self.metrics["accuracy"], f1_score(self.confusion), f1_score(self.confusion, "micro")]
        results = gr.evaluate([*values, gr.exp(self.loss)], {self.x: X, self.t: T})
        return dict(zip(self.test.names, map(float, results), strict=True))


def test_batches_give_what_one_batch_gives_whatever_the_size_of_the_last() -> None:
    program = Program()
    wanted = program.at_once()
    for size in (23, 10, 11, 1):
        assert evaluate(program.test, (X, T), batch_size=size) == pytest.approx(wanted, rel=1e-6)
    assert program.test.total(program.confusion).sum() == 23
    np.testing.assert_array_equal(
        program.test.total(program.confusion), gr.evaluate(program.confusion, {program.x: X, program.t: T})
    )
    assert program.test(X, T) == pytest.approx(wanted, rel=1e-6)
    empty = [(X[:10], T[:10]), (X[:0], T[:0]), (X[10:], T[10:])]
    assert evaluate(program.test, empty) == pytest.approx(wanted, rel=1e-6)


def test_as_validation_of_a_run() -> None:
    program = Program()
    history = fit(lambda x, t: 1.0, (X, T), epochs=2, batch_size=7, validation=(program.test, (X, T)), progress=False)
    assert list(history.metrics) == ["loss", *(f"validation_{name}" for name in program.test.names)]
    for name, value in program.at_once().items():
        assert history[f"validation_{name}"] == pytest.approx([value, value], rel=1e-6)


def test_perplexity_of_tokens_with_a_mask_against_pytorch() -> None:
    logits, tokens = RNG.normal(size=(6, 5, 3)), RNG.integers(0, 3, (6, 5))
    kept = np.arange(5) < np.array([5, 1, 3, 2, 5, 4])[:, None]
    x, t, mask = (
        gr.placeholder((None, 5, 3), "float64"),
        gr.placeholder((None, 5), "int64"),
        gr.placeholder((None, 5), "bool"),
    )
    losses = gr.cross_entropy(x, t, reduction="none")
    test = Evaluator([x, t, mask], {"perplexity": perplexity(losses, mask), "loss": mean_over_items(losses, mask)})
    rows = torch.nn.functional.cross_entropy(torch.tensor(logits[kept]), torch.tensor(tokens[kept]))
    found = evaluate(test, (logits, tokens, kept), batch_size=4)
    assert found == pytest.approx({"perplexity": rows.exp().item(), "loss": rows.item()}, rel=1e-12)


def test_items_of_weight_zero_may_be_nan() -> None:
    x, w = gr.placeholder((None, 2), "float64"), gr.placeholder((None, 2), "float64")
    test = Evaluator([x, w], {"mean": mean_over_items(x, w)})
    values, weights = (
        np.array([[1.0, np.nan], [5.0, np.inf], [7.0, 2.0]]),
        np.array([[1.0, 0.0], [3.0, 0.0], [0.5, 0.5]]),
    )
    assert evaluate(test, (values, weights), batch_size=2) == {"mean": pytest.approx((1 + 15 + 3.5 + 1) / 5)}


def test_sums_of_many_float32_keep_their_digits() -> None:
    x = gr.placeholder((None,))
    test = Evaluator(x, {"mean": x.mean(), "items": mean_over_items(x)})
    batches = [np.full(4, value, np.float32) for value in [1e8] + [1.0] * 100]
    wanted = (1e8 + 100) / 101
    assert evaluate(test, batches) == pytest.approx({"mean": wanted, "items": wanted}, rel=1e-12)


def test_an_input_that_no_metric_reads() -> None:
    x, t = gr.placeholder((None, 2), "float64"), gr.placeholder((None,), "int64")
    test = Evaluator([x, t], {"mean": x.mean()})
    assert evaluate(test, (np.array([[1.0, 3.0], [5.0, 7.0]]), np.zeros(2, int)), batch_size=1) == {"mean": 4.0}


def test_a_stop_leaves_no_metrics() -> None:
    program = Program()
    assert program.test.over([(X, T)], lambda: True) is None


def test_wrong_arguments() -> None:
    program, x = Program(), gr.placeholder(("batch", 3))
    with pytest.raises(gr.GraphError, match="the data gave no batch"):
        evaluate(program.test, [])
    with pytest.raises(gr.GraphError, match="no metric sums"):
        program.test.total(program.loss)
    with pytest.raises(gr.ShapeError, match=r"the metric 'x' is of type float32\[batch, 3\]"):
        Evaluator([x], {"x": x})
    with pytest.raises(gr.ShapeError, match="the metric 'counts' is of type int64"):
        Evaluator([program.x, program.t], {"counts": Metric(lambda counts: counts, program.confusion)})
    with pytest.raises(gr.ShapeError, match="whose shape does not depend on the batch"):
        Evaluator([x], {"x": Metric(gr.mean, x)})
    with pytest.raises(gr.GraphError, match="0 metrics with 1 inputs"):
        Evaluator(x, {})
