from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir import ops
from graphc.ir.graph import Graph
from graphc.ir.source import scope
from graphc.viz import render, to_dot
from graphc.viz.text import html_text, shortened

SVG = "{http://www.w3.org/2000/svg}"
TITLE = "{http://www.w3.org/1999/xlink}title"
NON_JOINER = "\N{ZERO WIDTH NON-JOINER}"

NAMES = {
    'say "hi"': 'say "hi"',
    "<b>bold</b> & &amp; &lt;": "<b>bold</b> & &amp; &lt;",
    r"back\slash \N \G \L \n \\": r"back\slash \N \G \L \n \\",
    "ends in \\": "ends in \\",
    "two\nlines\tand tab": "two lines and tab",
    "größe ∂ 日本 🙂": "größe ∂ 日本 🙂",
    "nul\0 escape\x1b lone\ud800": "nul\ufffd escape\ufffd lone\ufffd",
    "{record|field}": "{record|field}",
    "-> ; /* */ //": "-> ; /* */ //",
    "%d $x 'single'": "%d $x 'single'",
    "subgraph": "subgraph",
    "": None,
}


def shown(dot: str) -> tuple[set[str], set[str]]:
    """The texts and the tooltips of the picture."""
    root = ElementTree.fromstring(render(dot))
    texts = {"".join(element.itertext()) for element in root.iter(f"{SVG}text")}
    tooltips = {text for element in root.iter() if (text := element.get(TITLE)) is not None}
    return _plain(texts), _plain(tooltips)


def _plain(texts: set[str]) -> set[str]:
    return {text.replace(NON_JOINER, "").replace("\N{NO-BREAK SPACE}", " ") for text in texts}


def test_names_appear_as_they_are() -> None:
    values = [ops.placeholder(3, name=name) for name in NAMES]
    result = values[0]
    for name, value in zip(NAMES, values, strict=True):
        with scope(name.replace("/", "|")):
            result = result + value
    texts, tooltips = shown(to_dot(Graph.of(values, [result]), title=r'A "<title>" \N'))
    assert r'A "<title>" \N' in texts
    for name, expected in NAMES.items():
        if expected is not None:
            assert expected in texts, name
            assert expected.replace("/", "|") in tooltips, name


@settings(max_examples=15)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
def test_any_names_give_a_picture(names: list[str]) -> None:
    values = [ops.placeholder(3, name=name) for name in names]
    with scope(names[0]):
        result = ops.exp(values[0])
    texts, _ = shown(to_dot(Graph.of(values, [result]), title=names[0]))
    assert {"placeholder", "exp", "output"} <= texts


@pytest.mark.parametrize(("text", "limit", "expected"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("", 0, "")], ids=repr)
def test_shortened(text: str, limit: int, expected: str) -> None:
    assert shortened(text, limit) == expected


def test_plain_text_stays_as_it_is() -> None:
    assert html_text("weight_1 [0]") == "weight_1 [0]"
