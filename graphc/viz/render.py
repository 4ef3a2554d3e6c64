"""Pictures as files. SVG is drawn here; PNG takes Graphviz: the system's, or that of the ``graphviz-pure`` wheel."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path
from typing import Any

from graphc.errors import GraphError
from graphc.ir.graph import Graph
from graphc.ir.printer import to_text
from graphc.viz.dot import to_dot
from graphc.viz.svg import to_svg

__all__ = ["find_graphviz", "render", "save"]

FORMATS = ("svg", "png")
_WHEEL = "graphviz-pure"


def find_graphviz() -> str | None:
    """The path of a program that draws DOT: the system's ``dot``, else the one of ``pip install graphc[png]``."""
    return shutil.which("dot") or _program_of_wheel() or shutil.which(_WHEEL)


def _program_of_wheel() -> str | None:
    try:
        files = importlib.metadata.files(_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    # It lies in the environment's folder of scripts, which is on the path only where the environment is activated.
    programs = (Path(str(file.locate())).resolve() for file in files if file.stem == _WHEEL)
    return next((str(program) for program in programs if program.is_file()), None)


def render(dot: str, format: str = "svg", timeout: float = 120.0) -> bytes:
    """A picture of DOT text.

    Args:
        dot: what :func:`~graphc.viz.to_dot` returns.
        format: ``"svg"`` or ``"png"``.
        timeout: seconds; the layout of thousands of nodes can take minutes.

    Raises:
        GraphError: the format is another, no Graphviz was found, it refused the text, or took too long.
    """
    if format not in FORMATS:
        raise GraphError(f"a picture of format {format!r}", expected=" or ".join(map(repr, FORMATS)))
    program = find_graphviz()
    if program is None:
        raise GraphError(
            f"there is no Graphviz to draw {format.upper()} with",
            expected="the program 'dot' on the path, or the package graphviz-pure",
            remedy="pip install 'graphc[png]', or install Graphviz (apt install graphviz, brew install graphviz); "
            "DOT text, and SVG of a graph, need neither",
        )
    try:
        done = subprocess.run(
            [program, f"-T{format}"], input=dot.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise GraphError(
            f"{program} did not finish a picture of {dot.count(' -> '):,} edges within {timeout:g} seconds",
            remedy="allow more with timeout=, or draw less: depth='auto'",
        ) from None
    if done.returncode != 0:
        raise GraphError(
            f"{program} refused the text: {done.stderr.decode(errors='replace').strip()}", expected="valid DOT"
        )
    return done.stdout


def save(what: Graph | str, path: str | Path, **options: Any) -> Path:
    """Write a graph, or DOT text, to a file whose suffix says how: ``.dot``, ``.svg``, ``.png``, or ``.txt`` for text.

    Args:
        what: a graph, or DOT text.
        path: where to; its folder must exist.
        **options: for :func:`~graphc.viz.to_dot`; with ``.svg``, for :func:`~graphc.viz.to_svg`; with ``.txt``, for
            :func:`~graphc.ir.printer.to_text`.

    Returns:
        The path.

    Raises:
        GraphError: the suffix is another, or there is no Graphviz for ``.png``, or for DOT text as ``.svg``.
    """
    target = Path(path)
    match target.suffix.lower(), what:
        case ".txt", Graph():
            data = to_text(what, **options).encode(errors="backslashreplace")
        case ".svg", Graph():
            data = to_svg(what, **options).encode()
        case ".png", Graph():
            data = render(to_dot(what, **{"depth": "auto", **options}), "png")
        case ".dot" | ".svg" | ".png" as suffix, _:
            dot = to_dot(what, **options) if isinstance(what, Graph) else what
            data = dot.encode() if suffix == ".dot" else render(dot, suffix[1:])
        case suffix, _:
            wanted = ".dot, .svg, .png, or .txt for the text form" if isinstance(what, Graph) else ".dot, .svg or .png"
            raise GraphError(f"the suffix {suffix!r} of {str(target)!r}", expected=wanted)
    target.write_bytes(data)
    return target
