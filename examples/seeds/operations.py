"""The operations of a PyTorch-like library, each with its result and its gradients.

Run: python examples/seeds/operations.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import graphc as gr

Array = NDArray[np.float64]

MATRIX = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]])
POSITIVE = np.array([[0.5, 1.5, 2.0], [1.0, 0.25, 0.75]])
ROW = np.array([2.0, -1.0, 0.5])
COLUMN = np.array([[3.0], [-2.0]])
TALL = np.array([[1.0, -1.0], [0.5, 2.0], [-0.25, 1.5]])
MATRICES = np.arange(12.0).reshape(2, 2, 3) / 4 - 1

# Operands of different shapes broadcast: a row meets every row, a column every column, a number every item.
OPERATIONS: dict[str, tuple[Callable[..., gr.Value], tuple[Array, ...]]] = {
    "matrix + row": (lambda x, y: x + y, (MATRIX, ROW)),
    "column - row": (lambda x, y: x - y, (COLUMN, ROW)),
    "matrix * column": (lambda x, y: x * y, (MATRIX, COLUMN)),
    "number / matrix": (lambda x, y: x / y, (np.array(2.0), MATRIX)),
    "-matrix": (lambda x: -x, (MATRIX,)),
    "matrix ** 3": (lambda x: x**3, (MATRIX,)),
    "positive ** row": (lambda x, y: x**y, (POSITIVE, ROW)),
    "sin": (gr.sin, (MATRIX,)),
    "cos": (gr.cos, (MATRIX,)),
    "exp": (gr.exp, (MATRIX,)),
    "log": (gr.log, (POSITIVE,)),
    "sign": (gr.sign, (MATRIX,)),
    "matrix @ tall": (lambda x, y: x @ y, (MATRIX, TALL)),
    "matrices @ tall": (lambda x, y: x @ y, (MATRICES, TALL)),
    "transpose": (lambda x: x.T, (MATRIX,)),
    "transpose(axes)": (lambda x: x.transpose((1, 2, 0)), (MATRICES,)),
    "reshape": (lambda x: x.reshape((3, 4)), (MATRICES,)),
    "sum": (lambda x: x.sum(), (MATRIX,)),
    "sum(axis)": (lambda x: x.sum(axis=0), (MATRIX,)),
    "sum(axis, keepdims)": (lambda x: x.sum(axis=(0, 2), keepdims=True), (MATRICES,)),
    "softmax": (gr.softmax, (MATRIX,)),
    "softmax(axis)": (lambda x: gr.softmax(x, axis=0), (MATRIX,)),
    "zeros + x": (lambda x: gr.zeros((2, 3), "float64") + x, (MATRIX,)),
    "arange * x": (lambda x: gr.arange(3, dtype="float64") * x, (MATRIX,)),
    "stop_gradient(x) * x": (lambda x: gr.stop_gradient(x) * x, (MATRIX,)),
    "sliding_window": (lambda x: gr.sliding_window(x, 2, axis=1), (MATRIX,)),
}


def run(name: str) -> tuple[Array, list[Array]]:
    """An operation's result, and the gradients by its operands of the sum of its items times 1, 2, 3 and so on."""
    function, arrays = OPERATIONS[name]
    operands = [gr.placeholder(array.shape, "float64") for array in arrays]
    result = function(*operands)
    loss = (result.ravel() * gr.arange(1, result.size + 1, dtype="float64")).sum()
    value, *gradients = gr.compile(operands, [result, *gr.grad(loss, operands)])(*arrays)
    return value, gradients


def main() -> None:
    for name in OPERATIONS:
        value, gradients = run(name)
        print(f"{name}: {value.tolist()}")
        for gradient in gradients:
            print(f"    gradient {gradient.tolist()}")
    noise = gr.compile([], gr.random.normal((2, 3)))
    print(f"random.normal: {noise().tolist()}\n    and at the next call {noise().tolist()}")


if __name__ == "__main__":
    main()
