"""Programs of every kind, for processes that compile them one after the other with one cache.

Run as a program, it compiles and runs them all, and prints what it found as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc as gr

HEAVY = (
    "numba",
    "llvmlite",
    "networkx",
    "scipy",
    "graphc.passes",
    "graphc.runtime.lower",
    "graphc.runtime.kernels.loops",
)
"""What a process that finds its programs in the cache never imports."""

Calls = Sequence[tuple[Any, ...]]


def mlp() -> tuple[gr.Function, Calls]:
    r = np.random.default_rng(1)
    x, t = gr.placeholder(("batch", 6)), gr.placeholder(("batch",), "int64")
    model = gr.nn.Sequential(gr.nn.Linear(6, 5), gr.nn.ReLU(), gr.nn.Linear(5, 3))
    loss = gr.cross_entropy(model(x), t)
    step = gr.compile([x, t], [loss, model(x)], updates=gr.optim.AdamW(0.01).updates(loss, model.parameters()))
    return step, [(r.random((n, 6), np.float32), r.integers(0, 3, n)) for n in (4, 7, 4)]


def conv() -> tuple[gr.Function, Calls]:
    r = np.random.default_rng(2)
    x, t = gr.placeholder(("batch", 1, 8, 8)), gr.placeholder(("batch",), "int64")
    nn = gr.nn
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    )
    loss = gr.cross_entropy(model(x), t)
    step = gr.compile([x, t], loss, updates=gr.optim.SGD(0.1).updates(loss, model.parameters()))
    return step, [(r.random((n, 1, 8, 8), np.float32), r.integers(0, 3, n)) for n in (2, 3)]


def lstm() -> tuple[gr.Function, Calls]:
    r = np.random.default_rng(3)
    ids, t = gr.placeholder((None, None), "int64"), gr.placeholder((None, None), "int64")
    table, cell, head = gr.nn.Embedding(7, 4), gr.nn.LSTM(4, 5, batch_first=True), gr.nn.Linear(5, 7)
    hidden, _ = cell(table(ids))
    loss = gr.cross_entropy(head(hidden).reshape(-1, 7), t.reshape(-1))
    parameters = [*table.parameters(), *cell.parameters(), *head.parameters()]
    step = gr.compile([ids, t], loss, updates=gr.optim.SGD(0.1).updates(loss, parameters))
    return step, [(r.integers(0, 7, shape), r.integers(0, 7, shape)) for shape in ((2, 3), (3, 5))]


def choices_and_loops() -> tuple[gr.Function, Calls]:
    x, count = gr.placeholder(("n",)), gr.placeholder((), "int64")
    y = gr.cond(x.sum() > 0, lambda: x * 2, lambda: x - 1)
    start = (gr.constant(0, "int64"), y)
    _, z = gr.while_loop(lambda s: s[0] < count, lambda s: (s[0] + 1, s[1] * 1.5 + 1), start)
    step = gr.compile([x, count], [y, z, gr.grad((y * y).sum(), x)])
    return step, [(np.linspace(-1, top, n, dtype=np.float32), 3) for n, top in ((4, 3), (4, 0), (6, 2))]


def random() -> tuple[gr.Function, Calls]:
    generator = gr.random.Generator(7)
    x = gr.placeholder(("n", 3))
    y = generator.dropout(x, 0.5) + generator.normal((x.shape[0], 3)) + gr.dim_size(x.shape[0])
    return gr.compile([x], [y]), [(np.ones((n, 3), np.float32),) for n in (4, 4, 2)]


def folded_constant() -> tuple[gr.Function, Calls]:
    x = gr.placeholder((None, 4))
    mask = gr.constant(np.arange(4.0, dtype=np.float32)) * 3 - 1
    return gr.compile([x], [x * mask, gr.max(x, 1)]), [(np.ones((2, 4), np.float32),), (np.ones((5, 4), np.float32),)]


PROGRAMS: dict[str, Callable[[], tuple[gr.Function, Calls]]] = {
    each.__name__: each for each in (mlp, conv, lstm, choices_and_loops, random, folded_constant)
}


def digest(results: Any) -> str:
    arrays = results if isinstance(results, list) else [results]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def main() -> None:
    functions: dict[str, gr.Function] = {}
    results: dict[str, list[str]] = {}
    for name, make in PROGRAMS.items():
        function, calls = make()
        functions[name] = function
        results[name] = [digest(function(*arguments)) for arguments in calls]
    imported = [name for name in HEAVY if name in sys.modules]
    texts = {
        name: [str(function.plan), function.to_text(), repr(function), *function.sources()]
        for name, function in functions.items()
    }
    print(json.dumps({"results": results, "imported": imported, "texts": texts}))


if __name__ == "__main__":
    main()
