"""Arguments of calls as arrays, and what is said about those that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import FeedError, GraphError
from graphc.ir.binding import label
from graphc.ir.graph import Value
from graphc.ir.op import Array

__all__ = ["as_array", "cannot_hold", "check_kind", "converted"]


def converted(value: Value, given: Any, position: int) -> Array:
    """An argument as an array that can be bound: itself where it is one, else a copy.

    Raises:
        FeedError: it is no array, or its numbers would change their kind or be cut off.
    """
    array = as_array(value, given, position)
    wanted = value.dtype
    if array.dtype != wanted.numpy:
        if array.size or hasattr(given, "dtype"):  # an empty list has no kind
            check_kind(value, array, position)
        cast = array.astype(wanted.numpy)
        if wanted.is_integer and not np.array_equal(cast, array):
            raise cannot_hold(value, position)
        array = cast
    return np.require(array, requirements=("C_CONTIGUOUS", "ALIGNED")) if array.ndim else np.array(array)


def as_array(value: Value, given: Any, position: int) -> Array:
    """What was given for a placeholder as an array, of any dtype and shape.

    Raises:
        FeedError: it is no array.
    """
    if isinstance(given, Value):
        storage = getattr(given.node.attrs, "storage", None)
        raise FeedError(
            f"{label(value, position)} was given the symbolic value {given!r}",
            expected=f"numbers: an array of type {value.type}, or what NumPy makes one of",
            remedy="pass what the variable holds: its .value" if storage is not None else "compile both in one graph",
            location=value.node.location,
        )
    try:
        return np.asarray(given)
    except Exception as error:  # of whatever the argument is
        reason = error.found if isinstance(error, GraphError) else str(error)
        raise FeedError(
            f"NumPy makes no array of the {type(given).__name__} for {label(value, position)}: {reason}",
            expected=f"an array of type {value.type}, or lists of numbers of equal lengths",
            remedy="convert it to one array, with np.stack, np.pad or the like",
            location=value.node.location,
        ) from error


def check_kind(value: Value, array: Array, position: int) -> None:
    """Check that an array's numbers keep their kind where they are converted for a placeholder.

    Raises:
        FeedError: they do not.
    """
    wanted = value.dtype
    if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, wanted.numpy, "same_kind"):
        raise FeedError(
            f"the array for {label(value, position)} has dtype {array.dtype}",
            expected=f"{wanted}, or a dtype that converts to it without changing its kind",
            remedy=f"convert it with .astype('{wanted}')" if array.dtype.kind in "biufc" else "pass numbers",
            location=value.node.location,
        )


def cannot_hold(value: Value, position: int, where: str = "") -> FeedError:
    """The error for integers that do not fit a placeholder's dtype; ``where`` tells where they were found."""
    wanted = value.dtype
    return FeedError(
        f"the array for {label(value, position)} has numbers that {wanted} cannot hold{where}",
        expected=f"numbers from {np.iinfo(wanted.numpy).min} to {np.iinfo(wanted.numpy).max}",
        remedy="give the placeholder a wider dtype",
        location=value.node.location,
    )
