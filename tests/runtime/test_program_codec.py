"""What is stored of a program is the program."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir import dims
from graphc.ir.fingerprint import Fingerprint, fingerprint
from graphc.ir.graph import Graph
from graphc.ir.op import Sample, registry
from graphc.passes.effects import collect_effects
from graphc.passes.pipeline import run_passes
from graphc.runtime.assemble import assemble
from graphc.runtime.program import Executable
from graphc.runtime.program_codec import decode, encode
from tests.runtime import cached_programs
from tests.support import as_list, placeholders_for, sample_cases


@pytest.mark.parametrize(("name", "sample"), sample_cases(*registry))
@pytest.mark.parametrize("symbolic", [False, True])
def test_every_operation_can_be_stored(name: str, sample: Sample, symbolic: bool) -> None:
    values = placeholders_for([np.asarray(array) for array in sample.inputs], symbolic)
    try:
        outputs = as_list(sample.build(*values))
    except gr.GraphError:
        assert symbolic  # the sample needs to know the sizes
        return
    written = Graph.of(values, outputs)
    found = fingerprint(written)
    assert found is not None
    program = assemble(run_passes(collect_effects(written))[-1].graph)
    check_round_trip(program, found)


def check_round_trip(program: Executable, found: Fingerprint) -> None:
    content = encode(program, found)
    assert content is not None
    again = decode(content, found)
    assert encode(again, found) == content
    assert (again.inputs, again.outputs, again.constraints) == (program.inputs, program.outputs, program.constraints)
    assert list(again.kernels()) == list(program.kernels())


def programs() -> list[Any]:
    return [pytest.param(make, id=name) for name, make in cached_programs.PROGRAMS.items()]


@pytest.mark.parametrize("make", programs())
def test_whole_programs_can_be_stored(make: Callable[[], tuple[gr.Function, Any]]) -> None:
    function, _ = make()
    written = function.stages[0].graph
    found = fingerprint(written)
    assert found is not None
    check_round_trip(function.program, found)


def test_sizes_without_names_are_those_of_the_graph_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(start: int) -> tuple[Executable, Fingerprint]:
        monkeypatch.setattr(dims, "_unnamed", itertools.count(start))
        x, y = gr.placeholder((None, 3)), gr.placeholder((None, 3))
        product = (x @ y.T).reshape(-1)
        halves = gr.concatenate([product[::2], gr.reshape(x, -1)], 0)
        written = Graph.of([x, y], [halves, gr.max(product) + dims_of(product[::2])])
        found = fingerprint(written)
        assert found is not None
        return assemble(run_passes(written)[-1].graph), found

    (early, first), (late, second) = made(9), made(41)  # "?10" comes before "?9", and "?42" after "?41"
    assert first.digest == second.digest and first.symbols != second.symbols
    content = encode(early, first)
    assert content is not None
    again = decode(content, second)
    assert (again.inputs, again.outputs, again.constraints) == (late.inputs, late.outputs, late.constraints)
    assert list(again.kernels()) == list(late.kernels())
    assert [buffer.items for step in again.steps for buffer in step.buffers] == [
        buffer.items for step in late.steps for buffer in step.buffers
    ]


def dims_of(value: Any) -> Any:
    return gr.cast(gr.dim_size(value.shape[0]), "float32")
