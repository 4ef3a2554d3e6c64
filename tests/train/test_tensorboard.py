from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

import graphc as gr
from graphc.train import History, TensorBoard, fit


def events(path: Path) -> list[Event]:
    """What a file holds: records of a length, its checksum, that many bytes, their checksum."""
    content, found, place = path.read_bytes(), [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        found.append(Event.FromString(content[place + 12 : place + 12 + length]))
        place += length + 16
    return found


def scalars(path: Path) -> list[tuple[int, str, float]]:
    return [(event.step, item.tag, item.simple_value) for event in events(path) for item in event.summary.value]


def test_metrics_of_epochs_and_steps(tmp_path: Path) -> None:
    x = np.arange(10.0)
    callback = TensorBoard(tmp_path / "run", every_steps=2)
    validation = (lambda x: {"loss": -1.0}, x)
    options = {"epochs": 2, "batch_size": 4, "shuffle": False, "progress": False}
    fit(lambda x: x.mean(), x, validation=validation, callbacks=[callback], **options)  # type: ignore[arg-type]
    (path,) = (tmp_path / "run").iterdir()
    assert scalars(path) == [
        (2, "step/loss", 5.5),
        (3, "loss", 4.5),
        (3, "validation_loss", -1.0),
        (4, "step/loss", 1.5),
        (6, "step/loss", 8.5),
        (6, "loss", 4.5),
        (6, "validation_loss", -1.0),
    ]


def test_a_resumed_run_takes_the_place_of_what_came_after(tmp_path: Path) -> None:
    callback = TensorBoard(tmp_path)
    callback.on_train_begin(History(steps=7))
    callback.on_epoch_end(1, {"loss": 0.5})
    callback.on_train_end(History())
    (path,) = tmp_path.iterdir()
    starts = [event.step for event in events(path) if event.session_log.status == 1]
    assert starts == [8]
    assert scalars(path) == [(7, "loss", 0.5)]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(gr.GraphError, match=r"cannot import tensorboardX") as caught:
        TensorBoard(tmp_path)
    assert "pip install 'graphc[tensorboard]'" in str(caught.value)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(gr.GraphError, match="every_steps=0"):
        TensorBoard(tmp_path, every_steps=0)
