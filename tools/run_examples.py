"""Run every example in its full setting, and say how long each took.

    python tools/run_examples.py [name ...]

Exits with 1 if one fails, or takes longer than five minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 300.0
"""Seconds."""


def main() -> int:
    """Run the named examples, or all."""
    wanted = sys.argv[1:]
    failed = False
    for path in sorted((ROOT / "examples").rglob("*.py")):
        if wanted and path.stem not in wanted:
            continue
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:  # some write pictures where they are run
            done = subprocess.run([sys.executable, str(path)], cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        wrong = "failed" if done.returncode else "too slow" if seconds > LIMIT else ""
        failed = failed or bool(wrong)
        print(f"{path.relative_to(ROOT)!s:48} {seconds:7.1f} s  {wrong}", flush=True)
        if done.returncode:
            print(done.stdout[-2000:] + done.stderr[-2000:])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
