from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from graphc.runtime.jit.cache import KernelCache, default_folder
from graphc.runtime.jit.image import ABSOLUTE, Image, Relocation

KEY, OTHER = "ab" * 32, "cd" * 32
KERNEL = Image(bytes(range(256)) * 20, 64, (Relocation(72, ABSOLUTE, "memset", 0), Relocation(80, 2, "", -4)))


@pytest.fixture
def cache(tmp_path: Path) -> KernelCache:
    return KernelCache(tmp_path / "deep" / "cache")


def the_file(cache: KernelCache) -> Path:
    [file] = cache.path.glob("*.kernel")
    return file


def test_put_and_get(cache: KernelCache) -> None:
    assert cache.get(KEY) is None
    assert cache.put(KEY, KERNEL)
    assert cache.get(KEY) == KERNEL
    assert cache.get(OTHER) is None
    assert KernelCache(cache.path).get(KEY) == KERNEL


def test_put_replaces(cache: KernelCache) -> None:
    cache.put(KEY, Image(b"old", 0, ()))
    cache.put(KEY, KERNEL)
    assert cache.get(KEY) == KERNEL
    assert len(list(cache.path.iterdir())) == 1


def test_the_folder_is_private(cache: KernelCache) -> None:
    assert cache.path.stat().st_mode & 0o777 == 0o700
    cache.put(KEY, KERNEL)
    assert the_file(cache).stat().st_mode & 0o077 == 0


def damaged(content: bytes) -> Iterator[bytes]:
    yield b""
    yield bytes(len(content))
    yield b"\xff" * len(content)
    yield content + b"\0"
    for length in (*range(0, 120, 7), len(content) // 2, len(content) - 1):
        yield content[:length]
    for position in (*range(110), *range(110, len(content), 211), len(content) - 1):
        for bit in (0, 7):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            yield bytes(flipped)
    yield content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


def test_damage_is_a_miss(cache: KernelCache) -> None:
    cache.put(KEY, KERNEL)
    file = the_file(cache)
    content = file.read_bytes()
    for count, bad in enumerate(damaged(content)):
        file.write_bytes(bad)
        assert cache.get(KEY) is None, f"damage {count} was not noticed"
        assert cache.verify() == [KEY]
    file.write_bytes(content)
    assert cache.get(KEY) == KERNEL
    assert cache.verify() == []


def test_an_entry_under_another_key_is_a_miss(cache: KernelCache) -> None:
    cache.put(KEY, KERNEL)
    the_file(cache).rename(cache.path / f"{OTHER}.kernel")
    assert cache.get(OTHER) is None


def test_a_folder_in_place_of_an_entry_is_a_miss(cache: KernelCache) -> None:
    (cache.path / f"{KEY}.kernel").mkdir()
    assert cache.get(KEY) is None
    assert not cache.put(KEY, KERNEL)
    assert [file.name for file in cache.path.iterdir()] == [f"{KEY}.kernel"]


def test_entries_verify_and_clear(cache: KernelCache) -> None:
    cache.put(OTHER, KERNEL)
    cache.put(KEY, KERNEL)
    (cache.path / "left_over.partial").write_bytes(b"half a kernel")
    entries = cache.entries()
    assert [entry.key for entry in entries] == [KEY, OTHER]
    assert all(entry.size > len(KERNEL.content) and entry.modified > 1.6e9 for entry in entries)
    assert cache.verify() == []
    assert cache.clear() == 3
    assert cache.entries() == []
    assert list(cache.path.iterdir()) == []


def test_every_kind_of_entry_has_a_file_of_its_own(cache: KernelCache) -> None:
    cache.put(KEY, KERNEL)
    for kind in ("program", "plan"):
        assert cache.read(kind, KEY) is None
        assert cache.write(kind, KEY, kind.encode())
        assert cache.read(kind, KEY) == kind.encode()
        assert cache.read(kind, OTHER) is None
    assert cache.get(KEY) == KERNEL
    assert sorted(entry.kind for entry in cache.entries()) == ["kernel", "plan", "program"]
    file = cache.path / f"{KEY}.program"
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.read("program", KEY) is None
    assert cache.verify() == [KEY]
    assert cache.clear() == 3


def test_foreign_files_are_left_alone(cache: KernelCache) -> None:
    notes = cache.path / "notes.txt"
    notes.write_text("mine")
    cache.put(KEY, KERNEL)
    the_file(cache).rename(cache.path / "not a key.kernel")
    assert cache.verify() == ["not a key"]
    cache.clear()
    assert notes.read_text() == "mine"


@pytest.mark.parametrize("step", ["mkstemp", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing(cache: KernelCache, monkeypatch: pytest.MonkeyPatch, step: str, code: int) -> None:
    def fail(*args: Any, **kwargs: Any) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile if step == "mkstemp" else os, step, fail)
    assert not cache.put(KEY, KERNEL)
    assert cache.get(KEY) is None
    assert list(cache.path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    for path in (blocker, blocker / "cache"):
        cache = KernelCache(path)
        assert cache.problem is not None
        assert str(path) in cache.problem
        assert not cache.put(KEY, KERNEL)
        assert cache.get(KEY) is None
        assert (cache.entries(), cache.verify(), cache.clear()) == ([], [], 0)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702, 0o720])
def test_a_folder_that_others_can_write_is_not_trusted(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "open"
    KernelCache(path).put(KEY, KERNEL)
    path.chmod(mode)
    cache = KernelCache(path)
    assert cache.problem is not None
    assert "can be written by others" in cache.problem
    assert cache.get(KEY) is None
    path.chmod(0o755)
    assert KernelCache(path).get(KEY) == KERNEL


def test_a_folder_of_someone_else_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.getuid()
    KernelCache(tmp_path).put(KEY, KERNEL)
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    cache = KernelCache(tmp_path)
    assert cache.problem is not None
    assert f"belongs to user {owner}" in cache.problem
    assert cache.get(KEY) is None


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "chosen"
    monkeypatch.setenv("GRAPHC_CACHE_DIR", "~/kernels")
    assert default_folder() == tmp_path / "home" / "kernels"
    monkeypatch.delenv("GRAPHC_CACHE_DIR")
    assert default_folder() == tmp_path / "xdg" / "graphc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == tmp_path / "home" / ".cache" / "graphc"

    def no_home() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert default_folder() == Path(tempfile.gettempdir()) / f"graphc-{os.getuid()}"
