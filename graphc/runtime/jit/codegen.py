"""From LLVM's language to machine code of this processor.

LLVM's standard optimisations run once over the module of a kernel, those of -O2: what -O3 adds doubles the time that a
register tile takes, and no kernel is faster for it. They do not look for vectors in straight code (SLP): kernels have
their vectors in loops or are written with them, and the search costs as much as the rest on large tiles.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import llvmlite.binding as llvm
from llvmlite import ir

__all__ = ["CodeGenerator", "code_generator"]


class CodeGenerator:
    """LLVM for this processor, with all that it can do.

    Attributes:
        target_data: the sizes of types in memory.
    """

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple()
        # On x86-64, instructions read constants that lie near without making addresses of them first.
        reloc, model = ("pic", "small") if target.name.startswith("x86") else ("default", "jitdefault")
        self._machine = target.create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            reloc=reloc,
            codemodel=model,
            jit=True,
        )
        self.target_data = self._machine.target_data
        self._layout = str(self.target_data)

    def empty_module(self, name: str) -> ir.Module:
        """A module to write functions into."""
        module = ir.Module(name)
        module.triple, module.data_layout = llvm.get_default_triple(), self._layout
        return module

    def optimized(self, text: str) -> Any:
        """The module that `text` describes, after LLVM's optimisations. Raises RuntimeError if it is none."""
        module = llvm.parse_assembly(text)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.loop_interleaving = options.loop_unrolling = True
        options.slp_vectorization = False
        passes = llvm.create_pass_builder(self._machine, options)
        passes.getModulePassManager().run(module, passes)
        return module

    def object_code(self, module: Any) -> bytes:
        """The relocatable object file of an optimised module."""
        return cast(bytes, self._machine.emit_object(module))

    def assembly(self, module: Any) -> str:
        """The assembly of an optimised module."""
        return cast(str, self._machine.emit_assembly(module))


@functools.cache
def code_generator() -> CodeGenerator:
    """The one of this process."""
    return CodeGenerator()
