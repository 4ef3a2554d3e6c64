"""Operations that choose and rearrange items, and how their gradients go back to where the items came from.

Run: python examples/seeds/max_slice_reshape_transpose.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gr

Array = NDArray[np.float64]

ROW = [1, 2, 3, 9, 7, 9, 2]
TABLE = [[1, 1, 8, 9, 1], [4, 5, 9, 9, 8], [8, 6, 9, 7, 9], [8, 6, 1, 9, 8]]


def value_and_gradient(function: Callable[[gr.Value], gr.Value], data: Sequence[Any]) -> tuple[Array, Array]:
    """A function's result, and the gradient of the sum of its items."""
    x = gr.placeholder(np.shape(data), "float64", name="x")
    y = function(x)
    result, gradient = gr.compile([x], [y, gr.grad(y.sum(), x)])(np.array(data, float))
    return result, gradient


def main() -> None:
    cases: list[tuple[str, Callable[[gr.Value], gr.Value], Sequence[Any]]] = [
        # Items that tie for the largest share its gradient.
        ("max(x)", lambda x: x.max(), ROW),
        ("max(x)", lambda x: x.max(), TABLE),
        ("max(x, axis=0)", lambda x: x.max(axis=0), TABLE),
        # What an index leaves out has no gradient.
        ("x[3]", lambda x: x[3], ROW),
        ("x[1:4]", lambda x: x[1:4], ROW),
        ("x[2]", lambda x: x[2], TABLE),
        ("x[1:3, 2]", lambda x: x[1:3, 2], TABLE),
        ("x[1:3, 1:4]", lambda x: x[1:3, 1:4], TABLE),
        # The gradient is rearranged back. The factors show where each item goes.
        ("reshape(x, (3, 3)) * [1, 10, 100]", lambda x: x.reshape((3, 3)) * [1.0, 10.0, 100.0], range(1, 10)),
        ("reshape(x, (4, 3)) * [1, 10, 100]", lambda x: x.reshape((4, 3)) * [1.0, 10.0, 100.0], [range(6), range(6)]),
        ("transpose(x) * [1, 10]", lambda x: x.T * [1.0, 10.0], [[1, 2, 3], [4, 5, 6]]),
        (
            "transpose(x, (0, 2, 1)) * [1, 10, 100, 1, 10, 100]",
            lambda x: x.transpose((0, 2, 1)) * [1.0, 10.0, 100.0, 1.0, 10.0, 100.0],
            [[[1], [2], [3], [4], [5], [6]]] * 2,
        ),
    ]
    for title, function, data in cases:
        result, gradient = value_and_gradient(function, data)
        print(f"{title} of shape {np.shape(data)}\n{result}\ngradient\n{gradient}\n")


if __name__ == "__main__":
    main()
