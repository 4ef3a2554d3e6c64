"""The style sheet of pictures, for light and dark surroundings."""

from __future__ import annotations

from graphc.viz.style import FONT, KINDS, REGIONS, class_of

__all__ = ["SHAPES", "heat", "kind_rules", "style_sheet", "variables"]

_PLAIN = {
    "paper": ("#ffffff", "#14181d"),
    "ink": ("#1f2933", "#e6eaee"),
    "muted": ("#5f6b7a", "#9aa7b4"),
    "line": ("#8795a1", "#72808d"),
    "frame": ("#b8c2cc", "#47525e"),
    "scope": ("#ffffff", "#1b2128"),
    "group": ("#e6ebf1", "#2a323b"),
    "group-line": ("#52606d", "#8795a1"),
    "update-line": ("#c5392c", "#ef7a6f"),
    "added": ("#1a7f37", "#3fb950"),
    "removed": ("#cf222e", "#f85149"),
    "accent": ("#1f6feb", "#58a6ff"),
}
"""Colours by name: in the light, and in the dark."""

SHAPES = """\
text{font-family:var(--font);fill:var(--ink)}
.head{font-size:12px;font-weight:600}
.note{font-size:9.5px;fill:var(--muted)}
.title{font-size:18px;font-weight:700}
.box>.name{font-size:11px;font-weight:600;fill:var(--muted)}
.box>rect{fill:var(--scope);stroke:var(--frame);stroke-width:1}
.box.body>rect{stroke-dasharray:5 3}
.box.part>rect{fill:none;stroke-dasharray:2 3}
.box.group>rect{fill:var(--group);stroke:var(--group-line)}
.item .shape{stroke-width:1.2}
.item.copy .shape{stroke-dasharray:4 2.5}
.item.output .head{fill:#fff}
.item.output .note{fill:#cbd2d9}
.item.hot text{fill:#1f2933}
.link{fill:none;stroke:var(--line);stroke-width:1.1}
.link.update{stroke:var(--update-line);stroke-dasharray:5 3}
.link.body{stroke-dasharray:1.5 3}
.tip{fill:var(--line)}
.tip.update{fill:var(--update-line)}
.item.added .shape,.box.added>rect{stroke:var(--added);stroke-width:3}
.item.removed .shape,.box.removed>rect{stroke:var(--removed);stroke-width:3;stroke-dasharray:6 3}
.item.kept{opacity:.5}
.stripe{fill:transparent}
.stripe.odd{fill:var(--line);fill-opacity:.09}
.block.nested .shape{stroke-width:.5}
"""


def variables(dark: bool) -> str:
    """The declarations of the colours."""
    colors = {name: pair[dark] for name, pair in _PLAIN.items()}
    for kind in KINDS.values():
        name = class_of(kind)
        colors[f"{name}-fill"] = _mixed(kind.line, "#14181d", 0.34) if dark else kind.fill
        colors[f"{name}-line"] = _mixed(kind.line, "#ffffff", 0.75) if dark else kind.line
    for region, (fill, line) in REGIONS.items():
        colors[f"region-{region}-fill"] = _mixed(line, "#14181d", 0.12) if dark else fill
        colors[f"region-{region}-frame"] = _mixed(line, "#14181d", 0.45) if dark else line
    return "".join(f"--{name}:{color};" for name, color in colors.items())


def heat(share: float) -> str:
    """A colour from pale yellow to red for a share of the longest time."""
    hues = ("#fff3c4", "#ffd166", "#f9844a", "#e5383b")
    at = min(max(share, 0.0), 1.0) ** 0.5 * (len(hues) - 1)
    lower = min(int(at), len(hues) - 2)
    return _mixed(hues[lower + 1], hues[lower], at - lower)


def _mixed(color: str, other: str, share: float) -> str:
    """``share`` of one colour in another."""
    parts = ((int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in parts)


def kind_rules() -> str:
    """The rules for kinds of items and for regions."""
    rules = [
        f".{name} .shape,.shape.{name}{{fill:var(--{name}-fill);stroke:var(--{name}-line)}}"
        for name in map(class_of, KINDS.values())
    ]
    rules += [
        f".box.{region}>rect{{fill:var(--region-{region}-fill);stroke:var(--region-{region}-frame)}}"
        for region in REGIONS
    ]
    return "\n".join(rules) + "\n"


def style_sheet(root: str = ".graphc") -> str:
    """The sheet of a picture of its own, which follows what its reader prefers."""
    font = f"--font:{FONT};"
    return (
        f"{root}{{{font}{variables(False)}}}\n@media (prefers-color-scheme:dark){{{root}{{{variables(True)}}}}}\n"
        f"{SHAPES}{kind_rules()}"
    )
