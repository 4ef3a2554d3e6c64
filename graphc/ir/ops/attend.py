"""Attention and its gradient as operations, whose kernels never hold the scores of all queries and keys at a time.

With scores s = scale * q @ k.T (masked), the weights are p = exp(s - l), where l is the logarithm of the sum of the
exponentials of a query's scores, and the result is p @ v. Its cotangent g gives (Dao et al. 2022, "FlashAttention",
appendix B.2)

    dv = p.T @ g,    ds = p * (g @ v.T - delta),    dq = scale * ds @ k,    dk = scale * ds.T @ q,

where delta is, for each query, the inner product of g and the result, less the cotangent of l. So the gradient needs
no more of the forward pass than l and the result. A query that may attend to no key gives 0; its l is infinite, which
makes its weights 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply
from graphc.ir.dims import Size
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.ops.arithmetic import add, multiply, subtract
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import greater_equal, logical_not, logical_or, not_equal
from graphc.ir.ops.creation import full, iota, zeros_like
from graphc.ir.ops.declare import same_dtype
from graphc.ir.ops.differentiation import stop_gradient
from graphc.ir.ops.leaves import placeholder
from graphc.ir.ops.linalg import matmul
from graphc.ir.ops.reduce import any, max, sum
from graphc.ir.ops.shape import broadcast_to, expand_dims, squeeze, swapaxes
from graphc.ir.ops.softmax import softmax
from graphc.ir.ops.transcendental import exp, log
from graphc.ir.pullback import cotangents_of
from graphc.ir.substitute import substitute
from graphc.ir.types import TensorType, broadcast_shapes, shape_text, unify, unify_types
from graphc.record import record

__all__: list[str] = []  # the public function stands in attention.py

_MOST_ITEMS = 256
"""Items of a row of q, k or v that the kernels have room for."""


@record
class AttentionAttrs:
    """``causal``: whether query t may attend to keys 0 to t alone."""

    causal: bool = False


class Scores(NamedTuple):
    """Masked scores, (..., T, S); and which queries attend to any key, (..., T, 1), None for all of them.

    The scores of queries that attend to none are not masked: of scores that are all -inf, the softmax would be NaN.
    """

    masked: Value
    attends: Value | None


def attention_scores(q: Value, k: Value, scale: Value, mask: Sequence[Value], causal: bool) -> Scores:
    """How the keys fit the queries; ``mask`` is empty, or a mask of bools or of numbers that are added."""
    keys = swapaxes(k, -1, -2)
    if not (mask or causal):
        return Scores(matmul(multiply(q, scale), keys), None)
    # Where scores are masked anyway, their scale costs nothing more.
    scores = multiply(matmul(q, keys), scale)
    allowed = _causal(*scores.shape[-2:]) if causal else None
    if not mask:
        return Scores(where(allowed, scores, -math.inf), None)
    (limits,) = mask
    bias = limits.dtype.is_float
    if allowed is not None:
        limits = where(allowed, limits, -math.inf if bias else False)
    attends = any(not_equal(limits, -math.inf) if bias else limits, -1, keepdims=True)
    if bias:
        scores = add(scores, where(attends, limits, 0.0))
    else:
        scores = where(logical_or(limits, logical_not(attends)), scores, -math.inf)
    return Scores(scores, attends)


def _causal(queries: Size, keys: Size) -> Value:
    """Whether a query may attend to a key: one at its own place, or before."""
    return greater_equal(expand_dims(iota(queries, "int32"), 1), iota(keys, "int32"))


def composed_attention(
    q: Value,
    k: Value,
    v: Value,
    scale: Value,
    mask: Sequence[Value],
    causal: bool,
    dropout: Callable[[Value], Value] | None = None,
) -> Value:
    """Attention as a few operations, which hold the weights of all queries and keys."""
    scores, attends = attention_scores(q, k, scale, mask, causal)
    weights = softmax(scores)
    result = matmul(weights if dropout is None else dropout(weights), v)
    return result if attends is None else where(attends, result, 0.0)


def attend(q: Value, k: Value, v: Value, scale: Value, mask: Sequence[Value], causal: bool) -> Value:
    """Attention as one operation, where its kernel has room for a row."""
    if has_kernel(q, v):
        return apply(ATTENTION, (q, k, v, scale, *mask), AttentionAttrs(causal)).outputs[0]
    return composed_attention(q, k, v, scale, mask, causal)


def has_kernel(q: Value, v: Value) -> bool:
    """Whether the rows are of a known size that the kernels have room for."""
    return all(isinstance(value.shape[-1], int) and value.shape[-1] <= _MOST_ITEMS for value in (q, v))


# --- forward -------------------------------------------------------------------------------------


def _leading(q: TensorType, k: TensorType, v: TensorType, mask: Sequence[TensorType]) -> tuple[Size, ...]:
    """The leading axes, after a check of everything else."""
    if not same_dtype((q, k, v)).is_float:
        raise DTypeError(f"operands of dtype {q.dtype}", expected="float32 or float64", remedy="cast them")
    if min(q.rank, k.rank, v.rank, *(each.rank for each in mask)) < 2:
        raise ShapeError(
            "an operand with fewer than two axes", expected="(..., T, D), (..., S, D), (..., S, E), (..., T, S)"
        )
    if unify(q.shape[-1], k.shape[-1]) is None or unify(k.shape[-2], v.shape[-2]) is None:
        raise ShapeError(f"operands of {q}, {k} and {v}", expected="shapes (..., T, D), (..., S, D) and (..., S, E)")
    for size in (q.shape[-1], v.shape[-1]):
        if not (isinstance(size, int) and size <= _MOST_ITEMS):
            raise ShapeError(f"rows of {size} items", expected=f"a known size of at most {_MOST_ITEMS}")
    for limits in mask:
        if not limits.dtype.is_bool and limits.dtype != q.dtype:
            raise DTypeError(f"a mask of dtype {limits.dtype}", expected=f"bool or {q.dtype}")
        for size, own in zip(limits.shape[-2:], (q.shape[-2], k.shape[-2]), strict=True):
            if size != 1 and unify(size, own) is None:
                raise ShapeError(f"a mask of shape {shape_text(limits.shape)}", expected="shape (..., T, S)")
    return broadcast_shapes(*(each.shape[:-2] for each in (q, k, v, *mask)))


def _infer(
    attrs: AttentionAttrs, q: TensorType, k: TensorType, v: TensorType, scale: TensorType, *mask: TensorType
) -> tuple[TensorType, TensorType]:
    leading = _leading(q, k, v, mask)
    if scale != TensorType(q.dtype, ()):
        raise ShapeError(f"a scale of type {scale}", expected=f"a scalar of dtype {q.dtype}")
    rows = (*leading, q.shape[-2])
    return TensorType(q.dtype, (*rows, v.shape[-1])), TensorType(q.dtype, rows)


def _evaluated_scores(
    attrs: AttentionAttrs, q: Array, k: Array, scale: Array, mask: Sequence[Array]
) -> tuple[Array, Array]:
    """Masked scores, and which queries attend to any key."""
    scores = (q @ np.swapaxes(k, -1, -2)) * scale
    allowed = np.ones(scores.shape[-2:], bool)
    if attrs.causal:
        allowed = np.tril(allowed)
    for limits in mask:
        allowed = allowed & (limits if limits.dtype == bool else limits != -np.inf)
        scores = scores if limits.dtype == bool else scores + limits
    allowed = np.broadcast_to(allowed, np.broadcast_shapes(allowed.shape, scores.shape))
    return np.where(allowed, scores, -np.inf), np.any(allowed, -1, keepdims=True)


def _evaluate(attrs: AttentionAttrs, q: Array, k: Array, v: Array, scale: Array, *mask: Array) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        scores, attends = _evaluated_scores(attrs, q, k, scale, mask)
        largest = np.max(scores, -1, keepdims=True, initial=-np.inf)
        weights = np.where(attends, np.exp(scores - largest), 0)
        total = np.sum(weights, -1, keepdims=True)
        out = np.where(attends, (weights / total) @ v, 0)
        log_sum = np.where(attends, largest + np.log(total), np.inf)
        log_sum = np.broadcast_to(log_sum, (*out.shape[:-1], 1))[..., 0]
    return np.asarray(out, q.dtype), np.array(log_sum, q.dtype)


def _decompose(node: Node) -> Sequence[Value]:
    q, k, v, scale, *mask = node.inputs
    out, log_sum = node.outputs
    result = broadcast_to(composed_attention(q, k, v, scale, mask, node.attrs.causal), out.shape)
    if k.shape[-2] == 0:
        return result, full(log_sum.shape, math.inf, out.dtype)
    scores, attends = attention_scores(q, k, scale, mask, node.attrs.causal)
    largest = stop_gradient(max(scores, -1, keepdims=True))
    logarithm = add(largest, log(sum(exp(subtract(scores, largest)), -1, keepdims=True)))
    if attends is not None:
        logarithm = where(attends, logarithm, math.inf)
    return result, broadcast_to(squeeze(logarithm, -1), log_sum.shape)


def _vjp(node: Node, g: Value | None, g_log_sum: Value | None) -> Sequence[Value | None]:
    q, k, v, scale, *mask = node.inputs
    out, log_sum = node.outputs
    g = zeros_like(out) if g is None else g
    delta = sum(multiply(g, out), -1)
    if g_log_sum is not None:
        delta = subtract(delta, g_log_sum)
    operands = (q, k, v, scale, log_sum, delta, g, *mask)
    # What few ask for takes the memory of all scores.
    _, slopes, products = _slopes(operands, node.attrs.causal)
    to_mask = [slopes if limits.dtype.is_float else None for limits in mask]
    return *attention_grad(*operands, causal=node.attrs.causal), sum(multiply(slopes, products)), *to_mask


def _points(*shape: int) -> Array:
    return np.random.default_rng(8).normal(size=shape)


def _arrays(queries: int = 4, keys: int = 5, depth: int = 3, width: int = 2, lead: tuple[int, ...] = ()) -> list[Array]:
    return [_points(*lead, queries, depth), _points(*lead, keys, depth)[..., ::-1], _points(*lead, keys, width)]


def _samples() -> list[Sample]:
    def sample(label: str, arrays: Sequence[Array], *mask: Array, causal: bool = False) -> Sample:
        def build(q: Value, k: Value, v: Value, scale: Value, *mask: Value) -> Value:
            return attend(q, k, v, scale, mask, causal)

        bias = (4,) if mask and mask[0].dtype.kind == "f" else ()
        return Sample(build, (*arrays, np.array(0.6), *mask), (0, 1, 2, 3, *bias), label=label)

    some = _points(2, 1, 4, 5) > -0.5
    some[0, 0, 2] = False
    return [
        sample("matrices", _arrays()),
        sample("causal", _arrays(), causal=True),
        sample("more queries", _arrays(5, 2), causal=True),
        sample("heads", _arrays(lead=(2, 3))),
        sample("shared keys", [_points(2, 3, 4, 2), _points(1, 3, 2), _points(2, 1, 3, 4)], causal=True),
        sample("mask", _arrays(lead=(2, 3)), some),
        sample("causal mask", _arrays(lead=(2,)), some[:, 0], causal=True),
        sample("bias", _arrays(lead=(2,)), _points(1, 5)),
        sample("causal bias", _arrays(lead=(2,)), _points(2, 4, 5), causal=True),
        sample("sizes of 1", _arrays(1, 1, 1, 1, (1,))),
        sample("no queries", _arrays(0)),
        sample("no keys", _arrays(3, 0)),
        sample("no batch", _arrays(lead=(0,))),
        sample("no depth, no width", _arrays(depth=0, width=0)),
    ]


ATTENTION = registry.add(
    OpDef(
        "attention",
        "softmax(scale * q @ k.T + mask) @ v, and the logarithms of the sums of exponentials of each query's scores.",
        infer=_infer,
        evaluate=_evaluate,
        vjp=_vjp,
        attrs=AttentionAttrs,
        decompose=_decompose,
        samples=_samples,
    )
)


# --- the gradient --------------------------------------------------------------------------------


def _infer_grad(
    attrs: AttentionAttrs,
    q: TensorType,
    k: TensorType,
    v: TensorType,
    scale: TensorType,
    log_sum: TensorType,
    delta: TensorType,
    g: TensorType,
    *mask: TensorType,
) -> tuple[TensorType, ...]:
    out, rows = _infer(attrs, q, k, v, scale, *mask)
    for found, expected in ((g, out), (log_sum, rows), (delta, rows)):
        if not unify_types(found, expected):
            raise ShapeError(f"an operand of type {found}", expected=f"{expected}")
    leading = out.shape[:-2]
    return tuple(TensorType(each.dtype, (*leading, *each.shape[-2:])) for each in (q, k, v))


def _evaluate_grad(
    attrs: AttentionAttrs,
    q: Array,
    k: Array,
    v: Array,
    scale: Array,
    log_sum: Array,
    delta: Array,
    g: Array,
    *mask: Array,
) -> tuple[Array, ...]:
    with np.errstate(all="ignore"):
        scores, _ = _evaluated_scores(attrs, q, k, scale, mask)
        weights = np.exp(scores - log_sum[..., None])
        slopes = weights * (g @ np.swapaxes(v, -1, -2) - delta[..., None]) * scale
        results = slopes @ k, np.swapaxes(slopes, -1, -2) @ q, np.swapaxes(weights, -1, -2) @ g
    return tuple(np.asarray(result, q.dtype) for result in results)


class _Slopes(NamedTuple):
    """Weights; the cotangent of the masked scores; and the products of queries and keys."""

    weights: Value
    slopes: Value
    products: Value


def _slopes(operands: Sequence[Value], causal: bool) -> _Slopes:
    q, k, v, scale, log_sum, delta, g, *mask = operands
    scores = attention_scores(q, k, scale, mask, causal)
    weights = exp(subtract(scores.masked, expand_dims(log_sum, -1)))
    slopes = multiply(weights, subtract(matmul(g, swapaxes(v, -1, -2)), expand_dims(delta, -1)))
    return _Slopes(weights, slopes, matmul(q, swapaxes(k, -1, -2)))


def _composed_grad(operands: Sequence[Value], causal: bool) -> tuple[Value, Value, Value]:
    q, k, _, scale, _, _, g, *_ = operands
    weights, slopes, _ = _slopes(operands, causal)
    slopes = multiply(slopes, scale)
    return matmul(slopes, k), matmul(swapaxes(slopes, -1, -2), q), matmul(swapaxes(weights, -1, -2), g)


def _grad_vjp(node: Node, *cotangents: Value | None) -> list[Value | None]:
    """By differentiation of what the operation stands for, with each operand as an independent value."""
    formal = [placeholder(value.shape, value.dtype) for value in node.inputs]
    found = cotangents_of(_composed_grad(formal, node.attrs.causal), cotangents, formal)
    known = dict(zip(formal, node.inputs, strict=True))
    return [None if cotangent is None else substitute([cotangent], known)[0] for cotangent in found]


def _grad_samples() -> list[Sample]:
    def sample(label: str, arrays: Sequence[Array], *mask: Array, causal: bool = False) -> Sample:
        q, _, v = arrays
        leading = np.broadcast_shapes(*(array.shape[:-2] for array in (*arrays, *mask)))
        log_sum, delta = (_points(*leading, q.shape[-2])[..., ::-1] + shift for shift in (3, 0))
        g = _points(*leading, q.shape[-2], v.shape[-1])

        def build(*operands: Value) -> Sequence[Value]:
            return attention_grad(*operands, causal=causal)

        bias = (7,) if mask and mask[0].dtype.kind == "f" else ()
        inputs = (*arrays, np.array(0.6), log_sum, delta, g, *mask)
        return Sample(build, inputs, (*range(7), *bias), label=label)

    return [
        sample("matrices", _arrays()),
        sample("causal", _arrays(), causal=True),
        sample("more queries", _arrays(5, 2), causal=True),
        sample("shared keys", [_points(2, 3, 4, 2), _points(1, 3, 2), _points(2, 1, 3, 4)], causal=True),
        sample("mask", _arrays(lead=(2, 3)), _points(2, 1, 1, 5) > -0.5),
        sample("causal bias", _arrays(lead=(2,)), _points(2, 4, 5), causal=True),
        sample("sizes of 1", _arrays(1, 1, 1, 1, (1,))),
        sample("no queries", _arrays(0)),
        sample("no keys", _arrays(3, 0)),
    ]


ATTENTION_GRAD = registry.add(
    OpDef(
        "attention_grad",
        "The cotangents of q, k and v, from the logarithms of sums, delta, and the cotangent g of the result.",
        infer=_infer_grad,
        evaluate=_evaluate_grad,
        vjp=_grad_vjp,
        attrs=AttentionAttrs,
        decompose=lambda node: _composed_grad(node.inputs, node.attrs.causal),
        samples=_grad_samples,
    )
)


def attention_grad(*operands: Value, causal: bool) -> tuple[Value, ...]:
    """The cotangents of ``q``, ``k`` and ``v``, with all leading axes.

    Args:
        operands: q, k, v, scale, log_sum, delta, g and, where there is one, a mask, as :mod:`graphc.ir.ops.attend` has
            them.
        causal: whether query t may attend to keys 0 to t alone.
    """
    if has_kernel(operands[0], operands[2]):
        return apply(ATTENTION_GRAD, operands, AttentionAttrs(causal)).outputs
    return _composed_grad(operands, causal)
