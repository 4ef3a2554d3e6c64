"""Every wrong use: one message that says what to do, nothing on standard output, exit code 2, no traceback of ours."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome

FILES = {
    "raises.py": "import graphc as gr\nx = gr.placeholder((3,))\ny = 1 / 0\n",
    "misfit.py": "import graphc as gr\nx = gr.placeholder((3,))\ny = x + gr.placeholder((4,))\n",
    "grammar.py": "x = (1,\ny = 2 +\n",
    "binary.py": "\0\1\2",
    "exits.py": "import sys\nsys.exit(3)\n",
    "imports.py": "import no_such_module_anywhere\n",
    "unnamed.py": "import graphc as gr\nx = gr.placeholder((None, 2))\ny = gr.exp(x)\n",
    "negative.py": "import graphc as gr\nx = gr.placeholder(('n',))\ny = [x, gr.placeholder((x.shape[0] - 3,))]\n",
    "empty.py": "",
    "notes.txt": "not Python",
}

WRONG_USES: dict[str, tuple[list[str], list[str]]] = {
    "no such command": (["vis"], ["there is no command 'vis'", "did you mean 'viz'?"]),
    "no such option": (["viz", "model.py:step", "--stag", "final"], ["--stag"]),
    "no program": (["viz"], ["FILE:NAME", "see: graphc viz --help"]),
    "missing file": (["viz", "modle.py:step"], ["there is no file 'modle.py'", "did you mean 'model.py'?"]),
    "missing folder": (["viz", "no/where/model.py:step"], ["there is no file 'no/where/model.py'"]),
    "a folder": (["viz", "folder:step"], ["folder is a folder", "expected: a Python file"]),
    "not a Python file": (["viz", "notes.txt:step"], ["notes.txt is not a Python file", "ends in .py"]),
    "no name": (["viz", "model.py"], ["which object", "FILE:NAME", "model.py has: x, label, weight, hidden"]),
    "empty name": (["viz", "model.py:"], ["no name after the colon"]),
    "no such name": (["viz", "model.py:stpe"], ["no name 'stpe'", "did you mean 'step'?", "there are: x, label"]),
    "no such name in an empty file": (["viz", "empty.py:step"], ["no name 'step'"]),
    "no such attribute": (
        ["viz", "model.py:step.grahp"],
        ["model.py:step: there is no name 'grahp'", "'graph'?"],
    ),
    "a number": (["viz", "model.py:number"], ["of type int", "expected: a compiled function, a graph, a value"]),
    "an object": (["explain", "model.py:settings"], ["of type Settings", "expected: a compiled function"]),
    "a class": (["viz", "model.py:Settings"], ["of type type"]),
    "a function with arguments": (["source", "model.py:needs"], ["of type function", "without arguments"]),
    "file raises": (["viz", "raises.py:y"], ["raises.py raised an exception", "y = 1 / 0", "ZeroDivisionError"]),
    "file raises ours": (
        ["viz", "misfit.py:y"],
        ["misfit.py raised", "line 3", "y = x + gr.", "ShapeError"],
    ),
    "function raises": (["viz", "model.py:fails"], ["fails() of model.py raised", "return 1 / 0", "ZeroDivisionError"]),
    "attribute raises": (["viz", "model.py:step.plan"], ["step.plan of model.py raised", "GraphError", "batch"]),
    "wrong grammar": (["viz", "grammar.py:y"], ["grammar.py raised an exception", "SyntaxError"]),
    "not text": (["viz", "binary.py:y"], ["binary.py raised an exception", "null bytes"]),
    "import of what is not there": (["viz", "imports.py:y"], ["No module named 'no_such_module_anywhere'"]),
    "file exits": (["viz", "exits.py:y"], ["exits.py ended the program with sys.exit(3)", "__main__"]),
    "no such stage": (["viz", "model.py:step", "--stage", "fusee"], ["no stage 'fusee'", "did you mean 'fuse'?"]),
    "suffix unknown": (["viz", "model.py:step", "-o", "a.gif"], ["suffix '.gif'", ".dot, .svg, .png, .txt, .html"]),
    "no suffix": (["viz", "model.py:step", "-o", "a"], ["suffix ''"]),
    "output folder missing": (["viz", "model.py:step", "-o", "no/a.svg"], ["folder no does not exist", "mkdir -p no"]),
    "output is a folder": (["viz", "model.py:step", "-o", "folder"], ["folder is a folder"]),
    "no Graphviz": (["viz", "model.py:step", "-o", "a.png"], ["no Graphviz", "pip install 'graphc[png]'"]),
    "depth not a number": (["viz", "model.py:step", "--depth", "deep"], ["--depth is 'deep'", "'auto'"]),
    "depth of text": (["viz", "model.py:step", "-o", "a.txt", "--depth", "1"], ["no meaning for .txt"]),
    "stage of HTML": (["viz", "model.py:step", "-o", "a.html", "--stage", "cse"], ["all stages"]),
    "times of DOT": (["viz", "model.py:step", "--times"], ["--times is for HTML alone"]),
    "size of DOT": (["viz", "model.py:step", "--size", "batch=3"], ["--size has no meaning here"]),
    "schedule as DOT": (["viz", "model.py:step", "--stage", "schedule"], ["SVG alone", "--output schedule.svg"]),
    "unknown size": (["profile", "model.py:step", "--size", "bach=3"], ["no size 'bach'", "did you mean 'batch'?"]),
    "size not a number": (["profile", "model.py:step", "--size", "batch=many"], ["'many' is not a number"]),
    "negative size": (["profile", "model.py:step", "--size", "batch=-1"], ["'-1' is not a number", "at least 0"]),
    "size without a value": (["profile", "model.py:step", "--size", "batch"], ["not of the form NAME=N", "batch=64"]),
    "size missing": (["profile", "model.py:step"], ["the size 'batch' has no value", "--size batch=64"]),
    "size twice": (["profile", "model.py:step", "--size", "batch=3", "--size", "batch=4"], ["given twice"]),
    "unnamed size missing": (["profile", "unnamed.py:y"], ["the size '?0' has no value", "--size '?0=64'"]),
    "more than memory": (["profile", "model.py:step", "--size", "batch=9999999999999"], ["would take", "GiB"]),
    "shape below 0": (["profile", "negative.py:y", "--size", "n=2"], ["the shape (-1,)", "no negative size"]),
    "no such view": (["profile", "model.py:step", "--size", "batch=3", "--by", "file"], ["'file' is not one of"]),
    "no repeats": (["profile", "model.py:step", "--size", "batch=3", "--repeats", "0"], ["x>=1"]),
    "trace suffix": (["profile", "model.py:step", "--size", "batch=3", "--trace", "a.txt"], ["suffix '.txt'", ".json"]),
    "no such kernel": (["source", "model.py:step", "--kernel", "fussed"], ["no kernel 'fussed'", "there are: 0: "]),
    "no such example": (["train", "mnist"], ["no example 'mnist'", "there are: ", "mnist_mlp"]),
    "no cache command": (["cache", "clean"], ["clean"]),
    "surplus argument": (["doctor", "now"], ["now"]),
}


@pytest.mark.parametrize("use", WRONG_USES)
def test_wrong_use(use: str, graphc: Callable[..., Outcome], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("graphc.viz.render"), "find_graphviz", lambda: None)
    (folder / "folder").mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    before = set(os.listdir(folder))
    arguments, wanted = WRONG_USES[use]
    code, out, err = graphc(*arguments)
    assert (code, out) == (2, "")
    message = err.removeprefix("the model is being built\n")
    assert message.startswith("graphc: ")
    for text in wanted:
        assert text in message
    assert "Traceback" not in message
    assert "graphc/cli" not in message and "graphc/ir" not in message
    assert set(os.listdir(folder)) == before


def test_the_lines_of_an_exception_are_the_users_own(graphc: Callable[..., Outcome], folder: Path) -> None:
    (folder / "part.py").write_text("def inner(x):\n    return x.no_such_method()\n")
    (folder / "whole.py").write_text(
        "import graphc as gr\nfrom part import inner\n\ndef build():\n    return inner(gr.placeholder((3,)))\n"
    )
    code, out, err = graphc("viz", "whole.py:build")
    assert (code, out) == (2, "")
    lines = [line.strip() for line in err.splitlines()]
    assert lines[0] == "graphc: build() of whole.py raised an exception"
    assert [line for line in lines if line.startswith("File ")] == [
        f'File "{folder}/whole.py", line 5, in build',
        f'File "{folder}/part.py", line 2, in inner',
    ]
    assert lines[-1].startswith("AttributeError: ")
