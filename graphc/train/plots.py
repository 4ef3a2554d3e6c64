"""Pictures of a training run, drawn by matplotlib: ``pip install 'graphc[plots]'``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.errors import GraphError, ShapeError
from graphc.train.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_confusion_matrix", "plot_history"]

_VALIDATION = "validation_"


def plot_history(
    history: History, names: Sequence[str] | None = None, path: str | os.PathLike[str] | None = None
) -> Figure:
    """The curves of a run over its epochs: a panel for each metric, training and validation in one.

    Args:
        history: what :func:`graphc.train.fit` returned.
        names: of the metrics to draw, without ``validation_``; by default all.
        path: where to save the picture: ``.png``, ``.svg`` or ``.pdf`` by its suffix.

    Returns:
        The figure, to be changed, shown in a notebook, or saved with ``savefig``.

    Raises:
        GraphError: there is no such metric, no epoch was finished, matplotlib is not installed, or the picture cannot
            be saved.
    """
    known = list(dict.fromkeys(name.removeprefix(_VALIDATION) for name in history.metrics))
    chosen = known if names is None else list(names)
    if not history.epochs or not chosen or not set(chosen) <= set(known):
        raise GraphError(
            f"curves of {', '.join(map(repr, chosen)) or 'nothing'} over {history.epochs} epochs",
            expected=f"metrics among {', '.join(map(repr, known)) or '(none)'}, and at least one epoch",
        )
    figure = _figure(4.0 * len(chosen), 3.2)
    for axes, name in zip(np.ravel(figure.subplots(1, len(chosen), squeeze=False)), chosen, strict=True):
        for full, label, colour in ((name, "training", "C0"), (_VALIDATION + name, "validation", "C1")):
            if full in history.metrics:
                values = history[full]
                epochs = range(history.epochs - len(values) + 1, history.epochs + 1)
                axes.plot(epochs, values, color=colour, label=label, marker="." if len(values) < 30 else None)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return _saved(figure, path)


def plot_confusion_matrix(
    counts: Any,
    classes: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """A confusion matrix: the count in each cell, its colour the share of the row's examples.

    Args:
        counts: (classes, classes), ``[truth, prediction]``, as :func:`graphc.train.confusion_matrix` has it.
        classes: their names; by default their numbers.
        path: where to save the picture: ``.png``, ``.svg`` or ``.pdf`` by its suffix.

    Returns:
        The figure, to be changed, shown in a notebook, or saved with ``savefig``.

    Raises:
        ShapeError: the counts are not square, or the names are not as many.
        GraphError: matplotlib is not installed, or the picture cannot be saved.
    """
    array = np.asarray(counts)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ShapeError(f"counts of shape {array.shape}", expected="(classes, classes), at least one class")
    size = len(array)
    names = list(classes) if classes is not None else [str(number) for number in range(size)]
    if len(names) != size:
        raise ShapeError(f"{len(names)} names for {size} classes", expected="one name for each class")
    shares = array / np.maximum(array.sum(1, keepdims=True), 1)
    figure = _figure(0.5 * size + 2.5, 0.5 * size + 2.0)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set(xticks=range(size), yticks=range(size), xlabel="prediction", ylabel="truth")
    axes.set_xticklabels(names, rotation=0 if max(map(len, names)) < 4 else 90)
    axes.set_yticklabels(names)
    for (row, column), count in np.ndenumerate(array):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:g}", ha="center", va="center", color=colour, fontsize=8)
    return _saved(figure, path)


def _figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window, and is freed with its last reference."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GraphError(
            f"the pictures of gr.train cannot import matplotlib ({error})",
            expected="matplotlib, which draws them",
            remedy="pip install 'graphc[plots]'",
        ) from error
    return Figure((width, height), layout="constrained")


def _saved(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    if path is not None:
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            raise GraphError(
                f"the picture {os.fspath(path)} cannot be saved: {error}",
                expected="a path that can be written, with the suffix of a format that matplotlib knows",
            ) from error
    return figure
