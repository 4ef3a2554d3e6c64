"""The parent's end of a process that is measured: see `channel` for the other one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

TIMEOUT_SECONDS = 300
"""What an answer may take."""

SETTLE_SECONDS = 2
"""What threads may take to sleep, before the next process is asked anyway."""


class WorkerError(Exception):
    """A system could not be measured; the message is the error that ended its process."""


class Process:
    """A module in a process of its own, which answers requests."""

    def __init__(self, module: str, arguments: Sequence[str], threads: int, cache: Path) -> None:
        environment = {
            **os.environ,
            "GRAPHC_CACHE_DIR": str(cache),
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "TORCHINDUCTOR_CACHE_DIR": str(cache),
            "PYTENSOR_FLAGS": f"base_compiledir={cache}",
            "GRAPHC_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "NUMBA_NUM_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
        }
        # Installed packages have their bytecode; those of a checkout get theirs in the first process.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with contextlib.ExitStack() as ending:
            self._errors = ending.enter_context(tempfile.TemporaryFile("w+"))
            # A session of its own, because compilers leave processes behind that would outlive it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                bufsize=0,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
            ending.callback(self._kill)
            self._ending = ending.pop_all()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of its handler, and wait for the answer, and until its threads sleep.

        Raises:
            WorkerError: the process failed or took too long.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([method, *arguments]).encode() + b"\n")
        except BrokenPipeError:
            raise self._error() from None
        if not select.select([self._process.stdout], [], [], TIMEOUT_SECONDS)[0]:
            raise WorkerError(f"not finished after {TIMEOUT_SECONDS} s")
        answer = self._process.stdout.readline()
        if not answer:
            raise self._error()
        self._settle()
        return json.loads(answer)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def end(self) -> None:
        """End the process and those that it has started."""
        self._ending.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _settle(self) -> None:
        """Wait until no thread runs: those of some systems look for work through the next one's turn."""
        end = time.monotonic() + SETTLE_SECONDS
        asleep = 0
        while asleep < 3 and time.monotonic() < end:
            time.sleep(0.002)
            asleep = 0 if self._runs() else asleep + 1

    def _runs(self) -> bool:
        """Whether a thread is running, or could."""
        for stat in Path(f"/proc/{self._process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # of a thread that has just ended
                if stat.read_text().rpartition(")")[2].split()[0] == "R":
                    return True
        return False

    def _error(self) -> WorkerError:
        """What ended the process: the last line of its traceback that is not indented."""
        code = self._process.wait()
        self._errors.seek(0)
        flush_left = [line for line in self._errors.read().splitlines() if line.strip() and not line[0].isspace()]
        return WorkerError(flush_left[-1] if flush_left else f"exit code {code}")
