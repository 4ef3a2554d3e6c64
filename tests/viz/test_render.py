from __future__ import annotations

import importlib.metadata
import os
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from graphc.errors import GraphError
from graphc.ir.graph import Graph
from graphc.ir.printer import to_text
from graphc.viz import render, save, to_dot, to_svg
from graphc.viz.render import find_graphviz

PNG = b"\x89PNG\r\n\x1a\n"


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder that is all of the path; no wheel of Graphviz is installed."""

    def files(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(importlib.metadata, "files", files)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_svg_of_a_training_step(fused_training: Graph) -> None:
    root = ElementTree.fromstring(render(to_dot(fused_training, title="final")))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {"".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"final", "Forward", "Backward", "Update", "fused", "layer1", "weight1", "float32[4, 3]"} <= texts


def test_png(training: Graph) -> None:
    assert render(to_dot(training), "png").startswith(PNG)


def test_every_suffix(training: Graph, tmp_path: Path) -> None:
    paths = [save(training, tmp_path / f"graph{suffix}") for suffix in (".dot", ".svg", ".png", ".txt")]
    dot, svg, png, text = (path.read_bytes() for path in paths)
    assert dot.decode() == to_dot(training)
    assert svg.decode() == to_svg(training)
    assert png.startswith(PNG)
    assert text.decode() == to_text(training)
    assert save(dot.decode(), str(tmp_path / "again.SVG")).read_bytes() == render(dot.decode())


def test_options_reach_the_picture_and_the_text(training: Graph, tmp_path: Path) -> None:
    assert save(training, tmp_path / "a.dot", title="A title").read_text() == to_dot(training, title="A title")
    assert save(training, tmp_path / "a.txt", locations=True).read_text() == to_text(training, locations=True)


@pytest.mark.parametrize("name", ["graph", "graph.jpg", "graph.svg.gz"])
def test_other_suffixes_are_refused(training: Graph, tmp_path: Path, name: str) -> None:
    with pytest.raises(GraphError, match=r"the suffix '.*' of '.*'\n  expected: .dot, .svg, .png, or .txt"):
        save(training, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_dot_text_is_not_the_text_form(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"expected: .dot, .svg or .png"):
        save("digraph {}", tmp_path / "graph.txt")


def test_other_formats_are_refused() -> None:
    with pytest.raises(GraphError, match="a picture of format 'pdf'\n  expected: 'svg' or 'png'"):
        render("digraph {}", "pdf")


def test_what_graphviz_refuses_is_told() -> None:
    with pytest.raises(GraphError, match=r"refused the text: .*syntax error"):
        render("digraph { a -> }")


@pytest.mark.usefixtures("no_path")
def test_without_graphviz_the_remedy_is_told(training: Graph, tmp_path: Path) -> None:
    assert find_graphviz() is None
    with pytest.raises(GraphError) as error:
        save(training, tmp_path / "graph.png")
    assert "no Graphviz to draw PNG with" in error.value.found
    assert "pip install 'graphc[png]'" in error.value.remedy
    assert "apt install graphviz" in error.value.remedy
    for suffix in ("dot", "svg"):  # which need none
        assert save(training, tmp_path / f"graph.{suffix}").stat().st_size
    assert sorted(path.name for path in tmp_path.glob("graph.*")) == ["graph.dot", "graph.svg"]


def test_the_systems_graphviz_comes_first(no_path: Path) -> None:
    dot = program(no_path / "dot", "echo '<svg/>'")
    program(no_path / "graphviz-pure", "exit 1")
    assert find_graphviz() == str(dot)
    assert render("digraph {}") == b"<svg/>\n"


def test_the_wheel_is_found_outside_the_path(no_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scripts = tmp_path / "environment" / "bin"
    scripts.mkdir(parents=True)
    pure = program(scripts / "graphviz-pure", "echo '<svg/>'")

    class File:
        def __init__(self, name: str) -> None:
            self.stem = Path(name).stem

        def locate(self) -> Path:
            return tmp_path / "environment" / "lib" / ".." / "bin" / self.stem

    names = ["graphviz_pure-0.2.2.dist-info/RECORD", "../bin/graphviz-pure"]
    (tmp_path / "environment" / "lib").mkdir()
    monkeypatch.setattr(importlib.metadata, "files", lambda _: [File(name) for name in names])
    assert find_graphviz() == str(pure)
    assert render("digraph {}") == b"<svg/>\n"
    pure.unlink()
    assert find_graphviz() is None


def test_a_layout_that_takes_too_long_is_given_up(no_path: Path) -> None:
    sleep = shutil.which("sleep", path=os.defpath)
    program(no_path / "dot", f"exec {sleep} 60")
    with pytest.raises(GraphError, match=r"did not finish a picture of 2 edges within 0.2 seconds\n.*timeout="):
        render("digraph { a -> b; b -> c }", timeout=0.2)


def test_pictures_do_not_need_pydot_until_they_are_made() -> None:
    script = "import sys, graphc.viz; sys.exit('pydot' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
