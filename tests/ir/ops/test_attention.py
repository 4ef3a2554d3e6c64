from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import graphc as gr
from tests.support import as_list, check_against_torch

Array = np.ndarray
RNG = np.random.default_rng(0)
sdpa = torch.nn.functional.scaled_dot_product_attention


def points(*shape: int) -> Array:
    return RNG.standard_normal(shape)


# The shapes of q, k and v.
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "matrices": ((5, 4), (5, 4), (5, 4)),
    "fewer queries": ((3, 4), (7, 4), (7, 2)),
    "more queries": ((7, 4), (3, 4), (3, 6)),
    "batch": ((2, 5, 4), (2, 6, 4), (2, 6, 3)),
    "batch and heads": ((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 4)),
    "shared keys": ((2, 3, 5, 4), (1, 1, 6, 4), (2, 1, 6, 4)),
    "sizes of 1": ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "one key": ((2, 5, 4), (2, 1, 4), (2, 1, 3)),
    "no queries": ((2, 0, 4), (2, 6, 4), (2, 6, 3)),
    "no batch": ((0, 5, 4), (0, 6, 4), (0, 6, 3)),
}


def operands(shapes: tuple[tuple[int, ...], ...]) -> list[Array]:
    return [points(*shape) for shape in shapes]


def reference(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> torch.Tensor:
    """PyTorch's attention, which takes a mask or `is_causal`, on operands that it need not broadcast."""
    leading = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (x.expand(*leading, *x.shape[-2:]) for x in (q, k, v))
    if mask is not None:
        mask = mask.expand(torch.broadcast_shapes(mask.shape, (q.shape[-2], k.shape[-2])))
    if mask is not None and causal:
        allowed = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
        causal = False
        mask = mask & allowed if mask.dtype == torch.bool else torch.where(allowed, mask, -math.inf)
    return sdpa(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)


def check(arrays: list[Array], atol: float = 1e-12, **options: Any) -> None:
    """Results and gradients by all floats, of the mask too; it is the last array where there are four."""
    check_against_torch(
        lambda q, k, v, *mask: gr.attention(q, k, v, *mask, **options),
        lambda q, k, v, *mask: reference(q, k, v, *mask, **options),
        arrays,
        atol=atol,
    )


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shapes", SHAPES)
def test_against_torch(shapes: str, causal: bool, scale: float | None) -> None:
    check(operands(SHAPES[shapes]), causal=causal, scale=scale)


def masks(kind: str, shape: tuple[int, ...]) -> Array:
    allowed = RNG.uniform(size=shape) < 0.6
    allowed[..., 0] = True
    if kind == "bool":
        return allowed
    return np.where(allowed | (kind == "float"), points(*shape), -math.inf)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (6,), (1, 6), (2, 1, 1, 6), (2, 3, 5, 6), (5, 1), (1, 1, 5, 6)], ids=str)
@pytest.mark.parametrize("kind", ["bool", "float", "-inf"])
def test_masks_against_torch(kind: str, shape: tuple[int, ...], causal: bool) -> None:
    check([*operands(SHAPES["batch and heads"]), masks(kind, shape)], causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["bool", "-inf"])
def test_queries_without_keys_give_zero_and_no_gradient(kind: str, causal: bool) -> None:
    arrays = operands(SHAPES["batch"])
    allowed = masks("bool", (2, 5, 6))
    allowed[0, 1] = allowed[1, 3:] = False
    allowed[1, 0] = [False, True, False, True, True, True]  # causality takes what is left
    mask = allowed if kind == "bool" else np.where(allowed, points(2, 5, 6), -math.inf)
    check([*arrays, mask], causal=causal)
    empty = ~(np.tril(allowed) if causal else allowed).any(-1)
    found = gr.evaluate(gr.attention(*arrays, mask, causal=causal))
    assert not found[empty].any()
    assert found[~empty].all()


def test_no_keys_at_all_give_zero() -> None:
    q, k, v = points(2, 3, 4), points(2, 0, 4), points(2, 0, 5)
    for mask in (None, np.zeros((3, 0), bool), np.zeros((3, 0)), np.array([[True]])):
        found = gr.evaluate(gr.attention(q, k, v, mask))
        np.testing.assert_array_equal(found, np.zeros((2, 3, 5)))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_mask_of_one_number(allowed: bool) -> None:
    q, k, v = operands(SHAPES["batch"])
    wanted = gr.evaluate(gr.attention(q, k, v)) if allowed else np.zeros((2, 5, 3))
    np.testing.assert_allclose(gr.evaluate(gr.attention(q, k, v, allowed)), wanted, 1e-14)
    np.testing.assert_allclose(gr.evaluate(gr.attention(q, k, v, 0.0 if allowed else -math.inf)), wanted, 1e-14)


def test_a_mask_may_have_axes_that_the_others_lack() -> None:
    q, k, v = operands(SHAPES["matrices"])
    mask = masks("bool", (3, 5, 5))
    found = gr.evaluate(gr.attention(q, k, v, mask))
    np.testing.assert_array_equal(found, [gr.evaluate(gr.attention(q, k, v, each)) for each in mask])


def test_a_mask_with_nan_shows() -> None:
    mask = np.zeros((5, 5))
    mask[2, 3] = math.nan
    found = gr.evaluate(gr.attention(*operands(SHAPES["matrices"]), mask))
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(found, 2, 0)).all()


def test_large_scores() -> None:
    q, k, v = operands(SHAPES["batch"])
    check([q * 1e4, k, v], atol=1e-10)  # of gradients that are sums of numbers of the size of q


def test_gradient_of_the_scale_and_second_derivatives() -> None:
    arrays = operands(SHAPES["batch"])
    bias = masks("float", (5, 6))
    gr.check_gradients(lambda q, k, v, b, s: gr.attention(q, k, v, b, scale=s), [*arrays, bias, np.array(0.4)], order=2)
    gr.check_gradients(lambda q, k, v: gr.attention(q, k, v, causal=True), arrays, order=2)
    allowed = masks("bool", (5, 6))
    allowed[1] = False
    gr.check_gradients(lambda q, k, v: gr.attention(q, k, v, allowed), arrays, order=2)


CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"causal": True},
    "bool": {"mask": masks("bool", (2, 1, 1, 6))},
    "float": {"mask": masks("-inf", (5, 6)), "causal": True},
    "empty": {"mask": np.zeros((5, 6), bool)},
}


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", CALLS)
def test_compiled(call: str, dtype: str, symbolic: bool) -> None:
    """Compiled, forward and gradients, as interpreted; where batch, T and S are open, for other sizes too."""
    arrays = [array.astype(dtype) for array in operands(SHAPES["batch and heads"])]
    options = dict(CALLS[call])
    if "mask" in options and options["mask"].dtype.kind == "f":
        options["mask"] = options["mask"].astype(dtype)
    names = (("n", 3, "t", 4), ("n", 3, "s", 4), ("n", 3, "s", 4))
    values = [
        gr.placeholder(name if symbolic else array.shape, dtype) for name, array in zip(names, arrays, strict=True)
    ]
    if "mask" in options:
        mask = options["mask"]
        open_mask = {(2, 1, 1, 6): ("n", 1, 1, "s"), (5, 6): ("t", "s")}[mask.shape]
        options["mask"] = gr.placeholder(open_mask if symbolic else mask.shape, mask.dtype)
        values.append(options["mask"])
        arrays.append(mask)
    result = gr.attention(*values[:3], **options)
    weights = gr.placeholder(result.shape, dtype)
    gradients = as_list(gr.vjp(result, values[:3], weights))
    outputs, inputs = [result, *gradients], [*values, weights]
    function = gr.compile(inputs, outputs)
    feeds = [*arrays, points(2, 3, 5, 4).astype(dtype)]
    points_of = [feeds]
    if symbolic and "mask" not in CALLS[call]:
        points_of += [[array[:1, :, :2] for array in feeds], [array[:, :, :0] for array in feeds]]
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for given in points_of:
        wanted = gr.evaluate(outputs, dict(zip(inputs, given, strict=True)))
        for found, expected in zip(function(*given), wanted, strict=True):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, expected, tolerance, tolerance)


def test_open_depth() -> None:
    q, k, v = operands(SHAPES["batch"])
    values = [gr.placeholder(("n", None, "d")), gr.placeholder(("n", "s", "d")), gr.placeholder(("n", "s", None))]
    function = gr.compile(values, gr.attention(*values))
    given = [array.astype(np.float32) for array in (q, k, v)]
    np.testing.assert_allclose(function(*given), gr.evaluate(gr.attention(q, k, v)), 1e-5, 1e-6)


def test_operands_read_through_strides() -> None:
    """Heads split off by a transpose are read where they lie, and written where they are brought together again."""
    x = [gr.placeholder(("n", 5, 12), "float32", name) for name in "qkv"]
    heads = [gr.swapaxes(gr.reshape(value, (*value.shape[:2], 3, 4)), 1, 2) for value in x]
    merged = gr.reshape(gr.swapaxes(gr.attention(*heads, causal=True), 1, 2), x[0].shape)
    function = gr.compile(x, merged)
    assert [step.name for step in function.plan_for(n=2).steps] == ["attention"]
    arrays = [points(2, 5, 12).astype(np.float32) for _ in x]
    np.testing.assert_allclose(function(*arrays), gr.evaluate(merged, dict(zip(x, arrays, strict=True))), 1e-5, 1e-6)


def test_gradient_of_joined_projections_is_written_in_place() -> None:
    x, g = gr.placeholder(("n", 5, 36), "float32"), gr.placeholder(("n", 5, 12), "float32")
    heads = [gr.swapaxes(each, 1, 2) for each in gr.split(gr.reshape(x, (*x.shape[:2], 9, 4)), 3, axis=2)]
    merged = gr.reshape(gr.swapaxes(gr.attention(*heads, causal=True), 1, 2), g.shape)
    gradient = gr.vjp(merged, x, g)
    function = gr.compile([x, g], gradient)
    assert "copy" not in [step.name for step in function.plan_for(n=2).steps]
    arrays = [points(2, 5, 36).astype(np.float32), points(2, 5, 12).astype(np.float32)]
    np.testing.assert_allclose(function(*arrays), gr.evaluate(gradient, {x: arrays[0], g: arrays[1]}), 1e-5, 1e-6)


def test_stands_in_a_scope_of_its_own() -> None:
    q = gr.placeholder((3, 4))
    assert gr.attention(q, q, q).node.origin.scope == "attention"


def test_dropout_is_applied_to_the_weights() -> None:
    q, k, _ = operands(SHAPES["matrices"])
    v = np.eye(5)
    seen: list[gr.Value] = []

    def dropped(weights: gr.Value) -> gr.Value:
        seen.append(weights)
        return weights * np.eye(5)

    found = gr.evaluate(gr.attention(q, k, v, dropout=dropped))
    (weights,) = gr.evaluate(seen)
    np.testing.assert_allclose(weights.sum(-1), 1)
    np.testing.assert_allclose(found, weights * np.eye(5))


def test_dtypes() -> None:
    half, full, whole = (gr.placeholder((3, 4), dtype) for dtype in ("float32", "float64", "int32"))
    assert gr.attention(half, half, half, scale=0.5).dtype == gr.float32
    assert gr.attention(half, full, half).dtype == gr.float64
    assert gr.attention(whole, whole, whole).dtype == gr.float64
    bias = gr.placeholder((3, 3), "float64")
    assert gr.attention(half, half, half, bias).dtype == gr.float64
    assert gr.attention(half, half, half, bias != 0).dtype == gr.float32


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4,), (3, 4), (3, 4)), "two axes or more"),
        (((3, 4), (3, 5), (3, 4)), r"\(\.\.\., S, D\)"),
        (((3, 4), (3, 4), (2, 4)), r"\(\.\.\., S, E\)"),
        (((2, 3, 4), (3, 3, 4), (3, 4)), "do not broadcast"),
        (((3, 4), (5, 4), (5, 4), (3, 4)), r"a mask of shape \(3, 4\)"),
        (((1, 4), (5, 4), (5, 4), (3, 5)), r"a mask that broadcasts to \(1, 5\)"),
        (((2, 3, 4), (5, 4), (5, 4), (3, 1, 5)), "a mask that broadcasts to"),
    ],
)
def test_shapes_that_do_not_fit(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    values = [gr.placeholder(shape) for shape in shapes]
    with pytest.raises(gr.ShapeError, match=message):
        gr.attention(*values)


def test_masks_and_scales_that_are_none() -> None:
    q = gr.placeholder((3, 4))
    with pytest.raises(gr.DTypeError, match=r"mask of dtype int64[\s\S]*mask != 0"):
        gr.attention(q, q, q, np.ones((3, 3), np.int64))
    with pytest.raises(gr.ShapeError, match=r"scale of shape \(3, 1\)"):
        gr.attention(q, q, q, scale=np.ones((3, 1)))
