"""What tests of operations, kernels and gradients have in common."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.binding import bind_sizes
from graphc.ir.build import rebuild
from graphc.ir.dims import bind
from graphc.ir.graph import Graph, Node, Value, reachable
from graphc.ir.interpret import evaluate_node
from graphc.ir.op import Array, Sample, registry
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.kernels.base import Kernel, kernels
from graphc.runtime.kernels.rows import RowBody, row_formula, row_kernel
from graphc.runtime.native.loop import STATUS_WORDS, program_runner
from graphc.runtime.views import Buffer, whole

__all__ = [
    "KernelRun",
    "as_list",
    "check_against_torch",
    "check_kernel",
    "placeholders_for",
    "run_kernel",
    "sample_cases",
]


def calls_made(function: Callable[[], object]) -> int:
    """How many calls of Python functions a call makes: work that can be compared without a clock."""
    count = 0

    def profiler(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def as_list(made: Any) -> list[Value]:
    return [made] if isinstance(made, Value) else list(made)


def placeholders_for(arrays: Sequence[Array], symbolic: bool = False) -> list[Value]:
    """A placeholder for each array; where `symbolic`, the sizes are open but for those of 1, which may broadcast."""
    return [
        gr.placeholder([None if symbolic and size != 1 else size for size in array.shape], array.dtype.name)
        for array in arrays
    ]


# --- PyTorch ---------------------------------------------------------------------------------------


def check_against_torch(
    build: Callable[..., Any],
    torch_build: Callable[..., Any],
    arrays: Sequence[Any],
    *,
    seed: int = 0,
    rtol: float = 1e-10,
    atol: float = 1e-12,
) -> None:
    """Compare a function's results, and its gradients by every float argument, with PyTorch's, in float64.

    The cotangents are random. Arguments that are not float are passed to PyTorch as they are.
    """
    import torch

    point = [np.asarray(array) for array in arrays]
    point = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in point]
    values = placeholders_for(point)
    tensors = [torch.tensor(array.copy(), requires_grad=array.dtype.kind == "f") for array in point]
    made = torch_build(*tensors)
    wanted = [made] if isinstance(made, torch.Tensor) else list(made)
    outputs = as_list(build(*values))
    feeds = dict(zip(values, point, strict=True))
    found = gr.evaluate(outputs, feeds)
    assert len(found) == len(wanted)
    for array, tensor in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array, tensor.detach().numpy(), rtol, atol)
    rng = np.random.default_rng(seed)
    cotangents = [rng.standard_normal(array.shape) for array in found]
    floats = [place for place, array in enumerate(found) if array.dtype.kind == "f"]
    by = [place for place, array in enumerate(point) if array.dtype.kind == "f"]
    gradients = gr.evaluate(
        gr.vjp(
            [outputs[place] for place in floats],
            [values[place] for place in by],
            [gr.constant(cotangents[place]) for place in floats],
        ),
        feeds,
    )
    expected = torch.autograd.grad(
        [wanted[place] for place in floats],
        [tensors[place] for place in by],
        [torch.tensor(cotangents[place]) for place in floats],
        allow_unused=True,
    )
    for place, gradient, tensor in zip(by, gradients, expected, strict=True):
        reference = np.zeros_like(gradient) if tensor is None else tensor.numpy()
        np.testing.assert_allclose(gradient, reference, rtol, atol, err_msg=f"gradient by argument {place}")


# --- kernels ---------------------------------------------------------------------------------------


class KernelRun:
    """The outputs of a structured kernel, and its status words ``[code, value, position]``."""

    def __init__(self, outputs: Sequence[Array], status: Array) -> None:
        self.outputs = list(outputs)
        self.status = status


def _kernel_of(node: Node) -> Kernel:
    if row_formula(node) is None:
        return kernels[node.op.name](node)
    arguments = [gr.placeholder(value.shape, value.dtype) for value in node.inputs]
    body = Graph.of(arguments, rebuild(node, arguments).outputs)
    inputs, outputs = (
        [whole(Buffer(value.dtype, value.size), value.shape) for value in values]
        for values in (node.inputs, node.outputs)
    )
    return row_kernel(node.op.name, RowBody(body), inputs, outputs, {})


def run_kernel(
    node: Node,
    arrays: Sequence[Array],
    sizes: Mapping[str, int] | None = None,
    parts: int = 1,
    kernel: Kernel | None = None,
) -> KernelRun:
    """Run a kernel of a node, the registered one unless another is given, with its outer range cut into `parts`.

    Results and scratch memory are filled with rubbish before, so that a kernel which reads or leaves it shows.
    """
    known = sizes or {}
    kernel = kernel or _kernel_of(node)
    inputs = [np.ascontiguousarray(array) for array in arrays]
    results = [_rubbish(value.type.shape, value.dtype.numpy, known) for value in node.outputs]
    scratch = [_rubbish(kind.shape, kind.dtype.numpy, known) for kind in kernel.scratch]
    status = np.zeros(STATUS_WORDS, np.int64)
    words = [array.ctypes.data for array in (*inputs, *results, *scratch)]
    words += [bind(size, known) for size in kernel.sizes]
    words += [status.ctypes.data] if kernel.faults else []
    table = np.array(words, np.int64)
    extent = bind(kernel.extent, known)
    [address] = load([KernelRequest(kernel.source, "kernel")])
    chunk = max(1, -(-extent // parts))
    program = np.array([[address, table.ctypes.data, extent, chunk]], np.int64)
    program_runner(program, status)()
    return KernelRun(results, status)


def sample_cases(*names: str) -> list[Any]:
    """The samples of operations, as pytest's parameters ``name, sample``."""
    return [
        pytest.param(name, sample, id=f"{name}-{sample.label or place}")
        for name in names
        for place, sample in enumerate(registry[name].samples())
    ]


def check_kernel(name: str, sample: Sample, dtype: str, symbolic: bool, parts: int) -> None:
    """Compare the kernel of the node `name` that a sample builds with the node's evaluation, floats in `dtype`."""
    arrays = [array.astype(dtype) if array.dtype.kind == "f" else array for array in map(np.asarray, sample.inputs)]
    values = placeholders_for(arrays, symbolic)
    nodes = [node for node in reachable(as_list(sample.build(*values))) if node.op.name == name]
    sizes = bind_sizes(zip(values, (array.shape for array in arrays), strict=True))
    feeds = dict(zip(values, arrays, strict=True))
    for node in nodes:
        operands = gr.evaluate(list(node.inputs), feeds)
        run = run_kernel(node, operands, sizes, parts)
        assert not run.status.any()
        for found, wanted in zip(run.outputs, evaluate_node(node, operands, sizes), strict=True):
            assert found.dtype == wanted.dtype
            tolerance = 2e-6 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(found, wanted, tolerance, tolerance)


def _rubbish(shape: Sequence[Any], dtype: np.dtype[Any], sizes: Mapping[str, int]) -> Array:
    bound = tuple(bind(size, sizes) for size in shape)
    return np.full(math.prod(bound) * dtype.itemsize, 0x7B, np.uint8).view(dtype).reshape(bound)
