"""An extension of griffe, which reads the docstrings for the reference.

Some public functions are made by calls, and some have the names of the files that they stand in: griffe, which reads
source, sees neither. It gets graphc's public functions as they are when graphc is imported.
"""

from __future__ import annotations

from inspect import isfunction
from typing import Any

import griffe

import graphc


class PublicFunctions(griffe.Extension):  # type: ignore[misc]
    """Puts the functions of ``graphc`` in the place of what was read of them."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Called when the source of a package was read."""
        if pkg.path != "graphc":
            return
        names = [name for name in graphc.__all__ if isfunction(getattr(graphc, name))]
        for name in names:
            function = getattr(graphc, name)
            function.__module__ = "graphc"  # griffe looks for others where they say that they are from
            setattr(graphc, name, function)  # some are imported when they are first used
        inspected = griffe.inspect("graphc", filepath=pkg.filepath)
        for name in names:
            pkg.set_member(name, inspected.members[name])
