from __future__ import annotations

import pytest

from benchmarks.report import Table, step_table
from benchmarks.runner import DisagreementError, Measurement, Result, check_agreement
from benchmarks.workload import SYSTEMS, Workload
from benchmarks.workloads import WORKLOADS


def measured(microseconds: float) -> Measurement:
    return Measurement(step=microseconds / 1e6, slowest=1.0, fastest=0.0, first_step=1.0)


def result(**microseconds: float) -> Result:
    workload = Workload("name", "title", {})
    return Result(workload, {system: measured(value) for system, value in microseconds.items()}, {})


def test_the_ratio_is_against_the_fastest_peer() -> None:
    found = result(graphc=10.0, jax=30.0, torch=25.0)
    assert found.best_peer == "torch"
    assert found.ratio == pytest.approx(2.5)


def test_no_ratio_without_a_measurement_of_ours() -> None:
    assert result(jax=30.0).ratio is None
    assert result(graphc=30.0).ratio is None


def test_systems_that_agree() -> None:
    check_agreement({"a": [2.0, 1.0], "b": [2.00001, 0.99999], "c": [2.0, 1.0]})


@pytest.mark.parametrize("losses", [[2.0, 1.001], [2.0, float("nan")]])
def test_systems_that_disagree(losses: list[float]) -> None:
    with pytest.raises(DisagreementError, match=r"after 1 updates the loss is 1 in a but .* in b"):
        check_agreement({"a": [2.0, 1.0], "b": losses})


def test_a_system_that_failed_is_a_column_without_a_figure() -> None:
    found = Result(Workload("name", "title", {}), {"graphc": measured(12.34), "jax": measured(250.0)}, {"torch": "why"})
    assert step_table([found]) == Table(
        ["us per step", "graphc", "jax", "torch", "best peer", "best peer / graphc"],
        [["title", "12.3", "250", "-", "jax", "20.26"]],
    )


def test_text_and_markdown() -> None:
    table = Table(["what", "us"], [["a", "1.0"], ["long name", "10.0"]])
    assert table.text() == "what         us\na           1.0\nlong name  10.0"
    assert table.markdown() == "| what | us |\n| --- | ---: |\n| a | 1.0 |\n| long name | 10.0 |"


def test_every_workload_knows_every_system() -> None:
    for workload in WORKLOADS.values():
        assert list(workload.builders) == list(SYSTEMS)
