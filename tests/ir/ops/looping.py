"""What tests of control flow have in common: PyTorch's loops, and results compiled and interpreted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import graphc as gr
from tests.support import as_list, check_against_torch, placeholders_for

__all__ = ["check", "compiled_and_interpreted", "loop", "numbers"]

Array = np.ndarray


def numbers(*shape: int, seed: int = 0) -> Array:
    """Numbers that products of several steps keep small."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape) / 2


def loop(
    step: Callable[[Any, Any], Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:
    """``gr.scan`` written out, of PyTorch's tensors; ``xs`` is a tensor or a tuple of them, as are the outputs."""
    count = length if length is not None else len(xs[0] if isinstance(xs, tuple) else xs)
    carry, ys = init, []
    for i in reversed(range(count)) if reverse else range(count):
        carry, y = step(carry, tuple(x[i] for x in xs) if isinstance(xs, tuple) else None if xs is None else xs[i])
        ys.append(y)
    if reverse:
        ys.reverse()
    if ys[0] is None:
        return carry, None
    if isinstance(ys[0], tuple):
        return carry, tuple(map(torch.stack, zip(*ys, strict=True)))
    return carry, torch.stack(ys)


def compiled_and_interpreted(build: Callable[..., Any], arrays: Sequence[Any]) -> None:
    """Compare results, and gradients by all floats of randomly weighted results, compiled and interpreted.

    The sizes are fixed, then open.
    """
    point = [np.asarray(array) for array in arrays]
    for symbolic in (False, True):
        values = placeholders_for(point, symbolic)
        outputs = as_list(build(*values))
        floats = [value for value in outputs if value.dtype.is_float]
        by = [value for value in values if value.dtype.is_float]
        weights = [gr.placeholder(value.shape, value.dtype) for value in floats]
        gradients = gr.vjp(floats, by, weights) if floats and by else []
        wanted = [*outputs, *gradients]
        function = gr.compile([*values, *weights], wanted)
        known = gr.evaluate(outputs, dict(zip(values, point, strict=True)))
        given = [*point, *(numbers(*array.shape, seed=1) for array in known if array.dtype.kind == "f")]
        expected = gr.evaluate(wanted, dict(zip([*values, *weights], given, strict=True)))
        for found, array in zip(function(*given), expected, strict=True):
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            tolerance = 1e-10 if array.dtype == np.float64 else 1e-5
            np.testing.assert_allclose(found, array, tolerance, tolerance)


def check(build: Callable[..., Any], torch_build: Callable[..., Any], arrays: Sequence[Any]) -> None:
    """Interpreted against PyTorch, and compiled against interpreted: results and gradients by every float."""
    check_against_torch(build, torch_build, arrays)
    compiled_and_interpreted(build, arrays)
