"""The parts of a checkpoint: what has a state, by one protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from graphc.errors import GraphError
from graphc.ir.op import Array
from graphc.ir.ops import Variable
from graphc.nn import Module
from graphc.random import Generator
from graphc.state import load_values, values_of

__all__ = ["Part", "Stateful", "as_stateful", "variables_in"]


@runtime_checkable
class Stateful(Protocol):
    """What can save its state, and load it: modules, optimizers, batches, or objects of the user's."""

    def state_dict(self) -> Mapping[str, Any]:
        """Arrays, and what JSON has, by name."""

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Take over what ``state_dict`` gave."""


@runtime_checkable
class _Named(Protocol):
    """What says itself which variables it holds, as optimizers do."""

    def named_variables(self) -> Mapping[str, Variable]: ...


Part: TypeAlias = Stateful | Mapping[str, Variable] | Generator | np.random.Generator


def as_stateful(parts: Mapping[str, Part]) -> dict[str, Stateful]:
    """The parts by the one protocol.

    Raises:
        GraphError: something is no part, or a name is not an identifier.
    """
    for name in parts:
        if not name.isidentifier():
            raise GraphError(f"a part is called {name!r}", expected="an identifier, such as model")
    return {name: _as_stateful(name, part) for name, part in parts.items()}


def _as_stateful(name: str, part: Any) -> Stateful:
    if isinstance(part, Stateful):
        return part
    if isinstance(part, np.random.Generator):
        return _NumPyGenerator(part)
    if isinstance(part, Generator):
        return _Variables({"state": part.state})
    if isinstance(part, Mapping) and all(isinstance(variable, Variable) for variable in part.values()):
        return _Variables(part)
    raise GraphError(
        f"the part {name!r} is a {type(part).__name__}",
        expected="a module, an optimizer, batches, a random generator, a mapping from names to variables, "
        "or an object with state_dict and load_state_dict",
        remedy="give other values as metadata",
    )


def variables_in(part: Part) -> Iterable[Variable]:
    """The variables that a part of graphc's own kinds holds."""
    if isinstance(part, Module):
        return [item for module in part.modules() for _, item in module.members() if isinstance(item, Variable)]
    if isinstance(part, _Named):
        return part.named_variables().values()
    if isinstance(part, Generator):
        return [part.state]
    return part.values() if isinstance(part, Mapping) else ()


class _Variables:
    def __init__(self, variables: Mapping[str, Variable]) -> None:
        self._variables = variables

    def state_dict(self) -> dict[str, Array]:
        return values_of(self._variables)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_values(self._variables, state)


class _NumPyGenerator:
    """The state of NumPy's generators is a dict of numbers, and for some of small arrays."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator.bit_generator

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(json.dumps(self._generator.state, default=np.ndarray.tolist))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        kind = type(self._generator).__name__
        if state.get("bit_generator") != kind:
            raise GraphError(f"the state of NumPy's generator {state.get('bit_generator')}", expected=f"one of {kind}")
        self._generator.state = dict(state)
