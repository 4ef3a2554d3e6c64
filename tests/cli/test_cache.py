from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from graphc.runtime.jit.cache import KernelCache
from graphc.runtime.jit.image import Image
from tests.cli.conftest import Outcome

KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]


@pytest.fixture
def kernels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache with three kernels."""
    place = folder / "kernels"
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(place))
    cache = KernelCache(place)
    for key in KEYS:
        assert cache.put(key, Image(b"machine code", 0, ()))
    return place


def damage(place: Path, key: str) -> Path:
    (file,) = place.glob(f"{key}.*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return file


def test_info(graphc: Callable[..., Outcome], kernels: Path) -> None:
    code, out, err = graphc("cache", "info")
    assert (code, err) == (0, "")
    assert f"folder    {kernels}\nkernels   3\nprograms  0\nplans     0\n" in out
    data = json.loads(graphc("cache", "info", "--json").out)
    assert data["bytes"] == sum(file.stat().st_size for file in kernels.iterdir())
    assert data["oldest"] <= data["newest"]


def test_verify_finds_damage(graphc: Callable[..., Outcome], kernels: Path) -> None:
    assert graphc("cache", "verify") == (0, "3 entries, 0 damaged\n", "")
    file = damage(kernels, KEYS[1])
    code, out, _ = graphc("cache", "verify")
    assert code == 1
    assert out.startswith(f"damaged: {file}\n3 entries, 1 damaged")
    code, out, _ = graphc("cache", "verify", "--json")
    assert code == 1
    assert json.loads(out)["damaged"] == [str(file)]


def test_programs_and_plans_are_entries_too(graphc: Callable[..., Outcome], kernels: Path) -> None:
    cache = KernelCache(kernels)
    program, plan = (hashlib.sha256(name).hexdigest() for name in (b"program", b"plan"))
    assert cache.write("program", program, b"steps") and cache.write("plan", plan, b"offsets")
    assert "kernels   3\nprograms  1\nplans     1\n" in graphc("cache", "info").out
    data = json.loads(graphc("cache", "info", "--json").out)
    assert (data["kernels"], data["programs"], data["plans"]) == (3, 1, 1)
    file = damage(kernels, plan)
    assert json.loads(graphc("cache", "verify", "--json").out)["damaged"] == [str(file)]
    assert graphc("cache", "clear").out == f"removed 5 files from {kernels}\n"


def test_clear(graphc: Callable[..., Outcome], kernels: Path) -> None:
    damage(kernels, KEYS[0])
    assert graphc("cache", "clear") == (0, f"removed 3 files from {kernels}\n", "")
    assert list(kernels.iterdir()) == []
    assert json.loads(graphc("cache", "clear", "--json").out)["removed"] == 0


@pytest.mark.parametrize("name", ["info", "verify", "clear"])
def test_a_folder_that_others_can_write(name: str, graphc: Callable[..., Outcome], kernels: Path) -> None:
    kernels.chmod(0o777)
    code, _, err = graphc("cache", name)
    assert code == 1
    assert "can be written by others" in err
    assert len(list(kernels.iterdir())) == 3
    code, out, _ = graphc("cache", name, "--json")
    assert code == 1
    assert "can be written by others" in json.loads(out)["problem"]
