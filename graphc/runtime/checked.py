"""An executor that refuses results which are not finite, and says where they come from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.ir.binding import label
from graphc.ir.graph import Graph, Value
from graphc.ir.op import Array
from graphc.runtime.executor import Executor
from graphc.runtime.numerics import find_culprit, is_finite, numerics_error
from graphc.runtime.program import Program

__all__ = ["CheckedExecutor"]


class CheckedExecutor(Executor):
    """Runs a program, and checks its results and the variables that it updates.

    Beside the run, a call copies the variables that are updated, and reads them and the results once.
    """

    checks = True

    def __init__(self, program: Program, graph: Graph) -> None:
        """``graph`` computes what ``program`` does; an operation that it finds at fault is one of its nodes."""
        super().__init__(program, program.graph.inputs)
        self._graph = graph
        self._turn = threading.Lock()
        self._variables = [variable for variable, _ in program.graph.updates]
        self._before = [np.empty_like(_storage(variable)) for variable in self._variables]

    def __call__(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Array]:
        """As :meth:`Executor.__call__`.

        Raises:
            NumericsError: a result, or a variable's next value, is not finite; no variable has changed.
        """
        with self._turn:
            for variable, before in zip(self._variables, self._before, strict=True):
                np.copyto(before, _storage(variable))
            results = super().__call__(args, named)
            bad = self._first_bad(results)
            if bad is None:
                return results
            for variable, before in zip(self._variables, self._before, strict=True):
                np.copyto(_storage(variable), before)
            machine, arrays = self.prepare(args, named)
            leaves = dict(zip(self._graph.inputs, arrays, strict=True))
            culprit = find_culprit(self._graph, leaves, machine.plan.sizes)
            raise numerics_error(bad[0], culprit, bad[1].node.location)

    def _first_bad(self, results: list[Array]) -> tuple[str, Value] | None:
        """What the first result that is not finite is called, and its value."""
        for position, array in enumerate(results):
            if not is_finite(array):
                return f"output {position}", self._graph.outputs[position]
        for variable in self._variables:
            if not is_finite(_storage(variable)):
                return f"the next value of {label(variable)}", variable
        return None


def _storage(variable: Value) -> Array:
    array: Array = variable.node.attrs.storage.array
    return array
