"""Running the examples as a user would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(name: str, *arguments: str) -> str:
    """What an example prints; the test fails if its exit code is not 0."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def number_after(text: str, output: str) -> float:
    """The last number that stands after the text."""
    found = re.findall(rf"{text} ([-+\d.]+)", output)
    assert found, output
    return float(found[-1])
