"""Arguments for a function that is only to be measured: random arrays of given sizes."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

import graphc as gr
from graphc.cli.errors import WrongUse, unknown
from graphc.ir.binding import label
from graphc.ir.dims import bind, symbols, unnamed_symbol
from graphc.ir.op import Array
from graphc.ir.printer import SizeNames

__all__ = ["random_inputs", "size_option", "size_values"]

size_option = click.option(
    "--size", "sizes", multiple=True, metavar="NAME=N", help="The value of a symbolic size, as in batch=64; repeatable."
)


def size_values(function: gr.Function, given: Sequence[str]) -> dict[str, int]:
    """The values of a function's symbolic sizes, from texts such as ``batch=64``; unnamed ones are ``?0``, ``?1``.

    Raises:
        WrongUse: a text is not of this form, a size is unknown, given twice, or missing.
    """
    texts = SizeNames(function.graph)
    found = [each for value in function.graph.inputs for size in value.shape for each in symbols(size)]
    known = {texts.size(unnamed_symbol(int(each.name[1:]))) if each.unnamed else each.name: each.name for each in found}
    values: dict[str, int] = {}
    for text in given:
        name, equals, number = text.partition("=")
        if not equals or not name:
            raise WrongUse(f"--size {text!r} is not of the form NAME=N\n  expected: for example --size batch=64")
        if name not in known:
            raise unknown("size", name, known)
        if not number.isdecimal():
            raise WrongUse(f"--size {text!r}: {number!r} is not a number\n  expected: a whole number of at least 0")
        if known[name] in values:
            raise WrongUse(f"the size {name!r} is given twice\n  expected: each size once")
        values[known[name]] = int(number)
    missing = [name for name, symbol in known.items() if symbol not in values]
    if missing:
        wanted = " ".join(f"--size {shlex.quote(f'{name}=64')}" for name in missing)
        raise WrongUse(f"the size {missing[0]!r} has no value\n  remedy: add, for example, {wanted}")
    return values


def random_inputs(function: gr.Function, sizes: dict[str, int]) -> list[Array]:
    """An array for each placeholder: floats from 0 to 1, integers of 0 and 1, which are indices nearly anywhere.

    Raises:
        WrongUse: they would not fit into memory, or a size would be negative.
    """
    shapes = []
    for position, value in enumerate(function.graph.inputs):
        shape = tuple(bind(size, sizes) for size in value.shape)
        if min(shape, default=0) < 0:
            raise WrongUse(f"{label(value, position)} would have the shape {shape}\n  expected: no negative size")
        shapes.append(shape)
    needed = sum(
        math.prod(shape) * value.dtype.itemsize for shape, value in zip(shapes, function.graph.inputs, strict=True)
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise WrongUse(
            f"the inputs would take {needed / 2**30:,.1f} GiB\n"
            f"  expected: less than this machine's {memory / 2**30:.1f} GiB of memory"
        )
    random = np.random.default_rng(0)
    return [
        _random_array(random, shape, value.dtype.numpy)
        for shape, value in zip(shapes, function.graph.inputs, strict=True)
    ]


def _random_array(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return np.asarray(random.random(shape), dtype)
    return np.asarray(random.integers(0, 2, shape), dtype)
