"""What ``import graphc`` and building a graph import: little, because every process waits for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import graphc as gr

BUILD = """
import numpy as np
import graphc as gr

x = gr.placeholder(("batch", 4), name="x")
w = gr.parameter(np.ones((4, 3), "float32"), name="w")
target = gr.placeholder(("batch",), "int64", name="target")
loss = gr.cross_entropy(gr.relu(x @ w), target)
updates = {w: w - 0.1 * gr.grad(loss, w)}
"""
BUILD_WITH_MODULES = """
import graphc as gr

model = gr.nn.Sequential(gr.nn.Conv2d(1, 4, 3), gr.nn.ReLU(), gr.nn.Flatten(), gr.nn.Linear(144, 10))
images = gr.placeholder(("batch", 1, 8, 8))
target = gr.placeholder(("batch",), "int64")
loss = gr.cross_entropy(model(images), target)
updates = gr.optim.Adam(1e-3).updates(loss, model.parameters())
"""
HEAVY = {"llvmlite", "matplotlib", "networkx", "numba", "pydot", "scipy", "torch"}
PARTS = {"api", "cli", "datasets", "function", "nn", "optim", "passes", "random", "runtime", "train", "viz"}


def modules_after(statements: str) -> set[str]:
    """What a new process has imported after some statements."""
    script = f"{statements}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statements", "used"),
    [
        ("import graphc", set()),
        (BUILD, set()),
        (BUILD_WITH_MODULES, {"nn", "optim", "random"}),
        ("import graphc; graphc.__version__, graphc.Graph, graphc.float32, graphc.Variable, dir(graphc)", set()),
    ],
    ids=["import", "build", "modules", "names"],
)
def test_building_a_graph_imports_no_compiler_and_nothing_that_it_does_not_use(statements: str, used: set[str]) -> None:
    modules = modules_after(statements)
    assert not HEAVY & modules
    assert {part for part in PARTS if f"graphc.{part}" in modules} <= used


def test_compiling_imports_no_graph_library_and_no_pictures() -> None:
    modules = modules_after(f"{BUILD}\ngr.compile([x, target], loss, updates=updates)")
    assert not modules & {"networkx", "pydot", "scipy", "matplotlib"}
    assert not modules & {f"graphc.{part}" for part in ("cli", "datasets", "nn", "optim", "train", "viz")}


def test_every_public_name_can_be_found_completed_and_imported() -> None:
    names: dict[str, object] = {}
    exec("from graphc import *", names)
    assert set(gr.__all__) <= names.keys()
    assert set(gr.__all__) <= set(dir(gr))
    assert len(set(gr.__all__)) == len(gr.__all__)
    assert gr.compile is gr.compile is names["compile"]
    assert gr.nn is names["nn"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'graphc' has no attribute 'complie'"):
        gr.complie  # noqa: B018
