"""How long the compiler takes for graphs of growing size: passes, assembly and plan, without compiling kernels."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

import graphc as gr

LAYERS = (60, 120, 240, 480, 960)


@dataclass(frozen=True)
class CompileTime:
    """Seconds for a graph, and the number of its nodes after differentiation."""

    nodes: int
    passes: float
    assembly: float
    plan: float

    @property
    def total(self) -> float:
        return self.passes + self.assembly + self.plan


def training_step(layers: int) -> tuple[gr.Value, gr.Value, dict[gr.Variable, gr.Value]]:
    """A deep network with skip connections, its loss and its updates."""
    x = gr.placeholder(("n", 8), name="x")
    parameters = []
    value = x
    for number in range(layers):
        w = gr.parameter(np.eye(8, dtype=np.float32), f"w{number}")
        parameters.append(w)
        value = gr.tanh(value @ w + value * 0.5) * gr.sigmoid(value) + value
    loss = gr.mean(value * value)
    return x, loss, {w: w - 0.1 * g for w, g in zip(parameters, gr.grad(loss, parameters), strict=True)}


def measure(layers: int) -> CompileTime:
    x, loss, updates = training_step(layers)
    start = time.perf_counter()
    function = gr.compile([x], loss, updates)
    compiled = time.perf_counter()
    function.plan_for(n=32)
    planned = time.perf_counter()
    assembly = function.seconds["assemble"]
    return CompileTime(
        max(len(stage.graph.nodes) for stage in function.stages),
        compiled - start - assembly,
        assembly,
        planned - compiled,
    )


def measure_all() -> list[CompileTime]:
    measure(LAYERS[0])  # the first graph of a process pays for imports
    return [measure(layers) for layers in LAYERS]
