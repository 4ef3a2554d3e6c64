"""Views: every rearrangement, of every view, addresses the same items as NumPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir.dims import symbol
from graphc.ir.types import float32, int64
from graphc.runtime.views import Buffer, View, broadcast_view, reshape_view, slice_view, transpose_view, whole

ITEMS = 24
SHAPES = [(24,), (4, 6), (2, 3, 4), (2, 1, 12), (1, 24), (3, 8), (2, 2, 2, 3)]


def items(view: View) -> np.ndarray:
    """The positions in the buffer that a view addresses."""
    grid = np.indices(view.shape) if view.shape else np.zeros((0,), int)
    index = np.full(view.shape, view.offset)
    for axis, stride in enumerate(view.strides):
        index = index + grid[axis] * stride
    return index


@given(data=st.data())
def test_chains_of_rearrangements_equal_numpy(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(SHAPES))
    view = whole(Buffer(int64, ITEMS), shape)
    array = np.arange(ITEMS).reshape(shape)
    for _ in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["transpose", "slice", "reshape", "broadcast"])):
            case "transpose":
                axes = data.draw(st.permutations(range(array.ndim)))
                view, array = transpose_view(view, axes), array.transpose(axes)
            case "slice":
                step = data.draw(st.sampled_from([1, 2, -1]))
                starts = [size - 1 if step < 0 else min(1, max(size - 1, 0)) for size in array.shape]
                cut = tuple(slice(start, None, step) for start in starts)
                array = array[cut]
                view = slice_view(view, starts, array.shape, [step] * array.ndim)
            case "reshape":
                target = data.draw(st.sampled_from([(-1,), (*array.shape, 1), (1, *array.shape), (array.size, 1)]))
                wanted = array.reshape(target)
                made = reshape_view(view, wanted.shape)
                if made is None:
                    assert not np.shares_memory(wanted, array) or not view.contiguous
                    return
                view, array = made, wanted
            case "broadcast":
                target = (2, *array.shape)
                if array.size * 2 > 200:
                    continue
                view, array = broadcast_view(view, target), np.broadcast_to(array, target)
        np.testing.assert_array_equal(items(view), array)


def test_reshape_of_a_transposed_view_needs_a_copy() -> None:
    view = transpose_view(whole(Buffer(float32, 6), (2, 3)), (1, 0))
    assert reshape_view(view, (6,)) is None
    assert reshape_view(view, (3, 1, 2)) is not None


def test_symbolic_sizes() -> None:
    n = symbol("n")
    view = whole(Buffer(float32, n * 12), (n, 3, 4))
    assert view.is_whole
    flat = reshape_view(transpose_view(view, (1, 2, 0)), (12, n))
    assert flat is not None
    assert flat.strides == (1, 12)
    assert reshape_view(transpose_view(view, (1, 0, 2)), (n * 12,)) is None


def test_contiguity_ignores_axes_of_one_item() -> None:
    view = View(Buffer(float32, 6), (2, 1, 3), (3, 77, 1))
    assert view.contiguous
    assert not View(Buffer(float32, 6), (2, 3), (1, 2)).contiguous


def test_offset_is_not_whole() -> None:
    def shifted(start: int) -> View:
        return slice_view(whole(Buffer(float32, 6), (6,)), [start], (5,), [1])

    assert not shifted(1).is_whole
    assert not shifted(0).is_whole
