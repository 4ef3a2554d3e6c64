from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import graphc as gr
from benchmarks.systems import jax_integers
from benchmarks.worker import CHECKED_ENTRIES, checked_entries
from benchmarks.workload import SYSTEMS, training_flops
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.convolution import six, two


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_has_every_system_but_pytensor_where_it_would_be_long(name: str) -> None:
    systems = list(SYSTEMS)
    if name in ("conv-6", "conv-2", "infer-conv", "lstm", "gpt"):
        systems.remove("pytensor")
    assert list(WORKLOADS[name].builders) == systems


# PyTorch in the environment of the tests stands for the other systems, which `make bench` compares with it.
# Of the larger ones a step takes too long here.
@pytest.mark.parametrize("name", ["call", "mlp-784-128-10", "lstm", "infer-conv"])
def test_our_steps_compute_what_pytorch_computes(name: str) -> None:
    workload = WORKLOADS[name]
    ours, theirs = (workload.builders[system]() for system in ("graphc", "torch"))
    for _ in range(3):
        expected = checked_entries(theirs())
        np.testing.assert_allclose(checked_entries(ours()), expected, rtol=0, atol=1e-5 * max(map(abs, expected)))


@pytest.mark.parametrize("name", WORKLOADS)
def test_our_steps_agree_with_the_reference_interpreter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_graph = gr.compile

    def compared(inputs: Sequence[gr.Value], output: gr.Value, updates: Mapping[gr.Variable, Any] | None = None) -> Any:
        updates = updates or {}
        # Adam makes whole steps of the smallest gradients, rounding and all: its moments tell whether gradients agree.
        moments = {each: value for each, value in updates.items() if ".exp_avg" in str(each.name)}
        followed = moments or updates
        function = compile_graph(inputs, output, updates)

        def step(*arrays: Any) -> Any:
            expected = gr.evaluate([output, *followed.values()], dict(zip(inputs, arrays, strict=True)))
            result = function(*arrays)
            names = ["", *(str(each.name) for each in followed)]
            for name, found, wanted in zip(names, [result, *(each.value for each in followed)], expected, strict=True):
                # In float32 both are off: of the GPT's squared gradients, by 3e-6 of the largest, against float64.
                tolerance = 4e-6 if name.endswith(".exp_avg_sq") else 2e-6
                np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
            return result

        return step

    monkeypatch.setattr(gr, "compile", compared)
    WORKLOADS[name].builders["graphc"]()()


@pytest.mark.parametrize("name", WORKLOADS)
def test_our_results_do_not_depend_on_the_number_of_threads(name: str) -> None:
    before = gr.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            gr.set_num_threads(threads)
            step = WORKLOADS[name].builders["graphc"]()
            results.append([np.asarray(step()).tobytes() for _ in range(3)])
    finally:
        gr.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_operations_of_a_training_step() -> None:
    assert training_flops([10, 1], input_gradient=True) == 33
    assert training_flops([10, 1], input_gradient=False) == 23


def test_operations_of_networks() -> None:
    limit = WORKLOADS["mlp-784-128-10"].limit
    assert limit is not None
    assert limit.amount == 2 * 64 * (2 * 784 * 128 + 3 * 128 * 10)
    assert two(1).products() == [2 * (3 * 28 - 2) ** 2 * 32, 2 * (3 * 14 - 2) ** 2 * 32 * 64, 2 * 3136 * 10]
    assert six(2).products()[-3:] == [2 * 2 * 4**2 * 25 * 20 * 10, 2 * 2 * 160 * 20, 2 * 2 * 20 * 10]


def test_entries_of_large_results_come_from_all_over() -> None:
    found = checked_entries(np.arange(1000.0).reshape(10, 100))
    assert len(found) == CHECKED_ENTRIES
    assert (found[0], found[-1]) == (0.0, 999.0)
    assert len({entry % 100 for entry in found}) > CHECKED_ENTRIES / 2
    assert checked_entries(np.float32(2.5)) == [2.5]


def test_integers_for_jax() -> None:
    assert jax_integers(np.arange(3, dtype=np.int64)).dtype == np.int32
    assert jax_integers(np.zeros(3, np.float32)).dtype == np.float32
