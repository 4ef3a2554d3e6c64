"""Random graphs: the compiled result is the reference interpreter's, with all passes and with each left out."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import graphc as gr
from graphc.passes.pipeline import PIPELINE
from tests.random_graphs import RandomGraph, random_graphs

# `make fuzz` draws many new graphs; each is compiled with all passes and without each of them.
EXAMPLES = int(os.environ.get("GRAPHC_FUZZ_EXAMPLES", "0"))

SWITCHES = [(), *((each.name,) for each in PIPELINE if each.name != "autodiff")]


def agree(got: np.ndarray, want: np.ndarray) -> None:
    """Equal up to the rounding of a dozen operations."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    single = want.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=2e-4 if single else 1e-10, atol=2e-5 if single else 1e-11)


def compiled_results(program: RandomGraph, disable: tuple[str, ...]) -> list[np.ndarray]:
    """Outputs, then the new values of the variables, which are put back as they were."""
    function = gr.compile(program.inputs, program.outputs, program.updates, disable=disable)
    before = {variable: variable.value for variable in program.updates}
    results = function(*program.arrays)
    after = [variable.value for variable in program.updates]
    for variable, value in before.items():
        variable.value = value
    return [*results, *after]


@pytest.mark.parametrize("disable", SWITCHES, ids=lambda names: "without " + names[0] if names else "all passes")
@settings(max_examples=EXAMPLES or 15, derandomize=not EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=random_graphs())
def test_compiled_equals_reference(program: RandomGraph, disable: tuple[str, ...]) -> None:
    try:
        expected = gr.evaluate([*program.outputs, *program.updates.values()], program.feeds)
    except ValueError as error:  # a maximum over a batch that slicing has emptied
        assume("zero-size array to reduction" not in str(error))
        raise
    for got, want in zip(compiled_results(program, disable), expected, strict=True):
        agree(got, want)
