"""Every Python snippet of the README and of the pages under docs runs, and prints what the page says it prints."""

from __future__ import annotations

import importlib
import re
from inspect import isclass, isfunction
from pathlib import Path

import pytest

import graphc as gr
from tools.pages import run_page, snippets

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
REFERENCE = ROOT / "docs" / "reference"
PACKAGES = ("datasets", "nn", "nn.init", "optim", "optim.schedules", "random", "train", "viz")


def test_the_readme_has_an_example() -> None:
    assert snippets(ROOT / "README.md")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if snippets(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page)
    text = page.read_text(encoding="utf-8")
    for picture in re.findall(r"^!\[[^]]*\]\(([\w./-]+)\)", text, re.MULTILINE):
        assert (page.parent / picture).exists() or (tmp_path / picture).exists(), f"nothing makes {picture}"


def test_other_output_than_the_page_shows_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match="prints something else"):
        run_page(page)


def test_dots_stand_for_any_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint('took 1.23 ms')\n```\n\n```text\ntook ... ms\n```\n")
    run_page(page)


def test_snippets_of_a_page_share_their_names(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 20\n```\ntext\n```python\nprint(x + 1)\n```\n\n```text\n21\n```\n")
    assert [snippet.line for snippet in snippets(page)] == [1, 5]
    run_page(page)


def test_the_navigation_has_every_page() -> None:
    navigation = set(re.findall(r"([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").glob("**/*.md")}
    assert navigation == pages | {"CHANGELOG.md", "CONTRIBUTING.md"}


def test_the_reference_has_every_public_name() -> None:
    documented = set(re.findall(r"^::: (\S+)", "\n".join(page.read_text() for page in REFERENCE.glob("*.md")), re.M))
    public = {f"graphc.{name}" for name in gr.__all__ if _has_docs(getattr(gr, name))}
    for package in PACKAGES:
        module = importlib.import_module(f"graphc.{package}")
        public |= {f"graphc.{package}.{name}" for name in module.__all__ if _has_docs(getattr(module, name))}
    assert not public - documented, "pages under docs/reference lack these"


def _has_docs(value: object) -> bool:
    """Aliases of types, dtypes and submodules have no docstrings of their own."""
    return isfunction(value) or isclass(value)
