"""The workloads. A new one is a file here that declares its `WORKLOADS`, and a line below."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import call, convolution, elementwise, gpt, lstm, mlp

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *call.WORKLOADS,
        *mlp.WORKLOADS,
        *convolution.WORKLOADS,
        *lstm.WORKLOADS,
        *gpt.WORKLOADS,
        *elementwise.WORKLOADS,
        *mlp.INFERENCE,
        *convolution.INFERENCE,
    )
}
