"""One test of each kind for every operation, driven by the samples that it declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.graph import Value, reachable
from graphc.ir.op import Array, Sample, no_gradient, registry
from graphc.runtime.control import CONTROL
from graphc.runtime.kernels.base import kernels, view_kernels
from tests.support import as_list, placeholders_for, sample_cases

# Leaves have nothing to evaluate, derivatives are expanded before anything is.
WITHOUT_SAMPLES = {"placeholder", "variable", "grad", "jvp"}
# What becomes views and copies, leaves of the plan, products, additions; and what passes replace before that.
LOWERED = {"concatenate", "pad", "matmul", "gemm", "fused", "placeholder", "variable", "constant", "dim_size", *CONTROL}
LOWERED |= {"index_add", "scatter_add"}
REPLACED = {"grad", "jvp", "custom_gradient", "with_updates"}
# Its derivative is that of rounding to float32, which finite differences do not see.
NOT_BY_DIFFERENCES = {"cast"}
# Its derivative, if it is asked for, is an error.
UNDEFINED = {"while_loop"}
# Their sizes are attributes, and their only input is a state of fixed size.
OF_FIXED_SIZE = {"random_uniform", "random_normal"}

ALL = sample_cases(*registry)
SYMBOLIC = sample_cases(*(name for name in registry if name not in OF_FIXED_SIZE))
DIFFERENTIABLE = [case for case in ALL if case.values[1].differentiable]
SMOOTH = [case for case in DIFFERENTIABLE if case.values[1].smooth]

each = pytest.mark.parametrize


@each("name", registry)
def test_has_samples_that_exercise_it(name: str) -> None:
    samples = registry[name].samples()
    assert bool(samples) == (name not in WITHOUT_SAMPLES)
    reached = {
        node.op.name
        for sample in samples
        for symbolic in (False, name not in OF_FIXED_SIZE)
        for node in reachable(as_list(sample.build(*placeholders_for(sample.inputs, symbolic))))
    }
    assert name in reached or not samples


@each("name", registry)
def test_says_whether_it_has_a_gradient(name: str) -> None:
    op = registry[name]
    differentiable = any(sample.differentiable for sample in op.samples())
    assert (differentiable or name in NOT_BY_DIFFERENCES | UNDEFINED) == (op.vjp is not no_gradient)


@each("name", registry)
def test_has_a_way_to_machine_code(name: str) -> None:
    op = registry[name]
    ways = [
        op.elementwise,
        op.reduction is not None,
        op.view,
        name in kernels or op.rows is not None,
        name in view_kernels,
        name in LOWERED,
        name in REPLACED,
    ]
    assert ways.count(True) == 1


@each(("name", "sample"), ALL)
def test_evaluation_keeps_what_inference_promises(name: str, sample: Sample) -> None:
    check_types(sample, placeholders_for(sample.inputs))


@each(("name", "sample"), SYMBOLIC)
def test_evaluation_keeps_what_inference_promises_of_symbolic_sizes(name: str, sample: Sample) -> None:
    check_types(sample, placeholders_for(sample.inputs, symbolic=True))


def check_types(sample: Sample, values: Sequence[Value]) -> None:
    """The interpreter compares dtypes and shapes after every node; here only the results' shapes are left to see."""
    outputs = as_list(sample.build(*values))
    for output, array in zip(outputs, gr.evaluate(outputs, feeds(values, sample.inputs)), strict=True):
        assert array.dtype == output.dtype.numpy
        assert array.ndim == output.ndim


@each(("name", "sample"), SMOOTH)
def test_gradient_equals_finite_differences(name: str, sample: Sample) -> None:
    gr.check_gradients(*of_differentiable(sample))


def test_gradient_of_cast_is_the_cotangent_in_the_dtype_of_the_operand() -> None:
    x = gr.placeholder((3,), "float64")
    gradient = gr.vjp(gr.cast(x, "float32"), x, gr.constant(np.float32([1, -2, 3])))
    found = gr.evaluate(gradient, {x: np.zeros(3)})
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1, -2, 3])


@each(("name", "sample"), SMOOTH)
def test_second_derivative_equals_finite_differences(name: str, sample: Sample) -> None:
    gr.check_gradients(*of_differentiable(sample), order=2, rtol=1e-4, atol=1e-5)


@each(("name", "sample"), ALL)
def test_layout_of_inputs_does_not_matter_to_evaluation(name: str, sample: Sample) -> None:
    values = placeholders_for(sample.inputs)
    outputs = as_list(sample.build(*values))
    wanted = gr.evaluate(outputs, feeds(values, sample.inputs))
    found = gr.evaluate(outputs, feeds(values, [strided(array) for array in sample.inputs]))
    for left, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(left, right, 1e-13, 1e-13)


@each(("name", "sample"), ALL)
def test_compiled_float64_equals_evaluation(name: str, sample: Sample) -> None:
    check_compiled(sample, placeholders_for(sample.inputs), sample.inputs)


@each(("name", "sample"), SYMBOLIC)
def test_compiled_float32_of_symbolic_sizes_equals_evaluation(name: str, sample: Sample) -> None:
    arrays = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in sample.inputs]
    check_compiled(sample, placeholders_for(arrays, symbolic=True), arrays)


def check_compiled(sample: Sample, values: Sequence[Value], arrays: Sequence[Array]) -> None:
    """Compare compiled results and gradients, of dense and of strided arguments, with the evaluation of the graph."""
    outputs = as_list(sample.build(*values))
    results = [*outputs, *gradients(outputs, [values[place] for place in sample.differentiable])]
    wanted = gr.evaluate(results, feeds(values, arrays))
    function = gr.compile(values, results)
    for given in (arrays, [strided(array) for array in arrays]):
        for found, expected in zip(function(*given), wanted, strict=True):
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            tolerance = 3e-5 if expected.dtype == np.float32 else 1e-11
            np.testing.assert_allclose(found, expected, tolerance, tolerance)


def gradients(outputs: Sequence[Value], by: Sequence[Value]) -> list[Value]:
    """Gradients by values; the cotangents differ from item to item, and are the sines of the outputs."""
    floats = [output for output in outputs if output.dtype.is_float]
    made: list[Value] = gr.vjp(floats, by, [gr.stop_gradient(gr.sin(output) + 1.5) for output in floats]) if by else []
    return made


def feeds(values: Sequence[Value], arrays: Sequence[Array]) -> dict[Value, Array]:
    return dict(zip(values, arrays, strict=True))


def of_differentiable(sample: Sample) -> tuple[Any, list[Array]]:
    """The sample as a function of the inputs that it can be differentiated by, and these."""

    def build(*chosen: Value) -> Any:
        given = dict(zip(sample.differentiable, chosen, strict=True))
        fixed = enumerate(map(gr.constant, sample.inputs))
        return sample.build(*(given.get(place, value) for place, value in fixed))

    return build, [sample.inputs[place] for place in sample.differentiable]


def strided(array: Array) -> Array:
    """The same array with gaps between its items."""
    if not array.ndim:
        return np.stack([array, array])[0]
    gapped = np.repeat(array, 2, -1)[..., ::2]
    assert gapped.size <= 1 or not gapped.flags.c_contiguous
    return gapped
