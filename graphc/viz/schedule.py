"""The schedule as a picture: time runs down, one step a row; addresses of the arena run to the right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.graph import Node
from graphc.runtime.plan import Plan, PlannedBuffer
from graphc.runtime.profiling.profile import Profile
from graphc.runtime.program import BoundStep, Program
from graphc.viz.sheet import heat
from graphc.viz.style import class_of, kind_of
from graphc.viz.svg import document
from graphc.viz.text import bytes_text, shortened, text_width, time_text, xml_text

__all__ = ["Row", "described", "schedule_rows", "schedule_svg", "step_seconds"]

ROW = 17.0
_ARENA = 560.0
_TIME = 130.0
_HEAD = 64.0
_LIMIT = 48


@dataclass(frozen=True, slots=True)
class Row:
    """A step of a program, or of a program that a step runs.

    Attributes:
        number: ``"3"``, or ``"3.1"`` in the loop that step 3 runs (``"3.1.2"``: in its program 1), as in profiles.
        bound: the step.
        plan: the plan that it belongs to.
        place: its place there.
        base: where the arena of that plan starts in the arena of the whole.
        seconds: what it took, where that was measured.
    """

    number: str
    bound: BoundStep
    plan: Plan
    place: int
    base: int
    seconds: float | None


def schedule_rows(
    program: Program, plan: Plan, seconds: Mapping[str, float] | None = None, prefix: str = "", base: int = 0
) -> list[Row]:
    """The steps in the order in which they run, each followed by those of the programs that it runs.

    Args:
        program: the scheduled steps.
        plan: their plan.
        seconds: the times of steps, by their numbers.
        prefix: what the numbers start with.
        base: where the plan's arena starts.
    """
    rows: list[Row] = []
    for place, (bound, step) in enumerate(zip(program.steps, plan.steps, strict=True)):
        number = f"{prefix}{place}"
        rows.append(Row(number, bound, plan, place, base, (seconds or {}).get(number)))
        arenas = step.buffers[len(step.buffers) - len(step.calls) :]
        for position, (inner, called, arena) in enumerate(zip(bound.programs, step.calls, arenas, strict=True)):
            inside = f"{number}.{position}." if len(step.calls) > 1 else f"{number}."
            rows += schedule_rows(inner, called, seconds, inside, base + max(plan.buffers[arena].offset, 0))
    return rows


def described(node: Node) -> str:
    """What a step computes: the operation, or the members of a group."""
    if node.op.name != "fused":
        return node.op.name
    return " + ".join(member.op.name for member in node.attrs.body.nodes if member.inputs)


def schedule_svg(
    program: Program, plan: Plan, *, title: str | None = None, profile: Profile | None = None, whole: bool = True
) -> str:
    """The steps in their order with the memory that they use.

    Each row is a step: its number, the operation, its kernel, where it comes from and, where that was measured, its
    time. To the right stands the arena, address by address: each block is a buffer, from the step that first writes it
    to the one that last reads it. Pointing at a step or a block tells more.

    Args:
        program: the scheduled steps.
        plan: the plan of the program for some sizes.
        title: a line above the picture.
        profile: the times.
        whole: whether to give a whole file, with its style, instead of an element alone.
    """
    rows = schedule_rows(program, plan, step_seconds(profile))
    texts = [_columns(row) for row in rows]
    widths = [max((text_width(line[column], 10) for line in texts), default=0.0) + 14 for column in range(4)]
    starts = [12.0]
    for width in widths:
        starts.append(starts[-1] + width)
    at_time = starts[-1]
    at_arena = at_time + (_TIME if profile else 0.0) + 8
    body = [*_heads(plan, starts, at_arena, at_time if profile else None, title)]
    most = max((row.seconds or 0.0 for row in rows), default=0.0) or 1.0
    for place, (row, line) in enumerate(zip(rows, texts, strict=True)):
        body.append(_step(place, row, line, starts, at_time, at_arena + _ARENA, most))
    body += _blocks(rows, plan, at_arena)
    height = _HEAD + ROW * len(rows) + 14
    width = at_arena + _ARENA + 20
    text = "\n".join(body)
    if whole:
        return document(text, width, height)
    return f'<svg class="graphc" width="{width:.0f}" height="{height:.0f}">{text}</svg>'


def step_seconds(profile: Profile | None) -> dict[str, float]:
    """The times of the steps of a profile, by their numbers."""
    return {step.number: step.seconds for step in profile.all_steps()} if profile is not None else {}


def _columns(row: Row) -> list[str]:
    node = row.bound.step.node
    indent = "\N{NO-BREAK SPACE}" * 3 * row.number.count(".")
    what = shortened(described(node), _LIMIT)
    return [indent + row.number, indent + what, row.bound.kernel.name, shortened(node.scope, _LIMIT)]


def _heads(plan: Plan, starts: list[float], arena: float, time: float | None, title: str | None) -> Iterator[str]:
    sizes = ", ".join(f"{name}={size}" for name, size in plan.sizes.items())
    about = (
        f"{len(plan.steps)} steps{f' for {sizes}' if sizes else ''}; arena {bytes_text(plan.arena_bytes)}, "
        f"at least {bytes_text(plan.least_bytes)} of it in use at one time"
    )
    yield f'<text class="title" x="12" y="24">{xml_text(title or "schedule")}</text>'
    yield f'<text class="note" x="12" y="40">{xml_text(about)}</text>'
    for x, name in zip(starts, ("step", "operation", "kernel", "scope"), strict=False):
        yield f'<text class="note" x="{x:.1f}" y="{_HEAD - 6:g}" font-weight="600">{name}</text>'
    if time is not None:
        yield f'<text class="note" x="{time:.1f}" y="{_HEAD - 6:g}">time</text>'
    end = f'<text class="note" x="{arena + _ARENA:.1f}" y="{_HEAD - 6:g}" text-anchor="end">'
    yield f'<text class="note" x="{arena:.1f}" y="{_HEAD - 6:g}">arena: address 0</text>'
    yield f"{end}{bytes_text(plan.arena_bytes)}</text>"


def _step(
    place: int, row: Row, line: Sequence[str], starts: Sequence[float], time: float, right: float, most: float
) -> str:
    y = _HEAD + ROW * place
    step, node = row.plan.steps[row.place], row.bound.step.node
    kind = class_of(kind_of(node))
    tips = [f"step {row.number}: {described(node)}", f"kernel {step.name} over {step.extent}"]
    tips += [f"at {node.location.short}"] if node.location else []
    texts = "".join(
        f'<text x="{x + (10 if not column else 0):.1f}" y="{y + 12:.1f}" font-size="10">{xml_text(text)}</text>'
        for column, (x, text) in enumerate(zip(starts, line, strict=False))
    )
    bar = ""
    if row.seconds is not None:
        share = row.seconds / most
        length = max(1.0, share * 62)
        bar = (
            f'<rect x="{time:.1f}" y="{y + 3:.1f}" width="{length:.1f}" height="{ROW - 6:g}" fill="{heat(share)}"/>'
            f'<text class="note" x="{time + 66:.1f}" y="{y + 12:.1f}">{time_text(row.seconds)}</text>'
        )
    return (
        f'<g class="step" data-row="{place}"><title>{xml_text("; ".join(tips))}</title>'
        f'<rect class="stripe{" odd" * (place % 2)}" x="6" y="{y:.1f}" width="{right - 6:.1f}" height="{ROW:g}"/>'
        f'<rect class="shape {kind}" x="{starts[0] - 3:.1f}" y="{y + 4:.1f}" width="9" height="9" rx="2"/>'
        f"{texts}{bar}</g>"
    )


def _blocks(rows: Sequence[Row], plan: Plan, left: float) -> Iterator[str]:
    """The buffers of the arena, and of the arenas inside it."""
    scale = _ARENA / max(plan.arena_bytes, 1)
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for place, row in enumerate(rows):
        # The rows of the programs that a step runs follow it and belong to it.
        last = place
        while last + 1 < len(rows) and rows[last + 1].number.startswith(f"{row.number}."):
            last += 1
        spans[id(row.plan), row.place] = place, last
    drawn: dict[int, Row] = {}
    for row in rows:
        drawn.setdefault(id(row.plan), row)
    for row in drawn.values():
        for number, item in enumerate(row.plan.buffers):
            if item.place != "arena" or not item.bytes:
                continue
            x, width = left + (row.base + item.offset) * scale, max(item.bytes * scale, 1.0)
            first, last = spans[id(row.plan), item.first][0], spans[id(row.plan), item.last][1]
            top, height = _HEAD + ROW * first, ROW * (last + 1 - first)
            rows_text = f'data-first="{first}" data-last="{last}"'
            yield _block(number, item, (x, top, width, height), row.plan is not plan, rows_text)


def _block(number: int, item: PlannedBuffer, frame: tuple[float, float, float, float], nested: bool, rows: str) -> str:
    x, y, width, height = frame
    source = item.buffer.source
    kind = "structured" if source is None else class_of(kind_of(source.node))
    what = "scratch" if source is None else described(source.node)
    tip = f"b{number}: {bytes_text(item.bytes)} at {item.offset:,}, steps {item.first} to {item.last}: {what}"
    if source is not None and source.node.scope:
        tip += f" in {source.node.scope}"
    label = ""
    if width > 60 and not nested:
        text = f"b{number} {bytes_text(item.bytes)}"
        label = f'<text class="note" x="{x + 5:.1f}" y="{y + 12:.1f}">{text}</text>'
    return (
        f'<g class="block {kind}{" nested" * nested}" {rows}><title>{xml_text(tip)}</title>'
        f'<rect class="shape" x="{x:.1f}" '
        f'y="{y + 1:.1f}" width="{width:.1f}" height="{height - 2:.1f}" rx="2" fill-opacity=".85"/>{label}</g>'
    )
