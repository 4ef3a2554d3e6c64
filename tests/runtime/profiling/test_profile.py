"""The profiler: what it counts is exact, what it changes is nothing, and what it writes can be read by others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.ir.op import registry
from graphc.runtime.cost import Cost, member_shares, step_cost
from graphc.runtime.native.threads import get_num_threads
from graphc.runtime.profiling.machine_limits import machine_limits
from graphc.runtime.profiling.profile import Profile, ProfiledStep
from graphc.runtime.profiling.stamps import Log, StampedMachine, seconds_per_tick, stamp_ticks
from graphc.runtime.program import BoundStep


@pytest.fixture
def two_threads() -> Any:
    before = get_num_threads()
    gr.set_num_threads(2)
    yield
    gr.set_num_threads(before)


def training_step() -> tuple[gr.Function, list[gr.Variable]]:
    x, t = gr.placeholder(("batch", 6), name="image"), gr.placeholder(("batch",), "int64", name="label")
    w, b = gr.parameter(np.full((6, 3), 0.1, np.float32), "w"), gr.parameter(np.zeros(3, np.float32), "b")
    with gr.scope("head"):
        hidden = gr.tanh(x @ w + b)
    loss = gr.cross_entropy(hidden, t)
    dw, db = gr.grad(loss, [w, b])
    return gr.compile([x, t], loss, {w: w - 0.1 * dw, b: b - 0.1 * db}), [w, b]


def looping() -> gr.Function:
    """A loop of 5 steps, one in it of 3, a choice, and a loop that ends when its state is large."""
    xs = gr.placeholder((5, 3), name="xs")

    def step(state: gr.Value, x: gr.Value) -> tuple[gr.Value, gr.Value]:
        inner, _ = gr.scan(lambda s, y: (gr.tanh(s + y), None), gr.sum(state) * 0.1, x)
        return state * 0.5 + inner, state

    last, ys = gr.scan(step, gr.zeros(3), xs)
    chosen = gr.cond(gr.sum(xs) > 0, lambda: gr.exp(last), lambda: gr.sin(last))
    grown = gr.while_loop(lambda s: s < 100.0, lambda s: s * 2.0, gr.sum(gr.abs(chosen)) * 0.0 + 1.0)
    return gr.compile([xs], [gr.sum(ys), grown])


POINT = (np.ones((8, 6), np.float32), np.arange(8) % 3)


def by_number(profile: Profile) -> dict[str, ProfiledStep]:
    return {step.number: step for step in profile.all_steps()}


# --- what is measured --------------------------------------------------------------------------------


def test_every_step_is_measured_and_nothing_is_changed() -> None:
    function, variables = training_step()
    first = function(*POINT)
    before = [variable.value for variable in variables]
    profile = function.profile(*POINT, repeats=3)
    assert [step.name for step in profile.steps] == [step.name for step in function.plan.steps]
    assert all(step.runs == 1 for step in profile.steps)
    assert profile.seconds == profile.outside + sum(step.seconds for step in profile.steps)
    assert profile.sizes == {"batch": 8}
    assert profile.complete
    for variable, array in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.value, array)
    assert function(*POINT) < first


def test_arguments_as_for_a_call() -> None:
    function, _ = training_step()
    profile = function.profile(label=POINT[1].tolist(), image=POINT[0].astype("float64"), repeats=1)
    assert len(profile.steps) == len(function.plan_for(batch=8).steps)
    with pytest.raises(gr.FeedError, match="nothing was given for 'label'"):
        function.profile(POINT[0])
    with pytest.raises(gr.GraphError, match="repeats=0\n  expected: at least 1"):
        function.profile(*POINT, repeats=0)


def test_a_function_that_was_profiled_gives_the_same_bits() -> None:
    function, _ = training_step()
    twin, _ = training_step()
    for _ in range(3):
        assert function(*POINT).tobytes() == twin(*POINT).tobytes()
        function.profile(*POINT, repeats=2)


def test_a_function_that_checks_its_numbers_can_be_profiled() -> None:
    x = gr.placeholder((4,), name="x")
    function = gr.compile([x], gr.exp(x), check_numerics=True)
    assert len(function.profile(np.zeros(4), repeats=1).steps) == 1


def test_faults_are_reported_and_variables_kept() -> None:
    table, ids = gr.parameter(np.ones((4, 2), np.float32), "table"), gr.placeholder((3,), "int64", name="ids")
    rows = gr.take(table, ids, 0)
    function = gr.compile([ids], gr.sum(rows), {table: table - gr.grad(gr.sum(rows), table)})
    with pytest.raises(gr.IndexFault, match="the index 9 at flat position 1"):
        function.profile([0, 9, 1])
    np.testing.assert_array_equal(table.value, np.ones((4, 2)))
    assert len(function.profile([0, 1, 2], repeats=1).steps) == len(function.plan.steps)


def test_an_index_that_goes_out_of_range_while_it_is_profiled() -> None:
    """The state moves with each call, plain or stamped, so some call among them finds the fault, in a loop."""
    place = gr.variable(np.array(0), "place")
    table = gr.constant(np.arange(10.0))
    function = gr.compile(
        [], gr.scan(lambda s, _: (s + gr.take(table, place, 0), None), 0.0, None, length=2)[0], {place: place + 1}
    )
    for start in range(10):
        place.value = start
        with pytest.raises(gr.IndexFault, match="the index 10 at flat position 0"):
            function.profile(repeats=10)
        assert place.value == start
    place.value = 3
    assert function() == 6


def test_steps_of_loops_and_choices_have_their_counts() -> None:
    function = looping()
    profile = function.profile(np.ones((5, 3)), repeats=2)
    steps = by_number(profile)
    loops = {step.name: step for step in profile.steps if step.inner}
    assert set(loops) == {"scan", "cond", "while_loop"}
    scan = loops["scan"]
    assert scan.runs == 1
    assert {step.runs for step in scan.inner} == {5}
    [inner] = [step for step in scan.inner if step.inner]
    assert {step.runs for step in inner.inner} == {15}
    assert inner.inner[0].number == f"{inner.number}.0"
    taken = {step.node.op.name: step.runs for step in loops["cond"].inner}
    assert taken["exp"] == 1
    assert taken["sin"] == 0
    condition = steps[f"{loops['while_loop'].number}.0.0"]
    body = steps[f"{loops['while_loop'].number}.1.0"]
    assert (condition.runs, body.runs) == (8, 7)
    assert function.profile(-np.ones((5, 3)), repeats=1).steps[0].runs == 1


def test_a_loop_too_long_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphc.runtime.profiling.measure._LEAST_ENTRIES", 32)
    function = looping()
    assert {step.runs for step in function.profile(np.ones((5, 3)), repeats=1).all_steps()} >= {1, 5, 15}
    monkeypatch.setattr("graphc.runtime.profiling.measure._MOST_ENTRIES", 40)
    profile = function.profile(np.ones((5, 3)), repeats=1)
    assert not profile.complete
    assert {step.runs for step in profile.steps} == {1}
    assert {step.runs for step in profile.all_steps()} == {0, 1}
    assert "they are left out" in str(profile)


# --- cost --------------------------------------------------------------------------------------------


def costs(build: Callable[..., Any], *shapes: Any, dtype: str = "float32") -> dict[str, Cost]:
    inputs = [gr.placeholder(shape, dtype, name=f"x{i}") for i, shape in enumerate(shapes)]
    return costs_of(gr.compile(inputs, build(*inputs)))


def costs_of(function: gr.Function) -> dict[str, Cost]:
    return {bound.step.name: step_cost(bound, {"n": 10}) for bound in steps_of(function)}


def steps_of(function: gr.Function) -> list[BoundStep]:
    return list(function._executor.program.all_steps())


def test_products_are_two_operations_for_each_pair() -> None:
    assert costs(lambda a, b: a @ b, ("n", 20), (20, 30)) == {"matmul": Cost(2 * 10 * 20 * 30, 4 * 800, 4 * 300)}
    assert costs(lambda a, b: a @ b, (7, 4, 5), (7, 5, 6))["matmul"].flops == 2 * 7 * 4 * 5 * 6


def test_convolutions_are_two_operations_for_each_item_of_each_window() -> None:
    x, w = gr.placeholder((3, 4, 8, 8), name="x"), gr.placeholder((6, 2, 3, 3), name="w")
    y = gr.conv2d(x, w, groups=2)
    dx, dw = gr.grad(gr.sum(y * y), [x, w])
    found = costs_of(gr.compile([x, w], [y, dx, dw]))
    for name in ("conv", "conv_transpose", "conv_weight"):
        assert found[name].flops == 2 * (3 * 6 * 6 * 6) * (2 * 3 * 3)


def test_elementwise_operations_and_reductions() -> None:
    fused = costs(lambda x, y: gr.sum(x * y + 1.0, 1), (10, 8), (10, 8))["fused"]
    assert fused == Cost(3 * 80, 4 * 161, 4 * 10)


def test_the_cost_of_an_operation_counts() -> None:
    assert registry["tanh"].cost > 1
    assert costs(gr.tanh, (10,))["tanh"] == Cost(10 * registry["tanh"].cost, 40, 40)
    assert costs(gr.abs, (10,), dtype="int32")["abs"] == Cost(0, 40, 40)


def test_a_sum_over_all_has_partial_results() -> None:
    found = costs(gr.sum, (300, 500))
    assert found["sum"].flops == 150_000
    assert 0 < found["combine"].flops < 100


def test_movements_are_no_arithmetic() -> None:
    ids = gr.placeholder((5,), "int64", name="ids")
    table = gr.placeholder((1000, 4), name="table")
    taken = costs_of(gr.compile([table, ids], gr.take(table, ids, 0)))["take"]
    assert taken == Cost(0, 4 * 20 + 8 * 5, 4 * 20)
    assert costs(lambda x: x[:, 2:4], (10, 100))["copy"] == Cost(0, 80, 80)
    assert costs(lambda x, y: gr.concatenate([x, y]), (3,), (4,))["copy"] == Cost(0, 16, 16)


def test_additions_at_indices_touch_what_they_change() -> None:
    table, ids = gr.parameter(np.zeros((1000, 4), np.float32)), gr.placeholder((5,), "int64")
    function = gr.compile([ids], [], {table: gr.index_add(table, ids, gr.ones((5, 4)), 0)})
    assert costs_of(function)["index_add"] == Cost(20, 4 * 20 + 8 * 5 + 4 * 20, 4 * 20)


def test_a_loop_has_the_cost_of_its_steps() -> None:
    profile = looping().profile(np.ones((5, 3)), repeats=1)
    [scan] = [step for step in profile.steps if step.name == "scan"]
    assert scan.flops == sum(step.flops for step in scan.inner) > 0
    assert scan.bytes == sum(step.bytes for step in scan.inner) > 0


def test_memory_is_what_the_plan_keeps_alive() -> None:
    function, _ = training_step()
    profile = function.profile(*POINT, repeats=1)
    plan = function.plan_for(batch=8)
    assert [step.memory for step in profile.steps] == plan.alive_bytes()
    assert 0 < max(step.memory for step in profile.steps) <= plan.arena_bytes


# --- views -------------------------------------------------------------------------------------------


def test_views_divide_all_the_time() -> None:
    for profile in (training_step()[0].profile(*POINT, repeats=3), looping().profile(np.ones((5, 3)), repeats=3)):
        own = sum(step.own_seconds for step in profile.all_steps())
        for view in ("op", "scope", "line", "phase"):
            groups = profile.by(view)
            assert sum(group.seconds for group in groups) == pytest.approx(own)
            assert [group.seconds for group in groups] == sorted((g.seconds for g in groups), reverse=True)


def test_groups_are_named_for_what_they_have_in_common() -> None:
    profile = training_step()[0].profile(*POINT, repeats=1)
    assert {"matmul", "gemm", "tanh"} <= {group.name for group in profile.by("op")}
    assert {group.name for group in profile.by("phase")} == {"forward", "backward"}
    assert {group.name for group in profile.by("scope")} == {"head", "(no scope)"}
    assert any("hidden = gr.tanh(x @ w + b)" in group.name for group in profile.by("line"))
    with pytest.raises(gr.GraphError, match="there is no view 'ops'\n  expected: 'op', 'scope', 'line', 'phase'"):
        profile.by("ops")  # type: ignore[arg-type]


def test_a_fused_step_is_divided_by_cost() -> None:
    x = gr.placeholder((10,), name="x")
    [bound] = steps_of(gr.compile([x], gr.tanh(x + 1.0)))
    shares = {node.op.name: part for node, part in member_shares(bound, {})}
    assert shares["tanh"] > shares["add"] > 0
    assert sum(shares.values()) == pytest.approx(1)


def test_seconds_by_node() -> None:
    function, _ = training_step()
    profile = function.profile(*POINT, repeats=2)
    seconds = profile.seconds_by_node
    nodes = {node for node in function.graph.nodes if node in seconds}
    assert sum(seconds[node] for node in nodes) == pytest.approx(sum(step.seconds for step in profile.steps))
    fused = next(node for node in nodes if node.op.name == "fused")
    assert sum(seconds.get(member, 0) for member in fused.attrs.body.nodes) <= seconds[fused] * 1.001
    loop = next(node for node in looping().graph.nodes if node.op.name == "scan")
    assert loop not in seconds


def test_seconds_of_the_nodes_of_a_loop() -> None:
    function = looping()
    seconds = function.profile(np.ones((5, 3)), repeats=1).seconds_by_node
    [scan] = [node for node in function.graph.nodes if node.op.name == "scan"]
    assert scan in seconds
    assert any(node in seconds for node in scan.attrs.body.nodes)


def test_tables() -> None:
    profile = looping().profile(np.ones((5, 3)), repeats=1)
    lines = str(profile).splitlines()
    assert lines[0].split()[:4] == ["step", "kernel", "runs", "us"]
    steps = list(profile.all_steps())
    assert [line.split()[0] for line in lines[1 : 1 + len(steps)]] == [step.number for step in steps]
    assert "test_profile.py" in lines[1]
    sorted_lines = profile.table(sort=True).splitlines()
    times = [float(line.split()[3]) for line in sorted_lines[1 : 1 + len(steps)]]
    assert times == sorted(times, reverse=True)
    for view in ("op", "scope", "line", "phase"):
        table = profile.table(view).splitlines()
        assert table[0].startswith(view)
        assert len(table) == 1 + len(profile.by(view)) + 3
    assert lines[-3].startswith("outside the steps")
    assert "GFLOP/s in float32" in lines[-1]


def test_json() -> None:
    profile = looping().profile(np.ones((5, 3)), repeats=1)
    data = json.loads(profile.to_json())
    assert data == json.loads(json.dumps(profile.to_dict()))
    assert [step["number"] for step in data["steps"]] == [step.number for step in profile.steps]
    assert data["seconds"] == profile.seconds
    scan = next(step for step in data["steps"] if step["kernel"] == "scan")
    assert scan["inner"][0]["runs"] == 5
    assert {"phase", "scope", "line", "file", "flops", "bytes", "memory", "tasks"} <= set(scan)
    assert set(data["limits"]) == {"threads", "flops_float32", "flops_float64", "bytes_per_second"}
    assert [group["name"] for group in data["by_op"]] == [group.name for group in profile.by("op")]


# --- trace -------------------------------------------------------------------------------------------


def check_trace(events: list[dict[str, Any]]) -> None:
    """The rules of the trace event format for the kinds of events that are written."""
    named = set()
    for event in events:
        assert isinstance(event["name"], str) and isinstance(event["pid"], int)
        match event["ph"]:
            case "M":
                assert event["name"] in ("process_name", "thread_name")
                assert isinstance(event["args"]["name"], str)
                named.add(event["tid"])
            case "X":
                assert event["ts"] >= 0 and event["dur"] >= 0
                assert isinstance(event["cat"], str)
                assert event["tid"] in named
            case "C":
                assert event["ts"] >= 0
                assert all(isinstance(number, int) for number in event["args"].values())
            case other:
                raise AssertionError(f"an event of the kind {other!r}")
    for thread in named:
        check_nesting([event for event in events if event["ph"] == "X" and event["tid"] == thread])


def check_nesting(events: list[dict[str, Any]]) -> None:
    """Events of one thread lie within each other, or apart: viewers show nothing sensible of others."""
    open_ends: list[float] = []
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        start, end = event["ts"], event["ts"] + event["dur"]
        while open_ends and open_ends[-1] <= start + 1e-6:
            open_ends.pop()
        assert not open_ends or end <= open_ends[-1] + 1e-6
        open_ends.append(end)


def test_the_trace_of_a_loop(tmp_path: Path) -> None:
    profile = looping().profile(np.ones((5, 3)), repeats=1)
    path = tmp_path / "trace.json"
    profile.save_trace(path)
    data = json.loads(path.read_text())
    assert set(data) == {"traceEvents", "displayTimeUnit"}
    assert data["displayTimeUnit"] in ("ms", "ns")
    events = data["traceEvents"]
    check_trace(events)
    steps = [event for event in events if event.get("cat") == "step"]
    assert len(steps) == sum(step.runs for step in profile.all_steps())
    [call] = [event for event in events if event.get("cat") == "call"]
    assert all(event["ts"] + event["dur"] <= call["dur"] * 1.0001 for event in steps)
    assert {event["args"]["operation"] for event in steps} >= {"scan", "cond", "while_loop", "exp"}
    assert any("test_profile.py" in event["args"]["line"] for event in steps)
    counters = [event for event in events if event["ph"] == "C"]
    assert [event["args"]["bytes"] for event in counters[:-1]] == [step.memory for step in profile.steps]
    assert counters[-1]["args"]["bytes"] == 0


@pytest.mark.usefixtures("two_threads")
def test_the_trace_shows_the_tasks_of_each_thread() -> None:
    x = gr.placeholder((1 << 20,), name="x")
    function = gr.compile([x], gr.tanh(x))
    profile = function.profile(np.zeros(1 << 20, np.float32), repeats=1)
    [step] = profile.steps
    assert step.tasks > 1
    events = profile.trace.to_dict()["traceEvents"]
    check_trace(events)
    tasks = [event for event in events if event.get("cat") == "task"]
    assert len(tasks) == step.tasks
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names[0] == "calling thread"
    assert set(names) == {0} | {event["tid"] for event in tasks}


# --- parts -------------------------------------------------------------------------------------------


def test_stamps_stand_where_they_are_asked_for() -> None:
    function, _ = training_step()
    with function._executor.prepared(POINT, {}) as (machine, arrays):
        plain = machine.rows.copy()
        stamped = StampedMachine(function._executor.twin(machine), 1000)
        twin = stamped.machine
        results = twin.results()
        twin.bind((*arrays, *results))
        steps = stamped.steps()
        for chosen in ([], steps[:1], steps[2:4], steps):
            arrangement = stamped.arrange(chosen)
            arrangement.prepare()
            assert arrangement.run() == -1
            assert set(stamped.spans()[:, 0].tolist()) == set(chosen)
            assert 0 <= (stamped.spans()[:, 2] - stamped.spans()[:, 1]).sum() <= stamped.ticks
        np.testing.assert_array_equal(machine.rows, plain)


def test_a_log_counts_what_finds_no_room() -> None:
    function = looping()
    with function._executor.prepared((np.ones((5, 3)),), {}) as (machine, arrays):
        stamped = StampedMachine(function._executor.twin(machine), 8)
        results = stamped.machine.results()
        stamped.machine.bind((*arrays, *results))
        arrangement = stamped.arrange(stamped.steps())
        arrangement.prepare()
        arrangement.run()
    assert stamped.log.full
    assert stamped.log.count > 100
    assert len(stamped.log.entries) == 8
    log = Log(4, 2)
    assert (log.count, log.full, len(log.entries)) == (0, False, 0)


def test_limits_are_measured_once() -> None:
    limits = machine_limits()
    assert limits is machine_limits()
    assert limits.threads == get_num_threads()
    assert limits.flops_float32 > 1e8 and limits.flops_float64 > 1e8 and limits.bytes_per_second > 1e7
    assert seconds_per_tick() > 0
    assert stamp_ticks() > 0
