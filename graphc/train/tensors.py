"""Tensors in safetensors files: https://huggingface.co/docs/safetensors, a format without code and without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from graphc.errors import DTypeError, GraphError
from graphc.ir.op import Array
from graphc.train.atomic import replace_file

__all__ = [
    "TensorFile",
    "TensorInfo",
    "bytes_of",
    "load_safetensors",
    "read_header",
    "read_tensors",
    "save_safetensors",
    "stored_array",
]

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
}
"""NumPy's names of the format's dtypes."""
_NAMES = {name: code for code, name in _DTYPES.items()}
_BFLOAT16 = "BF16"
_METADATA = "__metadata__"
_LONGEST_HEADER = 100_000_000


class TensorInfo(NamedTuple):
    """What a file says about a tensor."""

    dtype: str
    """NumPy's name of the dtype; the format's where NumPy has none."""
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    @classmethod
    def of(cls, array: Array) -> TensorInfo:
        """That of an array."""
        return cls(array.dtype.name, array.shape)


class TensorFile(NamedTuple):
    """The contents of a file."""

    tensors: dict[str, Array]
    metadata: dict[str, str]


def save_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays to a safetensors file, which other programs read too: PyTorch with ``safetensors.torch.load_file``.

    The file is replaced whole or not at all. For instance::

        gr.train.save_safetensors("weights.safetensors", model.state_dict())

    Args:
        path: of the file.
        tensors: arrays by name.
        metadata: texts by name.

    Raises:
        DTypeError: an array is of a dtype that the format lacks.
        GraphError: the file cannot be written, or names or metadata are not texts, or too long.
    """
    arrays = {name: stored_array(name, value) for name, value in tensors.items()}
    # wide items first, as the format's own library has them: every tensor is aligned
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    header = _header(ordered, dict(metadata or {}))
    replace_file(Path(path), [len(header).to_bytes(8, "little"), header, *map(bytes_of, ordered.values())])


def _header(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The header of a file that holds the arrays in their order."""
    if _METADATA in arrays or not all(isinstance(text, str) for text in (*arrays, *metadata, *metadata.values())):
        raise GraphError(
            f"tensors called {', '.join(map(repr, arrays))}, and metadata {dict(metadata)}",
            expected=f"texts, and no tensor called {_METADATA!r}",
        )
    entries: dict[str, Any] = {_METADATA: metadata} if metadata else {}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        entries[name] = {"dtype": _NAMES[array.dtype.name], "shape": array.shape, "data_offsets": (start, end)}
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    if len(header) > _LONGEST_HEADER:
        raise GraphError(
            f"names and metadata make a header of {len(header)} bytes",
            expected=f"at most {_LONGEST_HEADER}: readers of the format refuse longer ones",
            remedy="keep less in the metadata",
        )
    return header + b" " * (-len(header) % 8)


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of any safetensors file by name, for instance of one that PyTorch's users published.

    Such files hold no checksums: damage of their numbers cannot be seen. What :func:`graphc.train.save_checkpoint`
    wrote is checked by :func:`graphc.train.load_checkpoint`. For instance::

        model.load_state_dict(gr.train.load_safetensors("weights.safetensors"))

    Args:
        path: of the file. Tensors of bfloat16 become float32, which has all of their values.

    Raises:
        GraphError: there is no such file, or it is not a whole safetensors file.
        DTypeError: NumPy lacks the dtype of a tensor.
    """
    return read_tensors(Path(path)).tensors


def read_tensors(path: Path) -> TensorFile:
    """All that a file holds. The arrays may be written."""
    try:
        with safe_open(path, framework="numpy") as file:  # checks the header: sizes, bounds, overlaps
            kinds = {name: info.dtype for name, info in _infos(file).items()}
            _check_known(path, kinds)
            tensors = {name: file.get_tensor(name) for name, kind in kinds.items() if kind != _BFLOAT16}
            metadata = dict(file.metadata() or {})
        if _BFLOAT16 in kinds.values():
            tensors |= _bfloat16(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    return TensorFile(tensors, metadata)


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """What a file says about its tensors, and its metadata; the tensors are not read."""
    try:
        with safe_open(path, framework="numpy") as file:
            return _infos(file), dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _infos(file: safe_open) -> dict[str, TensorInfo]:
    names = sorted(file.keys())  # type: ignore[no-untyped-call]
    slices = map(file.get_slice, names)
    infos = [TensorInfo(_DTYPES.get(kind := one.get_dtype(), kind), tuple(one.get_shape())) for one in slices]
    return dict(zip(names, infos, strict=True))


def _check_known(path: Path, kinds: Mapping[str, str]) -> None:
    for name, kind in kinds.items():
        if kind not in (*_NAMES, _BFLOAT16):
            raise DTypeError(
                f"{path}: the tensor {name!r} is of dtype {kind}",
                expected=f"{', '.join(_NAMES)} or {_BFLOAT16}",
                remedy="convert it where the file was made",
            )


def _bfloat16(path: Path) -> dict[str, Array]:
    """The tensors of bfloat16 as float32, of which it is the upper half; NumPy lacks it."""
    found = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    halves = {name: part for name, part in found if part["dtype"] == _BFLOAT16}
    return {
        name: (np.frombuffer(part["data"], "<u2").astype(np.uint32) << 16).view(np.float32).reshape(part["shape"])
        for name, part in halves.items()
    }


def bytes_of(array: Array) -> memoryview:
    """The memory of an array in C order."""
    return array.reshape(-1).view(np.uint8).data


def stored_array(name: str, value: Any) -> Array:
    """An array as the format has it: in C order, its items' lowest bytes first.

    Raises:
        DTypeError: the format lacks its dtype.
    """
    array = np.asarray(value, order="C")
    if array.dtype.name not in _NAMES:
        raise DTypeError(
            f"the tensor {name!r} is of dtype {array.dtype}",
            expected=", ".join(_NAMES),
            remedy="convert it with .astype",
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _unreadable(path: Path, error: OSError | SafetensorError) -> GraphError:
    if isinstance(error, OSError):
        reason = "it is a folder" if path.is_dir() else error.strerror or error
        return GraphError(f"{path} cannot be read: {reason}", expected="a safetensors file that may be read")
    return GraphError(
        f"{path} is damaged, cut off, or no safetensors file: {error}",
        expected="a whole safetensors file",
        remedy="use another copy, or a checkpoint saved before it",
    )
