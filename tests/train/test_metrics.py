from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.train import accuracy, binary_accuracy

LOGITS = np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0], [0.0, 0.0, 4.0], [5.0, 1.0, 1.0]], np.float32)


def test_accuracy_of_labels_and_of_one_hot_targets() -> None:
    labels = np.array([1, 0, 1, 2])
    for target in (labels, np.eye(3)[labels]):
        value = accuracy(LOGITS, target)
        assert str(value.type) == "float32[]"
        assert gr.evaluate(value) == 0.5
    assert gr.evaluate(accuracy(LOGITS.reshape(2, 2, 3), labels.reshape(2, 2))) == 0.5


def test_binary_accuracy() -> None:
    logits = np.array([-1.0, 2.0, 0.5, -3.0])
    assert gr.evaluate(binary_accuracy(logits, np.array([0, 1, 0, 0]))) == 0.75
    assert gr.evaluate(binary_accuracy(logits, np.array([True, True, True, False]))) == 0.75
    assert gr.evaluate(binary_accuracy(logits, np.array([0.0, 1.0, 0.0, 0.0]), threshold=0.7)) == 1.0


def test_labels_that_do_not_fit() -> None:
    with pytest.raises(gr.ShapeError, match=r"float32\[4, 3\] and labels of type int64\[\]"):
        accuracy(LOGITS, 1)
    with pytest.raises(gr.ShapeError, match="do not broadcast"):
        accuracy(LOGITS, np.array([1, 2]))
