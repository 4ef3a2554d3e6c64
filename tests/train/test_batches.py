from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.train import Batches


def test_shuffled_batches_cover_every_example_once_and_keep_pairs() -> None:
    x = np.arange(20).reshape(10, 2)
    y = np.arange(10) * 100
    batches = Batches(x, y, batch_size=4, seed=1)
    orders = []
    for _ in range(2):
        parts = [(a.copy(), b.copy()) for a, b in batches]
        assert [len(a) for a, _ in parts] == [4, 4, 2]
        seen = np.concatenate([b for _, b in parts]) // 100
        assert sorted(seen) == list(range(10))
        np.testing.assert_array_equal(np.concatenate([a for a, _ in parts]), x[seen])
        orders.append(seen.tolist())
    assert orders[0] != orders[1]
    again = Batches(x, y, batch_size=4, seed=1)
    assert [(b // 100).tolist() for _, b in again] == [orders[0][:4], orders[0][4:8], orders[0][8:]]


def test_batches_reuse_their_buffers() -> None:
    x = np.arange(8.0)
    addresses = {batch.ctypes.data for (batch,) in Batches(x, batch_size=4)}
    assert len(addresses) == 1


def test_batches_in_order_are_views() -> None:
    x = np.arange(10)
    parts = [batch for (batch,) in Batches(x, batch_size=4, shuffle=False)]
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(np.shares_memory(part, x) for part in parts)


def test_dropping_the_last() -> None:
    batches = Batches(np.arange(10), batch_size=4, drop_last=True)
    assert len(batches) == 2
    assert batches.examples == 8
    assert [len(batch) for (batch,) in batches] == [4, 4]


def test_arrays_that_are_not_contiguous() -> None:
    x = np.arange(24).reshape(4, 6)[:, ::2]
    (batch,) = next(iter(Batches(x, batch_size=4)))
    assert sorted(map(tuple, batch.tolist())) == sorted(map(tuple, x.tolist()))


@pytest.mark.parametrize(
    ("arrays", "options", "text"),
    [
        ((np.zeros(3), np.zeros(4)), {}, r"shapes \(3,\), \(4,\)"),
        ((np.float32(1),), {}, r"shapes \(\)"),
        ((), {}, r"\(none\)"),
        ((np.zeros(0),), {}, "0 examples make no batch of 32"),
        ((np.zeros(3),), {"batch_size": 0}, "batch_size=0"),
        ((np.zeros(3),), {"batch_size": 4, "drop_last": True}, "3 examples make no batch of 4"),
    ],
)
def test_wrong_arguments(arrays: tuple[np.ndarray, ...], options: dict[str, int], text: str) -> None:
    with pytest.raises(gr.ShapeError, match=text) as caught:
        Batches(*arrays, **options)
    assert "expected: " in str(caught.value)
