"""What a kernel is, and which operation has which."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from graphc.ir.dims import Size
from graphc.ir.graph import Node
from graphc.ir.types import DType, TensorType
from graphc.record import record
from graphc.runtime.views import View

__all__ = [
    "CODES",
    "MAX_TASKS",
    "PRODUCT_TASKS",
    "Kernel",
    "KernelRegistry",
    "code",
    "kernel_for",
    "kernels",
    "view_kernel_for",
    "view_kernels",
]

CODES = {
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "bool": "b1",
}

MAX_TASKS = 64
"""Into how many parts a plan cuts the outer range of a kernel; a power of two, as most numbers of threads are.

At the end of a step, threads wait for the last task: the more there are, the shorter.
"""

PRODUCT_TASKS = 16
"""The same for a matrix product, each task of which packs a part of an operand."""


def code(dtype: DType) -> str:
    """The short name of a dtype in kernel sources: ``f32``, ``i64``, ``b1`` ..."""
    return CODES[dtype.name]


@record
class Kernel:
    """A piece of compiled work over contiguous buffers.

    ``source`` defines ``kernel(args, lo, hi)``, where ``args`` is a table of 8-byte words: the addresses of the inputs,
    of the outputs and of the scratch buffers; then ``sizes``; then, where it ``faults``, the address of the status
    words; then the addresses of the ``routines`` that it names. It does the part from ``lo`` to ``hi`` of
    its outer range; parts are independent of each other.

    Attributes:
        name: for people: shown in plans and profiles.
        source: the text that is compiled.
        extent: the length of the outer range.
        sizes: what the source needs to know of sizes.
        scratch: types of memory that it needs while it runs.
        work: an estimate of the scalar operations of the whole range.
        faults: whether it may find a fault in data.
        routines: what it calls by address: ``"product_f32"`` or ``"product_f64"``.
        grain: the least part of the range that is worth a call.
    """

    name: str
    source: str
    extent: Size
    sizes: tuple[Size, ...] = ()
    scratch: tuple[TensorType, ...] = ()
    work: Size = 0
    faults: bool = False
    routines: tuple[str, ...] = ()
    grain: int = 1


Maker: TypeAlias = Callable[[Node], Kernel]
ViewMaker: TypeAlias = Callable[[Node, Sequence[View], Sequence[View]], Kernel]
M = TypeVar("M")


@functools.cache
def _import_all() -> None:
    """Import every file of kernels, which registers them: a process whose programs are cached never does."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__, f"{__package__}."):
        importlib.import_module(module.name)


class KernelRegistry(Mapping[str, M]):
    """Makers of kernels by the name of the operation that they compute; the first look imports them all."""

    def __init__(self) -> None:
        self._makers: dict[str, M] = {}

    def add(self, name: str, maker: M) -> None:
        """Register a maker; an operation may have one."""
        if name in self._makers:
            raise ValueError(f"the operation {name!r} has two kernels")
        self._makers[name] = maker

    def __getitem__(self, name: str) -> M:
        _import_all()
        return self._makers[name]

    def __iter__(self) -> Iterator[str]:
        _import_all()
        return iter(self._makers)

    def __len__(self) -> int:
        _import_all()
        return len(self._makers)


kernels: KernelRegistry[Maker] = KernelRegistry()
"""Kernels whose operands and results are dense."""

view_kernels: KernelRegistry[ViewMaker] = KernelRegistry()
"""Kernels that read and write through strides: made from a node, and from where its operands and results lie."""


def kernel_for(*names: str) -> Callable[[Maker], Maker]:
    """Register a maker of kernels on dense operands for operations by name."""

    def register(maker: Maker) -> Maker:
        for name in names:
            kernels.add(name, maker)
        return maker

    return register


def view_kernel_for(*names: str) -> Callable[[ViewMaker], ViewMaker]:
    """Register a maker of kernels on strided operands for operations by name."""

    def register(maker: ViewMaker) -> ViewMaker:
        for name in names:
            view_kernels.add(name, maker)
        return maker

    return register
