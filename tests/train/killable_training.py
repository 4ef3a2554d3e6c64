"""Train, resumed where a killed process left it; say each step, and write the state at the end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import graphc as gr

folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
inputs, labels = rng.standard_normal((70, 4)).astype(np.float32), rng.integers(0, 3, 70)
gr.random.seed(7)
model = gr.nn.Sequential(gr.nn.Linear(4, 8, rng=1), gr.nn.ReLU(), gr.nn.Dropout(0.5), gr.nn.Linear(8, 3, rng=2))
x, t = gr.placeholder(("batch", 4)), gr.placeholder("batch", "int64")
optimizer = gr.optim.Adam(0.05)
loss = gr.cross_entropy(model(x), t)
step = gr.compile([x, t], loss, updates=optimizer.updates(loss, model.parameters()))


def say(number: int, metrics: dict[str, float]) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
    time.sleep(0.001)


history = gr.train.fit(
    step,
    (inputs, labels),
    epochs=40,
    batch_size=7,
    callbacks=[
        gr.train.Checkpoint(folder, every_steps=3, model=model, optimizer=optimizer),
        gr.train.LambdaCallback(on_batch_end=say),
    ],
    resume=True,
    progress=False,
)
gr.train.save_safetensors(folder / "end", model.state_dict() | optimizer.state_dict(), {"loss": repr(history["loss"])})
