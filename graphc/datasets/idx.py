"""Arrays in IDX files, the format of MNIST and of data sets made after it."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from graphc.errors import GraphError
from graphc.ir.op import Array

__all__ = ["load_idx"]

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
_GZIP = b"\x1f\x8b"
_GREATEST_RATIO = 1032
"""How many bytes one byte of a deflate stream can stand for; see https://zlib.net/zlib_tech.html."""


class _Header(NamedTuple):
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    size: int
    """Bytes of the header."""

    @property
    def content(self) -> int:
        """Bytes of the items."""
        return math.prod(self.shape) * self.dtype.itemsize


def load_idx(path: str | os.PathLike[str], *, mmap: bool = False) -> Array:
    """The array in an IDX file, plain or compressed with gzip.

    For instance the images of MNIST::

        images = gr.datasets.load_idx("train-images-idx3-ubyte.gz")  # uint8 (60000, 28, 28)
        labels = gr.datasets.load_idx("train-labels-idx1-ubyte.gz")  # uint8 (60000,)

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, section on file formats.

    Args:
        path: of the file; whether it is compressed is seen by its first bytes.
        mmap: whether to leave the items in the file, which is read where the array is: for plain files larger than
            memory. The array cannot be written then, and its items have the byte order of the file.

    Returns:
        A new array of uint8, int8, int16, int32, float32 or float64, as the file says.

    Raises:
        GraphError: the file cannot be read, is damaged, is cut off or no IDX file, or is to be mapped and compressed.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            packed = stream.read(2) == _GZIP
            stream.seek(0)
            if not packed:
                return _from_plain(file, stream, mmap)
            if mmap:
                raise GraphError(
                    f"{file} is compressed, and mmap=True",
                    expected="a plain file where items are to stay in the file",
                    remedy="unpack it with gunzip, or leave out mmap",
                )
            with gzip.GzipFile(fileobj=stream) as unpacked:
                return _from_gzip(file, unpacked)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(file, f"its compressed content is damaged or cut off ({error})") from error
    except OSError as error:
        raise GraphError(
            f"{file} cannot be read: {error.strerror or error}", expected="an IDX file that may be read"
        ) from error


def _from_plain(path: Path, stream: BinaryIO, mmap: bool) -> Array:
    header = _read_header(path, stream)
    _check_content(path, header, os.fstat(stream.fileno()).st_size - header.size)
    if mmap and header.content:
        return np.memmap(stream, header.dtype, "r", header.size, header.shape)
    return _as_array(header, stream.read(header.content))


def _from_gzip(path: Path, stream: gzip.GzipFile) -> Array:
    header = _read_header(path, stream)
    possible = path.stat().st_size * _GREATEST_RATIO
    if header.content > possible:  # before memory for it is asked for
        raise _damaged(path, f"its header announces {header.content} bytes, which so small a file cannot hold")
    content = stream.read(header.content)
    surplus = len(stream.read(1))  # also has the checksum compared
    _check_content(path, header, len(content) + surplus)
    return _as_array(header, content)


def _read_header(path: Path, stream: BinaryIO | gzip.GzipFile) -> _Header:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise GraphError(
            f"{path} begins with the bytes {magic.hex(' ') or '(none)'}",
            expected=f"an IDX file: 00 00, a type among {', '.join(f'{code:02x}' for code in _DTYPES)}, "
            "and the number of axes",
            remedy="check the path; an archive must be unpacked, a .npy file is read with numpy.load",
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise _damaged(path, f"it ends within the sizes of its {magic[3]} axes")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    return _Header(np.dtype(">" + _DTYPES[magic[2]]), shape, 4 + len(sizes))


def _check_content(path: Path, header: _Header, found: int) -> None:
    if found < header.content:
        raise _damaged(path, f"it has {found} of the {header.content} bytes of an array of shape {header.shape}")
    if found > header.content:
        raise _damaged(path, f"bytes follow the {header.content} of an array of shape {header.shape}")


def _as_array(header: _Header, content: bytes) -> Array:
    return np.frombuffer(content, header.dtype).reshape(header.shape).astype(header.dtype.newbyteorder("="))


def _damaged(path: Path, how: str) -> GraphError:
    return GraphError(
        f"{path} is damaged: {how}",
        expected="a whole IDX file",
        remedy="fetch it again, and compare its checksum with the published one",
    )
