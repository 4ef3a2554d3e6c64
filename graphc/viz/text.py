"""User text in DOT and SVG: no character of a name, a path or a source line may act as syntax."""

from __future__ import annotations

import html
import unicodedata

__all__ = ["bytes_text", "html_text", "quoted", "shortened", "text_width", "time_text", "xml_text"]


def xml_text(text: str) -> str:
    """Text inside an element or an attribute of XML: one line, without characters that XML refuses."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    return html.escape(text)


def html_text(text: str) -> str:
    """Text inside an HTML-like label of DOT."""
    # Graphviz expands \N and \G however the backslash is escaped; something that takes no space parts the two.
    return xml_text(text).replace("\\", "\\\N{ZERO WIDTH NON-JOINER}")


def quoted(text: str) -> str:
    """A DOT string that shows the same; Graphviz reads entities there too."""
    escaped = html_text(text).replace("\\", "\\\\")
    return f'"{escaped}"'


def shortened(text: str, limit: int) -> str:
    """Text of at most ``limit`` characters, which ends in an ellipsis where something was left out."""
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def bytes_text(count: float) -> str:
    """A number of bytes for people: ``12.5 KiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def time_text(seconds: float) -> str:
    """A time for people: ``12.5 us``."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("\N{MICRO SIGN}s", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


_TABLE = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 "
    "584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 "
    "667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 "
    "278 556 500 722 500 500 500 334 260 334 584"
)
_WIDTHS = tuple(map(int, _TABLE.split()))
"""Widths of the characters from the space to the tilde in Helvetica, in thousandths of the font's size."""


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text in Helvetica, or in a font that is made to be as wide, and a little more."""
    total = 0
    for character in text:
        place = ord(character) - 32
        if 0 <= place < len(_WIDTHS):
            total += _WIDTHS[place]
        else:
            total += 1000 if unicodedata.east_asian_width(character) in "WF" else 620
    return total / 1000 * size * (1.12 if bold else 1.05)
