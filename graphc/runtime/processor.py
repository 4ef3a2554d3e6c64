"""What kind of processor this is and what it can do, as Linux tells it.

LLVM knows the same from the processor itself, but a process with a warm cache does not load LLVM.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

__all__ = ["architecture", "description", "features"]

_KIND = (
    *("vendor_id", "cpu family", "model", "stepping"),  # x86
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part"),  # ARM
)
_FEATURES = ("flags", "Features")
_SOURCE = "/proc/cpuinfo"


def architecture() -> str:
    """The name of the instruction set, for example ``x86_64`` or ``aarch64``."""
    return os.uname().machine


def description() -> str:
    """All that decides which machine code is the best here, as text."""
    found = _first_processor()
    return "\n".join([architecture(), *(f"{key}: {found[key]}" for key in (*_KIND, *_FEATURES) if key in found)])


def features() -> frozenset[str]:
    """What the processor can do and the system lets programs do, by Linux's names: ``avx2``, ``fma``, ``asimd``."""
    found = _first_processor()
    return frozenset(word for key in _FEATURES for word in found.get(key, "").split())


@functools.cache
def _first_processor() -> Mapping[str, str]:
    try:
        with open(_SOURCE, "rb", buffering=0) as file:
            first = file.read(1 << 13).decode(errors="replace").partition("\n\n")[0]
    except OSError:  # without /proc, nothing is known but that another machine may have another processor
        return {"model": f"that of {os.uname().nodename}"}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
