from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

# Kernels compiled by the tests stay out of the user's cache, and are there in the next run.
os.environ.setdefault("GRAPHC_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "kernels"))

# An ordinary run repeats the same examples; `make fuzz` draws new and many more.
_fuzz = "FUZZ_EXAMPLES" in os.environ
settings.register_profile(
    "graphc",
    deadline=None,
    derandomize=not _fuzz,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "50")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("graphc")
