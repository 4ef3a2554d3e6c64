"""Matrix products: every layout without a copy, batches, integers, and accumulation in place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphc as gr
from graphc.runtime.kernels.gemm import _cut
from graphc.runtime.kernels.registers import panel_width


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (3, 4, 5), (1, 7, 1), (5, 1, 2), (0, 3, 2), (3, 0, 2), (2, 3, 0), (40, 33, 70)]
)
def test_product_of_all_transpositions(dtype: str, m: int, k: int, n: int) -> None:
    rng = np.random.default_rng(0)
    for flip_a, flip_b in itertools.product([False, True], repeat=2):
        a = rng.integers(0, 3, (k, m) if flip_a else (m, k)).astype(dtype)
        b = rng.integers(0, 3, (n, k) if flip_b else (k, n)).astype(dtype)
        x, y = gr.placeholder((None, None), dtype), gr.placeholder((None, None), dtype)
        z = (x.T if flip_a else x) @ (y.T if flip_b else y)
        got = gr.compile([x, y], z)(a, b)
        want = (a.T if flip_a else a) @ (b.T if flip_b else b)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (6, 4, 5)),
        ((0, 3, 4), (4, 5)),
        ((2, 3, 3, 4), (2, 3, 4, 2)),
    ],
)
def test_batches_broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=left), rng.normal(size=right)
    x, y = gr.placeholder(left, "float64"), gr.placeholder(right, "float64")
    for z, want in ((x @ y, a @ b), (x.swapaxes(-1, -2).swapaxes(-1, -2) @ y, a @ b)):
        np.testing.assert_allclose(gr.compile([x, y], z)(a, b), want)


def test_operands_that_blas_cannot_read_are_copied() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(6, 8)), rng.normal(size=(4, 6))
    x, y = gr.placeholder((6, 8), "float64"), gr.placeholder((4, 6), "float64")
    cases = [
        (x[::2, ::2] @ y, a[::2, ::2] @ b),
        (x[::-1, :4] @ y, a[::-1, :4] @ b),
        (gr.broadcast_to(x[0, :4], (3, 4)) @ y, np.broadcast_to(a[0, :4], (3, 4)) @ b),
        (x[1:4, 2:6] @ y[:, 1:], a[1:4, 2:6] @ b[:, 1:]),
    ]
    for z, want in cases:
        np.testing.assert_allclose(gr.compile([x, y], z)(a, b), want)


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_update_accumulates_in_place(rows: int) -> None:
    rng = np.random.default_rng(3)
    x, g = gr.placeholder(("n", 40)), gr.placeholder(("n", 30))
    w = gr.parameter(rng.normal(size=(40, 30)).astype(np.float32))
    a, b = (rng.normal(size=(rows, size)).astype(np.float32) for size in (40, 30))
    function = gr.compile([x, g], [], {w: w * 0.9 - 0.5 * (x.T @ g)})
    assert [step.name for step in function.plan_for(n=rows).steps] == ["gemm"]
    assert function.plan_for(n=rows).arena_bytes == 0
    expected = w.value * np.float32(0.9) - np.float32(0.5) * (a.T @ b)
    function(a, b)
    np.testing.assert_allclose(w.value, expected, rtol=1e-4, atol=1e-4)


def test_accumulation_into_a_new_array_leaves_the_old_one() -> None:
    rng = np.random.default_rng(4)
    x, g = gr.placeholder((5, 4)), gr.placeholder((5, 3))
    w = gr.parameter(rng.normal(size=(4, 3)).astype(np.float32))
    old = w.value
    following = w - 0.5 * (x.T @ g)
    a, b = (rng.normal(size=(5, size)).astype(np.float32) for size in (4, 3))
    before, after = gr.compile([x, g], [w * 1.0, following], {w: following})(a, b)
    np.testing.assert_array_equal(before, old)
    np.testing.assert_allclose(after, old - 0.5 * a.T @ b, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(w.value, after)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("flip_a", "flip_b"), list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize(
    ("m", "k", "n"), [(520, 530, 512), (385, 40, 300), (1, 300, 500), (500, 300, 1), (700, 20, 10)]
)
def test_products_in_many_tasks(dtype: str, flip_a: bool, flip_b: bool, m: int, k: int, n: int) -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(size=(k, m) if flip_a else (m, k)).astype(dtype)
    b = rng.normal(size=(n, k) if flip_b else (k, n)).astype(dtype)
    x, y = gr.placeholder(a.shape, dtype), gr.placeholder(b.shape, dtype)
    c = gr.variable(np.ones((m, n), dtype))
    z = (x.T if flip_a else x) @ (y.T if flip_b else y)
    function = gr.compile([x, y], z, {c: c - 0.5 * z})
    want = (a.T if flip_a else a) @ (b.T if flip_b else b)
    before = gr.get_num_threads()
    try:
        bits = set()
        for threads in (1, 2, 3):
            gr.set_num_threads(threads)
            c.value = np.ones((m, n))
            got = function(a, b)
            bits.add(got.tobytes() + c.value.tobytes())
    finally:
        gr.set_num_threads(before)
    assert len(bits) == 1
    tolerance = 1e-3 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(c.value, 1 - 0.5 * want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("m", "n"), [(784, 1024), (1024, 784), (400, 90), (700, 260), (3000, 65), (9000, 700), (90, 784)]
)
def test_no_task_has_parts_of_two_blocks_of_rows(m: int, n: int) -> None:
    x, y = gr.placeholder((m, 64)), gr.placeholder((64, n))
    function = gr.compile([x, y], x @ y)
    function(np.ones((m, 64), np.float32), np.ones((64, n), np.float32))
    [step] = function.plan.steps
    blocks, width = _cut(m, n, panel_width("f32"))
    assert step.extent == blocks * width >= blocks * n
    assert width % step.chunk == 0 or step.chunk % width == 0 or blocks == 1
