"""The record of a run as a file of lines, each a JSON object: https://jsonlines.org."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from graphc.errors import GraphError
from graphc.train.callbacks import Callback
from graphc.train.history import History

__all__ = ["JSONLog", "read_log"]

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


class JSONLog(Callback):
    """Write a line for every epoch, and for steps on request.

    For instance::

        {"time": 1767225600.25, "step": 100, "loss": 0.5}
        {"time": 1767225603.5, "epoch": 1, "step": 157, "loss": 0.4, "validation_loss": 0.45}

    ``time`` is in seconds since 1970. Lines with an epoch hold means over the epoch, the others what the step returned.
    JSON has no numbers for NaN and infinities: they are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as in
    Protocol Buffers' JSON; :func:`read_log` gives numbers. A line is in the file when its step or epoch ends. A resumed
    run appends to what was written up to the step from which it goes on; what came after is made again.

    Args:
        path: of the file; its folder is made where there is none.
        every_steps: write a line after so many steps; None for never.
        overwrite: whether a new run may replace the log of another one.

    Raises:
        GraphError: ``every_steps`` is below 1.
    """

    def __init__(self, path: str | os.PathLike[str], every_steps: int | None = None, overwrite: bool = False) -> None:
        if every_steps is not None and every_steps < 1:
            raise GraphError(f"every_steps={every_steps}", expected="at least 1, or None")
        self.path = Path(path)
        self.every_steps = every_steps
        self.overwrite = overwrite
        self._step = 0

    def on_train_begin(self, history: History) -> None:
        """Make the file, or cut it off behind the place where the run goes on.

        Raises:
            GraphError: it cannot be written, or holds the log of another run, or something else.
        """
        self._step = history.steps
        kept = _length_until(self.path, history) if history.steps else 0
        if not history.steps and not self.overwrite and self.path.exists() and self.path.stat().st_size:
            raise GraphError(
                f"{self.path} holds the log of another run",
                expected="no file, or an empty one, for a new run",
                remedy="continue that run with fit(..., resume=True), choose another path, or pass overwrite=True",
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(kept)
        except OSError as error:
            raise GraphError(
                f"{self.path} cannot be written: {error.strerror or error}", expected="a path that can be written"
            ) from error

    def period(self) -> int | None:
        """That of ``every_steps``."""
        return self.every_steps

    def on_batch_end(self, step: int, metrics: dict[str, float]) -> None:
        """Write a line where it is time to."""
        self._step = step
        if self.every_steps is not None and step % self.every_steps == 0:
            self._write({"step": step}, metrics)

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        """Write a line."""
        self._write({"epoch": epoch, "step": self._step}, metrics)

    def _write(self, where: Mapping[str, float], metrics: Mapping[str, float]) -> None:
        head = {"time": time.time(), **where}
        numbers = {name: _as_json(value) for name, value in metrics.items() if name not in head}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(head | numbers, allow_nan=False) + "\n")


def read_log(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """The lines of a :class:`JSONLog`: numbers by name.

    A last line that was cut off, as by a full disk, is left out.

    Raises:
        GraphError: the file cannot be read, or is no log.
    """
    return [record for record, _ in _records(Path(path))]


def _records(path: Path) -> Iterator[tuple[dict[str, float], int]]:
    """The lines of a log, each with the place of its end."""
    end = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                yield _record(path, number, line), end
    except OSError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror or error}", expected="a log of JSONLog") from error


def _record(path: Path, number: int, line: bytes) -> dict[str, float]:
    try:
        record = json.loads(line)
        return {name: float(value) if value in _NOT_FINITE else value + 0 for name, value in record.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise GraphError(
            f"line {number} of {path} is {line[:80]!r}",
            expected="a JSON object of numbers, as JSONLog writes it",
            remedy="choose another path for the log, or repair the line",
        ) from error


def _length_until(path: Path, history: History) -> int:
    """The bytes of a log up to where a run goes on."""
    length = 0
    if path.exists():
        for record, end in _records(path):
            if record.get("step", 0) > history.steps or record.get("epoch", 0) > history.epochs:
                break
            length = end
    return length


def _as_json(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
