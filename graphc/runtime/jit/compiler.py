"""Compiles generated kernel source to machine code with Numba.

Floating point may be reassociated and contracted, never more: flags that let LLVM assume that there are no NaNs or
infinities would make ``isnan`` lie. Machine code may refer to the C and mathematics libraries only, because it is
loaded again in processes without Numba; a kernel therefore reports faults through a status word and never raises.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any, cast

from graphc.errors import GraphError
from graphc.runtime.instructions import intrinsics
from graphc.runtime.instructions.emit import types
from graphc.runtime.jit.codegen import code_generator
from graphc.runtime.jit.frontend import lowered
from graphc.runtime.jit.image import Image, address_of
from graphc.runtime.jit.object_file import ObjectFileError, image_of
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


def compile_kernel(source: str, name: str, signature: str = KERNEL_SIGNATURE) -> Image:
    """Machine code of the function `name` that `source` defines, with the C signature `signature`.

    The source may use the names of `graphc.runtime.instructions.intrinsics.namespace`. Raises `KernelError` if it
    cannot be compiled, or if its machine code refers to anything but the C and mathematics libraries.
    """
    module = _compile(source, name, signature)
    try:
        image = image_of(code_generator().object_code(module), name)
    except ObjectFileError as error:
        raise KernelError(f"the object file of kernel {name} cannot be used: {error}") from error
    foreign = [symbol for symbol in library_functions(image) if address_of(symbol) is None]
    if foreign:
        raise KernelError(
            f"the machine code of kernel {name} refers to {', '.join(foreign)}",
            expected="symbols of the C and mathematics libraries only",
            remedy="the generated source must not raise, allocate, print or call into Python",
        )
    return image


def library_functions(image: Image) -> list[str]:
    """Names of the functions outside of it that an image calls, in alphabetical order."""
    return sorted({each.symbol for each in image.relocations if each.symbol})


def assembly(source: str, name: str, signature: str = KERNEL_SIGNATURE) -> str:
    """The assembly of the function that `compile_kernel` makes, for people and tests."""
    return code_generator().assembly(_compile(source, name, signature))


def _compile(source: str, name: str, signature: str) -> Any:
    """The optimised LLVM module that defines a function under its name."""
    filename = f"<graphc kernel {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    scope = intrinsics.namespace(source)
    try:
        exec(compile(source, filename, "exec"), scope)
        function = cast(Callable[..., Any], scope[name])
        return code_generator().optimized(lowered(function, name, _numba_signature(signature)))
    except Exception as error:
        raise KernelError(f"kernel {name} could not be compiled: {error}\nits source:\n{source}") from error
    finally:
        linecache.cache.pop(filename, None)


def _numba_signature(signature: str) -> Any:
    result, _, parameters = signature.rstrip(")").partition("(")
    return _C_TYPES[result](*(_C_TYPES[parameter.strip()] for parameter in parameters.split(",") if parameter.strip()))
