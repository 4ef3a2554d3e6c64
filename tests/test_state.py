from __future__ import annotations

from graphc.state import numbered


def test_equal_names_are_numbered() -> None:
    assert numbered([]) == []
    assert numbered(["weight", "bias", "weight", "weight"]) == ["weight", "bias", "weight_1", "weight_2"]
    assert numbered(["a", "a_1", "a", "a_1"]) == ["a", "a_1", "a_2", "a_1_1"]
