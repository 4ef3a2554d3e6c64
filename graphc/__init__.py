"""graphc: a static-graph compiler and executor for array programs on CPUs.

Define a graph of placeholders and operations, derive gradients symbolically, compile it once, run it natively::

    import graphc as gr

    x = gr.placeholder(("batch", 784), name="image")
    w = gr.parameter(weights, name="w")
    loss = ((x @ w) ** 2).mean()
    step = gr.compile([x], loss, updates={w: w - 0.01 * gr.grad(loss, w)})
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphc._version import __version__
from graphc.errors import (
    DTypeError,
    FeedError,
    GradientError,
    GraphError,
    IndexFault,
    NumericsError,
    PassError,
    ShapeError,
    VerifyError,
)
from graphc.ir import ops as _ops
from graphc.ir.dims import Dim
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.ops import *
from graphc.ir.ops.leaves import Variable
from graphc.ir.source import scope
from graphc.ir.types import (
    DType,
    TensorType,
    bool_,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)

if TYPE_CHECKING:
    from graphc import datasets, nn, optim, random, train, viz
    from graphc.api import compile, evaluate
    from graphc.check import check_gradients
    from graphc.function import Function
    from graphc.ir.analysis import critical_path, to_networkx
    from graphc.runtime.native.threads import get_num_threads, set_num_threads

__all__ = [
    "DType",
    "DTypeError",
    "Dim",
    "FeedError",
    "Function",
    "GradientError",
    "Graph",
    "GraphError",
    "IndexFault",
    "Node",
    "NumericsError",
    "PassError",
    "ShapeError",
    "TensorType",
    "Value",
    "Variable",
    "VerifyError",
    "__version__",
    "bool_",
    "check_gradients",
    "compile",
    "critical_path",
    "datasets",
    "evaluate",
    "float32",
    "float64",
    "get_num_threads",
    "int8",
    "int16",
    "int32",
    "int64",
    "nn",
    "optim",
    "random",
    "scope",
    "set_num_threads",
    "to_networkx",
    "train",
    "uint8",
    "viz",
]

_SUBMODULES = ("datasets", "nn", "optim", "random", "train", "viz")
_MODULES = {
    "Function": "graphc.function",
    "check_gradients": "graphc.check",
    "compile": "graphc.api",
    "critical_path": "graphc.ir.analysis",
    "evaluate": "graphc.api",
    "get_num_threads": "graphc.runtime.native.threads",
    "set_num_threads": "graphc.runtime.native.threads",
    "to_networkx": "graphc.ir.analysis",
}
"""Where names are that building a graph does without."""


def _drawn(graph: Graph) -> str:
    from graphc.viz import to_svg

    return to_svg(graph)


Graph.drawn_by = _drawn

if not TYPE_CHECKING:  # a type checker cannot read the list, and would take every unknown name for a submodule
    __all__ += _ops.__all__

    def __getattr__(name: str) -> Any:
        """What a program may do without is imported when it is first used."""
        if name in _SUBMODULES:
            return importlib.import_module(f"graphc.{name}")
        if name in _MODULES:
            value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
            return value
        raise AttributeError(f"module 'graphc' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
