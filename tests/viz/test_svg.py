"""SVG pictures: drawn without any other program, well formed, and readable."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir import ops
from graphc.ir.graph import Graph, Value
from graphc.ir.source import scope
from graphc.viz import changes_svg, to_svg
from graphc.viz.sheet import heat, style_sheet
from graphc.viz.style import KINDS
from graphc.viz.text import bytes_text, text_width, time_text

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str, name: str = "text") -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}{name}")]


def groups(svg: str, classes: str) -> list[str]:
    """The headings of the groups with all of these classes."""
    wanted = set(classes.split())
    return [
        "".join(text.itertext())
        for element in ElementTree.fromstring(svg).iter(f"{SVG}g")
        if wanted <= set(element.get("class", "").split()) and (text := element.find(f"{SVG}text")) is not None
    ]


def test_a_training_step(fused_training: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = texts(to_svg(fused_training, title="final"))
    assert {"final", "Forward", "Backward", "Update", "fused", "layer1", "weight1", "float32[4, 3]"} <= set(found)
    assert {"matmul", "tanh", "output", "placeholder", "next value of a variable"} <= set(found)
    assert not any("nan" in text for text in found)


def test_two_drawings_are_one_picture(training: Graph) -> None:
    assert to_svg(training) == to_svg(training)


def test_lines_lead_to_what_they_say() -> None:
    x = ops.placeholder(3, name="x")
    w = ops.parameter(np.zeros(3, np.float32), name="w")
    svg = to_svg(Graph.of([x], [ops.exp(x)], {w: w - x}))
    titles = texts(svg, "title")
    assert "%x, operand 1 of exp: float32[3]" in titles
    assert "next value of %w" in titles
    assert svg.count('class="link update"') == 2  # one explains itself in the legend


def test_any_name_is_shown_as_it_is() -> None:
    names = ['<script>alert("1")</script>', "a & b", "日本", "]]>", "\x1b[0m"]
    values = [ops.placeholder(3, name=name) for name in names]
    total = values[0]
    for value in values[1:]:
        with scope(value.name or ""):
            total = total + value
    found = texts(to_svg(Graph.of(values, [total]), title=names[0]))
    assert {*names[:-1], "\N{REPLACEMENT CHARACTER}[0m"} <= set(found)


def test_times_are_written_and_coloured(training: Graph) -> None:
    product = next(node for node in training.nodes if node.op.name == "matmul")
    svg = to_svg(training, seconds={product: 12.5e-6})
    assert groups(svg, "item hot") == ["matmul"]
    assert "12.5 \N{MICRO SIGN}s" in texts(svg)
    assert "layer1 \N{MIDDLE DOT} 12.5 \N{MICRO SIGN}s" in texts(svg)
    assert f"fill:{heat(1.0)}" in svg
    assert "layer1" in groups(to_svg(training, seconds={product: 1.0}, depth=1), "item hot closed")


def test_colours_follow_light_and_dark() -> None:
    sheet = style_sheet()
    light, dark = sheet.split("@media (prefers-color-scheme:dark)")
    for kind in KINDS.values():
        assert f"--{kind.name}-fill:{kind.fill};" in light
        assert f"--{kind.name}-fill:#" in dark
    assert (heat(0.0), heat(2.0)) == ("#fff3c4", "#e5383b")


def test_changes_are_marked() -> None:
    def build(function: Callable[[Value], Value]) -> Graph:
        x = ops.placeholder(3, name="x")
        return Graph.of([x], [ops.exp(x) * 2.0 + function(x)])

    svg = changes_svg(build(ops.sin), build(ops.cos), titles=("old", "new"))
    assert groups(svg, "item removed") == ["sin"]
    assert groups(svg, "item added") == ["cos"]
    assert sorted(groups(svg, "item kept")) == sorted(["x", "exp", "multiply", "add", "output"] * 2)
    assert {"old: 6 nodes, 1 gone", "new: 6 nodes, 1 new"} <= set(texts(svg))


def test_nothing_is_marked_in_equal_graphs(training: Graph) -> None:
    svg = changes_svg(training, training)
    assert groups(svg, "removed") == groups(svg, "added") == []
    assert [text.split(", ")[1] for text in texts(svg) if text.startswith(("before:", "after:"))] == ["0 gone", "0 new"]


def test_closed_boxes_tell_how_much_in_them_changed() -> None:
    def build(last: bool) -> Graph:
        x = value = ops.placeholder(3, name="x")
        for layer in range(40):
            for _ in range(3):
                with scope(f"net/layer{layer}/part"):
                    value = ops.exp(value) if last and layer % 2 else ops.tanh(value)
        return Graph.of([x], [value])

    svg = changes_svg(build(False), build(True))
    assert texts(svg).count("60 of them gone") == 1
    assert groups(svg, "item removed") == ["40 \N{MULTIPLICATION SIGN} layer0-39"]
    assert groups(svg, "item added") == ["exp"] * 60


@pytest.mark.parametrize(
    ("text", "least", "most"), [("", 0, 0), ("iiii", 8, 14), ("WWWW", 40, 60), ("日本", 20, 30)], ids=repr
)
def test_text_widths(text: str, least: float, most: float) -> None:
    assert least <= text_width(text, 12) <= most
    assert text_width(text, 12, bold=True) >= text_width(text, 12)


def test_numbers_for_people() -> None:
    assert [bytes_text(n) for n in (0, 1023, 1536, 300_000, 5 << 20, 3 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "293 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]
    assert [time_text(t) for t in (2.5, 1.5e-3, 12.34e-6, 40e-9)] == [
        "2.5 s",
        "1.5 ms",
        "12.3 \N{MICRO SIGN}s",
        "40 ns",
    ]
