from __future__ import annotations

import numpy as np
import pytest
import torch

import graphc as gr
from graphc.ir.graph import reachable
from tests.support import check_against_torch

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 2, "i": 3, "j": 4, "k": 5, "l": 2, "n": 3}


def points(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape)


def operands_of(subscripts: str) -> list[np.ndarray]:
    parts = subscripts.replace(" ", "").split("->")[0].split(",")
    return [points(*(SIZES[letter] for letter in part)) for part in parts]


WITHOUT_ELLIPSIS = [
    "i->i",
    "i->",
    "ij->ji",
    "ij->",
    "ij",
    "ji",
    "ijk->kj",
    "ii->",
    "ii->i",
    "ii",
    "iji->j",
    "ijij->ij",
    "iii->i",
    "i,i->",
    "i,i->i",
    "i,j->ij",
    "i,j->",
    "ij,j->i",
    "ij,jk->ik",
    "ij,jk",
    "ij,kj->ki",
    "bij,bjk->bik",
    "bij,bj->bi",
    "bi,bi->b",
    "bik,bjk->bij",
    "ijk,jkl->il",
    "ijk,l->jil",
    "ii,ij->j",
    "ij,ij->",
    "abc,bd->acd",
    "ij,jk,kl->il",
    "i,j,k->kji",
    "ij,jk,ki->",
    "abc,cd,de,eb->a",
    "i j , j k -> i k",
]


@pytest.mark.parametrize("subscripts", WITHOUT_ELLIPSIS)
def test_results_and_gradients_against_numpy_and_torch(subscripts: str) -> None:
    arrays = operands_of(subscripts)
    values = [gr.placeholder(array.shape, "float64") for array in arrays]
    found = gr.evaluate(gr.einsum(subscripts, *values), dict(zip(values, arrays, strict=True)))
    np.testing.assert_allclose(found, np.einsum(subscripts, *arrays), 1e-12, 1e-12)
    check_against_torch(
        lambda *x: gr.einsum(subscripts, *x), lambda *x: torch.einsum(subscripts, *x), arrays, atol=1e-11
    )


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("...->...", [(2, 3)]),
        ("...i->...", [(2, 3)]),
        ("i...->...i", [(2, 3, 4)]),
        ("...ij,...jk->...ik", [(6, 2, 3), (6, 3, 4)]),
        ("...ij,...jk->...ik", [(5, 1, 2, 3), (6, 3, 4)]),
        ("...ij,jk", [(6, 2, 3), (3, 4)]),
        ("i...,i...->...", [(3, 4), (3, 4)]),
        ("...,...", [(4, 1), (3,)]),
        ("b...i,i->b...", [(2, 5, 6, 3), (3,)]),
        ("...,i->i...", [(), (3,)]),
    ],
)
def test_ellipsis(subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = [points(*shape) for shape in shapes]
    values = [gr.placeholder(array.shape, "float64") for array in arrays]
    found = gr.evaluate(gr.einsum(subscripts, *values), dict(zip(values, arrays, strict=True)))
    np.testing.assert_allclose(found, np.einsum(subscripts, *arrays), 1e-12, 1e-12)
    check_against_torch(lambda *x: gr.einsum(subscripts, *x), lambda *x: torch.einsum(subscripts, *x), arrays)


def test_size_1_is_stretched_as_in_numpy() -> None:
    x, y = points(1, 3), points(4, 3)
    a, b = gr.placeholder(x.shape, "float64"), gr.placeholder(y.shape, "float64")
    for subscripts in ("ij,ij->ij", "ij,ij->i", "ij,kj->ik", "ij,ij->j"):
        found = gr.evaluate(gr.einsum(subscripts, a, b), {a: x, b: y})
        np.testing.assert_allclose(found, np.einsum(subscripts, x, y), 1e-12)


@pytest.mark.parametrize("subscripts", ["ij,jk->ik", "ij->", "ij,ij->i", "ii->i", "ii->", "ij,jk,kl->il"])
@pytest.mark.parametrize("dtype", ["int8", "int64", "bool", "float32"])
def test_every_dtype_is_numpys(subscripts: str, dtype: str) -> None:
    arrays = [np.abs(20 * array).astype(dtype) for array in operands_of(subscripts)]
    values = [gr.placeholder(array.shape, dtype) for array in arrays]
    found = gr.evaluate(gr.einsum(subscripts, *values), dict(zip(values, arrays, strict=True)))
    wanted = np.einsum(subscripts, *arrays)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, 1e-5)


@pytest.mark.parametrize("subscripts", ["bij,bjk->bik", "ii->i", "ii->", "bhqd,bhkd->bhqk", "ij,jk,kl->il", "i,j->ij"])
def test_symbolic_sizes(subscripts: str) -> None:
    parts = subscripts.split("->")[0].split(",")
    values = [gr.placeholder(tuple(part), "float64") for part in parts]
    sizes = {letter: 2 + place for place, letter in enumerate(sorted(set("".join(parts))))}
    arrays = [points(*(sizes[letter] for letter in part)) for part in parts]
    result = gr.einsum(subscripts, *values)
    gradient = gr.grad(gr.sum(result * result), values[0])
    found = gr.evaluate([result, gradient], dict(zip(values, arrays, strict=True)))
    np.testing.assert_allclose(found[0], np.einsum(subscripts, *arrays), 1e-12, 1e-12)
    fixed = [gr.placeholder(array.shape, "float64") for array in arrays]
    known = gr.einsum(subscripts, *fixed)
    wanted = gr.evaluate(gr.grad(gr.sum(known * known), fixed[0]), dict(zip(fixed, arrays, strict=True)))
    np.testing.assert_allclose(found[1], wanted, 1e-12, 1e-12)


def test_small_results_come_first() -> None:
    x, y, v = gr.placeholder((200, 300)), gr.placeholder((300, 400)), gr.placeholder((400,))
    result = gr.einsum("ij,jk,k->i", x, y, v)
    sizes = [node.output.size for node in reachable([result]) if node.op.name == "matmul"]
    assert sizes == [300, 200]


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk", [(2, 3)], "is for 2 operands, but 1 were given"),
        ("i", [(2, 3)], "'i' in 'i' labels 1 axes of an operand that has 2"),
        ("ijk", [(2, 3)], "labels 3 axes"),
        ("i1", [(2, 3)], "'i1' in 'i1' cannot be read"),
        ("ij->ik", [(2, 3)], "has 'k', which no operand has"),
        ("ij->ii", [(2, 3)], "does not name every axis once"),
        ("...i->i", [(2, 3)], "does not name every axis once"),
        ("ij,jk", [(2, 3), (4, 5)], "'j' in 'ij,jk' has sizes 3 and 4, in shapes"),
        ("ii", [(2, 3)], "'i' in 'ii' has sizes 2 and 3"),
        ("......i", [(2, 3)], "cannot be read"),
    ],
)
def test_errors(subscripts: str, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(gr.ShapeError, match=f"einsum: .*{message}"):
        gr.einsum(subscripts, *(gr.placeholder(shape) for shape in shapes))


def test_no_operands() -> None:
    with pytest.raises(gr.ShapeError, match="is for 1 operands, but 0 were given"):
        gr.einsum("")
