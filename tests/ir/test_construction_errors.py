"""Mistakes while a graph is built: each message says what was found, what was expected or what to do, and the line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gr

X = gr.placeholder(("n", 3), name="x")
Y = gr.placeholder((4, 5), name="y")
I = gr.placeholder(("n",), "int64", name="i")  # noqa: E741 - the usual name of an index
W = gr.parameter(np.zeros((3, 2), np.float32), name="w")

MISTAKES: dict[str, Callable[[], object]] = {
    "add of shapes that do not broadcast": lambda: X + gr.zeros((2, 4)),
    "add of named sizes that differ": lambda: X + gr.placeholder(("m", 3)),
    "add of None": lambda: X + None,
    "add of a string": lambda: gr.add(X, "three"),
    "product of sizes that do not meet": lambda: X @ Y,
    "product of a 0-d array": lambda: gr.matmul(X, 2.0),
    "reshape to another number of items": lambda: Y.reshape(3, 7),
    "reshape with two open sizes": lambda: Y.reshape(-1, -1),
    "transpose by axes that are none": lambda: Y.transpose(0, 0),
    "sum over an axis that is not there": lambda: Y.sum(2),
    "sum over an axis twice": lambda: Y.sum((0, 0)),
    "max over nothing": lambda: gr.max(gr.zeros((0, 3)), 0),
    "index out of range": lambda: Y[4],
    "too many indices": lambda: Y[0, 0, 0],
    "index by a float": lambda: Y[1.5],
    "take by floats": lambda: gr.take(Y, gr.zeros((2,))),
    "concatenation of shapes that differ": lambda: gr.concatenate([X, Y]),
    "stack of nothing": lambda: gr.stack([]),
    "split into unequal parts": lambda: gr.split(Y, 3, axis=1),
    "squeeze of an axis that is not 1": lambda: gr.squeeze(Y, 0),
    "broadcast to a shape that does not fit": lambda: gr.broadcast_to(Y, (4, 6)),
    "pad by widths that do not fit": lambda: gr.pad(Y, [(1, 1), (1, 1), (1, 1)]),
    "condition that cannot broadcast": lambda: gr.where(X > 0, Y, 1.0),
    "bits of a float": lambda: X & Y,
    "softmax over an axis that is not there": lambda: gr.softmax(X, axis=2),
    "cross-entropy with labels of the wrong shape": lambda: gr.cross_entropy(X, gr.placeholder((7,), "int64")),
    "cross-entropy with an unknown reduction": lambda: gr.cross_entropy(X, I, reduction="average"),
    "einsum that does not parse": lambda: gr.einsum("ij,jk", X),
    "einsum of sizes that differ": lambda: gr.einsum("ij,jk->ik", X, Y),
    "unknown dtype": lambda: X.astype("complex64"),
    "placeholder of a negative size": lambda: gr.placeholder((-1, 3)),
    "placeholder of absurd size": lambda: gr.placeholder((2**20, 2**20, 2**20)),
    "placeholder of unknown dtype": lambda: gr.placeholder((3,), "float16"),
    "truth of a value": lambda: bool(X > 0),
    "number of a value": lambda: float(X.sum()),
    "integer of a symbolic size": lambda: int(X.shape[0]),
    "gradient of an array": lambda: gr.grad(X * 2.0, X),
    "gradient by integers": lambda: gr.grad(X.sum(), I),
    "gradient by what is unused": lambda: gr.grad(X.sum(), W, unused="error"),
    "cotangent of the wrong type": lambda: gr.vjp(X @ W, W, gr.zeros((3, 3))),
    "constant of text": lambda: gr.constant("abc"),
    "variable from a value": lambda: gr.parameter(X),
    "one_hot of floats": lambda: gr.one_hot(X, 3),
    "arange by a step of 0": lambda: gr.arange(0, 5, 0),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_message_tells_all(mistake: Callable[[], object]) -> None:
    with pytest.raises(gr.GraphError) as caught:
        mistake()
    error = caught.value
    assert error.found
    assert error.expected or error.remedy
    assert error.location is not None
    assert error.location.filename == __file__
    assert error.location.line == mistake.__code__.co_firstlineno
    assert f"test_construction_errors.py:{error.location.line}: " in str(error)


def test_standard_exceptions_catch_them_too() -> None:
    with pytest.raises(ValueError, match="do not broadcast"):
        X + gr.zeros((2, 4))
    with pytest.raises(TypeError, match="complex64"):
        X.astype("complex64")
