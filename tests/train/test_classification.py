from __future__ import annotations

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.train import confusion_matrix, f1_score, precision, recall, top_k_accuracy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(40, 6))
LABELS = RNG.integers(0, 4, 40)  # of the classes 4 and 5 there are no examples
LOGITS[:, 5] = -100.0  # class 5 is never predicted either


def counted(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    counts = np.zeros((logits.shape[-1],) * 2, int)
    for row, label in zip(logits, labels, strict=True):
        counts[label, row.argmax()] += 1
    return counts


def compiled(build: object, *arrays: np.ndarray) -> np.ndarray:
    """A function of placeholders with a symbolic batch, compiled, and interpreted alike."""
    inputs = [gr.placeholder(("batch", *array.shape[1:]), array.dtype.name) for array in arrays]
    value = build(*inputs)  # type: ignore[operator]
    found = gr.compile(inputs, value)(*arrays)
    np.testing.assert_array_equal(found, gr.evaluate(value, dict(zip(inputs, arrays, strict=True))))
    return np.asarray(found)


@pytest.mark.parametrize("k", [1, 2, 6, 9])
def test_top_k_against_pytorch(k: int) -> None:
    first = torch.topk(torch.tensor(LOGITS), min(k, 6)).indices.numpy()
    wanted = np.mean([label in row for label, row in zip(LABELS, first, strict=True)], dtype=np.float32)
    found = compiled(lambda x, t: top_k_accuracy(x, t, k), LOGITS, LABELS)
    assert found == wanted and found.dtype == np.float32


def test_top_1_is_the_accuracy_with_ties_and_further_axes() -> None:
    logits = RNG.integers(0, 3, (5, 8, 4)).astype(np.float32)
    labels = RNG.integers(0, 4, (5, 8)).astype(np.int32)
    assert gr.evaluate(top_k_accuracy(logits, labels, 1)) == gr.evaluate(gr.train.accuracy(logits, labels))


def test_top_k_of_what_is_not_a_number() -> None:
    nan = np.nan
    logits = np.array([[nan, 1.0, 0.0], [2.0, nan, 1.0], [np.inf, 0.0, -np.inf]])
    ranks = []
    for label in range(3):
        labels = np.full(3, label)
        shares = [[gr.evaluate(top_k_accuracy(row[None], labels[:1], k)) for k in (1, 2, 3)] for row in logits]
        ranks.append([int(3 - sum(share)) for share in shares])
    assert ranks == [[3, 1, 0], [1, 3, 1], [2, 2, 2]]


def test_confusion_matrix_against_counting() -> None:
    found = compiled(confusion_matrix, LOGITS, LABELS)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, counted(LOGITS, LABELS))
    shaped = gr.evaluate(confusion_matrix(LOGITS.reshape(4, 10, 6), LABELS.reshape(4, 10).astype(np.uint8)))
    np.testing.assert_array_equal(shaped, counted(LOGITS, LABELS))
    assert not compiled(confusion_matrix, LOGITS[:0], LABELS[:0]).any()


def test_ignored_labels_are_not_counted() -> None:
    labels = LABELS.copy()
    labels[::3] = -100
    kept = labels >= 0
    np.testing.assert_array_equal(compiled(confusion_matrix, LOGITS, labels), counted(LOGITS[kept], labels[kept]))
    found = gr.evaluate(confusion_matrix(LOGITS, LABELS, ignore_index=2))
    np.testing.assert_array_equal(found, counted(LOGITS[LABELS != 2], LABELS[LABELS != 2]))


def test_scores_against_their_definitions() -> None:
    predictions = LOGITS.argmax(1)
    precisions, recalls, scores = [], [], []
    for label in range(5):
        right = ((predictions == label) & (label == LABELS)).sum()
        precisions.append(right / max((predictions == label).sum(), 1))
        recalls.append(right / max((label == LABELS).sum(), 1))
        both = precisions[-1] + recalls[-1]
        scores.append(2 * precisions[-1] * recalls[-1] / both if both else 0.0)
    assert (predictions == 4).any()  # predicted without examples: counts as 0 in the mean, unlike class 5
    for function, values in ((precision, precisions), (recall, recalls), (f1_score, scores)):
        macro = compiled(lambda x, t, f=function: f(confusion_matrix(x, t)), LOGITS, LABELS)
        assert macro == pytest.approx(np.mean(values), rel=1e-14) and macro.dtype == np.float64
        micro = gr.evaluate(function(confusion_matrix(LOGITS, LABELS), "micro"))
        assert micro == pytest.approx((predictions == LABELS).mean(), rel=1e-14)


def test_scores_of_nothing_are_zero() -> None:
    for function in (precision, recall, f1_score):
        for average in ("macro", "micro"):
            assert gr.evaluate(function(np.zeros((3, 3), int), average)) == 0.0


@pytest.mark.parametrize("label", [6, -1, -7])
def test_labels_that_are_no_class(label: int) -> None:
    labels = LABELS.copy()
    labels[7] = label
    for build in (confusion_matrix, top_k_accuracy):
        with pytest.raises(gr.IndexFault, match="position 7"):
            compiled(build, LOGITS, labels)


def test_wrong_arguments() -> None:
    with pytest.raises(gr.GraphError, match="k=0"):
        top_k_accuracy(LOGITS, LABELS, 0)
    for function in (top_k_accuracy, confusion_matrix):
        with pytest.raises(gr.DTypeError, match="labels of type float64"):
            function(LOGITS, LABELS.astype(float))
        with pytest.raises(gr.ShapeError, match=r"labels of type int64\[40, 1\]"):
            function(LOGITS, LABELS[:, None])
    with pytest.raises(gr.ShapeError, match="a confusion matrix of type"):
        precision(np.zeros((2, 3)))
    with pytest.raises(gr.GraphError, match="average='weighted'"):
        recall(np.zeros((2, 2)), "weighted")  # type: ignore[arg-type]
