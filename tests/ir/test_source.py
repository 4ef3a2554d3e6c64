from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir import ops
from graphc.ir.build import rebuild
from graphc.ir.source import Origin, current_origin, origin, phase, scope

x = ops.placeholder(("n", 3), name="x")


def here() -> int:
    """The line of the caller."""
    return sys._getframe(1).f_lineno


def test_a_node_knows_the_line_that_made_it() -> None:
    value, line = ops.exp(x), here()
    location = value.node.location
    assert location is not None
    assert (location.filename, location.line) == (__file__, line)
    assert location.function == "test_a_node_knows_the_line_that_made_it"
    assert location.text == "value, line = ops.exp(x), here()"


@pytest.mark.parametrize(
    "build",
    [
        lambda: -x,
        lambda: x + 1,
        lambda: 1 - x,
        lambda: x.sum(axis=0),
        lambda: np.float32(2) * x,
        lambda: ops.parameter(np.zeros(2)),
    ],
)
def test_operators_and_methods_name_the_users_line(build: Callable[[], Any]) -> None:
    location = build().node.location
    assert location.filename == __file__
    assert location.function == "<lambda>"


ERRORS: list[tuple[Callable[[], Any], type[GraphError], str]] = [
    (lambda: x + ops.placeholder(4), ShapeError, "add: shapes (n, 3) and (4,) do not broadcast: 3 meets 4"),
    (lambda: ~x, DTypeError, "bitwise_not: an operand of dtype float32"),
    (lambda: x.sum(axis=2), ShapeError, "axis 2 does not exist"),
    (lambda: x.reshape(7, 2, 5), ShapeError, "reshape"),
    (lambda: ops.matmul(x, x), ShapeError, "matmul: shapes (n, 3) and (n, 3) do not chain"),
]


@pytest.mark.parametrize(("build", "kind", "found"), ERRORS, ids=[found.split(":")[0] for _, _, found in ERRORS])
def test_errors_at_construction_show_the_users_line(
    build: Callable[[], Any], kind: type[GraphError], found: str
) -> None:
    with pytest.raises(kind) as error:
        build()
    text = str(error.value)
    assert found in text
    assert f"\n  at {__file__}:{build.__code__.co_firstlineno}: (lambda: " in text


def test_code_that_python_generates_for_the_package_is_not_the_users() -> None:
    """The __init__ of a dataclass has no file, but it has the module of its class."""
    namespace: dict[str, Any] = {"__name__": "graphc.layers", "make": ops.placeholder}
    exec("def __init__(shape):\n    return make(shape)", namespace)
    value, line = namespace["__init__"](3), here()
    assert (value.node.location.filename, value.node.location.line) == (__file__, line)


def test_code_of_packages_with_a_similar_name_is_the_users() -> None:
    namespace: dict[str, Any] = {"__name__": "graphc_extras.layers", "make": ops.placeholder}
    exec("def build(shape):\n    return make(shape)", namespace)
    location = namespace["build"](3).node.location
    assert (location.filename, location.function) == ("<string>", "build")
    assert str(location) == "<string>:2"


def test_scopes_nest() -> None:
    with scope("encoder"):
        outer = x + 1
        with scope("attention"):
            inner = x + 2
        after = x + 3
    assert [value.node.scope for value in (outer, inner, after, x + 4)] == [
        "encoder",
        "encoder/attention",
        "encoder",
        "",
    ]


def test_scopes_and_phases_end_with_an_error() -> None:
    with pytest.raises(ShapeError), scope("layer"), phase("backward"):
        x + ops.placeholder(4)
    assert current_origin().scope == ""
    assert current_origin().phase == "forward"


def test_phases_and_scopes_are_independent() -> None:
    with scope("layer"), phase("backward"), scope("part"):
        node = (x + 1).node
    assert (node.scope, node.phase) == ("layer/part", "backward")
    assert node.location is not None
    assert node.location.filename == __file__


def test_a_given_origin_replaces_the_line() -> None:
    with scope("made here"), phase("backward"):
        old = ops.exp(x).node
    with origin(old.origin):
        assert ops.sin(x).node.origin == old.origin
    assert rebuild(old, [x + 1]).origin == old.origin
    with origin(Origin(scope="elsewhere")):
        location = ops.sin(x).node.location
    assert location is not None
    assert location.filename == __file__


def test_the_standard_library_in_between_is_not_the_user() -> None:
    code = """
import contextlib
from graphc.ir.source import user_location

@contextlib.contextmanager
def manager():
    yield user_location()
"""
    space: dict[str, Any] = {"__name__": "graphc.somewhere"}
    exec(code, space)
    with space["manager"]() as location:  # here
        assert location.filename == __file__
        assert location.text.endswith("# here")
