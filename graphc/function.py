"""A compiled function: what :func:`graphc.compile` returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphError
from graphc.ir.analysis import critical_path
from graphc.ir.dims import symbols
from graphc.ir.graph import Graph, Value
from graphc.runtime.executor import Executor
from graphc.runtime.plan import Plan
from graphc.runtime.program import Program
from graphc.runtime.program_cache import ProgramCache

if TYPE_CHECKING:
    from graphc.passes.pipeline import Stage
    from graphc.runtime.epochs import Epoch, Shuffle
    from graphc.runtime.profiling.profile import Profile

__all__ = ["Function"]


class Function:
    """A graph, compiled: call it with one array for each placeholder.

    Arguments are used where they lie if their dtype and layout allow it, and are never written. Results are new arrays.
    Variables named in ``updates`` have their next values when the call returns. Calls from several threads take turns.

    What a process compiled before, another one finds on disk. It then runs no pass until something is asked for that
    the passes made, such as :attr:`stages`.
    """

    def __init__(
        self,
        inputs: Sequence[Value],
        make_stages: Callable[[], Sequence[Stage]],
        single: bool,
        check_numerics: bool = False,
        cache: ProgramCache | None = None,
    ) -> None:
        """Compile, or find what was compiled before.

        Args:
            inputs: the placeholders, in the order of the arguments.
            make_stages: runs the passes; called once, and not before it is needed.
            single: whether a call returns one array instead of a list.
            check_numerics: whether a call raises where a result is not finite.
            cache: where what is compiled is kept.
        """
        self._make_stages = make_stages
        self._stages: tuple[Stage, ...] | None = None
        self._making = threading.Lock()
        self._assembling = 0.0
        self._inputs = tuple(inputs)
        self._single = single
        self._executor = self._made_executor(check_numerics, cache)

    def _made_executor(self, check_numerics: bool, cache: ProgramCache | None) -> Executor:
        if check_numerics:
            from graphc.runtime.checked import CheckedExecutor
            from graphc.runtime.numerics import unlowered

            return CheckedExecutor(self._assemble(), unlowered([stage.graph for stage in self.stages]))
        if cache is None:
            return Executor(self._assemble(), self._inputs)
        executable = cache.load()
        if executable is not None:
            return Executor(executable, self._inputs, self._assemble, cache.plans())
        program = self._assemble()
        cache.store(program)
        return Executor(program, self._inputs, plans=cache.plans())

    def _assemble(self) -> Program:
        from graphc.runtime.assemble import assemble

        graph = self.graph
        start = time.perf_counter()
        program = assemble(graph)
        self._assembling = time.perf_counter() - start
        return program

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The graph as written, and after each pass."""
        with self._making:
            if self._stages is None:
                self._stages = tuple(self._make_stages())
            return self._stages

    @property
    def seconds(self) -> Mapping[str, float]:
        """How long the stages after the passes took: ``"assemble"``."""
        self._executor.explain()
        return {"assemble": self._assembling}

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run it.

        Args:
            *args: arrays in the order of the placeholders; lists and numbers are converted.
            **named: arrays by the placeholders' names.

        Returns:
            An array for a single output, else a list of arrays.

        Raises:
            FeedError: the arguments do not match the placeholders.
            ShapeError: an axis without items is reduced by an operation that needs some, such as a maximum.
            IndexFault: the data hold an index outside its axis; no variable has changed.
            NumericsError: with ``check_numerics``, a result is not finite; no variable has changed.
        """
        results = self._executor(args, named)
        return results[0] if self._single else results

    def epoch(
        self, *args: Any, batch_size: int = 32, shuffle: Shuffle = None, drop_last: bool = False, **named: Any
    ) -> Epoch:
        """The steps of one epoch over arrays in memory, to be made natively piece by piece: see :meth:`run_epoch`.

        Nothing is run yet: :meth:`graphc.runtime.epochs.Epoch.advance` makes steps for some 50 ms.

        Raises:
            FeedError: arrays, their batches or the order do not fit.
            ShapeError: the last, smaller batch has results of other shapes.
        """
        from graphc.runtime.epochs import Epoch

        return Epoch(self._executor, args, named, batch_size, shuffle, drop_last)

    def run_epoch(
        self, *args: Any, batch_size: int = 32, shuffle: Shuffle = None, drop_last: bool = False, **named: Any
    ) -> Any:
        """Call it for each batch of arrays in memory, without Python between the steps.

        For instance::

            losses = step.run_epoch(images, labels, batch_size=64, shuffle=0)

        Results and variables have the bits that calls would give. Arrays need not be contiguous or of the placeholders'
        dtypes, and may be memory-mapped: what a step needs is gathered before it. Ctrl-C ends the run between two
        steps, some 50 ms later at most or as long as a step lasts. With ``check_numerics`` every step is a call.

        Args:
            *args: arrays in the order of the placeholders, with examples along their first axes; those without axes are
                given to every step.
            batch_size: examples of a step. The last one has what is left.
            shuffle: the order of the examples: a seed or a ``numpy.random.Generator`` for a random one, or a vector of
                row numbers, which need not be all; None for the order in which they lie.
            drop_last: whether examples that do not fill the last batch are left out.
            **named: arrays by the placeholders' names.

        Returns:
            What a call returns, with the steps along a new first axis: for a loss, the array of all losses.

        Raises:
            FeedError: arrays, their batches or the order do not fit.
            ShapeError: the last, smaller batch has results of other shapes.
            IndexFault: the data of a step hold an index outside its axis; the message tells the step and the row, and
                variables are as the step before it left them.
            NumericsError: with ``check_numerics``, a result of a step is not finite; variables as above.
        """
        results = self.epoch(*args, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, **named).run()
        return results[0] if self._single else results

    @property
    def graph(self) -> Graph:
        """The final graph."""
        return self.stages[-1].graph

    def stage(self, name: str = "final") -> Graph:
        """The graph after the pass of that name; ``"written"`` for the user's, ``"final"`` for the last.

        Raises:
            GraphError: there is no such stage.
        """
        if name == "final":
            return self.graph
        for stage in self.stages:
            if stage.name == name:
                return stage.graph
        names = ", ".join(repr(stage.name) for stage in self.stages)
        raise GraphError(f"there is no stage {name!r}", expected=f"{names} or 'final'")

    def plan_for(self, **sizes: int) -> Plan:
        """The plan for values of the symbolic sizes, by name."""
        missing = [name for name in self._symbols if name not in sizes]
        if missing:
            raise GraphError(f"no value for the size {missing[0]!r}", expected="a value for each symbolic size")
        return self._executor.plan({name: sizes[name] for name in self._symbols})

    @cached_property
    def _symbols(self) -> tuple[str, ...]:
        found = {symbol.name for value in self._inputs for size in value.shape for symbol in symbols(size)}
        return tuple(sorted(found))

    @property
    def plan(self) -> Plan:
        """The plan of the last call.

        Raises:
            GraphError: it was not called yet, and has symbolic sizes.
        """
        self._executor.explain()
        last = self._executor.last_plan
        if last is not None:
            return last
        if self._symbols:
            raise GraphError(
                f"the sizes {', '.join(self._symbols)} are not known yet",
                remedy="call the function first, or use plan_for(" + ", ".join(f"{n}=..." for n in self._symbols) + ")",
            )
        return self.plan_for()

    @property
    def known_plan(self) -> Plan | None:
        """The plan of the last call, or the only one; None where sizes are not known yet."""
        return None if self._executor.last_plan is None and self._symbols else self.plan

    @property
    def program(self) -> Program:
        """The scheduled steps, for any sizes."""
        return self._executor.program

    @property
    def peak_bytes(self) -> int:
        """Bytes of intermediate results at their peak: the size of the arena in :attr:`plan`."""
        last = self._executor.last_plan  # it has the sizes of the full one
        return last.arena_bytes if last is not None else self.plan.arena_bytes

    def sources(self) -> dict[str, str]:
        """The text of each generated kernel, by its first step and name; steps with one text share one kernel."""
        texts: dict[str, str] = {}
        for number, kernel in enumerate(self._executor.kernels()):
            texts.setdefault(kernel.source, f"{number}: {kernel.name}")
        return {name: text for text, name in texts.items()}

    def to_text(self, stage: str = "final") -> str:
        """A stage as text."""
        from graphc.ir.printer import to_text

        return to_text(self.stage(stage))

    def to_dot(self, stage: str = "final", depth: int | str | None = None) -> str:
        """A stage in Graphviz's DOT language, with ``depth`` levels of its boxes open; by default all of them."""
        from graphc.viz import to_dot

        return to_dot(self.stage(stage), title=stage, depth=depth)

    def to_svg(self, stage: str = "final", *, depth: int | str | None = "auto", profile: Profile | None = None) -> str:
        """A stage, or the schedule, as an SVG picture.

        Args:
            stage: the name of a stage, or ``"schedule"`` for the steps in their order and the memory that they use,
                for the sizes of the last call, or of the profile.
            depth: how many levels of boxes are open; by default, as many as can be read.
            profile: what :meth:`profile` returned, to show the time of each node of the final stage, or of each step.

        Raises:
            GraphError: there is no such stage, or the sizes that the schedule needs are not known.
        """
        from graphc.viz import schedule_svg, to_svg

        if stage == "schedule":
            plan = self.plan if profile is None else self.plan_for(**profile.sizes)
            return schedule_svg(self.program, plan, profile=profile)
        seconds = profile.seconds_by_node if profile is not None else None
        return to_svg(self.stage(stage), title=stage, depth=depth, seconds=seconds)

    def changes_svg(self, stage: str) -> str:
        """The graph before and after a pass, side by side, with what it changed marked.

        Args:
            stage: the name of the pass.

        Raises:
            GraphError: there is no such stage, or no pass made it.
        """
        from graphc.viz import changes_svg

        after = self.stage(stage)
        places = {made.name: number for number, made in enumerate(self.stages)}
        number = places.get(stage, len(self.stages) - 1)
        if not number:
            raise GraphError(f"no pass made the stage {stage!r}", expected="the name of a pass")
        return changes_svg(self.stages[number - 1].graph, after, titles=(f"before {stage}", f"after {stage}"))

    def report(
        self,
        path: str | PathLike[str],
        arguments: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        title: str = "graphc",
    ) -> Path:
        """Write an HTML file to look around in with a browser: graphs, schedule, memory, kernels and passes.

        Args:
            path: where to; its folder must exist.
            arguments: arrays, in the order of the placeholders or by their names, to measure the time of each step
                with; variables keep their values. See :func:`graphc.viz.report`.
            title: what stands above.

        Returns:
            The path.

        Raises:
            FeedError: the arguments do not match the placeholders.
        """
        from graphc.viz import report

        return report(self, path, arguments, title=title)

    def _repr_html_(self) -> str:
        """What a notebook shows: what went in and came out, and the picture of the final graph."""
        from graphc.viz import function_html

        return function_html(self)

    def explain(self) -> str:
        """What each pass did and how long it took, what became of the graph, and why operations were fused or not."""
        from graphc.passes.explain import changes, fusion_report

        steps = self.program.steps
        lines = [str(change) for change in changes(self.stages)]
        lines.append(
            f"{len(steps)} steps by {len({bound.kernel.source for bound in steps})} kernels, "
            f"assembled in {self.seconds['assemble'] * 1e3:.2f} ms"
        )
        lines.append(f"longest chain: {len(critical_path(self.graph))} of {len(self.graph.nodes)} nodes")
        for number, bound in enumerate(steps):
            node = bound.step.node
            what = node.op.name
            if what == "fused":
                members = [member.op.name for member in node.attrs.body.nodes if member.inputs]
                what = f"fused: {', '.join(members)}"
            lines.append(f"  {number:4d}  {bound.kernel.name:<14} {what}")
        fusion = fusion_report(self.stages)
        return "\n".join(lines if fusion is None else [*lines, str(fusion)])

    def profile(self, *args: Any, repeats: int | None = None, **named: Any) -> Profile:
        """Time each step of the plan, within native runs on the given arguments; variables keep their values.

        Args:
            *args: as for a call.
            repeats: how often each step is timed, of which the median counts; by default some 0.1 s for each group of
                steps that are timed together.
            **named: as for a call.

        Returns:
            The profile: print it, or ask it for tables, JSON or a trace.

        Raises:
            FeedError: the arguments do not match the placeholders.
            IndexFault: the data hold an index outside its axis.
            GraphError: ``repeats`` is less than 1.
        """
        from graphc.runtime.profiling.measure import measure

        return measure(self._executor, args, named, repeats)

    def save_graph(self, path: str | PathLike[str], stage: str = "final") -> None:
        """Write a stage to a file: ``.dot``, ``.svg``, ``.png`` or ``.txt`` by its suffix."""
        from graphc.viz import save

        save(self.stage(stage), Path(path))

    def __repr__(self) -> str:
        graph = self.graph
        counts = (len(graph.inputs), len(graph.outputs), len(graph.updates), len(self.program.steps))
        return "<Function: {} inputs, {} outputs, {} updates, {} steps>".format(*counts)
