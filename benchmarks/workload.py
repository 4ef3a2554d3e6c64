"""What a benchmark is: one computation, declared once for every system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# One run of the computation on the same NumPy inputs; returns the loss or the output, which `numpy.asarray` accepts. It
# may return before the result is there, because the timing waits for the last one.
Step = Callable[[], Any]

# Multiplications and additions of float32, or bytes moved between memory and processor.
Resource: TypeAlias = Literal["flops", "bytes"]

OURS = "graphc"

# Every system, in the order of the columns of the report, with what its name stands for.
SYSTEMS: Mapping[str, str] = {
    OURS: "graphc, one compiled function with its updates",
    "jax": "JAX, `jit` with donated parameters, waiting for each result",
    "jax-async": "the same, not waiting between steps",
    "torch": "PyTorch, eager",
    "torch-compile": "PyTorch, `torch.compile` of the loss or the output",
    "pytensor": "PyTensor, Numba mode with shared parameters",
}

# Those that keep what they compiled for later processes, in folders that the runner gives them.
CACHING = frozenset({OURS, "torch-compile", "pytensor"})


@dataclass(frozen=True)
class Limit:
    """What bounds a step, and how much of it a step needs at the least."""

    resource: Resource
    amount: int
    counted: str
    """How the amount was counted, in words."""


@dataclass(frozen=True)
class Workload:
    """A computation and how each system builds it.

    Every builder starts from the same initial values and inputs and returns a step. Figures of systems whose results
    differ are not reported. A system without a builder is one in which the computation was not written.
    """

    name: str
    title: str
    builders: Mapping[str, Callable[[], Step]]
    kind: Literal["call", "training", "forward", "inference"] = "training"
    limit: Limit | None = None
    tolerance: float = 1e-4
    """How much results of two systems may differ, as a share of the largest."""

    @property
    def checked_steps(self) -> int:
        """Steps whose results are compared: later losses show whether updates agree, later outputs show nothing."""
        return 20 if self.kind in ("call", "training") else 1


def training_flops(forward: Sequence[int], *, input_gradient: bool) -> int:
    """Those of a training step, from those of the products of its forward pass in order.

    The gradient of a product is two products of the same size, one for each factor; the first of the network needs no
    gradient of its input if that is data.
    """
    return 3 * sum(forward) - (0 if input_gradient else forward[0])
