"""Files that are replaced whole or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from glob import escape
from pathlib import Path

from graphc.errors import GraphError

__all__ = ["replace_file"]

_SUFFIX = ".partial"


def replace_file(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a new file, and put it in the place of ``path``.

    It is written under a name of its own in the same folder, and synced before it is renamed; then the folder is
    synced. What killed processes left there for ``path`` is removed first.

    Raises:
        GraphError: the file cannot be written; what ``path`` held before is still there.
    """
    try:
        _remove_left_behind(path)
        temporary, descriptor = _locked_temporary(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(descriptor)
                os.replace(temporary, path)  # before the file is closed, which gives up its lock
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise GraphError(
            f"{path} cannot be written: {error.strerror or error}",
            expected="a folder that exists, with permission and space to write",
            remedy="choose another path, or make space; what was there before is unchanged",
        ) from error


def _locked_temporary(path: Path) -> tuple[Path, int]:
    """A file beside ``path``, locked for as long as it is open: a lock ends with its process, however that ends."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # another process took it for left behind before it was locked


def _remove_left_behind(path: Path) -> None:
    for temporary in path.parent.glob(f".{escape(path.name)}.*{_SUFFIX}"):
        with suppress(OSError), open(temporary, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where its writer lives
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
