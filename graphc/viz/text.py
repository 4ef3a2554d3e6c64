"""User text in DOT: no character of a name, a path or a source line may act as syntax."""

from __future__ import annotations

import html

__all__ = ["html_text", "quoted", "shortened"]


def html_text(text: str) -> str:
    """Text inside an HTML-like label: one line, without characters that XML refuses."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    # Graphviz expands \N and \G however the backslash is escaped; something that takes no space parts the two.
    return html.escape(text).replace("\\", "\\\N{ZERO WIDTH NON-JOINER}")


def quoted(text: str) -> str:
    """A DOT string that shows the same; Graphviz reads entities there too."""
    escaped = html_text(text).replace("\\", "\\\\")
    return f'"{escaped}"'


def shortened(text: str, limit: int) -> str:
    """Text of at most ``limit`` characters, which ends in an ellipsis where something was left out."""
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
