from __future__ import annotations

import os
from collections.abc import Iterator

import llvmlite.binding as llvm
import pytest

from graphc.runtime import processor

X86 = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 106
model name\t: Some Processor
stepping\t: 6
cpu MHz\t\t: {frequency}
flags\t\t: sse2 avx avx2 fma

processor\t: 1
vendor_id\t: AnotherIntel
flags\t\t: sse2
"""
ARM = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd sve
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    processor._first_processor.cache_clear()


def found(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, text: str) -> str:
    """The description of a processor of which Linux says this."""
    file = tmp_path_factory.mktemp("proc") / "cpuinfo"
    file.write_text(text)
    monkeypatch.setattr(processor, "_SOURCE", str(file))
    processor._first_processor.cache_clear()
    return processor.description()


def test_kinds_and_features_are_told_apart_and_frequencies_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    slow, fast, other, lesser, arm = (
        found(monkeypatch, tmp_path_factory, text)
        for text in (
            X86.format(frequency=800),
            X86.format(frequency=3200),
            X86.replace("106", "107"),
            X86.replace("avx2 fma", "avx2"),
            ARM,
        )
    )
    assert slow == fast
    assert len({slow, other, lesser, arm}) == 4
    assert "AnotherIntel" not in slow
    assert processor.features() == {"fp", "asimd", "sve"}


def test_without_a_description_machines_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_SOURCE", "/no/such/file")
    processor._first_processor.cache_clear()
    assert processor.features() == frozenset()
    assert os.uname().nodename in processor.description()


def test_the_features_are_those_that_llvm_finds() -> None:
    known = llvm.get_host_cpu_features()
    names = {"avx": "avx", "avx2": "avx2", "fma": "fma", "avx512f": "avx512f", "neon": "asimd", "sve": "sve"}
    assert {name for name in names if known.get(name)} == {
        name for name, here in names.items() if here in processor.features()
    }
    assert llvm.get_default_triple().startswith(processor.architecture())
