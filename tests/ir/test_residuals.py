"""Which forward values are kept for a gradient: cost and memory decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.closure import dependents
from graphc.ir.graph import Value, reachable
from graphc.ir.pullback import cotangents_of
from graphc.ir.residuals import residuals
from graphc.ir.substitute import substitute
from tests.passes.passing import formulas


def kept(build: Callable[..., Value], shapes: Sequence[tuple[Any, ...]], at_hand: str = "") -> set[str]:
    """What is kept for the gradients of a function of placeholders x, y, z, of which some are at hand."""
    inputs = [gr.placeholder(shape, "float64", name) for shape, name in zip(shapes, "xyz", strict=False)]
    output = build(*inputs)
    seed = gr.placeholder(output.shape, output.dtype, "g")
    cotangents = [value for value in cotangents_of([output], [seed], inputs) if value is not None]
    found = residuals(cotangents, [seed], [value for value in inputs if str(value.name) in at_hand])
    inside = {value: gr.placeholder(value.shape, value.dtype, "kept") for value in found}
    again = substitute(cotangents, inside)
    backward = dependents(again, [seed])
    for node in reachable(again):
        assert node in backward or node.op.elementwise or node.op.view or not node.inputs
        assert node.op.name != "placeholder" or node.output.name in ("g", "kept", *at_hand)
    return set(formulas(found))


@pytest.mark.parametrize(
    ("build", "shapes", "wanted"),
    [
        (lambda x: gr.tanh(x), [(3,)], {"tanh(x)"}),
        (lambda x: gr.exp(x), [(3,)], {"exp(x)"}),
        (lambda x: x * 2.0, [(3,)], set()),
        (lambda x, y: x + y, [(3,), (3,)], set()),
        (lambda x, y: x * y, [(3,), (3,)], {"x", "y"}),
        (lambda x, y: x @ y, [(2, 3), (3, 4)], {"x", "y"}),
        (lambda x: gr.tanh(gr.exp(x)), [(3,)], {"exp(x)", "tanh(exp(x))"}),
    ],
)
def test_what_the_gradient_reads(build: Callable[..., Value], shapes: Any, wanted: set[str]) -> None:
    assert kept(build, shapes) == wanted


def test_nothing_is_kept_of_what_is_at_hand() -> None:
    assert kept(lambda x, y: x * y, [(3,), (3,)], "x") == {"x", "y"}
    assert kept(lambda x, y: x.T @ y, [(2, 3), (2, 4)], "xy") == {"x", "y"}


def test_views_are_made_again() -> None:
    assert kept(lambda x, y: x.T * y, [(2, 3), (3, 2)]) == {"x", "y"}


def test_a_slice_is_kept_unless_the_whole_is_at_hand() -> None:
    first, second = (kept(lambda x, y: x[:1] * y, [(3, 3), (1, 3)], at_hand) for at_hand in ("", "x"))
    assert {text.partition("(")[0] for text in first} == {"slice", "y"}
    assert second == {"x", "y"}


def test_cheap_functions_of_one_value_are_computed_again() -> None:
    assert kept(lambda x, y: (x + 1.0) * y, [(3,), (3,)]) == {"x", "y"}
    assert kept(lambda x, y: (-gr.exp(x) + 1.0) * y, [(3,), (3,)]) == {"exp(x)", "y"}


def test_cheap_functions_of_two_values_are_kept() -> None:
    """One array instead of two; of one, if the other is at hand."""
    assert kept(lambda x, y, z: (x + y) * z, [(3,), (3,), (3,)]) == {"add(x, y)", "z"}
    assert kept(lambda x, y, z: (x + y) * z, [(3,), (3,), (3,)], "x") == {"y", "z"}


def test_what_is_made_of_less_memory_is_made_again() -> None:
    assert kept(lambda x, y: (x + np.ones((4, 3))) * y, [(3,), (4, 3)]) == {"x", "y"}
    assert kept(lambda x, y: gr.broadcast_to(x, (4, 3)) * y, [(3,), (4, 3)]) == {"x", "y"}


def test_costly_functions_are_kept() -> None:
    assert kept(lambda x, y: gr.sin(x) * y, [(3,), (3,)], "x") == {"cos(x)", "sin(x)", "y"}


def test_sizes_that_are_not_known_are_not_compared() -> None:
    """A column of an array of unknown size is kept, the array is not: it may be larger."""
    found = kept(lambda x, y: x[:, 0] * y, [("n", "m"), ("n",)])
    assert "x" not in found
    assert len(found) == 2


def test_the_order_is_that_of_the_graph() -> None:
    x = gr.placeholder((3,), "float64", "x")
    a, b = gr.exp(x), gr.tanh(x)
    seed = gr.placeholder((3,), "float64")
    cotangents = cotangents_of([a * b], [seed], [x])
    found = residuals([value for value in cotangents if value is not None], [seed], [])
    place = {node: number for number, node in enumerate(reachable(found))}
    assert [place[value.node] for value in found] == sorted(place[value.node] for value in found)
