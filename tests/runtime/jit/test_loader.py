from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from graphc.runtime.jit import loader
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest

SCALAR = "float64(float64)"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A loader that has loaded nothing yet, with an empty folder on disk."""
    folder = tmp_path / "kernels"
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder))
    monkeypatch.setattr(loader, "_state", loader._State())
    return folder


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new process would know."""
    monkeypatch.setattr(loader, "_state", loader._State())


def request(expression: str) -> KernelRequest:
    return KernelRequest(f"def f(x):\n    return {expression}\n", "f", SCALAR)


def call(address: int, x: float) -> float:
    return ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)(x)


def counts() -> tuple[int, int, int]:
    statistics = loader.statistics()
    return statistics.memory_hits, statistics.disk_hits, statistics.compiled


def test_memory_then_disk_then_compiler(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double, triple = request("x * 2.0"), request("x * 3.0")
    addresses = load([double, triple, double])
    assert [call(address, 5.0) for address in addresses] == [10.0, 15.0, 10.0]
    assert addresses[0] == addresses[2]
    assert counts()[2] == 2
    assert loader.statistics().compile_seconds > 0
    assert load([triple, double]) == [addresses[1], addresses[0]]
    assert counts() == (3, 0, 2)
    assert len(loader.disk_cache().entries()) == 2

    forget(monkeypatch)
    assert [call(address, 5.0) for address in load([triple, double])] == [15.0, 10.0]
    assert counts() == (0, 2, 0)
    assert loader.statistics().link_seconds > 0


def test_kernels_of_one_name_are_told_apart(fresh: Path) -> None:
    addresses = load([request(f"x + {number}.0") for number in range(4)])
    assert [call(address, 0.5) for address in addresses] == [0.5, 1.5, 2.5, 3.5]


def test_nothing_to_load(fresh: Path) -> None:
    assert load([]) == []
    assert not fresh.exists()


def test_the_key_is_made_of_source_name_signature_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    base = request("x")
    variants = [
        base,
        request("x "),
        replace(base, name="g"),
        replace(base, signature="int64(int64)"),
        KernelRequest("f", "def", SCALAR),
        KernelRequest("def", "f", SCALAR),
    ]
    keys = {loader._key(variant) for variant in variants}
    assert len(keys) == len(variants)
    assert all(len(key) == 64 for key in keys)
    monkeypatch.setattr(loader, "environment", lambda: b"another processor")
    assert loader._key(base) not in keys


def test_the_environment_covers_versions_processor_and_the_code_generator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = loader.environment.__wrapped__
    assert digest() == digest()
    seen = {digest()}
    with monkeypatch.context() as patch:
        patch.setattr(loader, "description", lambda: "another")
        seen.add(digest())
    for changed in ("numba", "llvmlite"):
        with monkeypatch.context() as patch:
            patch.setattr(loader, "_version_text", lambda package, changed=changed: str(package == changed))
            seen.add(digest())
    files = loader._generator_files()
    for place, file in enumerate(files):
        changed = tmp_path / file.name
        changed.write_bytes(file.read_bytes() + b"#")
        others = [*files[:place], changed, *files[place + 1 :]]
        with monkeypatch.context() as patch:
            patch.setattr(loader, "_generator_files", partial(list, others))
            seen.add(digest())
    assert len(seen) == 4 + len(files)


def test_all_modules_of_the_code_generator_are_in_the_key() -> None:
    files = loader._generator_files()
    folder = Path(loader.__file__).parent
    imports = re.compile(r"^(from|import) (numba|llvmlite import|graphc\.runtime\.instructions)", re.MULTILINE)
    assert {file for file in folder.glob("*.py") if imports.search(file.read_text())} < set(files)
    assert set((folder.parent / "instructions").glob("*.py")) < set(files)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: bytes(len(content)),
        lambda content: content[:120] + bytes([content[120] ^ 4]) + content[121:],
        lambda content: content[::-1],
    ],
)
def test_damaged_entries_are_compiled_again(fresh: Path, monkeypatch: pytest.MonkeyPatch, damage) -> None:
    wanted = request("x * 7.0")
    load([wanted])
    [file] = fresh.glob("*.kernel")
    content = file.read_bytes()
    file.write_bytes(damage(content))
    forget(monkeypatch)
    assert call(load([wanted])[0], 2.0) == 14.0
    assert counts() == (0, 0, 1)
    assert loader.disk_cache().verify() == []


def test_a_read_only_folder(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.mkdir(mode=0o500)

    def refuse(*args: object, **kwargs: object) -> None:  # a superuser may write anywhere
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    address = load([request("x * 9.0")])[0]
    assert call(address, 2.0) == 18.0
    assert load([request("x * 9.0")]) == [address]
    assert list(fresh.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_said_once(monkeypatch: pytest.MonkeyPatch, fresh: Path) -> None:
    fresh.parent.joinpath("file").write_text("")
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(fresh.parent / "file"))
    with pytest.warns(RuntimeWarning, match="Kernels are compiled anew in every process") as caught:
        addresses = [load([request(f"x - {number}.0")])[0] for number in (1, 2)]
    assert len(caught) == 1
    assert [call(address, 2.0) for address in addresses] == [1.0, 0.0]
    assert counts() == (0, 0, 2)


def test_threads_load_at_once(fresh: Path) -> None:
    requests = [request(f"x * {number}.5") for number in range(3)]
    results: list[list[int]] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        results.append(load(requests))

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 6
    assert all(addresses == results[0] for addresses in results)
    assert counts()[2] == 3


def program(statements: str, folder: Path) -> list[str]:
    text = """
    import ctypes, sys
    from graphc.runtime.jit import loader
    from graphc.runtime.jit.loader import load
    from graphc.runtime.jit.request import KernelRequest
    requests = [KernelRequest(f"def f(x):\\n    return x * {n}.0\\n", "f", "float64(float64)") for n in range(1, 4)]
    call = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    def answers():
        return [call(address)(2.0) for address in load(requests)]
    """
    return [sys.executable, "-c", textwrap.dedent(text) + textwrap.dedent(statements)]


def environment(folder: Path) -> dict[str, str]:
    search = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "GRAPHC_CACHE_DIR": str(folder), "PYTHONPATH": search}


def test_a_warm_process_imports_neither_numba_nor_llvm(tmp_path: Path) -> None:
    statements = (
        "print(answers(), loader.statistics().compiled, [name in sys.modules for name in ('numba', 'llvmlite')])"
    )
    command, variables = program(statements, tmp_path), environment(tmp_path)
    cold, warm = (subprocess.run(command, env=variables, capture_output=True, text=True, check=True) for _ in range(2))
    assert cold.stdout == "[2.0, 4.0, 6.0] 3 [True, True]\n"
    assert warm.stdout == "[2.0, 4.0, 6.0] 0 [False, False]\n"


def test_cold_starts_of_many_processes(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    command, variables = program("print(answers())", folder), environment(folder)
    processes = [
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, output, errors) == (0, "[2.0, 4.0, 6.0]\n", "")
    assert sorted(file.suffix for file in folder.iterdir()) == [".kernel"] * 3


def test_a_forked_child_can_load_while_its_parent_does(tmp_path: Path) -> None:
    statements = """
    import os
    with loader._state.lock:
        child = os.fork()
        if child == 0:
            import threading
            results = []
            worker = threading.Thread(target=lambda: results.append(answers()))
            worker.start(); worker.join(60)
            os._exit(0 if results == [[2.0, 4.0, 6.0]] else 1)
        _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
    """
    done = subprocess.run(
        program(statements, tmp_path), env=environment(tmp_path), capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "0\n", done.stderr


def test_arrays_through_a_loaded_kernel(fresh: Path) -> None:
    source = """
def kernel(args, lo, hi):
    x = integer(args, 0)
    y = integer(args, 1)
    for i in range(lo, hi):
        store_f32_1(y, i, load_f32_0(x, i) * f32(3))
"""
    [address] = load([KernelRequest(source, "kernel")])
    x, y = np.arange(10, dtype=np.float32), np.zeros(10, np.float32)
    table = np.array([x.ctypes.data, y.ctypes.data])
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)(table.ctypes.data, 2, 9)
    np.testing.assert_array_equal(y, [0, 0, 6, 9, 12, 15, 18, 21, 24, 0])
