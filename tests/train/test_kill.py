"""Processes killed with SIGKILL while they save: ``make torture`` kills many more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import graphc as gr
from graphc.train import inspect_checkpoint, load_checkpoint, save_checkpoint

KILLS = int(os.environ.get("GRAPHC_KILLS", "3"))
HERE = Path(__file__).parent


def command(script: str, *arguments: object) -> dict[str, Any]:
    """Arguments of subprocess's functions."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    return {"args": [sys.executable, HERE / script, *map(str, arguments)], "env": environment, "text": True}


def kill_some_time(lines: int, seconds: float, script: str, *arguments: object) -> list[int]:
    """Kill a process some time after it has said so many lines; the numbers that it said."""
    with subprocess.Popen(**command(script, *arguments), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        time.sleep(seconds)
        process.kill()
        said += process.stdout
    return [int(line) for line in said if line.endswith("\n")]


def test_no_kill_loses_the_last_good_checkpoint(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "file"
    said = [0]
    variables = {f"v{place}": gr.variable(np.zeros(50_000)) for place in range(8)}
    amid = 0
    for _ in range(KILLS):
        said = kill_some_time(1, rng.uniform(0, 0.2), "endless_saver.py", path, said[-1] + 1)
        amid += len(left_behind(tmp_path))
        number = load_checkpoint(path, variables=variables).metadata["number"]
        assert number in (said[-1], said[-1] + 1)  # saved, or saved and not yet said
        assert all((variable.value == number).all() for variable in variables.values())
        assert len(left_behind(tmp_path)) <= 1
        said = [number]
    save_checkpoint(path, variables=variables)
    assert left_behind(tmp_path) == []
    print(f"{KILLS} kills, {amid} of them amid a write")


def left_behind(folder: Path) -> Sequence[Path]:
    return list(folder.glob(".*.partial"))


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole, run = tmp_path / "whole", tmp_path / "run"
    subprocess.run(**command("killable_training.py", whole), check=True, stdout=subprocess.DEVNULL)
    done = 0
    for _ in range(-(-KILLS // 10)):
        lines, seconds = 1 + int(rng.integers(8)), rng.uniform(0, 0.02)
        said = kill_some_time(lines, seconds, "killable_training.py", run)
        assert said[0] == done + 1
        if (run / "last.safetensors").exists():
            done = inspect_checkpoint(run).state["run"]["history"]["steps"]
        assert 0 <= said[-1] - done <= 3
    subprocess.run(**command("killable_training.py", run), check=True, stdout=subprocess.DEVNULL)
    assert (run / "end").read_bytes() == (whole / "end").read_bytes()
