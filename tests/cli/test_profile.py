from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Outcome


def test_a_table(graphc: Callable[..., Outcome]) -> None:
    code, out, err = graphc("profile", "model.py:step", "--size", "batch=8", "--repeats", "2")
    assert code == 0
    assert out.startswith("step ")
    assert "matmul" in out
    assert err == "the model is being built\n"


def test_json_and_a_trace(graphc: Callable[..., Outcome], folder: Path) -> None:
    arguments = ("--size", "batch=8", "--repeats", "2", "--json", "--trace", "trace.json")
    code, out, err = graphc("profile", "model.py:step", *arguments)
    assert code == 0
    assert json.loads(out)["sizes"] == {"batch": 8}
    assert err.endswith("wrote trace.json\n")
    assert json.loads((folder / "trace.json").read_text())


def test_views(graphc: Callable[..., Outcome]) -> None:
    out = graphc("profile", "model.py:make", "--size", "batch=8", "--repeats", "2", "--by", "op").out
    assert out.startswith("op ")
    assert {line.split()[0] for line in out.splitlines()} >= {"matmul", "tanh", "exp"}


def test_unnamed_sizes_have_the_numbers_of_the_text_form(graphc: Callable[..., Outcome], folder: Path) -> None:
    (folder / "open.py").write_text("import graphc as gr\nx = gr.placeholder((None, 2))\ny = gr.exp(x)\n")
    code, out, _ = graphc("profile", "open.py:y", "--size", "?0=5", "--repeats", "2", "--json")
    assert code == 0
    assert list(json.loads(out)["sizes"].values()) == [5]
