"""Draw the pictures of the documentation: a training step of softmax regression, before and after the passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import graphc as gr


def main() -> None:
    x = gr.placeholder(("batch", 4), name="x")
    t = gr.placeholder(("batch",), "int64", name="label")
    w = gr.parameter(np.zeros((4, 3), np.float32), name="weight")
    b = gr.parameter(np.zeros(3, np.float32), name="bias")
    logits = x @ w + b
    e = gr.exp(logits - logits.max(axis=1, keepdims=True))
    loss = -(gr.log(e / e.sum(axis=1, keepdims=True)) * gr.one_hot(t, 3)).sum(axis=1).mean()
    step = gr.compile([x, t], loss, updates=gr.optim.SGD(0.1).updates(loss, [w, b]))
    step(np.zeros((32, 4), np.float32), np.zeros(32, np.int64))
    folder = Path(__file__).parent.parent / "docs" / "pictures"
    step.save_graph(folder / "written.svg", "written")
    step.save_graph(folder / "final.svg", "final")
    (folder / "schedule.svg").write_text(step.to_svg("schedule"), encoding="utf-8")
    (folder / "recognize.svg").write_text(step.changes_svg("recognize"), encoding="utf-8")


if __name__ == "__main__":
    main()
