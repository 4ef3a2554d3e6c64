"""Updates made with the reference interpreter: formulas are checked apart from kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import graphc as gr


def make_step(updates: Mapping[Any, Any], feeds: Mapping[Any, Any] | None = None) -> None:
    """Give every variable its next value, all computed from the values before."""
    values = gr.evaluate(list(updates.values()), dict(feeds or {}))
    for variable, value in zip(updates, values, strict=True):
        variable.value = value
