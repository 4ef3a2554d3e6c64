"""Modules against PyTorch's, with the same weights: results, and gradients by all float inputs and all parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import graphc as gr

Array = np.ndarray


def randomized(theirs: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module with random parameters, so that none is zero or one."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in theirs.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2
    return theirs.double()


def agree(
    ours: gr.nn.Module,
    theirs: torch.nn.Module,
    arrays: Sequence[Array],
    call: Callable[..., Any] | None = None,
    torch_call: Callable[..., Any] | None = None,
    tolerance: float = 1e-10,
) -> None:
    """Load the weights of `theirs` into `ours`, float64, and compare what both make of arrays.

    `call` and `torch_call` take values or tensors; without them the modules are called.
    """
    ours.load_state_dict(theirs.state_dict())
    values = [gr.placeholder(array.shape, array.dtype) for array in arrays]
    tensors = [torch.tensor(array, requires_grad=array.dtype.kind == "f") for array in arrays]
    result = (call or ours)(*values)
    wanted = (torch_call or theirs)(*tensors)
    cotangent = np.random.default_rng(0).standard_normal(tuple(wanted.shape))
    floats = [place for place, array in enumerate(arrays) if array.dtype.kind == "f"]
    parameters = dict(ours.named_parameters())
    by = [*(values[place] for place in floats), *parameters.values()]
    found = gr.evaluate([result, *gr.vjp(result, by, gr.constant(cotangent))], dict(zip(values, arrays, strict=True)))
    expected = torch.autograd.grad(
        wanted,
        [*(tensors[place] for place in floats), *(theirs.get_parameter(name) for name in parameters)],
        torch.tensor(cotangent),
        allow_unused=True,
    )
    names = ["result", *(f"argument {place}" for place in floats), *parameters]
    for name, array, tensor in zip(names, found, (wanted, *expected), strict=True):
        reference = np.zeros_like(array) if tensor is None else tensor.detach().numpy()
        np.testing.assert_allclose(array, reference, tolerance, tolerance, err_msg=name)
