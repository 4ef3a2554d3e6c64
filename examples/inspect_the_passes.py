"""What each pass of the compiler did to a graph: stages as text, the memory plan, generated kernels, and pictures.

Run: python examples/inspect_the_passes.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import graphc as gr


def main() -> None:
    # A classifier with its loss written out from exp, sum and log, as in a textbook.
    x = gr.placeholder(("batch", 4), name="x")
    target = gr.placeholder(("batch", 3), name="target")
    weight = gr.parameter(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), name="weight")
    bias = gr.parameter(np.zeros(3, np.float32), name="bias")
    logits = x @ weight + bias
    odds = gr.exp(logits)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    loss = -(target * gr.log(probabilities)).sum(axis=1).mean()
    d_weight, d_bias = gr.grad(loss, [weight, bias])
    step = gr.compile([x, target], loss, updates={weight: weight - 0.1 * d_weight, bias: bias - 0.1 * d_bias})

    # Every pass, and the graph after those that changed it. The written-out loss becomes one stable operation before it
    # is differentiated; the update of `weight` ends up inside the product that computes its gradient.
    for stage in step.stages:
        print(f"=== {stage.name}: {len(stage.graph.nodes)} nodes, {stage.seconds * 1e3:.1f} ms")
        if stage.changed or stage.name == "written":
            print(step.to_text(stage.name).rstrip())
        print()

    # The plan for a batch of 32: which kernel runs on which part of the arena, in what order.
    print(f"=== plan\n{str(step.plan_for(batch=32)).rstrip()}\n")

    # The generated source of the kernels, as Numba compiles it.
    for name, source in step.sources().items():
        print(f"=== {name}\n{source.strip()}\n")

    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for number, stage in enumerate(step.stages):
            path = folder / f"{number}-{stage.name}.svg"
            step.save_graph(str(path), stage.name)
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
