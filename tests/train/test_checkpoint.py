from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import graphc as gr
from graphc.train import (
    Batches,
    inspect_checkpoint,
    load_checkpoint,
    load_safetensors,
    save_checkpoint,
    save_safetensors,
)

FLIPS = int(os.environ.get("GRAPHC_FLIPS", "500"))


class Counter:
    """A user's object with a state: numbers, and an array whose size changes."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.fails = False

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "names": ["a", None, 0.1], "squares": np.arange(self.count) ** 2}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]
        assert state["names"] == ["a", None, 0.1]
        if self.fails:
            self.fails = False
            raise gr.GraphError("the counter fails")


class Program:
    """A model and its training step."""

    def __init__(self, width: int = 5, dtype: str = "float32", lr: Any = 0.1) -> None:
        gr.random.seed(3)
        self.model = gr.nn.Sequential(
            gr.nn.Linear(4, width, dtype=dtype), gr.nn.BatchNorm1d(width, dtype=dtype), gr.nn.Dropout(0.5)
        )
        self.optimizer = gr.optim.Adam(lr)
        x = gr.placeholder(("batch", 4), dtype)
        loss = (self.model(x) ** 2).mean()
        self.step = gr.compile([x], loss, updates=self.optimizer.updates(loss, self.model.parameters()))
        self.x = np.random.default_rng(0).standard_normal((6, 4)).astype(dtype)

    def train(self, steps: int = 3) -> None:
        for _ in range(steps):
            self.step(self.x)

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "random": gr.random.default_generator}

    def bits(self) -> dict[str, bytes]:
        state = self.model.state_dict() | self.optimizer.state_dict()
        return {name: array.tobytes() for name, array in state.items()}


def bits_of(parts: Mapping[str, Any]) -> list[bytes]:
    modules = [part for part in parts.values() if isinstance(part, gr.nn.Module)]
    return [array.tobytes() for module in modules for array in module.state_dict().values()]


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Program]:
    program = Program()
    program.train()
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, metadata={"epoch": 3}, **program.parts())
    return path, program


def test_a_hand_written_loop_goes_on(trained: tuple[Path, Program]) -> None:
    path, program = trained
    program.train(4)
    resumed = Program()
    info = load_checkpoint(path, **resumed.parts())
    resumed.train(4)
    assert resumed.bits() == program.bits()
    assert info.metadata == {"epoch": 3}


def test_the_learning_rate_as_a_variable_is_kept(tmp_path: Path) -> None:
    program = Program(lr=gr.variable(0.1, dtype="float32"))
    program.optimizer.lr.value = 0.01
    save_checkpoint(tmp_path / "file", optimizer=program.optimizer)
    fresh = Program(lr=gr.variable(0.1, dtype="float32"))
    load_checkpoint(tmp_path / "file", optimizer=fresh.optimizer)
    assert fresh.optimizer.lr.value == np.float32(0.01)


def test_a_model_alone(trained: tuple[Path, Program]) -> None:
    path, program = trained
    model = Program().model
    load_checkpoint(path, model=model)
    for name, array in program.model.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)


def test_other_programs_read_checkpoints(trained: tuple[Path, Program]) -> None:
    path, program = trained
    state = safetensors.torch.load_file(path)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5))
    unmatched = theirs.load_state_dict(
        {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")},
        strict=False,
    )
    assert not unmatched.unexpected_keys
    np.testing.assert_array_equal(theirs[0].weight.detach().numpy(), program.model.state_dict()["0.weight"])
    assert load_safetensors(path)["model.0.weight"].shape == (5, 4)


def test_parts_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    variables = {"w": gr.variable([1.0, np.nan]), "n": gr.variable(7), "e": gr.variable(np.zeros((0, 2), bool))}
    generator, counter = gr.random.Generator(5), Counter(4)
    draw = gr.compile([], generator.uniform((3,)))
    draw()
    save_checkpoint(path, variables=variables, generator=generator, counter=counter)
    wanted = [draw().tolist(), draw().tolist()]
    values = {name: variable.value for name, variable in variables.items()}
    for variable in variables.values():
        variable.value = np.zeros_like(variable.value)
    counter.count = 9
    load_checkpoint(path, variables=variables, generator=generator, counter=counter)
    for name, variable in variables.items():
        np.testing.assert_array_equal(variable.value, values[name])
    assert [draw().tolist(), draw().tolist()] == wanted
    assert counter.count == 4


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_generators_of_numpy(tmp_path: Path, kind: type[Any]) -> None:
    generator = np.random.Generator(kind(1))
    generator.integers(5, size=3, dtype=np.int32)
    save_checkpoint(tmp_path / "file", noise=generator)
    wanted = generator.normal(size=9)
    again = np.random.Generator(kind(2))
    load_checkpoint(tmp_path / "file", noise=again)
    np.testing.assert_array_equal(again.normal(size=9), wanted)
    other = np.random.Generator(np.random.PCG64DXSM())
    with pytest.raises(gr.GraphError, match=f"part 'noise': the state of NumPy's generator {kind.__name__}"):
        load_checkpoint(tmp_path / "file", noise=other)


def test_batches_go_on_where_they_were(tmp_path: Path) -> None:
    def batches(**options: Any) -> Batches:
        return Batches(np.arange(20), **{"batch_size": 3, "seed": 4, **options})

    def taken(source: Any) -> list[list[int]]:
        return [batch.tolist() for (batch,) in source]

    for shuffle in (True, False):
        whole = batches(shuffle=shuffle)
        wanted = [taken(whole) for _ in range(3)]
        for stop in (0, 1, 6, 7):
            first = batches(shuffle=shuffle)
            taken(first)
            iterator = iter(first)
            seen = [next(iterator)[0].tolist() for _ in range(stop)]
            save_checkpoint(tmp_path / "file", batches=first)
            again = batches(shuffle=shuffle)
            load_checkpoint(tmp_path / "file", batches=again)
            save_checkpoint(tmp_path / "file", batches=again)
            load_checkpoint(tmp_path / "file", batches=again)
            assert seen + taken(again) == wanted[1]
            assert taken(again) == wanted[2]
    with pytest.raises(gr.GraphError, match="batches with batch_size=3 is loaded into batches with batch_size=4"):
        load_checkpoint(tmp_path / "file", batches=batches(batch_size=4))


def test_inspecting(trained: tuple[Path, Program]) -> None:
    path, _ = trained
    info = inspect_checkpoint(path)
    assert info.parts == ("model", "optimizer", "random")
    assert info.version == gr.__version__
    assert info.metadata == {"epoch": 3}
    assert info.tensors["model.0.weight"] == ("float32", (5, 4))
    assert str(info.tensors["optimizer.step"]) == "int64[]"
    text = str(info)
    assert "\n  model.1.running_mean           float32[5]\n" in text
    assert "epoch = 3" in text
    assert load_checkpoint(path) == info


# --- refused ---------------------------------------------------------------------------------------


def test_flipped_bits_are_refused(trained: tuple[Path, Program], tmp_path: Path) -> None:
    path, _ = trained
    target = Program()
    before = target.bits()
    whole = bytearray(path.read_bytes())
    places = np.random.default_rng(0).permutation(8 * len(whole))[:FLIPS]
    length = 8 * (8 + int.from_bytes(whole[:8], "little"))
    assert (places < length).any()
    assert (places >= length).any()
    file = tmp_path / "flipped"
    for place in (*range(64), *places.tolist()):
        whole[place // 8] ^= 1 << place % 8
        file.write_bytes(whole)
        whole[place // 8] ^= 1 << place % 8
        with pytest.raises(gr.GraphError, match=str(file)):
            load_checkpoint(file, **target.parts())
        if place < length:
            with pytest.raises(gr.GraphError, match=str(file)):
                inspect_checkpoint(file)
    assert target.bits() == before
    file.write_bytes(whole)
    load_checkpoint(file, **target.parts())


def test_a_damaged_tensor_is_named(trained: tuple[Path, Program]) -> None:
    path, _ = trained
    content = bytearray(path.read_bytes())
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    start = header["optimizer.weight.exp_avg"]["data_offsets"][0]
    content[8 + int.from_bytes(content[:8], "little") + start] ^= 1
    path.write_bytes(content)
    with pytest.raises(gr.GraphError, match=r"damaged: the numbers of the tensor 'optimizer\.weight\.exp_avg'"):
        load_checkpoint(path, model=Program().model)


def test_files_that_are_cut_off_or_longer_are_refused(trained: tuple[Path, Program]) -> None:
    path, _ = trained
    whole = path.read_bytes()
    for content in [whole[:length] for length in range(0, len(whole), 97)] + [whole[:-1], whole + b"\0", whole + whole]:
        path.write_bytes(content)
        for read in (load_checkpoint, inspect_checkpoint):
            with pytest.raises(gr.GraphError, match="is damaged, cut off, or no safetensors file"):
                read(path)


def test_tensors_that_changed_places_are_refused(trained: tuple[Path, Program]) -> None:
    """Each has the right checksum, and not its own."""
    path, _ = trained
    content = path.read_bytes()
    swapped = content.replace(b'"model.0.bias"', b'"model.0.bia_"').replace(b'"model.1.bias"', b'"model.0.bias"')
    path.write_bytes(swapped.replace(b'"model.0.bia_"', b'"model.1.bias"'))
    with pytest.raises(gr.GraphError, match="is damaged"):
        load_checkpoint(path)


def test_plain_files_and_other_formats_are_refused(tmp_path: Path, trained: tuple[Path, Program]) -> None:
    path, program = trained
    plain = tmp_path / "plain"
    save_safetensors(plain, program.model.state_dict())
    with pytest.raises(gr.GraphError, match="plain is a safetensors file without the mark of a checkpoint") as caught:
        load_checkpoint(plain, model=program.model)
    assert "load_safetensors" in caught.value.remedy
    path.write_bytes(path.read_bytes().replace(b'"graphc.format":"1"', b'"graphc.format":"2"'))
    with pytest.raises(gr.GraphError, match="is a checkpoint of format '2'") as caught:
        load_checkpoint(path, model=program.model)
    assert caught.value.location.filename == __file__


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Program(width=6).parts(), gr.ShapeError, r"part 'model': '0\.weight' is float32\[5, 4\]"),
        (lambda: Program(dtype="float64").parts(), gr.DTypeError, r"part 'model': '0\.weight' is float32\[5, 4\]"),
        (lambda: {"model": gr.nn.Linear(4, 5)}, gr.GraphError, "part 'model': the state lacks 'weight', 'bias'"),
        (
            lambda: {"optimizer": gr.optim.Adam()},
            gr.GraphError,
            r"part 'optimizer': no variable is named 'bias\.exp",
        ),
        (lambda: {"net": Program().model}, gr.GraphError, "has no part 'net'"),
        (lambda: {"model": 3}, gr.GraphError, "the part 'model' is a int"),
        (lambda: {"my model": Counter()}, gr.GraphError, "a part is called 'my model'"),
    ],
)
def test_other_programs_are_refused(
    trained: tuple[Path, Program], make: Callable[[], dict[str, Any]], kind: type[gr.GraphError], message: str
) -> None:
    path, _ = trained
    parts = make()
    before = bits_of(parts)
    with pytest.raises(kind, match=message) as caught:
        load_checkpoint(path, **parts)
    assert caught.value.expected or caught.value.remedy
    assert bits_of(parts) == before


def test_a_part_that_fails_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "file"
    layer, counter = gr.nn.Linear(2, 2), Counter(3)
    save_checkpoint(path, layer=layer, counter=counter)
    layer.weight.value = np.zeros((2, 2))
    counter.count, counter.fails = 5, True

    with pytest.raises(gr.GraphError, match="part 'counter': the counter fails"):
        load_checkpoint(path, layer=layer, counter=counter)
    assert not layer.weight.value.any()
    assert counter.count == 5
    load_checkpoint(path, layer=layer, counter=counter)
    assert layer.weight.value.any()


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(gr.GraphError, match="metadata cannot be stored: Object of type ndarray"):
        save_checkpoint(path, metadata={"w": np.ones(3)})
    with pytest.raises(gr.GraphError, match="the part 'model' is a list"):
        save_checkpoint(path, model=[1])
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_keeps_the_file(trained: tuple[Path, Program], monkeypatch: pytest.MonkeyPatch) -> None:
    path, program = trained
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    program.train()
    with pytest.raises(gr.GraphError, match="cannot be written: No space left on device"):
        save_checkpoint(path, **program.parts())
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
