"""Handwritten digits: a network of three layers trained on 4,000 images, tested on 1,000 others, and drawn.

Run: python examples/mnist_mlp.py [FOLDER]

The pictures of the graph go to FOLDER, or to demo-output. The exit code is 1 if fewer than 91% of the test images are
recognised.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import graphc as gr
from graphc.datasets import load_digits

WANTED_ACCURACY = 0.91

# The stages of compilation to draw: the graph as it is written below, with its gradients, and as it runs.
STAGES = {"written": "1-as-written", "autodiff": "2-differentiated", "final": "3-final"}


def main() -> int:
    start = time.perf_counter()
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    digits = load_digits()

    # The graph: images to logits to the mean cross-entropy and the share of right answers. "batch" may be any number.
    image = gr.placeholder(("batch", 784), name="image")
    label = gr.placeholder(("batch",), "int64", name="label")
    linear = partial(gr.nn.Linear, init=gr.nn.init.he_normal)
    model = gr.nn.Sequential(linear(784, 256), gr.nn.ReLU(), linear(256, 128), gr.nn.ReLU(), linear(128, 10))
    logits = model(image)
    loss = gr.cross_entropy(logits, label)
    accuracy = gr.train.accuracy(logits, label)

    # Two compiled functions: one moves the parameters, one only looks.
    updates = gr.optim.SGD(0.1).updates(loss, model.parameters())
    step = gr.compile([image, label], [loss, accuracy], updates=updates)
    test = gr.compile([image, label], [loss, accuracy])

    history = gr.train.fit(
        step,
        (digits.train_images, digits.train_labels),
        epochs=12,
        batch_size=32,
        names=["loss", "accuracy"],
        validation=(test, (digits.test_images, digits.test_labels)),
    )

    folder.mkdir(parents=True, exist_ok=True)
    for stage, name in STAGES.items():
        for suffix in ("dot", "svg"):
            step.save_graph(str(folder / f"{name}.{suffix}"), stage)

    recognised = history["validation_accuracy"][-1]
    print(f"graphs written to {folder}: {', '.join(f'{name}.dot and .svg' for name in STAGES.values())}")
    print(f"{max(history.examples_per_second):,.0f} images a second; {time.perf_counter() - start:.1f} s in all")
    print(f"test accuracy {recognised:.1%} (wanted: at least {WANTED_ACCURACY:.0%})")
    return 0 if recognised >= WANTED_ACCURACY else 1


if __name__ == "__main__":
    raise SystemExit(main())
