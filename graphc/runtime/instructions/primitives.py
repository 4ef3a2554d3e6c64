"""Raw memory, calls through addresses and atomic exchange: what the executor's own native functions are written with.

Addresses are int64 values; words are int64 values in memory.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphc.runtime import processor
from graphc.runtime.instructions.emit import BYTES, INT, WORD, call_address, cgutils, instruction, types

_word = types.int64
_void = ir.VoidType()


def _place(builder: Any, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, WORD.as_pointer()), [index])


@instruction(_word, _word, _word)
def word(builder: Any, address: Any, index: Any) -> Any:
    """The word `index` of the table at `address`."""
    return builder.load(_place(builder, address, index))


@instruction(types.void, _word, _word, _word)
def set_word(builder: Any, address: Any, index: Any, value: Any) -> None:
    """Write the word `index` of the table at `address`."""
    builder.store(value, _place(builder, address, index))


@instruction(_word, _word)
def int_at(builder: Any, address: Any) -> Any:
    """The C int at `address`."""
    return builder.sext(builder.load(builder.inttoptr(address, INT.as_pointer())), WORD)


@instruction(types.boolean, _word, _word, _word)
def exchange(builder: Any, address: Any, expected: Any, value: Any) -> Any:
    """Atomically replace the word at `address` by `value` if it is `expected`; whether it was."""
    pointer = builder.inttoptr(address, WORD.as_pointer())
    return builder.extract_value(builder.cmpxchg(pointer, expected, value, "seq_cst", "seq_cst"), 1)


@instruction(types.void, _word, _word, _word, _word)
def call_kernel(builder: Any, address: Any, table: Any, lo: Any, hi: Any) -> None:
    """Call the kernel at `address`."""
    call_address(builder, address, _void, [BYTES, WORD, WORD], (table, lo, hi))


@instruction(_word, _word, _word, _word, _word, _word)
def call_run(builder: Any, address: Any, program: Any, steps: Any, status: Any, runtime: Any) -> Any:
    """Call the executor's ``run`` at `address`."""
    return call_address(builder, address, WORD, [WORD] * 4, (program, steps, status, runtime))


@instruction(_word, _word)
def call_int(builder: Any, address: Any) -> Any:
    """The result of the C function ``int f(void)`` at `address`."""
    return builder.sext(call_address(builder, address, INT, [], ()), WORD)


@instruction(types.void, _word, _word)
def call_with_int(builder: Any, address: Any, value: Any) -> None:
    """Call the C function ``void f(int)`` at `address`."""
    call_address(builder, address, _void, [INT], (value,))


@instruction(_word, _word)
def call_pointer(builder: Any, address: Any) -> Any:
    """The result of the C function ``void *f(void)`` at `address`."""
    return builder.ptrtoint(call_address(builder, address, BYTES, [], ()), WORD)


@instruction(types.void, _word, _word)
def call_with_pointer(builder: Any, address: Any, value: Any) -> None:
    """Call the C function ``void f(void *)`` at `address`."""
    call_address(builder, address, _void, [BYTES], (value,))


@instruction(_word, _word, _word)
def call_pointer_of_word(builder: Any, address: Any, value: Any) -> Any:
    """The result of the C function ``void *f(long long)`` at `address`."""
    return builder.ptrtoint(call_address(builder, address, BYTES, [WORD], (value,)), WORD)


@instruction(_word, _word)
def acquire(builder: Any, address: Any) -> Any:
    """The word at `address`, which other threads write: read anew, before anything that follows."""
    return builder.load_atomic(builder.inttoptr(address, WORD.as_pointer()), "acquire", 8)


@instruction(_word, _word, _word)
def fetch_add(builder: Any, address: Any, value: Any) -> Any:
    """Atomically add `value` to the word at `address`; what it was before."""
    return builder.atomic_rmw("add", builder.inttoptr(address, WORD.as_pointer()), value, "seq_cst")


@instruction(types.void)
def relax(builder: Any) -> None:
    """Tell the processor that the thread is waiting, where there is a way to."""
    if processor.architecture() == "x86_64":
        kind = ir.FunctionType(_void, [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])


@instruction(_word)
def ticks(builder: Any) -> Any:
    """The processor's counter of time, which runs at one rate that :mod:`graphc.runtime.profiling.stamps` measures."""
    kind = ir.FunctionType(WORD, [])
    if processor.architecture() == "aarch64":
        return builder.asm(kind, "mrs $0, cntvct_el0", "=r", (), True)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])


@instruction(types.void, _word, _word, _word, _word, _word, _word)
def call_share(builder: Any, address: Any, team: Any, kernel: Any, table: Any, extent: Any, chunk: Any) -> None:
    """Call the team's ``share`` at `address`."""
    call_address(builder, address, WORD, [WORD] * 5, (team, kernel, table, extent, chunk))


PRIMITIVES: dict[str, Any] = {
    "word": word,
    "set_word": set_word,
    "int_at": int_at,
    "exchange": exchange,
    "call_kernel": call_kernel,
    "call_run": call_run,
    "call_int": call_int,
    "call_with_int": call_with_int,
    "call_pointer": call_pointer,
    "call_with_pointer": call_with_pointer,
    "call_pointer_of_word": call_pointer_of_word,
    "acquire": acquire,
    "fetch_add": fetch_add,
    "relax": relax,
    "ticks": ticks,
    "call_share": call_share,
}
