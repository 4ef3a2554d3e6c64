"""What the figures were measured on; `python -m benchmarks.machine` prints the limits in JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

PACKAGES = ("graphc", "jax", "jaxlib", "torch", "pytensor", "numpy", "scipy", "numba", "llvmlite")


@dataclass(frozen=True)
class Limits:
    """What the machine can do in a second with the threads of a measurement."""

    flops: float
    """Multiplications and additions of float32."""
    bytes: float
    """Read and written."""

    def of(self, resource: Literal["flops", "bytes"]) -> float:
        return self.flops if resource == "flops" else self.bytes


def typical(found: Iterable[Limits]) -> Limits:
    """The medians: what a machine that others use too can do varies, and is measured beside each workload."""
    found = list(found)
    return Limits(median(limits.flops for limits in found), median(limits.bytes for limits in found))


def measure_limits() -> Limits:
    """Our kernels of fused multiplications and additions, and of a sum of two arrays that no cache holds."""
    from graphc.runtime.profiling.machine_limits import machine_limits

    limits = machine_limits()
    return Limits(limits.flops_float32, limits.bytes_per_second)


def describe() -> dict[str, str]:
    """The processor, the system and the versions of what was compared."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{name: version for name in PACKAGES if (version := _version(name)) is not None},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("flags", "").split()
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{fields.get('model name', platform.machine())}, {vectors}"


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps(asdict(measure_limits())))
