from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import plot
from benchmarks.compile_time import CompileTime
from benchmarks.report import failures, markdown_page, summary_table
from benchmarks.results import Figures, Measurement, Result, Settings
from benchmarks.tables import (
    Table,
    duration,
    limit_table,
    memory_table,
    spread_table,
    start_up_table,
    step_table,
)
from benchmarks.workload import Limit, Workload
from benchmarks.workloads import WORKLOADS


def measured(*microseconds: float, **fields: object) -> Measurement:
    values: dict[str, object] = {
        "steps": [value / 1e6 for value in microseconds],
        "first_steps": [1.0],
        "cold_first_steps": [],
        "peak_bytes": [100 * 2**20],
        "numba_imported": False,
    }
    return Measurement(**{**values, **fields})  # type: ignore[arg-type]


def result(**microseconds: float) -> Result:
    builders = dict.fromkeys(("graphc", "jax", "torch", "pytensor"), lambda: lambda: 0.0)
    measurements = {system: measured(value) for system, value in microseconds.items()}
    return Result(Workload("name", "title", builders), measurements, {}, [])


def figures(results: list[Result]) -> Figures:
    return Figures(
        results, [CompileTime(1000, 0.5, 0.25, 0.25)], Settings(3, 8, 1.0, 2), {"cores": "2"}, "0.10 0.20 0.30"
    )


def test_the_ratio_is_against_the_fastest_peer() -> None:
    found = result(graphc=10.0, jax=30.0, torch=25.0)
    assert found.best_peer == "torch"
    assert found.ratio == pytest.approx(2.5)


def test_no_ratio_without_a_measurement_of_ours() -> None:
    assert result(jax=30.0).ratio is None
    assert result(graphc=30.0).ratio is None


def test_the_figure_is_the_median_over_the_turns() -> None:
    assert measured(1.0, 100.0, 2.0).step == pytest.approx(2e-6)


def test_memory_is_against_the_leanest_peer() -> None:
    found = Result(
        Workload("name", "title", {}),
        {
            "graphc": measured(1.0, peak_bytes=[30 * 2**20, 50 * 2**20, 40 * 2**20]),
            "jax": measured(1.0, peak_bytes=[200 * 2**20]),
            "torch": measured(2.0, peak_bytes=[80 * 2**20]),
        },
        {},
        [],
    )
    assert found.leanest_peer == "torch"
    assert memory_table([found]).rows == [["title", "40", "200", "80", "torch", "0.50"]]


def test_start_up_is_against_jax() -> None:
    found = Result(
        Workload("name", "title", {}),
        {
            "graphc": measured(1.0, first_steps=[0.5], cold_first_steps=[3.0]),
            "jax": measured(1.0, first_steps=[2.0]),
            "torch-compile": measured(1.0, first_steps=[8.0], cold_first_steps=[20.0]),
        },
        {},
        [],
    )
    assert (found.warm_start_ratio, found.cold_start_ratio) == (4.0, 1.5)
    assert start_up_table([found]).rows == [["title", "3.00", "0.50", "2.00", "20.00 / 8.00", "4.0", "1.50"]]


def test_the_share_of_a_limit() -> None:
    bound = Workload("name", "title", {}, limit=Limit("flops", 5_000_000, "words"))
    found = Result(bound, {"graphc": measured(100.0)}, {}, [1e11])
    assert found.share == pytest.approx(0.5)
    assert limit_table([found]).rows == [["title", "5.0 MFLOP", "100.0 GFLOP/s", "50%", "words"]]
    assert result(graphc=1.0).share is None
    assert limit_table([result(graphc=1.0)]).rows == [["title", "-", "-", "-", "neither bounds it"]]


def test_the_share_is_of_what_the_machine_did_just_before() -> None:
    bound = Workload("name", "title", {}, limit=Limit("bytes", 1_000_000, "words"))
    found = Result(bound, {"graphc": measured(100.0, 50.0, 25.0)}, {}, [2e10, 4e10, 4e10])
    assert found.limit == 4e10
    assert found.share == pytest.approx(0.5)  # of 0.5, 0.5 and 1


def test_systems_without_figures() -> None:
    found = Result(
        Workload("name", "title", dict.fromkeys(("graphc", "jax", "torch"), lambda: lambda: 0.0)),
        {"graphc": measured(12.34), "jax": measured(250.0)},
        {"torch": "why"},
        [],
    )
    other = result(graphc=1.0, pytensor=2000.0)
    assert step_table([found, other]) == Table(
        [
            "time per step",
            "graphc",
            "jax",
            "torch",
            "pytensor",
            "best peer",
            "best peer / graphc",
            "graphc of the limit",
        ],
        [
            ["title", "12.3 us", "250 us", "failed", "not expressed", "jax", "20.26", "-"],
            ["title", "1.00 us", "-", "-", "2.00 ms", "pytensor", "2000.00", "-"],
        ],
    )
    assert failures([found]) == ["name: torch failed: why"]


def test_the_spread_shows_the_fastest_turn_and_the_quartiles() -> None:
    found = Result(Workload("name", "title", {}), {"graphc": measured(3.0, 1.0, 2.0, 5.0, 9.0)}, {}, [])
    assert spread_table([found]).rows == [["title", "graphc", "1.00 us", "2.00 us", "3.00 us", "5.00 us"]]
    assert spread_table([result(jax=4.0)]).rows == [["title", "jax", *["4.00 us"] * 4]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.234e-6, "1.23 us"),
        (56.78e-6, "56.8 us"),
        (0.5e-3, "500 us"),
        (0.1234, "123 ms"),
        (1.5, "1.50 s"),
        (1e-8, "0.01 us"),
    ],
)
def test_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_text_and_markdown() -> None:
    table = Table(["what", "us"], [["a", "1.0"], ["long name", "10.0"]])
    assert table.text() == "what         us\na           1.0\nlong name  10.0"
    assert table.markdown() == "| what | us |\n| --- | ---: |\n| a | 1.0 |\n| long name | 10.0 |"


def test_the_summary_has_the_mean_of_training_and_the_worst_cases() -> None:
    def of(title: str, kind: str, microseconds: float) -> Result:
        workload = Workload("name", title, {}, kind, Limit("flops", 1_000_000, ""))  # type: ignore[arg-type]
        return Result(workload, {"graphc": measured(10.0), "jax": measured(microseconds)}, {}, [2e11])

    results = [of("a", "training", 20.0), of("b", "training", 80.0), of("c", "inference", 5.0)]
    rows = {row[0]: row[1:] for row in summary_table(figures(results)).rows}
    assert rows["best peer / graphc, geometric mean over 2 training workloads"][0] == f"{math.sqrt(2 * 8):.2f}"
    assert rows["best peer / graphc, smallest of them"] == ["2.00", "a"]
    assert rows["best peer / graphc, smallest of all workloads"] == ["0.50", "c"]
    assert rows["graphc's share of the peak of multiply-adds, smallest"] == ["50%", "a"]
    assert rows["peak memory, graphc / leanest peer, largest"][0] == "1.00"


def written(folder: Path) -> Figures:
    """Figures of existing workloads, with all that can be missing."""
    chain = {"graphc": measured(2e3), "torch": measured(5e3), "pytensor": measured(4e3)}
    results = [
        Result(WORKLOADS["gpt"], {"graphc": measured(9e4), "jax": measured(2e5)}, {"torch-compile": "slow"}, [1e11]),
        Result(WORKLOADS["chain"], chain, {}, [4e10]),
        Result(WORKLOADS["call"], {"jax": measured(10.0)}, {"graphc": "broken"}, []),
    ]
    found = figures(results)
    found.save(folder / "figures.json")
    return found


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = written(tmp_path)
    again = Figures.load_from(tmp_path / "figures.json")
    assert again == found
    assert markdown_page(again, "name") == markdown_page(found, "name")


def test_the_page_says_what_failed(tmp_path: Path) -> None:
    page = markdown_page(written(tmp_path), "name")
    assert "- gpt: torch-compile failed: slow" in page
    assert "- call: graphc failed: broken" in page
    assert "(name.svg)" in page and "(name.json)" in page


def test_the_plot_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    found = written(tmp_path)
    for name in ("a.svg", "b.svg"):
        plot.draw(found.results, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
