from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import process, runner
from benchmarks.process import Process, WorkerError
from benchmarks.results import Settings
from benchmarks.runner import DisagreementError, check_agreement, measure
from benchmarks.workload import Limit, Workload


def test_systems_that_agree() -> None:
    check_agreement(1e-4, {"a": [2.0, 1.0], "b": [2.00001, 0.99999], "c": [2.0, 1.0]})


@pytest.mark.parametrize("losses", [[2.0, 1.001], [2.0, float("nan")]])
def test_systems_that_disagree(losses: list[float]) -> None:
    with pytest.raises(DisagreementError, match=r"result 1 is 1 in a but .* in b"):
        check_agreement(1e-4, {"a": [2.0, 1.0], "b": losses})


class FakeProcess:
    """Answers as a worker would, or as what measures the machine; `asked` has what all were asked, and their ends."""

    asked: list[tuple[str, str]]
    losses: Mapping[str, float | str]
    """By system; text is an error, at the start or, after a colon, in the method that it names."""

    def __init__(self, module: str, arguments: Sequence[str], threads: int, cache: Path) -> None:
        self._system = json.loads(arguments[0])["system"] if arguments else "limit"
        self._filled = (cache / "kernel").exists()
        (cache / "kernel").touch()
        self._turns = 0
        self._ended = False

    def ask(self, method: str, *arguments: Any) -> Any:
        self.asked.append((self._system, method))
        if self._system == "limit":
            return 1e9 if method == "turn" else None
        loss = self.losses[self._system]
        if isinstance(loss, str):
            where, _, error = loss.rpartition(":")
            if method == (where or "start"):
                raise WorkerError(error)
            loss = 1.0
        self._turns += 1
        answers: dict[str, Callable[[], Any]] = {
            "start": lambda: {"seconds": 1.0 if self._filled else 9.0, "checked": [loss], "numba_imported": False},
            "warm_up": lambda: [loss, loss],
            "turn": lambda: {"step": 0.5, "peak_bytes": 1000 * self._turns},
        }
        return answers[method]()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.asked.append((self._system, "end"))

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def measure_with(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, losses: Mapping[str, float | str], limit: Limit | None = None
) -> tuple[runner.Result, list[tuple[str, str]]]:
    """Measure with processes that return losses or fail; also what they were asked."""
    monkeypatch.setattr(runner, "Process", FakeProcess)
    FakeProcess.asked, FakeProcess.losses = [], losses
    said: list[str] = []
    workload = Workload("name", "title", {}, limit=limit)
    return measure(workload, list(losses), settings, said.append), FakeProcess.asked


def test_systems_take_turns_and_the_machine_before_us(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = measure_with(
        monkeypatch, Settings(1, 2, 1.0, 2), {"jax": 1.0, "graphc": 1.0}, Limit("flops", 10**8, "words")
    )
    turn = [("jax", "turn"), ("limit", "turn"), ("graphc", "turn")]
    assert asked == [
        ("jax", "start"),
        ("jax", "warm_up"),
        ("graphc", "start"),
        ("graphc", "end"),
        ("graphc", "start"),
        ("graphc", "warm_up"),
        ("limit", "start"),
        *turn,
        *turn,
        ("limit", "end"),
        ("graphc", "end"),
        ("jax", "end"),
    ]
    assert found.limits == [1e9, 1e9]
    assert found.share == pytest.approx(0.2)
    assert found.measurements["graphc"].steps == [0.5, 0.5]
    assert found.measurements["graphc"].peak_bytes == [4000]


def test_our_cache_is_empty_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = measure_with(monkeypatch, Settings(2, 1, 1.0, 2), {"graphc": 1.0, "jax": 1.0, "torch-compile": 1.0})
    starts = {system: (m.cold_first_steps, m.first_steps) for system, m in found.measurements.items()}
    assert starts == {
        "graphc": ([9.0, 9.0], [1.0, 1.0]),
        "jax": ([], [9.0, 1.0]),
        "torch-compile": ([9.0], [1.0]),
    }
    assert not found.failures
    assert found.limits == [] and found.share is None
    assert "limit" not in dict(asked)


@pytest.mark.parametrize("method", ["start", "warm_up", "turn"])
def test_a_failure_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    found, asked = measure_with(
        monkeypatch, Settings(2, 3, 1.0, 2), {"graphc": 1.0, "torch-compile": f"{method}:no compiler", "jax": 1.0}
    )
    assert found.failures == {"torch-compile": "no compiler"}
    assert set(found.measurements) == {"graphc", "jax"}
    assert asked.count(("torch-compile", method)) == 1
    assert asked.count(("torch-compile", "end")) == 1
    assert len(found.measurements["jax"].steps) == 6


def test_what_bounds_a_workload_is_not_measured_without_us(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = measure_with(
        monkeypatch, Settings(1, 2, 1.0, 2), {"graphc": "turn:lost", "jax": 1.0}, Limit("flops", 10**8, "words")
    )
    assert set(found.measurements) == {"jax"}
    assert found.limits == [] and found.share is None
    assert asked.count(("limit", "turn")) == 1


def test_a_system_that_disagrees_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = measure_with(monkeypatch, Settings(1, 1, 1.0, 2), {"graphc": 1.0, "jax": 1.5})
    assert set(found.measurements) == {"graphc"}
    assert "result 0 is 1 in graphc but 1.5 in jax" in found.failures["jax"]
    assert ("jax", "turn") not in asked


def test_a_worker_measures_a_workload(tmp_path: Path) -> None:
    job = {"workload": "call", "system": "graphc", "started": 0.0, "threads": 1}
    with Process("benchmarks.worker", [json.dumps(job)], 1, tmp_path) as worker:
        start = worker.ask("start")
        assert start["seconds"] > 0 and len(start["checked"]) > 0
        assert len(worker.ask("warm_up")) == 19 * len(start["checked"])
        turns = [worker.ask("turn", 0.001) for _ in range(2)]
    assert all(0 < turn["step"] < 0.1 and turn["peak_bytes"] > 2**20 for turn in turns)


def test_a_process_sleeps_before_the_next_one_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    states = iter([True, False, True, False, False, False, True])
    monkeypatch.setattr(Process, "_runs", lambda self: next(states))
    with Process("benchmarks.limits", [], 1, tmp_path) as worker:
        worker.ask("start", "flops", 1)
    assert list(states) == [True]


def test_a_process_with_a_thread_that_never_sleeps_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looks: list[bool] = []
    monkeypatch.setattr(process, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(Process, "_runs", lambda self: looks.append(True) or True)
    with Process("benchmarks.limits", [], 1, tmp_path) as worker:
        assert worker.ask("start", "flops", 1) is None
        assert looks
        assert worker.ask("turn", 0.001) > 0


def test_whether_a_process_runs(tmp_path: Path) -> None:
    with Process("benchmarks.limits", [], 1, tmp_path) as worker:
        worker.ask("start", "flops", 1)
        assert not worker._runs()
        assert worker._process.stdin is not None
        worker._process.stdin.write(b'["turn", 5]\n')
        while not worker._runs():
            pass


@pytest.mark.parametrize(("resource", "least"), [("flops", 1e8), ("bytes", 1e7)])
def test_a_worker_measures_the_machine(tmp_path: Path, resource: str, least: float) -> None:
    with Process("benchmarks.limits", [], 1, tmp_path) as worker:
        worker.ask("start", resource, 1)
        assert worker.ask("turn", 0.001) > least


def test_the_error_of_a_process_is_its_last_line(tmp_path: Path) -> None:
    job = {"workload": "no such workload", "system": "graphc", "started": 0.0, "threads": 1}
    with Process("benchmarks.worker", [json.dumps(job)], 1, tmp_path) as worker:
        for _ in range(2):  # the second time, there is nobody to ask
            with pytest.raises(WorkerError, match=r"^KeyError: 'no such workload'$"):
                worker.ask("start")


def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "TIMEOUT_SECONDS", 0.05)
    job = {"workload": "call", "system": "graphc", "started": 0.0, "threads": 1}
    with (
        Process("benchmarks.worker", [json.dumps(job)], 1, tmp_path) as worker,
        pytest.raises(WorkerError, match=r"not finished after 0.05 s"),
    ):
        worker.ask("start")
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)
    worker.end()  # once more is harmless
