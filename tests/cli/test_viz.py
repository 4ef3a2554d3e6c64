from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Outcome


@pytest.mark.parametrize("name", ["step", "graph", "loss", "both", "make"])
def test_any_kind_of_object_as_dot(name: str, graphc: Callable[..., Outcome]) -> None:
    code, out, err = graphc("viz", f"model.py:{name}")
    assert code == 0
    assert out.startswith("digraph")
    assert "matmul" in out
    assert err == "the model is being built\n"


def test_stages_differ(graphc: Callable[..., Outcome]) -> None:
    written = graphc("viz", "model.py:step", "--stage", "written").out
    final = graphc("viz", "model.py:step", "--stage", "final").out
    assert "fused" in final
    assert "fused" not in written
    assert graphc("viz", "model.py:step").out == final


def test_an_attribute_of_an_object(graphc: Callable[..., Outcome]) -> None:
    assert graphc("viz", "model.py:step.graph").out.startswith("digraph")


def test_files_by_suffix(graphc: Callable[..., Outcome], folder: Path) -> None:
    for suffix in ("dot", "svg", "txt", "html"):
        code, out, err = graphc("viz", "model.py:step", "--output", f"a.{suffix}")
        assert (code, out) == (0, "")
        assert err.endswith(f"wrote a.{suffix}\n")
    assert (folder / "a.dot").read_text().startswith("digraph")
    assert ElementTree.parse(folder / "a.svg").getroot().tag.endswith("svg")
    assert (folder / "a.txt").read_text().startswith("inputs: %x, %label\n")
    assert (folder / "a.html").read_text().lower().startswith("<!doctype html>")


def test_depth_closes_boxes(graphc: Callable[..., Outcome]) -> None:
    whole = graphc("viz", "model.py:step").out
    assert len(graphc("viz", "model.py:step", "--depth", "0").out) < len(whole)


def test_the_schedule_needs_sizes(graphc: Callable[..., Outcome], folder: Path) -> None:
    schedule = ("viz", "model.py:step", "--stage", "schedule", "-o", "a.svg")
    assert graphc(*schedule).code == 2
    assert graphc(*schedule, "--size", "batch=8").code == 0
    assert ElementTree.parse(folder / "a.svg").getroot().tag.endswith("svg")


def test_times_in_html(graphc: Callable[..., Outcome], folder: Path) -> None:
    graphc("viz", "model.py:step", "-o", "plain.html")
    assert graphc("viz", "model.py:step", "-o", "times.html", "--times", "--size", "batch=8").code == 0
    plain, times = ((folder / name).read_text() for name in ("plain.html", "times.html"))
    assert '"total":null' in plain
    assert '"total":null' not in times


def test_the_file_runs_as_it_would_alone(graphc: Callable[..., Outcome], folder: Path) -> None:
    (folder / "sizes.py").write_text("SIZE = 3\n")
    (folder / "whole.py").write_text(
        "import graphc as gr\nfrom sizes import SIZE\n\ndef f(x: gr.Value): return gr.exp(x)\n"
        "assert f.__annotations__['x'] is gr.Value\nassert __name__ != '__main__'\ny = f(gr.placeholder((SIZE,)))\n"
    )
    assert graphc("viz", "whole.py:y").code == 0


def test_the_import_path_is_restored(graphc: Callable[..., Outcome], folder: Path) -> None:
    before = list(sys.path)
    graphc("viz", "model.py:step")
    assert sys.path == before
