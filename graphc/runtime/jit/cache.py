"""The cache on disk: machine code of kernels, programs and plans, each under the hash of what it was made from.

Loading an entry means executing it, so the folder is private and every entry carries a checksum that is verified before
its bytes are used. The cache only ever saves time: damage, a full or read-only disk, or an untrusted folder are misses,
never errors.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from graphc.record import record
from graphc.runtime.jit.image import Image

Kind: TypeAlias = Literal["kernel", "program", "plan"]
"""What an entry holds; the suffix of its file."""

_MAGIC = b"graphc\x00\x01"
KINDS: tuple[Kind, ...] = ("kernel", "program", "plan")
_DIGEST_BYTES = hashlib.sha256().digest_size
_HEADER_BYTES = len(_MAGIC) + _DIGEST_BYTES


@record
class CacheEntry:
    """One file of the cache: its key, what it holds, its size in bytes and the time of its last change (since 1970)."""

    key: str
    kind: Kind
    size: int
    modified: float


def default_folder() -> Path:
    """``$GRAPHC_CACHE_DIR``, else ``graphc`` under ``$XDG_CACHE_HOME``, else ``~/.cache/graphc``.

    A user without a home has a folder among the temporary files.
    """
    chosen, base = os.environ.get("GRAPHC_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser()
        return (Path(base) if base else Path.home() / ".cache") / "graphc"
    except RuntimeError:
        import tempfile

        return Path(tempfile.gettempdir()) / f"graphc-{os.getuid()}"


class KernelCache:
    """Compiled kernels, programs and plans in the private folder `path`, which is created (mode 0700) on first use.

    `problem` says why the folder is not used, or is None. Any number of processes and threads may share a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.problem: str | None = None
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.problem = _distrust(self.path)
        except OSError as error:
            self.problem = f"the kernel cache {self.path} cannot be used: {error}"

    def get(self, key: str) -> Image | None:
        """The kernel stored under `key`, or None if there is none or its file is damaged."""
        content = self.read("kernel", key)
        return Image.decode(content) if content is not None else None

    def put(self, key: str, kernel: Image) -> bool:
        """Store `kernel` under `key`, replacing any older entry at once; False if the disk did not take it."""
        return self.write("kernel", key, kernel.encode())

    def read(self, kind: Kind, key: str) -> bytes | None:
        """What is stored under `key`, or None if there is nothing or its file is damaged."""
        if self.problem is not None:
            return None
        try:
            return _decode(key, self._file(kind, key).read_bytes())
        except OSError:
            return None

    def write(self, kind: Kind, key: str, content: bytes) -> bool:
        """Store `content` under `key`, replacing any older entry at once; False if the disk did not take it."""
        if self.problem is not None:
            return False
        import tempfile  # which a process that only reads does without

        temporary: str | None = None
        try:
            handle, temporary = tempfile.mkstemp(dir=self.path, suffix=".partial")
            with os.fdopen(handle, "wb") as file:
                file.write(_encode(key, content))
            os.replace(temporary, self._file(kind, key))
            return True
        except OSError:
            if temporary is not None:
                _remove(temporary)
            return False

    def entries(self) -> list[CacheEntry]:
        """All entries, damaged ones included, in the order of their keys."""
        found = []
        for kind in KINDS:
            for file in self._files(kind):
                try:
                    status = file.stat()
                except OSError:
                    continue
                found.append(CacheEntry(file.stem, kind, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry.key)

    def verify(self) -> list[str]:
        """Keys of the entries whose files are damaged; the next run that needs one makes it again."""
        return [entry.key for entry in self.entries() if self.read(entry.kind, entry.key) is None]

    def clear(self) -> int:
        """Remove all entries, and what interrupted writers left; returns the number of files removed."""
        return sum(_remove(file) for suffix in (*KINDS, "partial") for file in self._files(suffix))

    def _file(self, kind: Kind, key: str) -> Path:
        return self.path / f"{key}.{kind}"

    def _files(self, suffix: str) -> Iterator[Path]:
        if self.problem is None:
            try:
                yield from list(self.path.glob(f"*.{suffix}"))
            except OSError:
                return


def _encode(key: str, content: bytes) -> bytes:
    body = bytes.fromhex(key) + content
    return _MAGIC + hashlib.sha256(body).digest() + body


def _decode(key: str, entry: bytes) -> bytes | None:
    body = entry[_HEADER_BYTES:]
    if entry[:_HEADER_BYTES] != _MAGIC + hashlib.sha256(body).digest() or body[:_DIGEST_BYTES].hex() != key:
        return None
    return body[_DIGEST_BYTES:]


def _distrust(folder: Path) -> str | None:
    """Why code in `folder` must not be executed, or None. Where there are no POSIX owners, folders are trusted."""
    if not hasattr(os, "getuid"):
        return None
    status = os.stat(folder)
    if not stat.S_ISDIR(status.st_mode):
        return f"the kernel cache {folder} is not a folder"
    if status.st_uid != os.getuid():
        return (
            f"the kernel cache {folder} belongs to user {status.st_uid}, expected {os.getuid()}: set GRAPHC_CACHE_DIR"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"the kernel cache {folder} can be written by others (mode {status.st_mode & 0o777:o}): chmod 700 it"
    return None


def _remove(file: str | os.PathLike[str]) -> bool:
    try:
        os.remove(file)
    except OSError:
        return False
    return True
