"""Random graphs: the compiled result is the reference interpreter's, with all passes and with each left out."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import graphc as gr
from graphc.ir.graph import Graph
from graphc.passes.autodiff import Autodiff
from graphc.passes.pipeline import PIPELINE, run_passes
from graphc.runtime.reference import evaluate_graph
from tests.random_graphs import RandomGraph, random_graphs

EXAMPLES = int(os.environ.get("GRAPHC_FUZZ_EXAMPLES", "0"))

PASSES = [each for each in PIPELINE if each.name != "autodiff"]


def drawn(ordinary: int, share: float = 1.0) -> settings:
    """As many graphs as `make fuzz` asks for, or a few that are always the same."""
    return settings(
        max_examples=max(1, int(EXAMPLES * share)) if EXAMPLES else ordinary,
        derandomize=not EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def reference(program: RandomGraph) -> list[np.ndarray]:
    """Outputs and next values by the interpreter."""
    try:
        results: list[np.ndarray] = gr.evaluate([*program.outputs, *program.updates.values()], program.feeds)
    except gr.ShapeError as error:  # a maximum over a batch that slicing has emptied
        assume("has no items" not in str(error))
        raise
    return results


def agree(got: np.ndarray, want: np.ndarray) -> None:
    """Equal up to the rounding of a dozen operations."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    single = want.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=2e-4 if single else 1e-10, atol=2e-5 if single else 1e-11)


def compiled_results(program: RandomGraph, disable: tuple[str, ...] = ()) -> list[np.ndarray]:
    """Outputs, then the new values of the variables, which are put back as they were."""
    function = gr.compile(program.inputs, program.outputs, program.updates, disable=disable)
    before = {variable: variable.value for variable in program.updates}
    results = function(*program.arrays)
    after = [variable.value for variable in program.updates]
    for variable, value in before.items():
        variable.value = value
    return [*results, *after]


def interpreted(graph: Graph, program: RandomGraph) -> list[np.ndarray]:
    """Outputs, then next values of all the program's variables, by the interpreter."""
    results = evaluate_graph(graph, program.feeds)
    outputs, following = results[: len(graph.outputs)], results[len(graph.outputs) :]
    updated = dict(zip((variable for variable, _ in graph.updates), following, strict=True))
    return [*outputs, *(updated.get(variable, variable.value) for variable in program.updates)]


@drawn(30)
@given(program=random_graphs())
def test_compiled_equals_reference(program: RandomGraph) -> None:
    for got, want in zip(compiled_results(program), reference(program), strict=True):
        agree(got, want)


@drawn(40)
@given(program=random_graphs())
def test_each_pass_alone_and_left_out_changes_nothing(program: RandomGraph) -> None:
    """The graphs, before kernels: after one pass alone, and after all but one."""
    expected = reference(program)
    graph = Graph.of(program.inputs, program.outputs, program.updates)
    for each in PASSES:
        alone = run_passes(graph, (Autodiff(), each))
        others = run_passes(graph, disable=(each.name,))
        for stages in (alone, others):
            for got, want in zip(interpreted(stages[-1].graph, program), expected, strict=True):
                agree(got, want)


@pytest.mark.parametrize("without", [each.name for each in PASSES])
@drawn(4, 0.05)
@given(program=random_graphs())
def test_compiled_without_a_pass_equals_reference(program: RandomGraph, without: str) -> None:
    for got, want in zip(compiled_results(program, (without,)), reference(program), strict=True):
        agree(got, want)
