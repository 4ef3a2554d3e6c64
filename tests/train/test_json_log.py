from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.train import Checkpoint, History, JSONLog, LambdaCallback, fit, read_log

X = np.arange(10.0)


def mean(x: np.ndarray) -> float:
    return float(x.mean())


def without_time(path: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in record.items() if name != "time"} for record in read_log(path)]


def test_lines_of_steps_and_epochs(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "log.jsonl"
    seen: list[int] = []
    counting = LambdaCallback(on_batch_end=lambda step, metrics: seen.append(len(path.read_bytes().splitlines())))
    validation = (lambda x: {"loss": -1.0}, X)
    callbacks = [JSONLog(path, every_steps=2), counting]
    fit(mean, X, epochs=2, batch_size=4, shuffle=False, validation=validation, callbacks=callbacks, progress=False)
    assert seen == [0, 1, 1, 3, 3, 4]  # each line is in the file at once
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(earlier["time"] <= later["time"] for earlier, later in pairwise(records))
    assert without_time(path) == [
        {"step": 2, "loss": 5.5},
        {"epoch": 1, "step": 3, "loss": 4.5, "validation_loss": -1.0},
        {"step": 4, "loss": 1.5},
        {"step": 6, "loss": 8.5},
        {"epoch": 2, "step": 6, "loss": 4.5, "validation_loss": -1.0},
    ]
    assert all(isinstance(record["step"], int) for record in read_log(path))


def test_a_resumed_run_goes_on_where_the_checkpoint_was_saved(tmp_path: Path) -> None:
    def run(name: str, fails_at: int | None = None, resume: bool = False) -> Path:
        path = tmp_path / f"{name}.jsonl"

        def fail(step: int, metrics: dict[str, float]) -> None:
            if step == fails_at:
                raise ConnectionError

        log, saving = JSONLog(path, every_steps=1), Checkpoint(tmp_path / name, every_epochs=None, every_steps=2)
        callbacks = [log, LambdaCallback(on_batch_end=fail), saving]
        fit(mean, X, epochs=3, batch_size=4, callbacks=callbacks, progress=False, resume=resume)
        return path

    whole = without_time(run("whole"))
    assert len(whole) == 12
    for fails_at in (4, 5, 6, 7):  # the lines of one or two steps, and of an epoch, come after the last checkpoint
        name = f"failed at {fails_at}"
        with pytest.raises(ConnectionError):
            run(name, fails_at)
        assert without_time(run(name, resume=True)) == whole


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"step": 1, "loss": 2}\n{"step": 2, "los')
    assert read_log(path) == [{"step": 1, "loss": 2}]
    log = JSONLog(path)
    log.on_train_begin(History(steps=5))
    log.on_batch_end(6, {})
    log.on_epoch_end(1, {"loss": 0.5})
    assert without_time(path) == [{"step": 1, "loss": 2}, {"epoch": 1, "step": 6, "loss": 0.5}]


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = JSONLog(path)
    log.on_train_begin(History())
    log.on_epoch_end(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "step": 99.0})
    record = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert [record[name] for name in "abc"] == ["NaN", "Infinity", "-Infinity"]
    (found,) = read_log(path)
    assert math.isnan(found["a"]) and found["b"] == math.inf and found["c"] == -math.inf
    assert found["step"] == 0  # the place in the run keeps its name


def test_the_log_of_another_run_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for epochs in (1, 2):
        fit(mean, X, epochs=epochs, callbacks=[JSONLog(path, overwrite=True)], progress=False)
        assert len(read_log(path)) == epochs
    before = path.read_bytes()
    with pytest.raises(gr.GraphError, match="holds the log of another run"):
        fit(mean, X, callbacks=[JSONLog(path)], progress=False)
    assert path.read_bytes() == before


def test_wrong_arguments_and_files(tmp_path: Path) -> None:
    with pytest.raises(gr.GraphError, match="every_steps=0"):
        JSONLog(tmp_path / "log", every_steps=0)
    with pytest.raises(gr.GraphError, match="cannot be written: Is a directory"):
        JSONLog(tmp_path, overwrite=True).on_train_begin(History())
    with pytest.raises(gr.GraphError, match="cannot be read: No such file"):
        read_log(tmp_path / "log")
    for line in ("not JSON", "[1]", '{"step": "a"}', "3"):
        (tmp_path / "log").write_text('{"step": 1}\n' + line + "\n")
        with pytest.raises(gr.GraphError, match=r"line 2 of .*log is"):
            read_log(tmp_path / "log")
