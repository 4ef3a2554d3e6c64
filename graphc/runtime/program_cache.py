"""Executables and plans on disk, under the fingerprint of the graph as written and of all that compiles it.

A process that finds its graph here runs no pass and makes no kernel's source. Like the kernels, what is found only ever
saves time: anything else than the whole entry is a miss.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from graphc.ir.fingerprint import Fingerprint
from graphc.runtime.jit.loader import disk_cache, environment
from graphc.runtime.plan import Plan
from graphc.runtime.program import Executable

__all__ = ["PlanCache", "ProgramCache"]

_PARTS = ("ir", "passes", "runtime")
"""The packages that make an executable of a graph."""

_MOST_PLANS = 32
"""So many plans of one program are stored by a process: one that meets ever new sizes does not fill the disk."""


@dataclass(frozen=True)
class ProgramCache:
    """Where the executable of one graph, compiled in one way, is kept.

    Attributes:
        key: names the entry.
        fingerprint: of the graph as written.
    """

    key: str
    fingerprint: Fingerprint

    @classmethod
    def of(cls, fingerprint: Fingerprint, options: Iterable[str]) -> ProgramCache | None:
        """The place for a graph and the options that it is compiled with; None where the cache cannot be used."""
        if os.environ.get("GRAPHC_PROGRAM_CACHE") == "0" or disk_cache().problem is not None:
            return None
        compiler = _compiler()
        if compiler is None:
            return None
        digest = hashlib.sha256(compiler)
        digest.update("\n".join(["program", fingerprint.digest, *options]).encode())
        return cls(digest.hexdigest(), fingerprint)

    def load(self) -> Executable | None:
        """The executable, if it is stored."""
        content = disk_cache().read("program", self.key)
        if content is None:
            return None
        from graphc.runtime.program_codec import decode

        return decode(content, self.fingerprint)

    def store(self, executable: Executable) -> None:
        """Keep the executable, where it can be stored."""
        from graphc.runtime.program_codec import encode

        content = encode(executable, self.fingerprint)
        if content is not None:
            disk_cache().write("program", self.key, content)

    def plans(self) -> PlanCache:
        """Where its plans are kept."""
        return PlanCache(self.key, tuple(symbol.name for symbol in self.fingerprint.symbols))


@dataclass
class PlanCache:
    """Where the memory of one executable lies, for each set of sizes.

    Attributes:
        program: the key of the executable.
        symbols: the names of its sizes, in an order that all processes share: some names differ between them.
    """

    program: str
    symbols: tuple[str, ...]
    _stored: int = field(default=0, init=False)

    def load(self, sizes: Mapping[str, int]) -> list[int] | None:
        """The offsets of a plan, as :meth:`graphc.runtime.plan.Plan.offsets` gave them, if they are stored."""
        content = disk_cache().read("plan", self._key(sizes))
        return None if content is None else np.frombuffer(content, np.int64).tolist()

    def store(self, plan: Plan) -> None:
        """Keep the offsets of a plan."""
        if self._stored < _MOST_PLANS:
            self._stored += 1
            disk_cache().write("plan", self._key(plan.sizes), np.array(list(plan.offsets()), np.int64).tobytes())

    def _key(self, sizes: Mapping[str, int]) -> str:
        values = [sizes.get(symbol) for symbol in self.symbols]
        return hashlib.sha256(f"plan {self.program} {values}".encode()).hexdigest()


@functools.cache
def _compiler() -> bytes | None:
    """Digest of all that decides what becomes of a graph besides it; None where the package's source cannot be read."""
    digest = hashlib.sha256(environment())
    digest.update(f"{np.__version__} {sys.byteorder}".encode())
    try:
        sources = [_content(file) for file in _source_files()]
    except OSError:
        return None
    for content in sources:
        digest.update(f"{len(content)}\n".encode())
        digest.update(content)
    return digest.digest() if sources else None


def _content(file: str) -> bytes:
    with open(file, "rb", buffering=0) as opened:
        return opened.read()


def _source_files() -> Iterator[str]:
    package = os.path.dirname(os.path.dirname(__file__))
    for part in _PARTS:
        for folder, inner, names in os.walk(os.path.join(package, part), onerror=_refuse):
            inner.sort()
            yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".py"))


def _refuse(error: OSError) -> None:
    raise error
