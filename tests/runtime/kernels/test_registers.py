"""Register tiles for other vectors than those of this processor: LLVM divides those that are too wide for it."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import numpy as np
import pytest

import graphc as gr
from graphc.runtime.instructions.vectors import UNROLLED
from graphc.runtime.jit import codegen, compiler
from graphc.runtime.kernels import registers as module
from graphc.runtime.kernels.product import product_routine
from graphc.runtime.kernels.registers import Registers, registers_of

KINDS = {"sse": Registers(16, 16), "neon": Registers(16, 32), "avx2": Registers(32, 16), "avx512": Registers(64, 32)}


@pytest.fixture(params=KINDS)
def registers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Registers:
    """Those that tiles are made for."""
    found = KINDS[request.param]
    monkeypatch.setattr(module, "registers", lambda: found)
    return found


def test_the_registers_of_processors() -> None:
    assert registers_of("aarch64", {"fp", "asimd"}) == KINDS["neon"]
    assert registers_of("x86_64", {"sse2", "avx"}) == KINDS["sse"]
    assert registers_of("x86_64", {"avx", "avx2", "fma"}) == KINDS["avx2"]
    assert registers_of("x86_64", {"avx2", "fma", "avx512f"}) == KINDS["avx512"]


def check(outputs: list[gr.Value], feeds: dict[gr.Value, np.ndarray], kernels: set[str]) -> None:
    """Compiled results are those of the interpreter, and come from kernels of these names."""
    function = gr.compile(list(feeds), outputs)
    for found, expected in zip(function(*feeds.values()), gr.evaluate(outputs, feeds), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert kernels <= {step.kernel.name for step in function.plan.steps}


def random(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [False, True])
def test_products(registers: Registers, dtype: str, transposed: bool) -> None:
    a, b = random(45, 70, dtype=dtype), random(*((99, 70) if transposed else (70, 99)), dtype=dtype)
    x, y = gr.placeholder(a.shape, dtype), gr.placeholder(b.shape, dtype)
    check([x @ (y.T if transposed else y)], {x: a, y: b}, {"matmul"})


@pytest.mark.parametrize(("channels", "stride", "groups"), [(1, 1, 1), (8, 2, 2), (16, 1, 1)])
def test_convolutions(registers: Registers, channels: int, stride: int, groups: int) -> None:
    images, weights = random(19, channels, 9, 10), random(2 * channels, channels // groups, 3, 3)
    x, w = gr.placeholder(images.shape), gr.placeholder(weights.shape)
    y = gr.conv2d(x, w, stride=stride, padding=1, groups=groups)
    gradients = gr.grad((y * y).sum(), [x, w])
    check([y, *gradients], {x: images, w: weights}, {"conv", "conv_transpose", "conv_weight"})


@pytest.mark.parametrize("causal", [False, True])
def test_attention(registers: Registers, causal: bool) -> None:
    arrays = [random(2, 3, time, 20) for time in (37, 37, 37)]
    q, k, v = (gr.placeholder(array.shape, name=name) for name, array in zip("qkv", arrays, strict=True))
    y = gr.attention(q, k, v, causal=causal)
    gradients = gr.grad((y * y).sum(), [q, k, v])
    check([y, *gradients], dict(zip((q, k, v), arrays, strict=True)), {"attention", "attention_grad"})


@pytest.fixture
def avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code generator for another processor."""
    if not llvm.get_default_triple().startswith("x86_64"):
        pytest.skip("instructions of another architecture")
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "get_host_cpu_name", lambda: "skylake-avx512")
        patch.setattr(llvm, "get_host_cpu_features", lambda: llvm.FeatureMap())
        other = codegen.CodeGenerator()
    monkeypatch.setattr(compiler, "code_generator", lambda: other)
    monkeypatch.setattr(module, "registers", lambda: KINDS["avx512"])


def test_sums_stay_in_the_registers_of_avx512(avx512: None) -> None:
    request = product_routine("f32")
    text = compiler.assembly(request.source, request.name, request.signature)
    blocks = re.split(r"^\.L\w+:", text, flags=re.MULTILINE)
    loops = [block for block in blocks if block.count("vfmadd") >= 22 and re.search(r"^\s+j\w+\s", block, re.MULTILINE)]
    sums = [len(re.findall(r"vfmadd\w+\s.*zmm", loop)) for loop in loops]
    assert sorted(sums) == [22, 24, 22 * UNROLLED, 24 * UNROLLED]
    for loop in loops:
        assert not re.search(r"vmov\w+\s.*%zmm\d+, .*\(", loop)  # nothing is put aside
