"""What a benchmark is: one computation, declared once for every system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# One run of the computation on the same NumPy inputs; returns the loss, which `float` accepts. It may return before the
# loss is there, because the timing waits for the last one.
Step = Callable[[], Any]

OURS = "graphc"

# Every system, in the order of the columns of the report, with what its name stands for.
SYSTEMS: Mapping[str, str] = {
    OURS: "graphc, one compiled function with its updates",
    "jax": "JAX, `jit` with donated parameters, waiting for each loss",
    "jax-async": "the same, not waiting between steps",
    "torch": "PyTorch, eager",
    "torch-compile": "PyTorch, `torch.compile` of the loss",
    "pytensor": "PyTensor, Numba mode with shared parameters",
}

# Left out unless asked for by name: it takes minutes to compile and is not the fastest on these workloads.
ON_REQUEST = frozenset({"torch-compile"})


@dataclass(frozen=True)
class Workload:
    """A computation and how each system builds it.

    Every builder starts from the same initial values and inputs and returns a step; the runner refuses to report
    systems whose losses differ.
    """

    name: str
    title: str
    builders: Mapping[str, Callable[[], Step]]
