"""Operations against NumPy, on sizes that are numbers and on sizes that are symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gr
from tests.support import as_list

Array = np.ndarray


def same(actual: Any, expected: Any) -> None:
    """Equal dtypes, shapes and bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(actual, expected)


def agree(build: Callable[..., Any], reference: Callable[..., Any], *arrays: Array, symbolic: bool = True) -> None:
    """`build` of values gives what `reference` gives of arrays, for fixed sizes and, if asked, for open ones."""
    expected = reference(*arrays)
    shapes: list[list[tuple[Any, ...]]] = [[array.shape for array in arrays]]
    if symbolic:
        shapes.append([tuple(f"n{k}_{axis}" for axis in range(array.ndim)) for k, array in enumerate(arrays)])
        shapes.append([(None,) * array.ndim for array in arrays])
    for given in shapes:
        values = [gr.placeholder(shape, array.dtype) for shape, array in zip(given, arrays, strict=True)]
        wanted = list(expected) if isinstance(expected, list | tuple) else [expected]
        results = gr.evaluate(as_list(build(*values)), dict(zip(values, arrays, strict=True)))
        for actual, array in zip(results, wanted, strict=True):
            same(actual, array)


def numbers(*shape: int, dtype: str = "float64", seed: int = 3) -> Array:
    """Numbers from -9 to 9."""
    return np.random.default_rng(seed).uniform(-9, 9, shape).astype(dtype)
