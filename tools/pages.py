"""The Python snippets of the documentation, run as a reader would run them.

The snippets of a page run in order and share their names. A ``text`` block right after a snippet is what the snippet
prints; ``...`` in it stands for anything, and white space does not count.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Snippet", "run_page", "snippets"]

_SNIPPET = re.compile(r"^```python\n(.*?)^```$(?:\n\n?```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
_COMPARISON = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Snippet:
    """A piece of Python of a page.

    Attributes:
        page: the file.
        line: how many lines of the page stand before it.
        source: the code.
        output: what it prints, or None where the page does not say.
    """

    page: Path
    line: int
    source: str
    output: str | None

    def run(self, names: dict[str, object]) -> None:
        """Run it with these names, and compare what it prints.

        Raises:
            AssertionError: it printed something else than the page shows.
        """
        # The blank lines make a traceback show the line of the page.
        code = compile("\n" * self.line + self.source, str(self.page), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        if self.output is not None:
            example = doctest.Example(self.source, self.output)
            checker = doctest.OutputChecker()
            if not checker.check_output(example.want, printed.getvalue(), _COMPARISON):
                difference = checker.output_difference(example, printed.getvalue(), doctest.NORMALIZE_WHITESPACE)
                raise AssertionError(f"{self.page}, line {self.line}, prints something else:\n{difference}")


def snippets(page: Path) -> list[Snippet]:
    """The snippets of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(page, text.count("\n", 0, found.start(1)), found.group(1), found.group(2))
        for found in _SNIPPET.finditer(text)
    ]


def run_page(page: Path) -> None:
    """Run the snippets of a page in the current folder, where they may write files.

    Raises:
        AssertionError: one printed something else than the page shows.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    for snippet in snippets(page):
        snippet.run(names)
