"""From a Python function to LLVM's language, by those of Numba's stages that kernels have a use for.

Numba's own target for the CPU loads what it knows of Python and NumPy before it compiles the first function, rewrites
each in two dozen passes, and wraps it for callers from Python. Kernels consist of numbers, ranges and
:mod:`graphc.runtime.instructions`. So they have a target of their own, which knows no more than that, and four stages:
Numba's reading of bytecode, its graph of blocks, its inference of types and its lowering. Functions have the calling
convention of C.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Hashable
from typing import Any

import numba.core.cpu
import numba.core.typed_passes

# Each of these adds to what Numba can lower.
import numba.cpython.builtins
import numba.cpython.numbers
import numba.cpython.rangeobj
import numba.cpython.tupleobj
from llvmlite import ir

from graphc.runtime.instructions.emit import KernelFunctionType, cgutils, types
from graphc.runtime.jit.codegen import code_generator
from graphc.runtime.jit.loop_hints import hint_loops

__all__ = ["lowered"]

core: Any = numba.core  # its own annotations cover a part only

FAST_MATH = {"reassoc", "contract"}
"""What LLVM may do with floating-point numbers: no more, see :mod:`graphc.runtime.jit.compiler`."""

_NAMES = {*(getattr(operator, name) for name in operator.__all__), range, bool, "getiter", "iternext", "static_getitem"}
"""What kernels may use of Python, by the names that Numba has for it."""


def lowered(function: Callable[..., Any], symbol: str, signature: Any) -> str:
    """The text of an LLVM module that defines `function` under the name `symbol`, for the types of `signature`.

    Raises what Numba raises where the function is none that it can compile with this little.
    """
    # The lock is Numba's own: another thread may be compiling something of the user's.
    with core.compiler_lock.global_compiler_lock, core.targetconfig.ConfigStack().enter(core.compiler.Flags()):
        typing_context, target = _contexts()
        identity = core.bytecode.FunctionIdentity.from_function(function)
        code = core.interpreter.Interpreter(identity).interpret(core.bytecode.ByteCode(identity))
        code.blocks = core.transforms.canonicalize_cfg(code.blocks)
        code.generator_info = None
        # In single assignment form, a name may stand for numbers of different types, one after the other.
        stage = core.compiler.StateDict(func_ir=core.ssa.reconstruct_ssa(code))
        found = core.typed_passes.type_inference_stage(
            typing_context, target, stage.func_ir, signature.args, signature.return_type
        )
        core.typed_passes.PreLowerStripPhis().run_pass(stage)
        descriptor = core.funcdesc.PythonFunctionDescriptor.from_specialized_function(
            stage.func_ir,
            found.typemap,
            found.return_type,
            found.calltypes,
            mangler=lambda *_, **__: symbol,
            inline=False,
            noalias=False,
            abi_tags=(),
        )
        library = _Library()
        _Lower(target, library, descriptor, stage.func_ir).lower()
        return str(library.module)


@functools.cache
def _contexts() -> tuple[Any, Any]:
    """What Numba knows when it infers the types of a kernel, and when it lowers one."""
    typing_context = _Typing()
    target = _Target(typing_context, "cpu")
    model = core.callconv.create_error_model("numpy", target)
    return typing_context, target.subtarget(fastmath=core.cpu_options.FastMathOptions(FAST_MATH), error_model=model)


class _Typing(core.typing.BaseContext):  # type: ignore[misc]
    """Numba's rules for the types of numbers and ranges; what they gave is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self._signatures: dict[tuple[Any, ...], Any] = {}
        everything, known = core.typing.templates.builtin_registry, core.typing.templates.Registry()
        known.functions += [each for each in everything.functions if _is_plain(each.key, each)]
        known.globals += [
            (name, kind) for name, kind in everything.globals if _is_plain(name, *getattr(kind, "templates", ()))
        ]
        self.install_registry(known)

    def refresh(self) -> None:
        """Nothing comes later."""

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """The signature of a call."""
        if kws:
            return super().resolve_function_type(func, args, kws)
        key = func, tuple(args)
        if key not in self._signatures:
            self._signatures[key] = super().resolve_function_type(func, args, kws)
        return self._signatures[key]


def _is_plain(name: Any, *declared: Any) -> bool:
    """Whether kernels may use it, and nothing else has to be compiled for it."""
    return (
        isinstance(name, Hashable)
        and name in _NAMES
        and not any(issubclass(each, core.typing.templates._OverloadFunctionTemplate) for each in declared)
    )


class _Target(core.cpu.CPUContext):  # type: ignore[misc]
    """The processor, for functions that use nothing but numbers, memory and addresses."""

    def init(self) -> None:
        """Called by Numba once."""
        self.is32bit = False
        self._internal_codegen = code_generator()
        self.install_registry(core.imputils.builtin_registry)

    @property
    def call_conv(self) -> Any:
        """How functions are called."""
        return _CallingConvention(self)

    def refresh(self) -> None:
        """Nothing comes later."""

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        """What writes a call."""
        return fn.get_impl_key(sig) if isinstance(fn, KernelFunctionType) else super().get_function(fn, sig, False)

    def add_linking_libs(self, libs: Any) -> None:
        """Called after each call was written, with what it needs beside the module."""
        if libs:
            raise TypeError("it calls a function that Numba compiles on its own, and kernels stand alone")

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Called with the finished module."""
        core.fastmathpass.rewrite_module(mod, self.fastmath)
        hint_loops(mod)


class _CallingConvention(core.callconv.BaseCallConv):  # type: ignore[misc]
    """The one of C: a result is returned, and nothing is raised."""

    def get_function_type(self, restype: Any, argtypes: Any) -> ir.FunctionType:
        """LLVM's type of a function."""
        result, *parameters = (
            ir.VoidType() if kind == types.void else self.context.get_value_type(kind) for kind in (restype, *argtypes)
        )
        return ir.FunctionType(result, parameters)

    def decorate_function(self, fn: Any, args: Any, fe_argtypes: Any, noalias: bool = False) -> None:
        """Parameters have no attributes."""

    def get_arguments(self, func: Any) -> Any:
        """The parameters of a function."""
        return func.args

    def decode_arguments(self, builder: Any, argtypes: Any, func: Any) -> Any:
        """The parameters as Numba sees them."""
        return func.args

    def return_value(self, builder: Any, retval: Any) -> None:
        """Write the end of a function."""
        if isinstance(builder.function.function_type.return_type, ir.VoidType):
            builder.ret_void()
        else:
            builder.ret(retval)

    def return_user_exc(self, builder: Any, exc: Any, *_: Any, **__: Any) -> None:
        """Write a call of what nobody defines: LLVM removes it where it cannot happen, else loading would fail."""
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, f"raise {exc.__name__}"), [])
        builder.unreachable()

    def _make_call_helper(self, builder: Any) -> None:
        """There are no exceptions to keep."""


class _Lower(core.lowering.Lower):  # type: ignore[misc]
    """Numba's lowering, without objects of Python and without lines for debuggers."""

    def emit_environment_object(self) -> None:
        """Kernels hold no objects."""

    def alloca_lltype(self, name: str, lltype: ir.Type, datamodel: Any = None) -> Any:
        """Room for a variable."""
        return cgutils.alloca_once(self.builder, lltype, name=name, zfill=False)


class _Library:
    """Where Numba puts what it made."""

    module: ir.Module

    def create_ir_module(self, name: str) -> ir.Module:
        return code_generator().empty_module(name)

    def add_ir_module(self, module: ir.Module) -> None:
        self.module = module
