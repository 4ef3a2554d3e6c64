from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from typing import Any, NamedTuple

import pytest

from graphc.ir.trees import flatten


class Pair(NamedTuple):
    first: Any
    second: Any


@pytest.mark.parametrize(
    ("tree", "leaves", "text"),
    [
        (1, [1], "*"),
        (None, [], "None"),
        ((), [], "()"),
        ((1,), [1], "(*,)"),
        ([1, (2, None), []], [1, 2], "[*, (*, None), []]"),
        ({"b": 1, "a": [2]}, [2, 1], "{'a': [*], 'b': *}"),
        (Pair(1, Pair(2, None)), [1, 2], "(*, (*, None))"),
        (OrderedDict(a=2, b=1), [2, 1], "{'a': *, 'b': *}"),
        (defaultdict(list, a=1), [1], "{'a': *}"),
        (Counter(a=1, b=5), [1, 5], "{'a': *, 'b': *}"),
        ({2: 1, "a": 3, None: 4}, [3, 1, 4], "{'a': *, 2: *, None: *}"),
    ],
)
def test_there_and_back(tree: Any, leaves: list[Any], text: str) -> None:
    found, structure = flatten(tree)
    assert found == leaves
    assert str(structure) == text
    again = structure.build(found)
    assert again == tree
    assert type(again) is type(tree)


def test_other_leaves_in_their_places() -> None:
    _, structure = flatten({"a": (1, [2]), "b": Pair(3, None)})
    assert structure.build("xyz") == {"a": ("x", ["y"]), "b": Pair("z", None)}


def test_paths() -> None:
    _, structure = flatten({"a": (1, [2]), "b": Pair(3, None), 4: 5})
    assert list(structure.paths("state")) == ["state['a'][0]", "state['a'][1][0]", "state['b'][0]", "state[4]"]
    assert list(flatten(7)[1].paths("state")) == ["state"]


def test_which_structures_are_equal() -> None:
    def structure(tree: Any) -> Any:
        return flatten(tree)[1]

    assert structure({"a": 1, "b": 2}) == structure({"b": 3, "a": 4})
    for left, right in [
        ((1, 2), [1, 2]),
        ((1, 2), Pair(1, 2)),
        ((1, None), (1, 2)),
        ((1,), (1, ())),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, OrderedDict(a=1)),
        (1, None),
    ]:
        assert structure(left) != structure(right)
