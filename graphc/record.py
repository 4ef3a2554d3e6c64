"""Frozen dataclasses that cost little to define.

:func:`dataclasses.dataclass` compiles about five methods for every class, which would be half the time of
``import graphc``. A record compiles its ``__init__`` alone, and that when it is first looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from functools import partial
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

__all__ = ["record"]

Kind = TypeVar("Kind", bound=type[Any])


@overload
def record(cls: Kind, /) -> Kind: ...
@overload
def record(*, eq: bool = True, slots: bool = True) -> Callable[[Kind], Kind]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type | None = None, /, *, eq: bool = True, slots: bool = True) -> Any:
    """What ``dataclass(frozen=True, eq=eq, slots=slots)`` makes of a class, and a dataclass to all who ask.

    Fields may have defaults; there is no ``default_factory`` and no ``__post_init__``.

    Args:
        cls: the class.
        eq: whether objects with equal fields are equal; otherwise they compare by identity.
        slots: whether objects have room for their fields alone; a cached property needs more.
    """
    return partial(_record, eq=eq, slots=slots) if cls is None else _record(cls, eq, slots)


def _record(cls: type, eq: bool, slots: bool) -> Any:
    own = vars(cls)
    cls.__doc__ = cls.__doc__ or cls.__name__  # for want of one, dataclass would write a signature, at some expense
    made: Any = dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
    made.__init__ = _Init(made, slots)
    made.__setattr__, made.__delattr__ = _refuse_to_set, _refuse_to_delete
    for name, method in (("__repr__", _repr), ("__reduce__", _reduce)):
        if name not in own:
            setattr(made, name, method)
    if eq:
        compared = [each for each in fields(made) if each.compare]
        made.__eq__ = _equality([each.name for each in compared])
        made.__hash__ = _hash([each.name for each in compared if each.hash is not False])
    return made


class _Init:
    """Stands for the ``__init__`` of a record until it is first looked up."""

    def __init__(self, cls: Any, slots: bool) -> None:
        self._cls, self._slots = cls, slots

    def __get__(self, instance: object, owner: type) -> Any:
        init = self._cls.__init__ = _compiled_init(self._cls, self._slots)
        return init.__get__(instance, owner)


def _compiled_init(cls: Any, slots: bool) -> Any:
    names: dict[str, Any] = {"__name__": cls.__module__, "set_field": object.__setattr__}
    parameters, lines, annotations = ["self"], ["pass"], {}
    for each in fields(cls):
        if not each.init:
            continue
        name = each.name
        annotations[name] = each.type
        if each.default is MISSING:
            parameters.append(name)
        else:
            parameters.append(f"{name}=default_{name}")
            names[f"default_{name}"] = each.default
        if slots:  # the slot's own setter is the quickest
            lines.append(f"set_{name}(self, {name})")
            names[f"set_{name}"] = getattr(cls, name).__set__
        else:
            lines.append(f"set_field(self, {name!r}, {name})")
    exec(f"def __init__({', '.join(parameters)}):\n    " + "\n    ".join(lines), names)
    init = names["__init__"]
    init.__annotations__ = annotations
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _equality(names: list[str]) -> Callable[[Any, object], bool]:
    key = _key(names)

    def __eq__(self: Any, other: object) -> bool:
        if self is other:
            return True
        return key(self) == key(other) if type(self) is type(other) else NotImplemented

    return __eq__


def _hash(names: list[str]) -> Callable[[Any], int]:
    key = _key(names)
    return lambda self: hash(key(self))


def _key(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda self: ()


def _repr(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def _reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
    return type(self), tuple(getattr(self, each.name) for each in fields(self) if each.init)


def _refuse_to_set(self: object, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"a {type(self).__name__} is frozen: {name!r} cannot be set")


def _refuse_to_delete(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"a {type(self).__name__} is frozen: {name!r} cannot be deleted")
