"""Programs and plans on disk: what hits, what misses, and that a hit does all that compiling does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import Graph, Value
from graphc.ir.op import OpDef, no_gradient
from graphc.passes.pipeline import PIPELINE
from graphc.runtime import program_cache
from graphc.runtime.jit.cache import KernelCache, default_folder
from graphc.runtime.program import Program
from graphc.runtime.program_cache import PlanCache, ProgramCache
from tests.runtime import cached_programs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache that is in use, with the kernels of other tests, and without programs."""
    common, folder = default_folder(), tmp_path / "cache"
    for each in (common, folder):
        assert KernelCache(each).problem is None
    for file in common.glob("*.kernel"):
        shutil.copy(file, folder)
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder))
    monkeypatch.setenv("GRAPHC_PROGRAM_CACHE", "1")
    yield folder
    for file in folder.glob("*.kernel"):
        if not (common / file.name).exists():
            partial = common / f"{file.name}.partial"
            shutil.copy(file, partial)
            os.replace(partial, common / file.name)


def loaded(function: gr.Function) -> bool:
    """Whether a function came from the cache, and nothing made its stages since."""
    return not isinstance(function._executor._executable, Program) and function._stages is None


def scaled(scale: float = 2.0, **options: Any) -> gr.Function:
    x = gr.placeholder(("n", 3), name="x")
    return gr.compile([x], gr.tanh(x * scale).sum(1), **options)


POINT = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)

# --- hits --------------------------------------------------------------------------------------------------------


def test_another_process_computes_the_same_and_imports_no_compiler(cache: Path) -> None:
    def run(use: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.runtime.cached_programs"]
        environment = {**os.environ, "GRAPHC_PROGRAM_CACHE": use}
        found = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        result: dict[str, Any] = json.loads(found.stdout)
        return result

    plain, first, second = run("0"), run("1"), run("1")
    assert "graphc.passes" in plain["imported"] and "graphc.passes" in first["imported"]
    assert second["imported"] == []
    assert plain["results"] == first["results"] == second["results"]
    assert plain["texts"] == first["texts"] == second["texts"]
    assert len(plain["results"]) == len(cached_programs.PROGRAMS)


def test_a_hit_runs_no_pass_until_something_is_asked_for_that_they_made(cache: Path) -> None:
    first, second = scaled(), scaled()
    assert not loaded(first) and loaded(second)
    for batch in (POINT, POINT[:1], np.ones((5, 3), np.float32)):
        np.testing.assert_array_equal(second(batch), first(batch))
    assert second.peak_bytes == first.peak_bytes
    assert second.sources() == first.sources()
    assert loaded(second)
    assert [stage.name for stage in second.stages] == [stage.name for stage in first.stages]
    assert second.to_text() == first.to_text()


@pytest.mark.parametrize(
    "ask",
    [
        lambda step: [str(stage.graph) for stage in step.stages],
        lambda step: step.to_text("fuse"),
        lambda step: step.to_dot(),
        lambda step: step.to_svg("schedule"),
        lambda step: str(step.plan),
        lambda step: str(step.plan_for(n=9)),
        lambda step: repr(step),
        lambda step: [bound.step.name for bound in step.program.all_steps()],
        lambda step: [planned.node.op.name for planned in step.profile(POINT, repeats=1).steps],
        lambda step: sorted(step.seconds),
        lambda step: step.explain().splitlines()[-3:],
    ],
)
def test_a_hit_tells_all_that_compiling_tells(cache: Path, ask: Callable[[gr.Function], Any]) -> None:
    first, second = scaled(), scaled()
    assert loaded(second)
    expected = first(POINT)
    np.testing.assert_array_equal(second(POINT), expected)
    assert ask(second) == ask(first)
    assert not loaded(second)
    np.testing.assert_array_equal(second(POINT), expected)


def test_a_plan_is_asked_for_before_any_call(cache: Path) -> None:
    first, second = scaled(), scaled()
    assert second.known_plan is None
    assert str(second.plan_for(n=4)) == str(first.plan_for(n=4))
    with pytest.raises(gr.GraphError, match="not known yet"):
        _ = scaled().plan


def test_variables_are_those_of_the_graph_at_hand(cache: Path) -> None:
    def counter(start: float) -> tuple[gr.Variable, gr.Function]:
        x = gr.placeholder((2,))
        total = gr.variable(np.full(2, start, np.float32), "total")
        return total, gr.compile([x], x + total, updates={total: total + x})

    (_, first), (total, second) = counter(0), counter(5)
    assert loaded(second) and not loaded(first)
    np.testing.assert_array_equal(second([1, 2]), [6, 7])
    np.testing.assert_array_equal(total.value, [6, 7])


def test_wrong_arguments_are_explained(cache: Path) -> None:
    messages = []
    for step in (scaled(), scaled()):
        for arguments, named in (((), {}), ((POINT,), {"y": 1}), ((POINT[:, :2],), {})):
            with pytest.raises(gr.FeedError) as caught:
                step(*arguments, **named)
            messages.append(str(caught.value))
    assert messages[:3] == messages[3:]


def picked(inside_a_loop: bool) -> gr.Function:
    table = gr.variable(np.arange(12.0, dtype=np.float32).reshape(4, 3), "table")
    ids = gr.placeholder(("n",), "int64")
    if not inside_a_loop:
        return gr.compile([ids], gr.take(table, ids, 0), updates={table: table + 1})
    total, _ = gr.scan(lambda carry, i: (carry + gr.take(table, i, 0), carry), gr.zeros((3,)), ids)
    return gr.compile([ids], total, updates={table: table + 1})


@pytest.mark.parametrize("inside_a_loop", [False, True])
def test_a_fault_names_the_operation_and_the_users_line(cache: Path, inside_a_loop: bool) -> None:
    messages = []
    for step in (picked(inside_a_loop), picked(inside_a_loop)):
        before = step([0, 3])
        with pytest.raises(gr.IndexFault) as caught:
            step([1, 2, 9])
        assert caught.value.location is not None
        assert "gr.take(table" in caught.value.location.text
        messages.append(str(caught.value))
        np.testing.assert_array_equal(step([0, 3]), before + (2 if inside_a_loop else 1))
    assert messages[0] == messages[1]
    assert "take" in messages[0]


def test_an_axis_without_items_is_explained(cache: Path) -> None:
    def largest() -> gr.Function:
        x = gr.placeholder((None, 2))
        return gr.compile([x], gr.max(x, 0))

    messages = []
    for step in (largest(), largest()):
        with pytest.raises(gr.ShapeError) as caught:
            step(np.ones((0, 2), np.float32))
        messages.append(str(caught.value))
        np.testing.assert_array_equal(step(np.ones((3, 2), np.float32)), [1, 1])
    assert messages[0] == messages[1]
    assert "largest" not in messages[0] or "test_program_cache.py" in messages[0]


def test_sizes_without_a_name_are_checked(cache: Path) -> None:
    def added() -> gr.Function:
        x, y = gr.placeholder((None,)), gr.placeholder((None,))
        return gr.compile([x, y], x * y + 1)

    first, second = added(), added()
    assert loaded(second)
    for step in (first, second):
        np.testing.assert_array_equal(step([1, 2], [3, 4]), [4, 9])
        with pytest.raises(gr.FeedError, match="left open"):
            step([1, 2], [1, 2, 3])


# --- misses ------------------------------------------------------------------------------------------------------


def graph_of(inputs: list[Value], outputs: list[Value], updates: dict[Any, Any] | None = None) -> Graph:
    return Graph.of(inputs, outputs, updates)


def variants() -> Iterator[tuple[str, Graph]]:
    def base(
        sizes: tuple[Any, ...] = ("n", 3),
        dtype: str = "float32",
        name: str | None = "x",
        scale: Any = 2.0,
        axis: int = 1,
        keepdims: bool = False,
        function: Callable[..., Value] = gr.tanh,
    ) -> tuple[Value, Value]:
        x = gr.placeholder(sizes, dtype, name)
        return x, gr.sum(function(x * scale), axis, keepdims=keepdims)

    def one(**options: Any) -> Graph:
        x, y = base(**options)
        return graph_of([x], [y])

    yield "base", one()
    yield "constant", one(scale=2.5)
    yield "negative zero", one(scale=-0.0)
    yield "zero", one(scale=0.0)
    yield "constant's shape", one(scale=np.full(3, 2, np.float32))
    yield "dtype", one(dtype="float64")
    yield "axis", one(axis=0)
    yield "attribute", one(keepdims=True)
    yield "operation", one(function=gr.exp)
    yield "size", one(sizes=("n", 4))
    yield "name of a size", one(sizes=("m", 3))
    yield "size without a name", one(sizes=(None, 3))
    yield "equal sizes", one(sizes=("n", "n"))
    yield "two sizes without names", one(sizes=(None, None))
    yield "name of a placeholder", one(name="y")
    x, y = base()
    yield "outputs", graph_of([x], [y, y])
    yield "another output", graph_of([x], [x])
    yield "surplus input", graph_of([x, gr.placeholder(())], [y])
    first, second = gr.variable(np.ones(3, np.float32), "v"), gr.variable(np.ones(3, np.float32), "v")
    yield "one variable", graph_of([x], [x * first + first])
    yield "two variables", graph_of([x], [x * first + second])
    yield "update", graph_of([x], [x * first], {first: first + 1})
    yield "another update", graph_of([x], [x * first], {first: first + 2})
    yield "two updates", graph_of([x], [x * first], {first: first + 1, second: first + 1})
    yield "updates in another order", graph_of([x], [x * first], {second: first + 1, first: first + 1})
    trained = gr.parameter(np.ones(3, np.float32), "v")
    yield "parameter", graph_of([x], [x * trained])
    square = gr.tanh(x)
    yield "shared", graph_of([x], [square * square])
    yield "computed twice", graph_of([x], [gr.tanh(x) * gr.tanh(x)])
    yield "operands", graph_of([x], [x - square])
    yield "operands exchanged", graph_of([x], [square - x])
    for amount in (1, 2):
        total, _ = gr.scan(lambda carry, item: (carry + item * amount, carry), gr.zeros((3,)), x)  # noqa: B023
        yield f"step of a loop with {amount}", graph_of([x], [total])
    early = gr.with_updates(gr.with_updates(x, {first: first + 1}), {first: first * 2})
    late = gr.with_updates(gr.with_updates(x, {first: first * 2}), {first: first + 1})
    yield "effects", graph_of([x], [early])
    yield "effects in another order", graph_of([x], [late])
    with gr.ir.source.phase("backward"):
        yield "backward", one()


def test_whatever_decides_the_result_decides_the_fingerprint() -> None:
    found = {name: digest_of(graph) for name, graph in variants()}
    same: dict[str, list[str]] = {}
    for name, digest in found.items():
        same.setdefault(digest, []).append(name)
    assert [names for names in same.values() if len(names) > 1] == []
    again = {name: digest_of(graph) for name, graph in variants()}
    assert again == found


def digest_of(graph: Graph) -> str:
    found = fingerprint(graph)
    assert found is not None
    return found.digest


def test_lines_scopes_and_what_variables_hold_do_not_count() -> None:
    def graph(start: float) -> Graph:
        weight = gr.parameter(np.full(3, start, np.float32), "w")
        return Graph.of([], [weight * 2])

    digest = digest_of(graph(1))
    with gr.scope("elsewhere"):
        assert digest_of(graph(2)) == digest
    assert digest_of(graph(1)) == digest


def test_operations_of_others_have_no_fingerprint() -> None:
    def infer(attrs: Any, x: Any) -> Any:
        return x

    infer.__module__ = "somebody.else"
    mine = OpDef("mine", "", infer=infer, evaluate=lambda attrs, x: x, vjp=no_gradient)
    x = gr.placeholder((2,))
    assert fingerprint(Graph.of([x], [gr.ir.build.apply_one(mine, (x,))])) is None


def test_options_are_part_of_the_key(cache: Path) -> None:
    made = [scaled(), scaled(disable="fuse"), scaled(disable=["fuse", "cse"])]
    assert not any(map(loaded, made))
    assert len(list(cache.glob("*.program"))) == len(made)
    assert all(map(loaded, (scaled(), scaled(disable=("fuse",)), scaled(disable=["cse", "fuse"]))))
    assert "fused" in scaled().to_text() and "fused" not in scaled(disable="fuse").to_text()


def test_a_named_update_is_not_an_effect(cache: Path) -> None:
    def made(named: bool) -> gr.Function:
        x, v = gr.placeholder((2,)), gr.variable(np.zeros(2, np.float32), "v")
        y = gr.with_updates(x, {v: v + 1})
        return gr.compile([x], y, updates={v: v + 2} if named else None)

    assert not any(map(loaded, (made(True), made(False))))
    assert loaded(made(True)) and loaded(made(False))


@pytest.mark.parametrize(
    "options", [{"verify": True}, {"check_numerics": True}, {"passes": PIPELINE}, {"passes": PIPELINE[:3]}]
)
def test_what_checks_or_changes_the_compiler_is_not_cached(cache: Path, options: dict[str, Any]) -> None:
    expected = scaled()(POINT)
    entries = len(list(cache.glob("*.program")))
    for _ in range(2):
        step = scaled(**options)
        assert not loaded(step)
        np.testing.assert_allclose(step(POINT), expected, rtol=1e-6)
    assert len(list(cache.glob("*.program"))) == entries


def test_errors_are_raised_again(cache: Path) -> None:
    for _ in range(2):
        x, y = gr.placeholder((2,)), gr.placeholder((2,))
        with pytest.raises(gr.GraphError, match="not among the inputs"):
            gr.compile([x], x + y)
        with pytest.raises(gr.GraphError, match="no pass"):
            gr.compile([x], x, disable="nothing")


def test_every_source_file_of_the_compiler_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(program_cache.__file__).parent.parent
    for part in ("ir", "passes", "runtime"):
        shutil.copytree(package / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(program_cache, "__file__", str(tmp_path / "runtime" / "program_cache.py"))
    compiler = program_cache._compiler.__wrapped__
    before = compiler()
    assert before is not None and compiler() == before
    for changed in ("ir/ops/reduce.py", "passes/rules/views.py", "runtime/kernels/loops.py", "runtime/plan.py"):
        with (tmp_path / changed).open("a") as file:
            file.write("#\n")
        after = compiler()
        assert after != before
        before = after
    (tmp_path / "passes" / "new.py").write_text("")
    assert compiler() != before
    with monkeypatch.context() as patch:
        patch.setattr(program_cache.np, "__version__", "another")
        assert compiler() not in (None, before)
    shutil.rmtree(tmp_path / "passes")
    assert compiler() is None


def test_it_can_be_turned_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_PROGRAM_CACHE", "0")
    for _ in range(2):
        step = scaled()
        assert not loaded(step)
        step(POINT)
    assert [*cache.glob("*.program"), *cache.glob("*.plan")] == []


# --- entries -----------------------------------------------------------------------------------------------------


def place_of(step: gr.Function) -> ProgramCache:
    found = fingerprint(step.stages[0].graph)
    assert found is not None
    place = ProgramCache.of(found, ("0 updates",))
    assert place is not None
    return place


@pytest.mark.parametrize("kind", ["program", "plan"])
def test_damage_is_a_miss(cache: Path, kind: str) -> None:
    first = scaled()
    expected = first(POINT)
    place = place_of(first)
    assert place.load() is not None and place.plans().load({"n": 2}) is not None
    (file,) = cache.glob(f"*.{kind}")
    content = file.read_bytes()

    def missing() -> bool:
        return (place.load() if kind == "program" else place.plans().load({"n": 2})) is None

    bad = [b"", content[:-1], content + b"\0", bytes(len(content)), content[: len(content) // 2]]
    for position in range(0, len(content), max(1, len(content) // 60)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << (position % 8)
        bad.append(bytes(flipped))
    for damaged in bad:
        file.write_bytes(damaged)
        assert missing()
    assert KernelCache(cache).verify() == [file.stem]
    again = scaled()
    assert loaded(again) == (kind == "plan")
    np.testing.assert_array_equal(again(POINT), expected)
    assert file.read_bytes() == content
    assert KernelCache(cache).verify() == []


def test_a_plan_that_overlaps_is_made_again(cache: Path) -> None:
    def made() -> gr.Function:
        x = gr.placeholder(("n", 4))
        return gr.compile([x], (gr.softmax(x @ x.T, 1) @ x) @ (x.T @ x))

    first = made()
    point = np.ones((3, 4), np.float32)
    expected = first(point)
    plan = first.plan_for(n=3)
    assert len(list(plan.offsets())) > 1
    place = ProgramCache.of(fingerprint(first.stages[0].graph), ("0 updates",))  # type: ignore[arg-type]
    assert place is not None
    for wrong in ([0] * len(list(plan.offsets())), [8] * len(list(plan.offsets())), []):
        program_cache.disk_cache().write("plan", place.plans()._key({"n": 3}), np.array(wrong, np.int64).tobytes())
        second = made()
        assert loaded(second)
        np.testing.assert_array_equal(second(point), expected)
        assert list(second.plan.offsets()) == list(plan.offsets())


def test_plans_are_kept_for_each_set_of_sizes(cache: Path) -> None:
    plans = PlanCache("ab" * 32, ("n", "?0"))
    other = PlanCache("ab" * 32, ("n", "?7"))
    step = scaled()
    plans.store(step.plan_for(n=5))
    assert plans.load({"n": 5}) == list(step.plan_for(n=5).offsets())
    assert other.load({"n": 5}) == plans.load({"n": 5})
    assert plans.load({"n": 6}) is None and plans.load({"?0": 5}) is None
    assert PlanCache("cd" * 32, ("n", "?0")).load({"n": 5}) is None


def test_a_process_does_not_fill_the_disk_with_plans(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_cache, "_MOST_PLANS", 3)
    step = scaled()
    for n in range(1, 9):
        step(np.ones((n, 3), np.float32))
    assert len(list(cache.glob("*.plan"))) == 3


@pytest.mark.filterwarnings("ignore:the kernel cache")
def test_a_folder_that_cannot_be_used(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    expected = scaled()(POINT)
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(blocker))
    step = scaled()
    assert not loaded(step)
    np.testing.assert_array_equal(step(POINT), expected)


def test_a_disk_that_takes_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelCache, "write", lambda *args: False)
    first, second = scaled(), scaled()
    assert not loaded(first) and not loaded(second)
    np.testing.assert_array_equal(first(POINT), second(POINT))
