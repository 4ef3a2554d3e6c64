"""The kernels: readable source, compiled when first needed. One file for each kind; importing them registers them."""

from graphc.runtime.kernels import (
    argreduce,
    conv,
    conv_weight,
    creation,
    cross_entropy,
    cumulative,
    index,
    normalize,
    pool,
    random,
    softmax,
    window,
)

__all__ = [
    "argreduce",
    "conv",
    "conv_weight",
    "creation",
    "cross_entropy",
    "cumulative",
    "index",
    "normalize",
    "pool",
    "random",
    "softmax",
    "window",
]
