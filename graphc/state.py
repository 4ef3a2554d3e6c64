"""The values of named variables, read and written together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from graphc.errors import GraphError
from graphc.ir.op import Array
from graphc.ir.ops import Variable

__all__ = ["UnmatchedNames", "load_values", "numbered", "values_of"]


class UnmatchedNames(NamedTuple):
    """Names that variables and a loaded state do not share."""

    missing: tuple[str, ...]
    """Names of variables that the state lacks."""
    unexpected: tuple[str, ...]
    """Names in the state that no variable has."""


def values_of(variables: Mapping[str, Variable]) -> dict[str, Array]:
    """Copies of what the variables hold."""
    return {name: variable.value for name, variable in variables.items()}


def load_values(variables: Mapping[str, Variable], state: Mapping[str, Any], strict: bool = True) -> UnmatchedNames:
    """Copy arrays into variables. Where anything is wrong, nothing is changed.

    Args:
        variables: the variables by name.
        state: arrays, or what NumPy makes arrays of (PyTorch's tensors, for instance), by name.
        strict: whether names that only one side has are an error.

    Returns:
        The names that only one side has.

    Raises:
        GraphError: on request, names that only one side has.
        ShapeError: an array's shape is not that of its variable.
        DTypeError: an array's numbers do not fit its variable.
    """
    missing = tuple(name for name in variables if name not in state)
    unexpected = tuple(name for name in state if name not in variables)
    if strict and (missing or unexpected):
        raise _unmatched(missing, unexpected)
    before = {name: variable.value for name, variable in variables.items() if name in state}
    try:
        for name in before:
            variables[name].value = state[name]
    except GraphError as error:
        for changed, array in before.items():
            variables[changed].value = array
        error.found = f"loading {name!r}: {error.found}"
        raise
    return UnmatchedNames(missing, unexpected)


def numbered(names: Iterable[str]) -> list[str]:
    """The names, of which those after the first of equal ones have numbers: ``weight``, ``weight_1``."""
    result: dict[str, None] = {}
    for name in names:
        unique, count = name, 0
        while unique in result:
            count += 1
            unique = f"{name}_{count}"
        result[unique] = None
    return list(result)


def _unmatched(missing: tuple[str, ...], unexpected: tuple[str, ...]) -> GraphError:
    import difflib  # for this message alone

    found = [f"the state lacks {', '.join(map(repr, missing))}"] if missing else []
    found += [f"no variable is named {', '.join(map(repr, unexpected))}"] if unexpected else []
    near = {name: difflib.get_close_matches(name, unexpected, 1) for name in missing}
    hints = [f"rename {names[0]!r} to {name!r}" for name, names in near.items() if names]
    return GraphError(
        "; ".join(found),
        expected="the same names on both sides",
        remedy=", or ".join([*hints, "pass strict=False to load what fits"]),
    )
