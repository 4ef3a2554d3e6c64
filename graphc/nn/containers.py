"""Modules made of others, and of nothing: Sequential, Flatten, Identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphc.errors import DTypeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import Variable, as_value, flatten
from graphc.nn.module import Module

__all__ = ["Flatten", "Identity", "Sequential"]

Layer: TypeAlias = Callable[[Any], Any]
"""A module, or a function of one value such as ``gr.relu``."""


class Sequential(Module):
    """Layers one after another: each takes the result of the one before.

    Layers are modules or functions of one value (``gr.relu``); parameters are named ``0.weight``, ``0.bias``,
    ``2.weight`` and so on by the place of their layer. Indexing gives a layer, a slice gives a Sequential of the
    same layers.

    Raises:
        DTypeError: a layer cannot be called.
    """

    def __init__(self, *layers: Layer) -> None:
        for index, layer in enumerate(layers):
            if not callable(layer):
                raise DTypeError(
                    f"layer {index} of a Sequential is {layer!r}",
                    expected="modules, or functions of one value",
                    remedy="unpack a list of layers with a star: Sequential(*layers)",
                )
        self.layers = layers

    def members(self) -> Iterator[tuple[str, Module | Variable]]:
        """Places and layers that are modules."""
        return ((str(index), layer) for index, layer in enumerate(self.layers) if isinstance(layer, Module))

    def forward(self, x: Any) -> Any:
        """The result of the last layer; ``x`` where there is none."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __getitem__(self, index: int | slice) -> Any:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)


@dataclass(eq=False)
class Flatten(Module):
    """The axes from ``start_axis`` on as one: (batch, 28, 28) to (batch, 784)."""

    start_axis: int = 1

    def forward(self, x: Operand) -> Value:
        """The flattened value."""
        return flatten(x, self.start_axis)


@dataclass(eq=False)
class Identity(Module):
    """The argument itself."""

    def forward(self, x: Operand) -> Value:
        """The argument."""
        return as_value(x)
