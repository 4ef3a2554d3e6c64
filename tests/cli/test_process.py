"""The program as a process of its own, as a new user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import graphc as gr
from tests.cli.conftest import Outcome

COMMAND = [sys.executable, "-m", "graphc"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)}


def test_help_from_an_empty_folder_imports_no_command(tmp_path: Path) -> None:
    script = "import sys; from graphc.cli import main; code = main(['--help']); print(*sys.modules); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    text, _, modules = done.stdout.rstrip().rpartition("\n")
    assert "Usage: graphc" in text
    for name in ("viz", "explain", "profile", "source", "train", "cache", "doctor"):
        assert f"\n  {name} " in text
        assert f"graphc.cli.{name}" not in modules.split()
    assert not {"numba", "pydot", "scipy"} & set(modules.split())
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_nobody_reads(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "source", "model.py:step"], env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"the model is being built\n")


def test_an_interrupt(folder: Path) -> None:
    (folder / "slow.py").write_text("import time\nprint('started', flush=True)\ntime.sleep(600)\n")
    with subprocess.Popen(
        [*COMMAND, "viz", "slow.py:x"], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.strip() == "graphc: interrupted"


def test_the_version(graphc: Callable[..., Outcome]) -> None:
    assert graphc("--version") == (0, f"graphc, version {gr.__version__}\n", "")


def test_no_command_is_wrong_use_and_shows_the_help(graphc: Callable[..., Outcome]) -> None:
    code, out, err = graphc()
    assert (code, out) == (2, "")
    assert "Usage: graphc" in err


def test_a_disk_that_refuses_is_a_problem(graphc: Callable[..., Outcome], folder: Path) -> None:
    (folder / "a.txt").symlink_to("/dev/full")
    code, out, err = graphc("viz", "model.py:step", "-o", "a.txt")
    assert (code, out) == (1, "")
    assert "No space left on device" in err
