from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import graphc as gr
from graphc.train import load_safetensors, save_safetensors, tensors
from graphc.train.atomic import replace_file

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "float16",
    "uint32",
    "int32",
    "float32",
    "uint64",
    "int64",
    "float64",
]


def arrays() -> dict[str, np.ndarray]:
    """Every dtype, and the nasty shapes and values."""
    made = {dtype: np.arange(-3, 3).astype(dtype).reshape(2, 3) for dtype in DTYPES}
    return made | {
        "0-d": np.array(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "strided": np.arange(24.0).reshape(4, 6)[::2, ::-3],
        "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T,
        "not finite": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        "big-endian": np.arange(3, dtype=">i4"),
        'a "name": ünïcode\n': np.ones(1),
    }


def check_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(wanted)
    for name, array in wanted.items():
        assert (found[name].dtype.name, found[name].shape) == (array.dtype.name, array.shape)
        assert found[name].tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_the_files_are_those_of_the_safetensors_library(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    save_safetensors(ours, arrays(), {"note": "ünïcode"})
    check_equal(safetensors.numpy.load_file(ours), arrays())
    with safetensors.safe_open(ours, "numpy") as file:
        assert file.metadata() == {"note": "ünïcode"}
    safetensors.numpy.save_file({name: array.copy() for name, array in arrays().items()}, theirs)
    check_equal(load_safetensors(theirs), arrays())
    check_equal(load_safetensors(ours), arrays())
    save_safetensors(ours, {})
    assert load_safetensors(ours) == {}


def test_weights_of_pytorch_come_and_go(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    safetensors.torch.save_file(theirs.state_dict(), file)
    layer = gr.nn.Linear(3, 4)
    state = load_safetensors(file)
    layer.load_state_dict({name: state[f"0.{name}"] for name in ("weight", "bias")})
    np.testing.assert_array_equal(layer.weight.value, theirs[0].weight.detach().numpy())
    layer.weight.value = np.arange(12.0).reshape(4, 3)
    save_safetensors(file, layer.state_dict())
    theirs[0].load_state_dict(safetensors.torch.load_file(file))
    np.testing.assert_array_equal(theirs[0].weight.detach().numpy(), layer.weight.value)


def test_half_precision_of_others(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    numbers = torch.tensor([[1.0, -2.5, 3e38], [float("inf"), -0.0, 1e-40]])
    safetensors.torch.save_file({"bf16": numbers.bfloat16(), "f16": numbers.half()}, file)
    found = load_safetensors(file)
    assert found["bf16"].dtype == np.float32
    np.testing.assert_array_equal(found["bf16"], numbers.bfloat16().float().numpy())
    assert found["f16"].dtype == np.float16
    safetensors.torch.save_file({"w": numbers.to(torch.float8_e4m3fn)}, file)
    with pytest.raises(gr.DTypeError, match="the tensor 'w' is of dtype F8_E4M3"):
        load_safetensors(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header too small"),
        (b"\x80\x04pickled things", "header too large"),
        ((10**12).to_bytes(8, "little") + b"{}", "header too large"),
        (b"\x02\0\0\0\0\0\0\0{}extra", "not fully covered"),
        (b"\x02\0\0\0\0\0\0\0[]", "invalid JSON"),
    ],
)
def test_what_is_no_safetensors_file(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(gr.GraphError, match=f"{file} is damaged, cut off, or no safetensors file: .*{message}"):
        load_safetensors(file)


@pytest.mark.parametrize(
    "entry",
    [
        '{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,8]}',
        '{"dtype":"F32","shape":[2],"data_offsets":[0,4096]}',
        '{"dtype":"F32","shape":[2],"data_offsets":[8,0]}',
        '{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}',
        '{"dtype":"object","shape":[1],"data_offsets":[0,8]}',
    ],
)
def test_headers_that_lie(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "file"
    header = f'{{"w":{entry}}}'.encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(gr.GraphError, match="no safetensors file"):
        load_safetensors(file)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(gr.GraphError, match=r"none cannot be read: No such file") as caught:
        load_safetensors(tmp_path / "none")
    assert caught.value.location.filename == __file__
    with pytest.raises(gr.GraphError, match="cannot be read: it is a folder"):
        load_safetensors(tmp_path)
    with pytest.raises(gr.GraphError, match="cannot be written: No such file"):
        save_safetensors(tmp_path / "none" / "file", {})
    with pytest.raises(gr.GraphError, match="cannot be written: Is a directory"):
        save_safetensors(tmp_path, {})
    assert list(tmp_path.parent.glob(".*.partial")) == []


@pytest.mark.parametrize(
    ("given", "metadata", "message"),
    [
        ({"w": np.array(["text"])}, None, "the tensor 'w' is of dtype <U4"),
        ({"w": np.array(None)}, None, "the tensor 'w' is of dtype object"),
        ({"__metadata__": np.ones(1)}, None, "tensors called '__metadata__'"),
        ({3: np.ones(1)}, None, "tensors called 3"),
        ({}, {"epoch": 3}, "metadata {'epoch': 3}"),
    ],
)
def test_what_cannot_be_stored(tmp_path: Path, given: Any, metadata: Any, message: str) -> None:
    with pytest.raises(gr.GraphError, match=message):
        save_safetensors(tmp_path / "file", given, metadata)
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_readers_would_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "_LONGEST_HEADER", 100)
    with pytest.raises(gr.GraphError, match=r"make a header of 1\d\d bytes"):
        save_safetensors(tmp_path / "file", {}, {"note": "x" * 100})
    save_safetensors(tmp_path / "file", {}, {"note": "x" * 50})


# --- replacing files -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path: Path, kind: type[BaseException]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")

    def chunks() -> Iterator[bytes]:
        yield b"half" * 10**6
        assert len(list(tmp_path.iterdir())) == 2
        raise kind

    with pytest.raises(kind):
        replace_file(file, chunks())
    assert file.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_the_dead_left_is_removed_and_what_the_living_write_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a[1]"
    stale, live, other = (tmp_path / f".{name}.partial" for name in ("a[1].0", "a[1].1", "b.2"))
    for path in (stale, live, other):
        path.write_bytes(b"part")
    with open(live) as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        replace_file(file, [b"wh", memoryview(b"ole")])
    assert sorted(tmp_path.iterdir()) == sorted([file, live, other])
    assert file.read_bytes() == b"whole"


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    file = tmp_path / "file"

    def chunks() -> Iterator[bytes]:
        yield b"first"
        replace_file(file, [b"second"])
        assert file.read_bytes() == b"second"

    replace_file(file, chunks())
    assert file.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_file_and_its_folder_reach_the_disk_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File synced, renamed, folder synced: anything else may lose both files when the machine fails."""
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        events.append(("fsync", "partial" if name.endswith(".partial") else name))
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        events.append(("replace", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    save_safetensors(tmp_path / "file", {"w": np.ones(3)})
    assert events == [("fsync", "partial"), ("replace", "file"), ("fsync", tmp_path.name)]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "ours", {})
    (tmp_path / "theirs").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode
