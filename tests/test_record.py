"""Records are dataclasses to all who ask, frozen, and compare as they say."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace
from functools import cached_property

import pytest

import graphc as gr
from graphc.record import record


@record
class Point:
    """A point."""

    x: int
    y: int = 2


@record
class Named(Point):
    name: str = field(default="p", repr=False)


@record
class Marked:
    place: int
    note: str = field(default="", compare=False)
    weights: list[int] | None = field(default=None, hash=False)
    made: int = field(init=False, compare=False)


@record
class Nothing:
    pass


@record(eq=False)
class Thing:
    x: int


@record(slots=False)
class Cached:
    x: int

    @cached_property
    def double(self) -> int:
        return 2 * self.x

    def __repr__(self) -> str:
        return "mine"


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """What a point would be as a dataclass."""

    x: int
    y: int = 2


def test_it_is_a_dataclass() -> None:
    assert is_dataclass(Point)
    assert [(each.name, each.default) for each in fields(Point)] == [("x", dataclasses.MISSING), ("y", 2)]
    assert replace(Point(1), y=5) == Point(1, 5)
    assert dataclasses.asdict(Named(1, 3, "n")) == {"x": 1, "y": 3, "name": "n"}
    match Point(4, 5):
        case Point(x, y):
            assert (x, y) == (4, 5)


def test_what_it_takes_is_what_a_dataclass_takes() -> None:
    for each in (Point, Reference):
        assert (each(1).x, each(1).y, each(y=4, x=3).x, each(y=4, x=3).y) == (1, 2, 3, 4)
        for wrong in ((), (1, 2, 3)):
            with pytest.raises(TypeError, match=r"__init__\(\) (missing|takes)"):
                each(*wrong)
        with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
            each(1, z=2)  # type: ignore[call-arg]
    assert str(inspect.signature(Point)).replace(" -> None", "") == "(x: 'int', y: 'int' = 2)"


def test_the_signature_is_there_before_the_first_object() -> None:
    @record
    class Fresh:
        size: int

    assert list(inspect.signature(Fresh).parameters) == ["size"]
    assert Fresh(3).size == 3


def test_equality_and_hash_are_of_all_fields() -> None:
    assert Point(1, 2) == Point(1) != Point(1, 3)
    assert hash(Point(1, 2)) == hash(Point(1))
    assert Named(1) != Point(1)
    assert Point(1) != Reference(1)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())


def test_fields_may_stay_out_of_comparison_hash_text_and_constructor() -> None:
    first, second = Marked(1, "a", [1]), Marked(1, "b", [1])
    assert first == second
    assert hash(first) == hash(second)
    assert first != Marked(1, "a", [2])
    assert not hasattr(first, "made")
    assert repr(Named(1, 2, "hidden")) == "Named(x=1, y=2)"
    assert repr(Point(1)) == "Point(x=1, y=2)" == repr(Reference(1)).replace("Reference", "Point")


def test_identity_on_request() -> None:
    thing = Thing(1)
    assert thing == thing != Thing(1)
    assert len({thing, Thing(1)}) == 2


@pytest.mark.parametrize("made", [Point(1), Thing(1), Cached(1), Named(1)])
def test_it_is_frozen(made: Point | Thing | Cached) -> None:
    for name in ("x", "another"):
        with pytest.raises(FrozenInstanceError, match=f"{name!r} cannot be set"):
            setattr(made, name, 3)
    with pytest.raises(FrozenInstanceError, match="'x' cannot be deleted"):
        del made.x
    assert made.x == 1


def test_slots_leave_room_for_the_fields_alone() -> None:
    assert not hasattr(Point(1), "__dict__")
    assert not hasattr(Named(1), "__dict__")
    assert (Cached(2).double, repr(Cached(2))) == (4, "mine")


@pytest.mark.parametrize("made", [Point(1, 7), Named(1, 2, "n"), Nothing(), Cached(3)])
def test_copies_and_pickles(made: object) -> None:
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(twin) is type(made)
        assert twin == made


def test_a_dtype_stays_the_one_of_its_name() -> None:
    assert pickle.loads(pickle.dumps(gr.float32)) is gr.float32
    assert copy.deepcopy(gr.int8) is gr.int8
