"""What the documentation site has beyond its pages; MkDocs calls these functions (``hooks`` in mkdocs.yml).

Pictures that a page shows and docs does not hold are those that the page's own snippets write, so they always show what
the compiler does. Files from outside docs that pages link to become pages.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from tools.pages import run_page

_ROOT = Path(__file__).resolve().parent.parent
_OUTSIDE = ("CONTRIBUTING.md", "CHANGELOG.md")
_PICTURE = re.compile(r"^!\[[^]]*\]\(([\w-]+\.svg)\)", re.MULTILINE)
_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):<code>~?([\w.]+)</code>")


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures that snippets write, and the pages from outside docs."""
    for file in list(files.documentation_pages()):
        page = Path(file.abs_src_path)
        missing = [
            name for name in _PICTURE.findall(page.read_text(encoding="utf-8")) if not (page.parent / name).exists()
        ]
        if missing:
            folder = Path(file.src_uri).parent
            for name, picture in _written_by(page, missing).items():
                files.append(File.generated(config, (folder / name).as_posix(), content=picture))
    for name in _OUTSIDE:
        text = (_ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to files outside docs lead to their pages."""
    for name in _OUTSIDE:
        markdown = re.sub(rf"\]\(((?:\.\./)*)\.\./{re.escape(name)}", rf"](\1{name}", markdown)
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Write the roles and literal blocks of docstrings as HTML."""
    html = _ROLE.sub(_reference, html)
    return html.replace("::</p>", ":</p>")


def _reference(role: re.Match[str]) -> str:
    name = role.group(1)
    code = f"<code>{name}</code>"
    return f'<autoref optional identifier="{name}">{code}</autoref>' if "." in name else code


def _written_by(page: Path, names: list[str]) -> dict[str, str]:
    """The files of these names that the snippets of a page write."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        run_page(page)
        return {name: Path(name).read_text(encoding="utf-8") for name in names}
