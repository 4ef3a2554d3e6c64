from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graphc.cli.train import examples
from tests.cli.conftest import Outcome


def test_the_list(graphc: Callable[..., Outcome]) -> None:
    code, out, _ = graphc("train")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(examples())
    assert json.loads(graphc("train", "--json").out)["linear_regression"].startswith("A line through noisy points")


def test_an_example_runs(graphc: Callable[..., Outcome]) -> None:
    code, out, _ = graphc("train", "linear_regression")
    assert code == 0
    assert "found y = " in out


def test_its_source(graphc: Callable[..., Outcome]) -> None:
    assert graphc("train", "--show", "gpt").out == examples()["gpt"].read_text()


def test_arguments_are_passed_on(graphc: Callable[..., Outcome]) -> None:
    before = list(sys.argv)
    code, out, _ = graphc("train", "gpt", "--help")
    assert code == 0
    assert "--temperature" in out
    code, _, err = graphc("train", "gpt", "--stepz", "3")
    assert code == 2
    assert "unrecognized arguments: --stepz 3" in err
    assert sys.argv == before


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [("sys.exit(1)", 1, ""), ("sys.exit()", 0, ""), ("sys.exit('too few')", 1, "too few\n"), ("pass", 0, "")],
)
def test_the_exit_code_is_the_examples(
    end: str, code: int, message: str, graphc: Callable[..., Outcome], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.py").write_text(f"import sys\n{end}\n")
    monkeypatch.setattr("graphc.cli.train.examples", lambda: {"mine": folder / "mine.py"})
    assert graphc("train", "mine") == (code, "", message)


def test_an_example_that_raises(graphc: Callable[..., Outcome], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.py").write_text("def main():\n    return 1 / 0\n\nmain()\n")
    monkeypatch.setattr("graphc.cli.train.examples", lambda: {"mine": folder / "mine.py"})
    code, _, err = graphc("train", "mine")
    assert code == 1
    assert err.startswith("graphc: the example 'mine' raised an exception\n")
    assert "runpy" not in err
