from __future__ import annotations

import copy
import math
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
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
        (errors.NumericsError, FloatingPointError),
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


# --- expressions ------------------------------------------------------------------------------------


def refusal(use: Callable[[], object]) -> GraphError:
    with pytest.raises(GraphError) as caught:
        use()
    return caught.value


def test_the_operands_are_shown_with_their_types() -> None:
    image, bias = gr.placeholder(("batch", 784), name="image"), gr.parameter(np.zeros(10, np.float32), "bias")
    error = refusal(lambda: image + bias)
    assert error.expression == "add(image: float32[batch, 784], bias: float32[10])"
    assert str(error).splitlines()[-2] == f"  in {error.expression}"
    weight = gr.parameter(np.zeros((784, 12), np.float32), "weight")
    error = refusal(lambda: gr.relu(image @ weight) * 2.0 - bias)
    assert error.expression == ("subtract(multiply(relu(matmul(...)), 2.0): float32[batch, 12], bias: float32[10])")
    assert refusal(lambda: weight @ image).expression == "matmul(weight: float32[784, 12], image: float32[batch, 784])"
    assert refusal(lambda: gr.placeholder((2,)) + np.zeros(3, np.float32)).expression == (
        "add(placeholder: float32[2], constant: float32[3])"
    )


def test_long_operands_are_cut_short() -> None:
    name = "a placeholder whose name says all there is to say about it"
    x = gr.placeholder((2,), name=name)
    error = refusal(lambda: gr.exp(x + x) + np.zeros(3, np.float32))
    assert error.expression == "add(exp(...): float32[2], constant: float32[3])"


def test_dtypes_too_have_their_expression() -> None:
    x = gr.placeholder((2,), name="x")
    error = refusal(lambda: x & x)
    assert error.expression == "bitwise_and(x: float32[2], x: float32[2])"
    assert "bitwise_and: an operand of dtype float32" in str(error)


def test_errors_of_no_operation_have_no_expression() -> None:
    assert "  in " not in str(GraphError("found", location=Location("nowhere.py", 2)))


# --- Python's own statements on symbolic values ------------------------------------------------------


X, NAMED = gr.placeholder((3, 2), name="x"), gr.placeholder(("batch", 2), name="images")


def assign() -> None:
    X[0] = 1.0


def unpack() -> None:
    _, _ = NAMED


PYTHON: dict[str, tuple[Callable[[], object], str, str]] = {
    "if": (lambda: 1 if X.sum() > 0 else 0, "truth of <greater: bool[]>", "gr.where"),
    "while": (lambda: [0 for _ in iter(lambda: bool(X.sum() > 0), True)], "truth of", "gr.while_loop"),
    "in a list": (lambda: X in [NAMED * 2.0, X * 2.0][1:], "truth of <equal", "by `is`"),
    "in a value": (lambda: 3 in X, "contains an item", "gr.any(value == item)"),
    "for": (lambda: [item for item in NAMED], "whose first size is symbolic", "gr.scan"),  # noqa: C416
    "unpacking": (unpack, "an unpacking of, <placeholder 'images'", "gr.scan"),
    "for over a 0-d value": (lambda: list(X.sum()), "which has no axes", ".ndim"),
    "len": (lambda: len(NAMED), "len() of <placeholder 'images': float32[batch, 2]>", ".shape"),
    "int": (lambda: int(X.sum()), "asked for its number", "gr.evaluate"),
    "float": (lambda: float(X.sum()), "asked for its number", "gr.evaluate"),
    "complex": (lambda: complex(X.sum()), "asked for its number", "gr.evaluate"),
    "range": (lambda: range(X.sum()), "asked for its number", "gr.evaluate"),
    "math": (lambda: math.sqrt(X.sum()), "asked for its number", "operations of graphc"),
    "asarray": (lambda: np.asarray(X), "asked for its number", "gr.evaluate"),
    "list in an array": (lambda: np.array([X, X]), "asked for its number", "operations of graphc"),
    "format": (lambda: f"{X.sum():.2f}", "asked for its number", "gr.evaluate"),
    "percent": (lambda: "%.2f" % X.sum(), "asked for its number", "gr.evaluate"),  # noqa: UP031
    "assignment to an item": (assign, "a symbolic value never changes", "gr.where(mask, new, old)"),
}


@pytest.mark.parametrize("case", PYTHON.values(), ids=PYTHON.keys())
def test_python_asks_a_symbolic_value_for_what_it_has_not(case: tuple[Callable[[], object], str, str]) -> None:
    use, found, help = case
    error = refusal(use)
    assert found in error.found
    assert help in f"{error.expected} {error.remedy}"
    assert error.location is not None
    assert error.location.filename == __file__


def test_what_python_may_ask() -> None:
    assert len(X) == 3
    assert [item.shape for item in X] == [(2,)] * 3
    assert f"{X}" == str(X) == "<placeholder 'x': float32[3, 2]>"
    with pytest.raises(TypeError):
        len(NAMED)


# --- feeding -----------------------------------------------------------------------------------------


@pytest.fixture
def fed() -> gr.Function:
    image, label = gr.placeholder(("n", 2), name="image"), gr.placeholder(("n",), "int64", name="label")
    scale = gr.parameter(np.ones(2, np.float32), "scale")
    return gr.compile([image, label], gr.sum(image * scale) + gr.sum(label))


ONE, LABEL = np.ones((3, 2), np.float32), np.zeros(3, np.int64)

FEEDS: dict[str, tuple[Callable[[gr.Function], object], str, str]] = {
    "dtype": (lambda f: f(ONE, np.zeros(3)), "the array for 'label' has dtype float64", ".astype('int64')"),
    "text": (lambda f: f("cat.png", LABEL), "the array for 'image' has dtype <U7", "pass numbers"),
    "none": (lambda f: f(None, LABEL), "'image' has dtype object", "pass numbers"),
    "complex": (lambda f: f(ONE * 1j, LABEL), "dtype complex64", ".astype('float32')"),
    "rank": (lambda f: f(ONE[0], LABEL), "'image' has shape (2,)", "2 axes"),
    "size": (lambda f: f(ONE[:, :1], LABEL), "'image' has shape (3, 1)", "2 where it has 1"),
    "one size for two": (lambda f: f(ONE, LABEL[:2]), "'label' has shape (2,)", "'n' to be 3, as it is in 'image'"),
    "missing": (lambda f: f(ONE), "nothing was given for 'label'", "int64[n]; all arguments are ('image', 'label')"),
    "missing all": (lambda f: f(), "nothing was given for 'image'", "float32[n, 2]"),
    "a tuple of all": (lambda f: f((ONE, LABEL)), "nothing was given for 'label'", "function(*arguments)"),
    "a dict of all": (lambda f: f({"image": ONE, "label": LABEL}), "nothing was given", "function(**arguments)"),
    "surplus": (lambda f: f(ONE, LABEL, ONE), "3 arguments for 2 placeholders", "('image', 'label')"),
    "misspelt": (lambda f: f(ONE, lable=LABEL), "no placeholder 'lable'", "did you mean 'label'?"),
    "unknown": (lambda f: f(ONE, zzz=LABEL), "no placeholder 'zzz'", "by position"),
    "a variable": (lambda f: f(ONE, LABEL, scale=ONE), "no placeholder 'scale'", "set its .value"),
    "twice": (lambda f: f(ONE, LABEL, image=ONE), "'image' is given twice", "leave out one"),
    "a symbolic value": (lambda f: f(X, LABEL), "given the symbolic value <placeholder 'x'", "compile both in one"),
    "a variable's value": (lambda f: f(gr.variable(ONE), LABEL), "the symbolic value <variable", "its .value"),
    "a list of symbolic values": (lambda f: f([X, X], LABEL), "no array of the list for 'image'", "float32[n, 2]"),
    "lists of several lengths": (lambda f: f([[1, 2], [3]], LABEL), "no array of the list for 'image'", "np.stack"),
    "arrays of several shapes": (lambda f: f([ONE, ONE[:1]], LABEL), "no array of the list for 'image'", "np.stack"),
    "numbers too large": (lambda f: f(ONE, np.full(3, 2**63, np.uint64)), "numbers that int64 cannot hold", "9223"),
}


@pytest.mark.parametrize("case", FEEDS.values(), ids=FEEDS.keys())
def test_arguments_that_do_not_fit(case: tuple[Callable[[gr.Function], object], str, str], fed: gr.Function) -> None:
    call, found, help = case
    error = refusal(lambda: call(fed))
    assert isinstance(error, gr.FeedError)
    assert found in error.found
    assert help in f"{error.expected} {error.remedy}"
    assert error.remedy
    assert error.location is not None
    assert error.location.filename == __file__
    assert fed(ONE, LABEL) == 6


def test_a_tensor_that_numpy_refuses_is_named() -> None:
    class Odd:
        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise RuntimeError("call .detach() first")

    x = gr.placeholder((2,), name="x")
    error = refusal(lambda: gr.compile([x], x * 2.0)(Odd()))
    assert "NumPy makes no array of the Odd for 'x': call .detach() first" in str(error)
    assert isinstance(error.__cause__, RuntimeError)
