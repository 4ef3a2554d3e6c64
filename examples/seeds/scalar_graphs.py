"""Graphs of a few numbers, and derivatives by every one of them: where a PyTorch-like library starts.

Run: python examples/seeds/scalar_graphs.py
"""

from __future__ import annotations

from collections.abc import Callable

import graphc as gr


def derivatives_of_a_sum() -> dict[str, float]:
    """``c = a + b``."""
    a, b = numbers("a", "b")
    c = a + b
    da, db = gr.grad(c, [a, b])
    return run([a, b], (4.0, 3.0), {"c": c, "dc/da": da, "dc/db": db})


def derivatives_of_a_product() -> dict[str, float]:
    """``d = a * (a + b)``: a reaches the result on two ways, and a derivative may be by an intermediate value."""
    a, b = numbers("a", "b")
    c = a + b
    d = a * c
    da, db, dc = gr.grad(d, [a, b, c])
    return run([a, b], (4.0, 3.0), {"d": d, "dd/da": da, "dd/db": db, "dd/dc": dc})


def derivatives_of_a_reused_value() -> dict[str, float]:
    """``f = (a + b) + (b + c)``: what is used several times receives the sum of its derivatives."""
    a, b, c = numbers("a", "b", "c")
    d = a + b
    e = b + c
    f = d + e
    da, db, dc = gr.grad(f, [a, b, c])
    return run([a, b, c], (1.0, 2.0, 3.0), {"f": f, "df/da": da, "df/db": db, "df/dc": dc})


def rational(a: gr.Value, b: gr.Value) -> gr.Value:
    f: gr.Value = (a / b - a) * (b / a + a + b) * (a - b)
    return f


def transcendental(a: gr.Value, b: gr.Value) -> gr.Value:
    f: gr.Value = (a**2 / gr.sin(b) - a) * (b / a + gr.cos(a) + b) * (a - gr.exp(b))
    return f


def derivatives_of(function: Callable[[gr.Value, gr.Value], gr.Value]) -> dict[str, float]:
    """A function of two numbers at a = 230.3, b = 33.2."""
    a, b = numbers("a", "b")
    f = function(a, b)
    da, db = gr.grad(f, [a, b])
    return run([a, b], (230.3, 33.2), {"f": f, "df/da": da, "df/db": db})


def numbers(*names: str) -> list[gr.Value]:
    """Inputs that are one number each."""
    return [gr.placeholder((), "float64", name=name) for name in names]


def run(inputs: list[gr.Value], point: tuple[float, ...], results: dict[str, gr.Value]) -> dict[str, float]:
    """What a graph's results are at a point."""
    function = gr.compile(inputs, list(results.values()))
    return {name: float(value) for name, value in zip(results, function(*point), strict=True)}


def main() -> None:
    for title, figures in (
        ("c = a + b", derivatives_of_a_sum()),
        ("d = a * (a + b)", derivatives_of_a_product()),
        ("f = (a + b) + (b + c)", derivatives_of_a_reused_value()),
        ("f = (a / b - a) (b / a + a + b) (a - b)", derivatives_of(rational)),
        ("f = (a² / sin b - a) (b / a + cos a + b) (a - exp b)", derivatives_of(transcendental)),
    ):
        print(title)
        for name, value in figures.items():
            print(f"    {name} = {value!r}")


if __name__ == "__main__":
    main()
