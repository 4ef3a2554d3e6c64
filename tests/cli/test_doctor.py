from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graphc.cli.checks as checks
import graphc.runtime.native.pyfunction
import graphc.runtime.native.threads
from tests.cli.conftest import Outcome

NAMES = ["versions", "numpy", "scipy", "llvmlite", "numba", "processor", "threads", "BLAS", "calls", "cache"]


@pytest.fixture
def found(graphc: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, str]]:
    """Runs one check and returns what it found; the exit code must fit."""

    def run(name: str) -> dict[str, str]:
        monkeypatch.setattr(checks, "_CHECKS", {name: checks._CHECKS[name]})
        code, out, _ = graphc("doctor", "--json")
        data: list[dict[str, str]] = json.loads(out)
        assert code == int(any(each["status"] == "problem" for each in data))
        worst = [each for each in data if each["status"] != "ok"]
        return (worst or data)[0]

    return run


def test_all_is_well_here(graphc: Callable[..., Outcome]) -> None:
    code, out, err = graphc("doctor")
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [line.split()[1] for line in lines] == [*NAMES, "compiler", "pictures"]
    assert {line.split()[0] for line in lines} <= {"ok", "optional"}


def test_a_package_that_cannot_be_imported(
    found: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checks.importlib.import_module

    def import_module(name: str) -> Any:
        if name == "numba":
            raise ImportError("Numba needs NumPy 2.0 or less")
        return real(name)

    monkeypatch.setattr(checks.importlib, "import_module", import_module)
    assert found("versions") == {
        "name": "numba",
        "status": "problem",
        "found": "cannot be imported: Numba needs NumPy 2.0 or less",
        "remedy": "pip install -U graphc numba",
    }


@pytest.mark.parametrize("text", ["many", "100000"])
def test_threads(text: str, found: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def get_num_threads() -> int:
        return graphc.runtime.native.threads._default_num_threads()

    monkeypatch.setattr(graphc.runtime.native.threads, "get_num_threads", get_num_threads)
    monkeypatch.setenv("GRAPHC_NUM_THREADS", text)
    check = found("threads")
    assert check["status"] == "problem"
    assert text in check["found"]
    assert check["remedy"].startswith("unset GRAPHC_NUM_THREADS")


def test_a_cache_with_damage(
    folder: Path, found: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder / "kernels"))
    assert found("cache")["status"] == "ok"
    (folder / "kernels" / ("0" * 64 + ".kernel")).write_bytes(b"rubbish")
    check = found("cache")
    assert (check["status"], check["remedy"]) == ("problem", "graphc cache clear")
    assert "1 kernels, 1 of them damaged" in check["found"]


def test_a_cache_that_others_can_write(
    folder: Path, found: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder / "kernels"))
    (folder / "kernels").mkdir()
    (folder / "kernels").chmod(0o777)
    check = found("cache")
    assert check["status"] == "problem"
    assert "can be written by others" in check["found"]


def test_a_cache_that_cannot_be_written(
    folder: Path, found: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> Iterator[None]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checks.tempfile, "TemporaryFile", refuse)
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder / "kernels"))
    check = found("cache")
    assert (check["status"], check["remedy"]) == ("problem", f"chmod 700 {folder / 'kernels'}")


def test_what_few_need_is_no_problem(found: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("graphc.viz.render"), "find_graphviz", lambda: None)
    monkeypatch.setattr(graphc.runtime.native.pyfunction, "supported", lambda: False)
    everything = checks._CHECKS
    for name in ("pictures", "calls"):
        monkeypatch.setattr(checks, "_CHECKS", everything)
        check = found(name)
        assert check["status"] == "optional"
        assert check["remedy"]


def test_a_check_that_breaks_is_a_problem(
    found: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("no such symbol")

    monkeypatch.setattr(graphc.runtime.native.pyfunction, "supported", broken)
    check = found("calls")
    assert (check["status"], check["found"]) == ("problem", "RuntimeError: no such symbol")
