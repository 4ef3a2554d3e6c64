"""The HTML report: one file that is whole, consistent and harmless. `make report` uses it in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.viz import report, report_html

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """A page with its elements checked for nesting, its scripts, and its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data

    @property
    def data(self) -> Any:
        return json.loads(self.texts["script"][0])


def classifier(name: str = "image") -> gr.Function:
    x = gr.placeholder(("batch", 6), name=name)
    label = gr.placeholder(("batch",), "int64", name="label")
    model = gr.nn.Sequential(gr.nn.Linear(6, 5), gr.nn.Tanh(), gr.nn.Linear(5, 3))
    loss = gr.cross_entropy(model(x), label)
    return gr.compile([x, label], loss, gr.optim.Adam(1e-3).updates(loss, model.parameters()))


@pytest.fixture(scope="module")
def function() -> gr.Function:
    return classifier()


@pytest.fixture(scope="module")
def arguments() -> list[Any]:
    return [np.ones((4, 6), np.float32), np.zeros(4, np.int64)]


@pytest.fixture(scope="module")
def page(function: gr.Function, arguments: list[Any]) -> Page:
    return Page(report_html(function, arguments, title="A <report> & more"))


def test_the_file_is_written(function: gr.Function, arguments: list[Any], tmp_path: Path) -> None:
    named = dict(zip(("image", "label"), arguments, strict=True))
    for path in (function.report(tmp_path / "a.html", arguments), report(function, str(tmp_path / "b.html"), named)):
        data = Page(path.read_text(encoding="utf-8")).data
        assert data["total"] > 0
    with pytest.raises(gr.GraphError, match="label"):
        function.report(tmp_path / "c.html", arguments[:1])
    assert not (tmp_path / "c.html").exists()


def test_it_needs_nothing_else(page: Page) -> None:
    for tag, name, value in page.attributes:
        if name in ("src", "href", "data", "action"):
            assert value == "data:,", (tag, name, value)
    assert (
        "meta",
        "content",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
    ) in (page.attributes)
    assert "url(" not in page.texts["style"][0]
    assert "{{" not in "".join(page.texts["style"])
    for script in page.texts["script"][1:]:
        assert not re.search(r"\b(fetch|import|XMLHttpRequest|eval|localStorage)\b", script)


def test_the_views_are_the_stages(page: Page, function: gr.Function) -> None:
    data = page.data
    assert list(data["views"]) == ["written", "differentiated", "fused"]
    stages = {"written": "written", "differentiated": "autodiff", "fused": "final"}
    for view, stage in stages.items():
        headings = {item[2] for item in data["graphs"][data["views"][view]]["items"]}
        for node in function.stage(stage).nodes:
            if node.op.name not in ("constant", "variable", "placeholder", "fused"):
                assert node.op.name in headings
    assert [entry["name"] for entry in data["passes"]] == [stage.name for stage in function.stages if stage.changed]
    assert [stage["name"] for stage in data["stages"]] == [stage.name for stage in function.stages]


def test_the_numbers_in_it_point_to_what_there_is(page: Page) -> None:
    data = page.data
    for graph in data["graphs"]:
        items, boxes, links = graph["items"], graph["boxes"], graph["links"]
        for item in items:
            assert 0 <= item[0] < len(boxes)
            assert 0 <= item[1] < len(data["kinds"])
            assert -1 <= item[6] < len(data["scopes"])
            assert -1 <= item[7] < len(data["locations"])
            assert item[10] > 0 < item[11]
            assert all(0 <= step < len(data["steps"]) for step in item[13])
        placed = [unit[1] for box in boxes for unit in box["units"] if unit[0] == 0]
        assert sorted(placed) == list(range(len(items)))
        held = [unit[1] for box in boxes for unit in box["units"] if unit[0] == 1]
        assert len(held) == len(set(held))
        drawn: set[int] = set()
        for number, box in enumerate(boxes):
            assert -1 <= box["parent"] < max(number, 1)
            assert sorted(unit for row in box["rows"] for unit in row) == list(range(len(box["units"])))
            for upper, lower, key, numbers in box["hops"]:
                assert max(upper, lower) < len(box["units"])
                assert -len(items) <= key < len(items)
                drawn |= set(numbers)
        assert drawn == set(range(len(links)))
        assert all(max(source, target) < len(items) and kind < 3 for source, target, kind in links)
    for entry in data["passes"]:
        for side in ("before", "after"):
            graph = data["graphs"][entry[side]["graph"]]
            assert all(place < len(graph["items"]) for place in entry[side]["items"])
            assert all(place < len(graph["boxes"]) for place in (*entry[side]["boxes"], *entry[side]["open"]))
    assert all(step["kernel"] < len(data["kernels"]) for step in data["steps"])


def test_nodes_tell_time_memory_and_kernel(page: Page) -> None:
    data = page.data
    graph = data["graphs"][data["views"]["fused"]]
    product = next(item for item in graph["items"] if item[2] == "matmul" and item[4] == "float32[batch, 5]")
    assert product[12] > 0
    assert product[14] == 4 * 5 * 4
    (step,) = product[13]
    assert "def kernel(args, lo, hi):" in data["kernels"][data["steps"][step]["kernel"]]
    assert any(text.startswith("reads") or does == "reads" for does, text in data["steps"][step]["buffers"])
    assert data["scopes"][product[6]] == "sequential/linear_0"
    assert data["locations"][product[7]][2] == "loss = gr.cross_entropy(model(x), label)"
    forward = {(item[6], item[7]) for item in graph["items"] if not item[8] and item[7] >= 0}
    assert any((item[6], item[7]) in forward for item in graph["items"] if item[8])  # partners in the gradient


def test_without_arguments_there_are_graphs_alone(function: gr.Function) -> None:
    data = Page(report_html(classifier())).data
    assert data["schedule"] == ""
    assert data["steps"] == []
    assert data["total"] is None
    assert len(data["graphs"]) >= 3


def test_known_sizes_give_a_schedule_without_times() -> None:
    x = gr.placeholder(3, name="x")
    data = Page(report_html(gr.compile([x], gr.exp(x)))).data
    assert 'class="step"' in data["schedule"]
    assert [step["seconds"] for step in data["steps"]] == [None]


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<!--", "\u2028 {{data}} ]]>"])
def test_names_of_the_user_stay_text(name: str) -> None:
    text = report_html(classifier(name), title=name)
    page = Page(text)
    assert len(page.texts["script"]) == 4
    assert any(name in item[2] for item in page.data["graphs"][0]["items"])
    assert page.texts["h1"][0].split() == name.split()


def test_a_graph_of_thousands_of_nodes_is_folded() -> None:
    x = value = gr.placeholder((None, 4), name="x")
    for block in range(300):
        with gr.scope(f"block{block}"):
            for _ in range(4):
                value = gr.tanh(value * 0.5)
    data = Page(report_html(gr.compile([x], value, passes=()))).data
    graph = data["graphs"][data["views"]["written"]]
    assert len(graph["items"]) > 2_000
    shown = [item for item in graph["items"] if all(graph["boxes"][box]["open"] for box in around(graph, item[0]))]
    assert len(shown) < 64


def around(graph: dict[str, Any], box: int) -> list[int]:
    return [] if box < 0 else [box, *around(graph, graph["boxes"][box]["parent"])]


def scripts() -> list[str]:
    return [path.name for path in (files("graphc.viz") / "page").iterdir() if path.name.endswith(".js")]


def test_the_page_has_its_scripts() -> None:
    assert sorted(scripts()) == ["page.js", "place.js", "view.js"]


if (NODE := shutil.which("node")) is not None:

    @pytest.mark.parametrize("name", scripts())
    def test_scripts_are_javascript(name: str, tmp_path: Path) -> None:
        script = tmp_path / name
        script.write_text((files("graphc.viz") / "page" / name).read_text(encoding="utf-8"), encoding="utf-8")
        assert NODE is not None
        done = subprocess.run([NODE, "--check", str(script)], capture_output=True, text=True, check=False)
        assert not done.stderr


def test_notebooks_show_graphs_and_functions(function: gr.Function, build: Callable[[], gr.Graph]) -> None:
    assert (build()._repr_svg_() or "").startswith("<svg ")
    page = Page(function._repr_html_())
    assert {"image", "float32[batch, 6]", "int64[batch]"} <= set(page.texts["td"])
    assert page.texts["svg"]
