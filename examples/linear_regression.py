"""A line through noisy points: placeholders, parameters, gradients and updates, with nothing hidden.

Run: python examples/linear_regression.py
"""

from __future__ import annotations

import numpy as np

import graphc as gr


def main() -> None:
    # Points around y = 3x - 1.
    random = np.random.default_rng(0)
    xs = random.uniform(-1, 1, 200).astype(np.float32)
    ys = 3 * xs - 1 + 0.1 * random.standard_normal(200).astype(np.float32)

    # The graph. Nothing is computed here: `x`, `y`, `loss` are descriptions. "points" is a dimension of unknown size.
    x = gr.placeholder(("points",), name="x")
    y = gr.placeholder(("points",), name="y")
    slope = gr.parameter(np.float32(0), name="slope")
    offset = gr.parameter(np.float32(0), name="offset")
    loss = ((slope * x + offset - y) ** 2).mean()

    # Its gradients are graph too, and the parameters' next values say what a step does to the state.
    d_slope, d_offset = gr.grad(loss, [slope, offset])
    rate = 0.3
    step = gr.compile([x, y], loss, updates={slope: slope - rate * d_slope, offset: offset - rate * d_offset})

    for epoch in range(50):
        value = step(xs, ys)  # returns the loss, and moves the parameters
        if epoch % 10 == 0:
            print(f"epoch {epoch:2d}: loss {value:.4f}")

    print(f"found y = {slope.value:.3f} x {offset.value:+.3f}")
    exact_slope, exact_offset = np.polyfit(xs, ys, 1)
    print(f"exact y = {exact_slope:.3f} x {exact_offset:+.3f}  (least squares)")


if __name__ == "__main__":
    main()
