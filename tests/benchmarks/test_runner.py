from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import runner
from benchmarks.results import Settings
from benchmarks.runner import DisagreementError, WorkerError, check_agreement, measure
from benchmarks.worker import Run
from benchmarks.workload import Workload


def test_systems_that_agree() -> None:
    check_agreement(1e-4, {"a": [2.0, 1.0], "b": [2.00001, 0.99999], "c": [2.0, 1.0]})


@pytest.mark.parametrize("losses", [[2.0, 1.001], [2.0, float("nan")]])
def test_systems_that_disagree(losses: list[float]) -> None:
    with pytest.raises(DisagreementError, match=r"result 1 is 1 in a but .* in b"):
        check_agreement(1e-4, {"a": [2.0, 1.0], "b": losses})


def measure_with(
    monkeypatch: pytest.MonkeyPatch, rounds: int, losses: Mapping[str, float | str]
) -> tuple[runner.Result, list[tuple[str, bool, bool]]]:
    """Measure with workers that return losses or fail; also what was launched: system, timed, cache filled."""
    launched = []

    def launch(workload: Workload, system: str, seconds: float, threads: int, cache: Path) -> Run:
        filled = (cache / "kernel").exists()
        (cache / "kernel").touch()
        launched.append((system, bool(seconds), filled))
        loss = losses[system]
        if isinstance(loss, str):
            raise WorkerError(loss)
        return Run([loss], 1.0 if filled else 9.0, False, 0.5 if seconds else None, 1000)

    monkeypatch.setattr(runner, "_launch", launch)
    said: list[str] = []
    return measure(Workload("name", "title", {}), list(losses), Settings(rounds, 1.0, 2), said.append), launched


def test_rounds_alternate_and_our_cache_is_empty_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    found, launched = measure_with(monkeypatch, 2, {"graphc": 1.0, "jax": 1.0, "torch-compile": 1.0})
    assert launched == [
        ("graphc", False, False),
        ("graphc", True, True),
        ("jax", True, False),
        ("torch-compile", True, False),
        ("graphc", False, False),
        ("graphc", True, True),
        ("jax", True, True),
        ("torch-compile", True, True),
    ]
    starts = {system: (m.cold_first_steps, m.first_steps) for system, m in found.measurements.items()}
    assert starts == {
        "graphc": ([9.0, 9.0], [1.0, 1.0]),
        "jax": ([], [9.0, 1.0]),
        "torch-compile": ([9.0], [1.0]),
    }
    assert not found.failures


def test_a_failure_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found, launched = measure_with(monkeypatch, 2, {"graphc": 1.0, "torch-compile": "no compiler", "jax": 1.0})
    assert found.failures == {"torch-compile": "no compiler"}
    assert set(found.measurements) == {"graphc", "jax"}
    assert [system for system, _, _ in launched].count("torch-compile") == 1


def test_a_system_that_disagrees_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = measure_with(monkeypatch, 1, {"graphc": 1.0, "jax": 1.5})
    assert set(found.measurements) == {"graphc"}
    assert "result 0 is 1 in graphc but 1.5 in jax" in found.failures["jax"]


def test_the_error_of_a_worker_is_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"^KeyError: 'no such workload'$"):
        runner._launch(Workload("no such workload", "title", {}), "graphc", 0.0, 1, tmp_path)


def test_a_worker_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = []
    popen = runner.subprocess.Popen

    def start(*arguments: object, **options: object) -> object:
        started.append(popen(*arguments, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(runner, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(runner.subprocess, "Popen", start)
    with pytest.raises(WorkerError, match=r"not finished after 0.05 s"):
        runner._launch(Workload("call", "title", {}), "graphc", 10.0, 1, tmp_path)
    assert started[0].returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)
