"""What happened in a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["History"]


@dataclass
class History:
    """The record of a training run. ``history["loss"]`` is the list of its means, one for each finished epoch.

    Attributes:
        metrics: the means by name; those of validation begin with ``validation_``.
        seconds: the duration of the training part of each finished epoch.
        examples: how many examples each finished epoch had.
        steps: how many calls of the step were made, those of an unfinished epoch among them.
        interrupted: whether Ctrl-C ended the run.
        stopped: whether a callback ended the run.
    """

    metrics: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    steps: int = 0
    interrupted: bool = False
    stopped: bool = False

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return len(self.seconds)

    @property
    def examples_per_second(self) -> list[float]:
        """The throughput of each finished epoch."""
        return [examples / seconds for examples, seconds in zip(self.examples, self.seconds, strict=True)]

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.metrics:
            raise KeyError(f"no metric is named {name!r}; there are {', '.join(self.metrics) or 'none'}")
        return self.metrics[name]

    def add(self, metrics: dict[str, float], seconds: float, examples: int) -> None:
        """Record a finished epoch."""
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append(value)
        self.seconds.append(seconds)
        self.examples.append(examples)

    def state_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, with a run that has not ended."""
        vars(self).update(state, interrupted=False, stopped=False)
