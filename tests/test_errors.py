from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path

import pytest

from graphc import errors
from graphc.errors import GraphError, Location
from graphc.ir.source import Origin, origin

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "Location"]


def test_a_message_says_found_expected_remedy_and_where(tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    file.write_text("import graphc as gr\n\n    loss = a + b  \n")
    error = GraphError("found", expected="wanted", remedy="do this", location=Location(str(file), 3, "train"))
    assert str(error) == f"found\n  expected: wanted\n  remedy: do this\n  at {file}:3: loss = a + b"


def test_parts_that_are_missing_leave_no_trace() -> None:
    nowhere = Location("nowhere.py", 2)
    assert str(GraphError("found", location=nowhere)) == "found\n  at nowhere.py:2"
    assert str(GraphError("found", remedy="do this", location=nowhere)) == (
        "found\n  remedy: do this\n  at nowhere.py:2"
    )


def test_the_location_is_the_users_line_where_none_is_given() -> None:
    error, line = GraphError("found"), sys._getframe().f_lineno
    assert error.location is not None
    assert (error.location.filename, error.location.line) == (__file__, line)


def test_within_a_pass_the_location_is_that_of_the_node() -> None:
    where = Location("model.py", 5)
    with origin(Origin(where)):
        assert GraphError("found").location is where


def test_parts_can_be_added_on_the_way() -> None:
    error = GraphError("a")
    error.found = "op: a"
    error.location = Location("nowhere.py", 2)
    assert str(error) == "op: a\n  at nowhere.py:2"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ShapeError, ValueError),
        (errors.DTypeError, TypeError),
        (errors.GradientError, ValueError),
        (errors.FeedError, ValueError),
        (errors.IndexFault, IndexError),
        (errors.VerifyError, AssertionError),
        (errors.PassError, RuntimeError),
    ],
)
def test_errors_are_also_pythons_own(kind: type[GraphError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="found\n  expected: wanted"):
        raise kind("found", expected="wanted")
    assert issubclass(kind, GraphError)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_survive_a_process_border(kind: type[GraphError]) -> None:
    error = kind("found", expected="wanted", remedy="do this", location=Location("a.py", 1, "f"))
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error)
        assert twin.location == error.location


def test_a_location_without_a_file_has_no_text() -> None:
    location = Location("<stdin>", 7)
    assert (str(location), location.short, location.text) == ("<stdin>:7", "<stdin>:7", "")


@pytest.mark.parametrize("folder", ["/home/someone/project/", "C:\\Users\\someone\\", ""])
def test_the_short_form_has_no_folder(folder: str) -> None:
    assert Location(f"{folder}train.py", 12).short == "train.py:12"
