"""Which results overwrite operands that are read for the last time."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.record import record
from graphc.runtime.program import Step
from graphc.runtime.schedule import Schedule
from graphc.runtime.views import Buffer

__all__ = ["Sharing", "share"]


@record(eq=False)
class Sharing:
    """What :func:`share` decided.

    Attributes:
        pairs: for each step, which positions in its writes overwrite which positions in its reads.
        roots: for each buffer that lives in another's memory, that other.
    """

    pairs: Mapping[Step, Mapping[int, int]]
    roots: Mapping[Buffer, Buffer]

    def root(self, buffer: Buffer) -> Buffer:
        """The buffer in whose memory this one lives."""
        return self.roots.get(buffer, buffer)


def share(schedule: Schedule) -> Sharing:
    """Let results overwrite operands that are read for the last time, where the kernel reads and writes alike."""
    last: dict[Buffer, int] = {}
    writers: dict[Buffer, int] = {}
    for time, step in enumerate(schedule.steps):
        for buffer in (*step.reads, *step.writes):
            last[buffer] = time
        for buffer in step.writes:
            writers[buffer] = writers.get(buffer, 0) + 1
    roots: dict[Buffer, Buffer] = {}
    pairs: dict[Step, dict[int, int]] = {step: dict(given) for step, given in schedule.shared.items()}
    ends = dict(last)
    for time, step in enumerate(schedule.steps):
        chosen = pairs.setdefault(step, {})
        for w, r in step.shareable:
            target, source = step.writes[w], step.reads[r]
            root = roots.get(source, source)
            taken = w in chosen or r in chosen.values()
            if taken or target.place != "arena" or root.place != "arena" or writers[target] != 1 or target in roots:
                continue
            if ends[root] != time or target is source or target.items != source.items:
                continue
            if sum(roots.get(buffer, buffer) is root for buffer in step.reads) != 1:
                continue
            chosen[w] = r
            roots[target] = root
            ends[root] = last[target]
    return Sharing(pairs, roots)
