from __future__ import annotations

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.ir.graph import reachable
from tests.support import check_against_torch


def points(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


PRODUCTS = [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((5, 2, 3), (5, 3, 4)),
    ((6, 5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((1, 1), (1, 1)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((0, 2, 3), (3, 4)),
]


@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_matmul_against_torch(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    check_against_torch(gr.matmul, torch.matmul, [points(*a), points(*b)])
    check_against_torch(lambda x, y: x @ y, torch.matmul, [points(*a), points(*b)])


@pytest.mark.parametrize(("a", "b"), PRODUCTS)
@pytest.mark.parametrize("dtype", ["float32", "int8", "int32", "int64", "bool"])
def test_matmul_of_every_dtype_is_numpys(a: tuple[int, ...], b: tuple[int, ...], dtype: str) -> None:
    left, right = (np.abs(2 * points(*shape)).astype(dtype) for shape in (a, b))
    x, y = gr.placeholder(a, dtype), gr.placeholder(b, dtype)
    found = gr.evaluate(gr.matmul(x, y), {x: left, y: right})
    wanted = np.matmul(left, right)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, 1e-6)


def test_matmul_promotes() -> None:
    x = gr.placeholder((2, 3), "int32")
    assert (x @ np.ones((3, 2), np.float32)).dtype == gr.float64
    assert (np.ones((4, 2)) @ x).shape == (4, 3)


def test_batch_times_matrix_is_one_product() -> None:
    x, w = gr.placeholder(("batch", "time", 8)), gr.placeholder((8, 5))
    product = x @ w
    shapes = [str(node.output.shape) for node in reachable([product]) if node.op.name == "matmul"]
    assert shapes == ["(batch*time, 5)"]
    gradient = gr.compile([x, w], gr.grad(gr.sum(product * product), w)).graph
    assert not [node for node in gradient.nodes if node.op.name == "matmul" and node.output.ndim > 2]


def test_matmul_of_symbolic_sizes() -> None:
    x, y = gr.placeholder(("b", "m", "k")), gr.placeholder(("b", "k", "n"))
    assert str((x @ y).shape) == "(b, m, n)"
    left, right = points(3, 2, 4).astype(np.float32), points(3, 4, 5).astype(np.float32)
    np.testing.assert_allclose(gr.evaluate(x @ y, {x: left, y: right}), left @ right, 1e-5)


def test_matmul_errors() -> None:
    x = gr.placeholder((2, 3))
    with pytest.raises(gr.ShapeError, match=r"matmul: shapes \(2, 3\) and \(4, 5\) do not chain: 3 columns.* 4 rows"):
        gr.matmul(x, gr.placeholder((4, 5)))
    with pytest.raises(gr.ShapeError, match="do not chain: 3 columns"):
        gr.matmul(gr.placeholder((7, 2, 3)), gr.placeholder((4, 5)))
    with pytest.raises(gr.ShapeError, match=r"matmul: shapes \(2, 3\) and \(\)"):
        gr.matmul(x, 2.0)
    with pytest.raises(gr.ShapeError, match="do not broadcast: 2 meets 3"):
        gr.matmul(gr.placeholder((2, 4, 4)), gr.placeholder((3, 4, 4)))
    with pytest.raises(gr.ShapeError, match="do not chain: n columns"):
        gr.matmul(gr.placeholder((2, "n")), gr.placeholder(("m", 2)))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((), (2, 3)),
        ((2,), ()),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((3,), (5, 3, 4)),
        ((7, 2, 3), (5, 6, 3, 4)),
    ],
)
def test_dot_is_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    left, right = points(*a), points(*b)
    x, y = gr.placeholder(a, "float64"), gr.placeholder(b, "float64")
    found = gr.evaluate(gr.dot(x, y), {x: left, y: right})
    wanted = np.dot(left, right)
    assert found.shape == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, 1e-12)
    gr.check_gradients(gr.dot, [left, right])


def test_outer_is_numpys() -> None:
    for a, b in (((2, 3), (4,)), ((), (3,)), ((0,), (2,))):
        left, right = points(*a), points(*b)
        x, y = gr.placeholder(a, "float64"), gr.placeholder(b, "float64")
        np.testing.assert_array_equal(gr.evaluate(gr.outer(x, y), {x: left, y: right}), np.outer(left, right))
    check_against_torch(gr.outer, torch.outer, [points(3), points(4)])
