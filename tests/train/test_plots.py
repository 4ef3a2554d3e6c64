from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.train import History, plot_confusion_matrix, plot_history

HISTORY = History(seconds=[1.0, 1.0, 1.0], examples=[5, 5, 5])
HISTORY.metrics = {
    "loss": [3.0, 2.0, 1.0],
    "accuracy": [0.1, 0.2, 0.3],
    "validation_loss": [2.0, 1.0],
    "validation_f1": [0.5] * 3,
}


def test_curves(tmp_path: Path) -> None:
    figure = plot_history(HISTORY, path=tmp_path / "curves.png")
    loss, accuracy, f1 = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "f1"]
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [list(line.get_xdata()) for line in loss.lines] == [[1, 2, 3], [2, 3]]
    assert [list(line.get_ydata()) for line in loss.lines] == [[3.0, 2.0, 1.0], [2.0, 1.0]]
    assert [line.get_label() for line in (*accuracy.lines, *f1.lines)] == ["training", "validation"]
    assert loss.lines[1].get_color() == f1.lines[0].get_color() != accuracy.lines[0].get_color()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(plot_history(HISTORY, ["accuracy"]).axes) == 1


def test_the_confusion_matrix_has_truth_in_rows(tmp_path: Path) -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 10]])
    figure = plot_confusion_matrix(counts, ["cat", "dog", "horse"], tmp_path / "matrix.svg")
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "truth")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "horse"]
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found == {(column, row): str(counts[row, column]) for row in range(3) for column in range(3)}
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares, [[0.75, 0.25, 0.0], [0.0, 0.0, 0.0], [2 / 12, 0.0, 10 / 12]])
    assert "<svg" in (tmp_path / "matrix.svg").read_text()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (lambda: plot_history(HISTORY), lambda: plot_confusion_matrix(np.eye(2))):
        with pytest.raises(gr.GraphError, match="cannot import matplotlib") as caught:
            draw()
        assert "pip install 'graphc[plots]'" in str(caught.value)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(gr.GraphError, match=r"curves of 'f2' over 3 epochs") as caught:
        plot_history(HISTORY, ["f2"])
    assert "'loss', 'accuracy'" in str(caught.value)
    with pytest.raises(gr.GraphError, match="curves of nothing over 0 epochs"):
        plot_history(History())
    for path in (tmp_path / "no" / "curves.png", tmp_path / "curves.doc"):
        with pytest.raises(gr.GraphError, match="cannot be saved"):
            plot_history(HISTORY, path=path)
    for counts in (np.zeros(3), np.zeros((2, 3)), np.zeros((0, 0))):
        with pytest.raises(gr.ShapeError, match="counts of shape"):
            plot_confusion_matrix(counts)
    with pytest.raises(gr.ShapeError, match="1 names for 2 classes"):
        plot_confusion_matrix(np.eye(2), ["cat"])
