from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.train import Stream, evaluate, fit, prefetch


def numbers() -> Iterator[tuple[np.ndarray, int]]:
    for number in range(7):
        yield np.full(2, number, np.float32), number


def test_examples_are_stacked_to_batches_and_the_last_is_smaller() -> None:
    stream = Stream(numbers, batch_size=3)
    for _ in range(2):  # it begins anew
        batches = list(stream)
        assert [x.shape for x, _ in batches] == [(3, 2), (3, 2), (1, 2)]
        assert [t.tolist() for _, t in batches] == [[0, 1, 2], [3, 4, 5], [6]]
        assert {x.dtype.name for x, _ in batches} == {"float32"}
    assert evaluate(lambda x, t: t.mean(), stream) == {"loss": pytest.approx(3.0)}


def test_examples_of_one_array_and_none_at_all() -> None:
    assert [batch[0].tolist() for batch in Stream(lambda: range(5), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert list(Stream(list, batch_size=2)) == []


def test_batches_are_taken_as_they_come_for_several_epochs() -> None:
    seen = []

    def step(x: np.ndarray) -> float:
        seen.append(len(x))
        return 0.0

    batches = [np.zeros(2), np.zeros(1)]
    history = fit(step, Stream(lambda: iter(batches)), epochs=2, progress=False)
    assert seen == [2, 1, 2, 1]
    assert history.examples == [3, 3]
    fit(step, prefetch(Stream(lambda: (batch for batch in batches))), progress=False)
    assert seen[4:] == [2, 1]


def test_the_progress_bar_knows_the_number_of_examples(capsys: pytest.CaptureFixture[str]) -> None:
    fit(lambda x: 0.0, Stream(lambda: range(4), batch_size=3, examples=4))
    assert "4.00/4.00" in capsys.readouterr().err


def test_a_memory_mapped_file_is_left_where_it_is(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(50, 3))
    np.save(tmp_path / "array.npy", array)
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    batches = gr.train.Batches(mapped, batch_size=8)
    assert np.shares_memory(batches.arrays[0], mapped)
    found = np.concatenate([batch for (batch,) in prefetch(batches)])
    np.testing.assert_array_equal(np.sort(found, 0), np.sort(array, 0))
    x = gr.placeholder(("batch", 3), "float64")
    assert evaluate(gr.compile(x, x.mean()), mapped, batch_size=7)["loss"] == pytest.approx(array.mean())
    foreign = np.memmap(tmp_path / "foreign", ">f8", "w+", shape=array.shape)
    foreign[:] = array
    assert evaluate(gr.compile(x, x.mean()), foreign, batch_size=7)["loss"] == pytest.approx(array.mean())


def test_wrong_arguments() -> None:
    with pytest.raises(gr.GraphError, match="a stream is made of a generator"):
        Stream(numbers())  # type: ignore[arg-type]
    with pytest.raises(gr.GraphError, match="batch_size=0"):
        Stream(numbers, 0)
    with pytest.raises(gr.ShapeError, match=r"examples of shapes \(1,\) and \(2,\) in one batch"):
        list(Stream(lambda: [np.zeros(1), np.zeros(2)], 2))
    with pytest.raises(gr.ShapeError, match=r"examples of shapes \(\) and \(\), \(\) in one batch"):
        list(Stream(lambda: [(1,), (1, 2)], 2))
    with pytest.raises(gr.GraphError, match=r"ends with its first epoch; there are 2") as caught:
        fit(lambda x: 0.0, iter([np.zeros(1)]), epochs=2, progress=False)
    assert "gr.train.Stream(function)" in str(caught.value)
