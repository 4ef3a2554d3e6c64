from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.datasets import load_idx

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return header + np.asarray(array, array.dtype.newbyteorder(">")).tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
WHOLE = idx_bytes(IMAGES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images-idx3-ubyte"


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3, 4)], ids=str)
def test_every_type_plain_compressed_and_mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(1).normal(size=shape) * 50).astype(dtype)
    path.write_bytes(idx_bytes(array))
    plain, mapped = load_idx(path), load_idx(path, mmap=True)
    packed = path.with_name("packed")
    packed.write_bytes(gzip.compress(idx_bytes(array)))
    for found in (plain, load_idx(str(packed))):
        assert found.dtype == dtype and found.flags.writeable
        np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(mapped.astype(dtype), array)
    assert mapped.dtype.newbyteorder("=") == dtype


def test_a_mapped_file_feeds_a_run(path: Path) -> None:
    path.write_bytes(WHOLE)
    images = load_idx(path, mmap=True)
    assert isinstance(images, np.memmap)
    x = gr.placeholder(("batch", 4, 3), "uint8")
    mean = gr.compile(x, gr.cast(x, "float64").mean())
    assert gr.train.evaluate(mean, images, batch_size=2)["loss"] == pytest.approx(IMAGES.mean())
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_every_cut_is_noticed(path: Path) -> None:
    packed = gzip.compress(WHOLE)
    for content in (WHOLE, packed):
        for length in range(len(content)):
            path.write_bytes(content[:length])
            with pytest.raises(gr.GraphError, match=r"is damaged|begins with the bytes"):
                load_idx(path)


def test_a_flipped_bit_of_a_compressed_file_never_changes_the_array(path: Path) -> None:
    packed = gzip.compress(WHOLE, mtime=0)
    refused = 0
    for place in range(8 * len(packed)):
        content = bytearray(packed)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            assert (load_idx(path) == IMAGES).all()  # a bit of the time of packing, or of padding
        except gr.GraphError:
            refused += 1
    assert refused > 8 * len(WHOLE)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"begins with the bytes \(none\)"),
        (b"\x93NUMPY", "begins with the bytes 93 4e 55 4d"),
        (b"\0\0\x0a\x01\0\0\0\x01\0", "begins with the bytes 00 00 0a 01"),
        (b"\0\0\x08\x02\0\0\0\x01", "ends within the sizes of its 2 axes"),
        (WHOLE[:-1], r"has 59 of the 60 bytes of an array of shape \(5, 4, 3\)"),
        (WHOLE + b"\0", "bytes follow the 60"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"\0", "has 1 of the 79228162458924105385300197375 bytes"),
    ],
)
def test_what_is_wrong_is_said(path: Path, content: bytes, text: str) -> None:
    path.write_bytes(content)
    with pytest.raises(gr.GraphError, match=text) as caught:
        load_idx(path)
    assert "expected: " in str(caught.value)
    if len(content) > 4 and content[4:8] != b"\xff" * 4:
        path.write_bytes(gzip.compress(content))
        with pytest.raises(gr.GraphError, match=text):
            load_idx(path)


def test_a_small_compressed_file_that_announces_much(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12))
    with pytest.raises(gr.GraphError, match="which so small a file cannot hold"):
        load_idx(path)


def test_files_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(gr.GraphError, match="cannot be read: No such file"):
        load_idx(path)
    with pytest.raises(gr.GraphError, match="cannot be read: Is a directory"):
        load_idx(path.parent)
    path.write_bytes(gzip.compress(WHOLE))
    with pytest.raises(gr.GraphError, match="is compressed, and mmap=True"):
        load_idx(path, mmap=True)
