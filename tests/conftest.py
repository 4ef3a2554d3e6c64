from __future__ import annotations

import os
import signal
from pathlib import Path

from hypothesis import settings

# Kernels compiled by the tests stay out of the user's cache, and are there in the next run.
os.environ.setdefault("GRAPHC_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "kernels"))

# They test the compiler: what it made before is not to stand in for it. The tests of the cache turn it on.
os.environ.setdefault("GRAPHC_PROGRAM_CACHE", "0")

# A shell starts jobs in the background with Ctrl-C ignored; the tests of interrupts send it themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Every run draws the same examples; the first one that compiles a kernel may take its time.
settings.register_profile("graphc", deadline=None, derandomize=True)
settings.load_profile("graphc")
