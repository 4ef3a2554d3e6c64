"""Checkpoints: what a training run needs to continue, in one file that is whole and checked.

A checkpoint is a safetensors file. It is made of parts, such as a model and its optimizer. A part's arrays are tensors
named ``part.name``; all else that a part keeps is JSON in the file's metadata, beside

- a SHA-256 checksum of every tensor, and
- one of the header: of the names, dtypes and shapes of all tensors, and of all metadata.

What the format's library reads must be what was written, or nothing is loaded: no damaged bit passes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphc._version import __version__
from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir.op import Array
from graphc.train.parts import Part, Stateful, as_stateful, variables_in
from graphc.train.tensors import TensorInfo, bytes_of, read_header, read_tensors, save_safetensors, stored_array

__all__ = ["CheckpointInfo", "SavedCheckpoint", "inspect_checkpoint", "load_checkpoint", "save_checkpoint"]

LAST = "last.safetensors"
"""The checkpoint that a folder stands for."""

_FORMAT = "1"
_FORMAT_KEY = "graphc.format"
_VERSION_KEY = "graphc.version"
_CHECKSUMS_KEY = "graphc.checksums"
_STATE_KEY = "graphc.state"
_METADATA_KEY = "graphc.metadata"
_HEADER_KEY = "graphc.header"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint holds. ``str`` makes a table of it.

    Attributes:
        path: the file.
        version: of the graphc that wrote it.
        tensors: dtype and shape of each tensor, by name: that of its part, a dot, its name in the part.
        state: for each part, by name, what it keeps beside tensors.
        metadata: what the user gave.
    """

    path: Path
    version: str
    tensors: dict[str, TensorInfo]
    state: dict[str, dict[str, Any]]
    metadata: dict[str, Any]

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self.state)

    def __str__(self) -> str:
        lines = [f"{self.path}: a checkpoint of graphc {self.version}"]
        width = max(map(len, self.tensors), default=0)
        for part in self.parts:
            lines += [f"{part}:"]
            own = {name: info for name, info in self.tensors.items() if name.startswith(f"{part}.")}
            lines += [f"  {name:<{width}}  {info}" for name, info in own.items()]
            lines += [f"  {name} = {json.dumps(value)}" for name, value in self.state[part].items()]
        if self.metadata:
            lines += ["metadata:", *(f"  {name} = {json.dumps(value)}" for name, value in self.metadata.items())]
        return "\n".join(lines)


def save_checkpoint(path: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None, **parts: Part) -> None:
    """Write the state of parts to a file, which is replaced whole or not at all.

    The file is written beside ``path`` under another name, synced, and renamed: whenever the process is killed or the
    machine fails, ``path`` holds the checkpoint before or this one. For instance::

        gr.train.save_checkpoint("run.safetensors", model=model, optimizer=optimizer, batches=batches,
                                 random=gr.random.default_generator, metadata={"epoch": epoch})

    Args:
        path: of the file; safetensors is its format, and ``.safetensors`` its usual suffix.
        metadata: what else to keep: anything that JSON has, by name.
        **parts: what to save: modules, optimizers, :class:`graphc.train.Batches`, random generators of graphc and
            NumPy, mappings from names to variables, and any object with ``state_dict`` and ``load_state_dict``, whose
            state is a mapping from names to arrays and to what JSON has.

    Raises:
        GraphError: a part is something else, its state or the metadata cannot be stored, or the file not written.
    """
    tensors: dict[str, Array] = {}
    state: dict[str, dict[str, Any]] = {}
    for part, stateful in as_stateful(parts).items():
        state[part] = {}
        for name, value in stateful.state_dict().items():
            if isinstance(value, np.ndarray | np.generic):
                tensors[f"{part}.{name}"] = stored_array(name, value)
            else:
                state[part][name] = value
    checksums = {name: _checksum(array) for name, array in tensors.items()}
    texts = {
        _FORMAT_KEY: _FORMAT,
        _VERSION_KEY: __version__,
        _CHECKSUMS_KEY: json.dumps(checksums),
        _STATE_KEY: _json(state, "the state of the parts"),
        _METADATA_KEY: _json(dict(metadata or {}), "metadata"),
    }
    infos = {name: TensorInfo.of(array) for name, array in tensors.items()}
    save_safetensors(path, tensors, texts | {_HEADER_KEY: _header_checksum(infos, texts)})


def load_checkpoint(path: str | os.PathLike[str], **parts: Part) -> CheckpointInfo:
    """Load parts from a checkpoint. Where anything is wrong, nothing is changed.

    The whole file is verified first, whatever is loaded of it. A model alone, for inference::

        gr.train.load_checkpoint("run/best.safetensors", model=model)

    Args:
        path: the file, or a folder that :class:`graphc.train.Checkpoint` wrote to, whose last checkpoint is taken.
        **parts: what to load into, by the names that they were saved under. An optimizer has its state once its
            ``updates`` were made.

    Returns:
        What the file holds, the metadata among it.

    Raises:
        GraphError: there is no such file; it is damaged, cut off, no checkpoint, or of another format; it lacks a part
            or a name, or has one more.
        ShapeError: an array has another shape than in the part.
        DTypeError: an array has another dtype than in the part.
    """
    saved = SavedCheckpoint(path)
    saved.load(parts)
    return saved.info


def inspect_checkpoint(path: str | os.PathLike[str]) -> CheckpointInfo:
    """What a checkpoint holds. Its header is verified; its tensors, which are not read, are not.

    Args:
        path: the file, or a folder that :class:`graphc.train.Checkpoint` wrote to, whose last checkpoint is taken.

    Raises:
        GraphError: there is no such file; its header is damaged, or it is no checkpoint.
    """
    file = _file_of(path)
    return _info(file, *read_header(file))


class SavedCheckpoint:
    """A checkpoint that was read and verified.

    Args:
        path: the file, or a folder, whose last checkpoint is taken.

    Raises:
        GraphError: see :func:`load_checkpoint`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        file = _file_of(path)
        self._tensors, texts = read_tensors(file)
        self.info = _info(file, {name: TensorInfo.of(array) for name, array in self._tensors.items()}, texts)
        checksums = json.loads(texts[_CHECKSUMS_KEY])
        for name, array in self._tensors.items():
            if _checksum(array) != checksums[name]:
                raise _damaged(file, f"the numbers of the tensor {name!r} are not those that were saved")

    def load(self, parts: Mapping[str, Part]) -> None:
        """Load parts. Where anything is wrong, nothing is changed.

        Raises:
            GraphError: see :func:`load_checkpoint`.
        """
        targets = as_stateful(parts)
        for part in targets:
            if part not in self.info.state:
                raise GraphError(
                    f"{self.info.path} has no part {part!r}",
                    expected=f"one of {', '.join(map(repr, self.info.parts))}",
                    remedy="use the names that were given to save_checkpoint or Checkpoint",
                )
        before = {part: dict(target.state_dict()) for part, target in targets.items()}
        for part, state in before.items():
            if list(variables_in(parts[part])):
                self._check_types(part, state)
        self._load_all(targets, before)

    def _load_all(self, targets: Mapping[str, Stateful], before: Mapping[str, Mapping[str, Any]]) -> None:
        changed: list[str] = []
        try:
            for part, target in targets.items():
                changed.append(part)
                target.load_state_dict(self._state_of(part))
        except BaseException as error:
            for part in changed:
                targets[part].load_state_dict(before[part])
            if isinstance(error, GraphError):
                error.found = f"{self.info.path}, part {changed[-1]!r}: {error.found}"
                error.remedy = _REBUILD
            raise

    def _state_of(self, part: str) -> dict[str, Any]:
        prefix = f"{part}."
        tensors = {name.removeprefix(prefix): array for name, array in self._tensors.items() if name.startswith(prefix)}
        return tensors | self.info.state[part]

    def _check_types(self, part: str, state: Mapping[str, Any]) -> None:
        """Check the dtypes and shapes of the variables that both sides have."""
        for name, array in state.items():
            found = self.info.tensors.get(f"{part}.{name}")
            if found is None or not isinstance(array, np.ndarray):
                continue
            wanted = TensorInfo.of(array)
            if found != wanted:
                kind = ShapeError if found.shape != wanted.shape else DTypeError
                raise kind(
                    f"{self.info.path}, part {part!r}: {name!r} is {found}", expected=str(wanted), remedy=_REBUILD
                )


_REBUILD = (
    "build the parts as the program that saved them did, an optimizer with its updates; "
    "gr.train.inspect_checkpoint shows what the file holds"
)


def _file_of(path: str | os.PathLike[str]) -> Path:
    given = Path(path)
    return given / LAST if given.is_dir() else given


def _info(file: Path, tensors: dict[str, TensorInfo], texts: dict[str, str]) -> CheckpointInfo:
    """What the header says, verified.

    Raises:
        GraphError: it is damaged, of another format, or that of a file which is no checkpoint.
    """
    if _FORMAT_KEY not in texts:
        raise GraphError(
            f"{file} is a safetensors file without the mark of a checkpoint",
            expected="a file that save_checkpoint or Checkpoint wrote",
            remedy="load plain tensors with gr.train.load_safetensors, which verifies no checksums",
        )
    if texts[_FORMAT_KEY] != _FORMAT:
        raise GraphError(
            f"{file} is a checkpoint of format {texts[_FORMAT_KEY]!r}",
            expected=f"format {_FORMAT!r}, which graphc {__version__} reads",
            remedy="load it with the version of graphc that wrote it, "
            f"which it says is {texts.get(_VERSION_KEY, 'unknown')}",
        )
    if texts.get(_HEADER_KEY) != _header_checksum(tensors, texts):
        raise _damaged(file, "the header is not the one that was saved")
    return CheckpointInfo(
        file, texts[_VERSION_KEY], tensors, json.loads(texts[_STATE_KEY]), json.loads(texts[_METADATA_KEY])
    )


def _damaged(file: Path, what: str) -> GraphError:
    return GraphError(
        f"{file} is damaged: {what}",
        expected="every bit as it was written",
        remedy="use another copy, or a checkpoint saved before it",
    )


def _checksum(array: Array) -> str:
    return hashlib.sha256(bytes_of(array)).hexdigest()


def _header_checksum(tensors: Mapping[str, TensorInfo], texts: Mapping[str, str]) -> str:
    others = {name: text for name, text in texts.items() if name != _HEADER_KEY}
    return hashlib.sha256(json.dumps([sorted(tensors.items()), sorted(others.items())]).encode()).hexdigest()


def _json(value: Any, what: str) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise GraphError(
            f"{what} cannot be stored: {error}",
            expected="what JSON has: texts, numbers, booleans, None, lists, and dicts by text",
            remedy="convert arrays with .tolist(), other objects to texts",
        ) from error
