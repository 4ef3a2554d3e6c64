"""Compiles generated kernel source to object code with Numba.

Floating point may be reassociated and contracted, never more: flags that let LLVM assume that there are no NaNs or
infinities would make ``isnan`` lie. Object code may refer to the C and mathematics libraries only, because it is loaded
again in processes without Numba; a kernel therefore reports faults through a status word and never raises.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
import linecache
import struct
from collections.abc import Callable, Iterator
from typing import Any, cast

from graphc.errors import GraphError
from graphc.runtime.instructions import intrinsics
from graphc.runtime.instructions.emit import types
from graphc.runtime.jit.cache import CompiledKernel
from graphc.runtime.jit.codegen import code_generator
from graphc.runtime.jit.frontend import lowered
from graphc.runtime.jit.request import KERNEL_SIGNATURE

_C_TYPES = {
    "void": types.void,
    "int64": types.int64,
    "int64*": types.CPointer(types.int64),
    "float32": types.float32,
    "float64": types.float64,
}


class KernelError(GraphError, RuntimeError):
    """Generated kernel source that does not become loadable machine code: a defect of graphc itself."""


def compile_kernel(source: str, name: str, signature: str = KERNEL_SIGNATURE) -> CompiledKernel:
    """Object code of the function `name` that `source` defines, with the C signature `signature`.

    The source may use the names of `graphc.runtime.instructions.intrinsics.namespace`. Raises `KernelError` if it
    cannot be compiled, or if its machine code refers to anything but the C and mathematics libraries.
    """
    symbol, module = _compile(source, name, signature)
    kernel = CompiledKernel(code_generator().object_code(module), symbol)
    foreign = sorted(symbol for symbol in undefined_symbols(kernel.object_code) if not _is_library_symbol(symbol))
    if foreign:
        raise KernelError(
            f"the machine code of kernel {name} refers to {', '.join(foreign)}",
            expected="symbols of the C and mathematics libraries only",
            remedy="the generated source must not raise, allocate, print or call into Python",
        )
    return kernel


def assembly(source: str, name: str, signature: str = KERNEL_SIGNATURE) -> str:
    """The assembly of the function that `compile_kernel` makes, for people and tests."""
    return code_generator().assembly(_compile(source, name, signature)[1])


def undefined_symbols(object_code: bytes) -> list[str]:
    """Names that an ELF64 object file leaves to the linker, in the order of its symbol table.

    Object files of other formats give an empty list. Layout: System V ABI, chapter 4, "Object Files".
    """
    if object_code[:5] != b"\x7fELF\x02":
        return []
    return [name for name, section in _elf_symbols(object_code) if name and section == 0]


def _compile(source: str, name: str, signature: str) -> tuple[str, Any]:
    """The symbol of a function and the optimised LLVM module that defines it."""
    # Linked side by side, kernels of one name must not be taken for each other: the linker merges equal symbols.
    unique = f"{name}_{hashlib.sha256(f'{signature}:{source}'.encode()).hexdigest()[:16]}"
    filename = f"<graphc kernel {unique}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    scope = intrinsics.namespace(source)
    try:
        exec(compile(source, filename, "exec"), scope)
        function = cast(Callable[..., Any], scope[name])
        function.__name__ = function.__qualname__ = unique
        return unique, code_generator().optimized(lowered(function, unique, _numba_signature(signature)))
    except Exception as error:
        raise KernelError(f"kernel {name} could not be compiled: {error}\nits source:\n{source}") from error
    finally:
        linecache.cache.pop(filename, None)


def _numba_signature(signature: str) -> Any:
    result, _, parameters = signature.rstrip(")").partition("(")
    return _C_TYPES[result](*(_C_TYPES[parameter.strip()] for parameter in parameters.split(",") if parameter.strip()))


@functools.cache
def _mathematics_library() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("m"))


def _is_library_symbol(name: str) -> bool:
    # A lookup through libm's own handle sees libm and the libc it depends on, and nothing of Python or Numba.
    return hasattr(_mathematics_library(), name)


def _elf_symbols(code: bytes) -> Iterator[tuple[str, int]]:
    """Pairs of a symbol's name and the index of the section that defines it (0 for none)."""
    (section_table,) = struct.unpack_from("<Q", code, 0x28)
    section_size, section_count = struct.unpack_from("<HH", code, 0x3A)
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", code, section_table + index * section_size) for index in range(section_count)
    ]
    for _, kind, _, _, offset, size, link, _, _, entry_size in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = sections[link][4]
        for position in range(offset, offset + size, entry_size):
            name, _, _, section = struct.unpack_from("<IBBH", code, position)
            start = names + name
            yield code[start : code.index(b"\0", start)].decode(), section
