from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.examples.running import number_after, run

STAGES = ("1-as-written", "2-differentiated", "3-final")


def test_linear_regression_finds_the_least_squares_line() -> None:
    found, exact = run("linear_regression.py").splitlines()[-2:]
    assert abs(number_after("y =", found) - number_after("y =", exact)) < 0.01
    assert abs(number_after("x", found) - number_after("x", exact)) < 0.01


def test_logistic_regression_tells_fours_from_nines() -> None:
    assert number_after("test accuracy", run("logistic_regression.py")) >= 94.0


def test_inspect_the_passes_shows_every_stage_and_draws_it(tmp_path: Path) -> None:
    output = run("inspect_the_passes.py", str(tmp_path))
    written, final = output.index("=== written"), output.index("=== fuse")
    assert "exp" in output[written:final]
    assert "cross_entropy" in output[output.index("=== recognize") : final]
    assert "=== plan" in output[final:]
    assert "def " in output[final:]
    for picture in tmp_path.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert len(list(tmp_path.glob("*.svg"))) == output.count("wrote ")


def test_mnist_mlp_recognises_digits_and_draws_its_graph(tmp_path: Path) -> None:
    assert number_after("test accuracy", run("mnist_mlp.py", str(tmp_path))) >= 91.0
    for name in STAGES:
        assert (tmp_path / f"{name}.dot").read_text(encoding="utf-8").startswith("digraph")
        assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")
