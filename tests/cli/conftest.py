from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from graphc.cli import main

PROGRAM = """
from dataclasses import dataclass

import numpy as np

import graphc as gr

print("the model is being built")
x = gr.placeholder(("batch", 4), name="x")
label = gr.placeholder(("batch",), "int64", name="label")
weight = gr.parameter(np.ones((4, 3), np.float32), name="weight")
hidden = gr.tanh(x @ weight + 1.0)
loss = gr.cross_entropy(hidden, label)
step = gr.compile([x, label], loss, updates={weight: weight - 0.1 * gr.grad(loss, weight)})
graph = step.stage("written")
both = [hidden, loss]
number = 3


@dataclass
class Settings:
    rate: float = 0.1


settings = Settings()


def make():
    return gr.compile([x], gr.exp(hidden))


def needs(rate):
    return step


def fails():
    return 1 / 0
"""


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds model.py alone."""
    (tmp_path / "model.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def graphc(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command within this process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = main(arguments)
        return Outcome(code, *capsys.readouterr())

    return run
