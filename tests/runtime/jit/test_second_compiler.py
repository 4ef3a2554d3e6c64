"""The second compiling process: what it makes is used, and nothing depends on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.runtime.jit import second_compiler as module
from graphc.runtime.jit.loader import disk_cache, load, statistics, store
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native.threads import get_num_threads, set_num_threads

SOURCE = "def kernel(args, lo, hi):\n    store_i64_0(integer(args, 0), 0, i64({number}))\n"


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path))
    return tmp_path


def requests(start: int, count: int) -> list[KernelRequest]:
    return [KernelRequest(SOURCE.format(number=start + i), "kernel") for i in range(count)]


def test_main_compiles_from_the_end_until_something_is_there(cold: Path) -> None:
    texts = [(each.source, each.name, each.signature) for each in requests(1000, 4)]
    assert store(KernelRequest(*texts[1]))
    assert not store(KernelRequest(*texts[1]))
    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run(
        [sys.executable, "-c", module._CODE],
        input=json.dumps(texts).encode(),
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        timeout=120,
    )
    assert len(disk_cache().entries()) == 3  # the last two, and the one that stopped it


def test_many_kernels_start_one_process(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(module, "_start", lambda missing: started.append(len(missing)))
    before = get_num_threads()
    try:
        set_num_threads(2)
        load(requests(2000, 2))
        assert started == []
        load(requests(2100, 8))
        assert started == [8]
        set_num_threads(1)
        load(requests(2200, 8))
        assert started == [8]
    finally:
        set_num_threads(before)


def test_a_process_that_cannot_start_or_dies_is_no_harm(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = get_num_threads()
    try:
        set_num_threads(2)
        for number, executable in enumerate(("/nonexistent/python", "/bin/false")):
            monkeypatch.setattr(module.sys, "executable", executable)
            compiled = statistics().compiled
            assert len(load(requests(3000 + 100 * number, 8))) == 8
            assert statistics().compiled == compiled + 8
    finally:
        set_num_threads(before)


def test_its_work_is_used(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = requests(4000, 8)

    def compile_the_last(missing: list[tuple[str, str, str]]) -> None:
        store(KernelRequest(*missing[-1]))

    monkeypatch.setattr(module, "_start", compile_the_last)
    before = get_num_threads()
    try:
        set_num_threads(2)
        compiled, hits = statistics().compiled, statistics().disk_hits
        assert len(set(load(wanted))) == 8
        assert statistics().compiled == compiled + 8  # seven here, one by the stand-in for the other process
        assert statistics().disk_hits == hits + 1
    finally:
        set_num_threads(before)


def test_the_costliest_stand_at_the_ends() -> None:
    sources = {name: "x" * length for name, length in zip("abcde", (30, 10, 50, 20, 40), strict=True)}
    assert "".join(module.costliest_at_the_ends(sources)) == "cabde"
    sources["f"] = "conv_f32_4x3x8(a)"
    sources["g"] = "load_f32_0(a, b)"
    assert module.costliest_at_the_ends(sources)[0] == "f"
    assert module.costliest_at_the_ends({}) == []
