"""The kernels: readable source, compiled when first needed. One file for each kind; importing them registers them."""

from graphc.runtime.kernels import argreduce, creation, cross_entropy, cumulative, index, random, softmax

__all__ = ["argreduce", "creation", "cross_entropy", "cumulative", "index", "random", "softmax"]
