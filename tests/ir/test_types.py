from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir import ops
from graphc.ir.dims import Size, symbol, unnamed_symbol
from graphc.ir.types import (
    DTYPES,
    DType,
    TensorType,
    broadcast_shapes,
    collect_constraints,
    dtype_of,
    float32,
    int64,
    normalize_axes,
    normalize_axis,
    promote,
    shape_text,
    unify,
)

ARITHMETIC = ("add", "subtract", "multiply", "divide", "floor_divide", "mod", "power", "maximum", "minimum", "arctan2")
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
SCALARS = (True, 3, 2.5)
PAIRS = list(itertools.product(DTYPES.values(), repeat=2))

n, m = symbol("n"), symbol("m")


def numpy_dtype(function: str, *operands: Any) -> str | None:
    """The dtype of NumPy's result, at least float32 where it is float; None where NumPy has no such function."""
    with np.errstate(all="ignore"):
        try:
            result = getattr(np, function)(*operands)
        except TypeError:
            return None
    return "float32" if result.dtype == np.float16 else str(result.dtype)


def ones(dtype: DType) -> np.ndarray[Any, Any]:
    return np.ones(2, dtype.numpy)


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=str)
def test_promotion_of_two_arrays_is_numpys(left: DType, right: DType) -> None:
    assert promote(left, right).numpy == np.result_type(left.numpy, right.numpy)
    checked = 0
    for function in (*ARITHMETIC, *COMPARISONS):
        expected = numpy_dtype(function, ones(left), ones(right))
        if expected is not None:
            value = getattr(ops, function)(ops.placeholder(2, left), ops.placeholder(2, right))
            assert str(value.dtype) == expected, function
            checked += 1
    assert checked >= len(ARITHMETIC) + len(COMPARISONS) - 1  # NumPy does not subtract bools


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("scalar", SCALARS, ids=repr)
def test_python_scalars_are_weak(dtype: DType, scalar: Any) -> None:
    for function in (*ARITHMETIC, *COMPARISONS):
        for operands in ((ones(dtype), scalar), (scalar, ones(dtype))):
            expected = numpy_dtype(function, *operands)
            if expected is not None:
                symbolic = [ops.placeholder(2, dtype) if isinstance(o, np.ndarray) else o for o in operands]
                assert str(getattr(ops, function)(*symbolic).dtype) == expected, function


@pytest.mark.parametrize(("dtype", "other"), PAIRS, ids=str)
def test_numpy_scalars_are_not_weak(dtype: DType, other: DType) -> None:
    scalar = other.numpy.type(1)
    assert (ops.placeholder(2, dtype) + scalar).dtype.numpy == np.result_type(dtype.numpy, other.numpy)
    assert (scalar + ops.placeholder(2, dtype)).dtype.numpy == np.result_type(dtype.numpy, other.numpy)


@pytest.mark.parametrize("function", ["exp", "sqrt", "sin", "abs", "isnan"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_functions_of_one_array_have_numpys_dtype(dtype: DType, function: str) -> None:
    assert str(getattr(ops, function)(ops.placeholder(2, dtype)).dtype) == numpy_dtype(function, ones(dtype))


def test_numbers_alone_have_the_default_dtypes() -> None:
    pairs = ((1.0, 2.0), (1, 2), (True, 1), (True, False))
    assert [ops.add(*pair).dtype.name for pair in pairs] == ["float32", "int64", "int64", "bool"]


def test_a_number_that_its_dtype_cannot_hold_is_refused() -> None:
    with pytest.raises(DTypeError, match="300 cannot be a constant of dtype int8"):
        ops.placeholder(2, "int8") + 300


shapes = hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_dims=4)


@given(shapes)
def test_broadcasting_is_numpys(shapes: hnp.BroadcastableShapes) -> None:
    assert broadcast_shapes(*shapes.input_shapes) == shapes.result_shape
    values = [ops.placeholder(shape) for shape in shapes.input_shapes]
    assert (values[0] + values[1] * values[2]).shape == shapes.result_shape


@given(st.lists(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), min_size=2, max_size=3))
def test_shapes_that_do_not_broadcast_are_refused_where_numpy_does(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            broadcast_shapes(*shapes)
    else:
        assert broadcast_shapes(*shapes) == expected


def test_broadcasting_of_symbolic_sizes() -> None:
    assert broadcast_shapes((n, 1, 3), (m, 1), ()) == (n, m, 3)
    assert broadcast_shapes((n + 1, 2), (1 + n, 1)) == (n + 1, 2)
    assert broadcast_shapes() == ()


@pytest.mark.parametrize(
    ("left", "right", "found", "remedy"),
    [
        ((n,), (m,), r"shapes \(n,\) and \(m,\) do not broadcast: n meets m", "same name"),
        ((n, 3), (n, 4), r"shapes \(n, 3\) and \(n, 4\) do not broadcast: 3 meets 4", "[:, None]"),
    ],
)
def test_broadcasting_errors_name_the_sizes(left: Any, right: Any, found: str, remedy: str) -> None:
    with pytest.raises(ShapeError, match=found) as error:
        broadcast_shapes(left, right)
    assert remedy in error.value.remedy


def test_unnamed_sizes_meet_any_size_and_are_noted() -> None:
    unnamed, other = unnamed_symbol(), unnamed_symbol()
    with collect_constraints() as found:
        assert unify(unnamed, 3) == 3
        assert unify(n, unnamed + 1) == n
        assert unify(unnamed, unnamed) == unnamed
        assert unify(n, m) is None
        assert broadcast_shapes((unnamed, 1), (other, 4)) == (other, 4)
        with collect_constraints() as inner:
            unify(5, other)
    assert found == [(unnamed, 3), (n, unnamed + 1), (unnamed, other)]
    assert inner == [(5, other)]


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_way_to_write_a_dtype(dtype: DType) -> None:
    for written in (dtype, dtype.name, dtype.numpy, dtype.numpy.type, dtype.numpy.str):
        assert dtype_of(written) is dtype
    assert dtype.itemsize == dtype.numpy.itemsize
    assert [dtype.is_float, dtype.is_integer, dtype.is_bool].count(True) == 1


@pytest.mark.parametrize(
    "dtype",
    [None, "float16", "complex64", ">f4", "U3", "no such", "f4,,", object, [("a", int)], 5, np.zeros(2)],
    ids=repr,
)
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(DTypeError, match="one of float32, float64, int8") as error:
        dtype_of(dtype)
    assert repr(dtype) in error.value.found


@given(st.integers(-6, 6), st.integers(0, 4))
def test_axes_are_counted_as_in_numpy(axis: int, rank: int) -> None:
    try:
        expected = np.lib.array_utils.normalize_axis_index(axis, rank)
    except np.exceptions.AxisError:
        with pytest.raises(ShapeError, match=f"axis {axis} does not exist in an array of {rank} axes"):
            normalize_axis(axis, rank)
    else:
        assert normalize_axis(axis, rank) == normalize_axis(np.int64(axis), rank) == expected


def test_several_axes() -> None:
    assert normalize_axes(None, 3) == (0, 1, 2)
    assert normalize_axes(-1, 3) == (2,)
    assert normalize_axes((2, -3), 3) == normalize_axes([0, 2], 3) == normalize_axes(np.array([0, 2]), 3) == (0, 2)
    with pytest.raises(ShapeError, match="name one axis twice"):
        normalize_axes((0, -3), 3)


@pytest.mark.parametrize("axes", [1.0, True, "ab", (0, 1.5), (None,)], ids=repr)
def test_axes_that_are_not_integers_are_refused(axes: Any) -> None:
    with pytest.raises(DTypeError, match="expected: an integer"):
        normalize_axes(axes, 3)


def test_texts() -> None:
    sizes: tuple[Size, ...] = (n, 3)
    assert str(TensorType(float32, sizes)) == "float32[n, 3]"
    assert str(TensorType(int64, ())) == "int64[]"
    assert [shape_text(shape) for shape in ((), (n,), sizes)] == ["()", "(n,)", "(n, 3)"]


def test_types_compare_by_what_they_say() -> None:
    assert TensorType(float32, (n + 1, 2)) == TensorType(float32, (1 + n, 2))
    assert TensorType(float32, (n, 2)).size == 2 * n
    assert TensorType(float32, (n, 2)).rank == 2
    assert TensorType(float32, ()) != TensorType(int64, ())


def test_a_value_is_no_axis() -> None:
    with pytest.raises(GraphError, match="asked for its number"):
        normalize_axis(ops.placeholder((), "int64"), 2)  # type: ignore[arg-type]
