"""Whole epochs: steps over arrays in memory, many in one native call.

The program of a step is run as that of a loop is, see :mod:`graphc.runtime.control`: before the first step the words
that stand for its arguments and results are set, and after every step they move on. Rows that lie as a batch needs them
are used in place. Others are gathered into a buffer by kernels that run before the program, as steps of it.

Native runs end after a while, so that Ctrl-C, progress and the calls of other threads have their turn between them.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from graphc.errors import FeedError, GraphError, ShapeError
from graphc.ir.binding import bind_sizes, label
from graphc.ir.dims import bind
from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.record import record
from graphc.runtime.arguments import as_array, cannot_hold, check_kind, converted
from graphc.runtime.control import FIRST_CALL, move_source, run_source, start_source
from graphc.runtime.executor import Executor
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.kernels.batch import ORDER_WORD, RowLayout, gather_kernel, gather_words, row_layout
from graphc.runtime.machine import Machine, call_table
from graphc.runtime.native.loop import STATUS_WORDS, STEP_WORDS, program_runner

__all__ = ["Epoch", "Shuffle"]

Shuffle: TypeAlias = ArrayLike | np.random.Generator | None
"""The order of the examples: a seed or a generator for a random one, or row numbers; None for that of the rows."""

_SECONDS = 0.05
"""How long a native run lasts; a step that was begun is finished."""

_FIRST_TICKS = 1_000_000
"""The same for the first run, before the rate of the processor's counter is known: at most some 0.05 s."""

_PAUSE = 1e-4
"""Seconds between native runs where there are other threads: one that waits for its turn gets it."""

_TASK_BYTES = 1 << 18
"""Bytes of rows that a thread gathers at a time."""

# Words of the table after the call: steps to make at most, ticks after which none begins, the address of progress.
_MOST, _BUDGET, _PROGRESS = range(FIRST_CALL + 1, FIRST_CALL + 4)
# Words of progress: steps that were finished, and the ticks that the last run took.
_FINISHED, _TICKS, _PROGRESS_WORDS = range(3)

_STEPS = f"""
def kernel(args, lo, hi):
    body = integer(args, {FIRST_CALL})
    most = integer(args, {_MOST})
    budget = integer(args, {_BUDGET})
    progress = integer(args, {_PROGRESS})
    begin = ticks()
    elapsed = 0
{start_source("body")}
    step = 0
    while step < most and elapsed < budget:
{run_source("body", "0", "step", 2)}
{move_source("body")}
        step += 1
        set_word(progress, {_FINISHED}, word(progress, {_FINISHED}) + 1)
        elapsed = ticks() - begin
    set_word(progress, {_TICKS}, elapsed)
"""


@record(eq=False)
class _Feed:
    """What a placeholder gets.

    Attributes:
        value: the placeholder.
        array: with a row for each example; or without axes, for every step.
        layout: of its rows.
        copied: whether the array is a converted copy of what was given.
    """

    value: Value
    array: Array
    layout: RowLayout
    copied: bool

    @property
    def shared(self) -> bool:
        """Whether every step gets the same."""
        return not self.array.ndim

    @property
    def fits(self) -> bool:
        """Whether rows that follow one another are a batch as they lie."""
        return self.array.dtype == self.value.dtype.numpy and self.array.flags.c_contiguous

    def batch_shape(self, rows: int) -> tuple[int, ...]:
        """The shape of the argument of a step."""
        return (rows, *self.array.shape[1:]) if self.array.ndim else ()


def _feed(value: Value, given: Any, position: int) -> _Feed:
    array = as_array(value, given, position)
    layout = row_layout(array) if array.ndim else None
    copied = layout is None
    if layout is None:
        array = converted(value, array, position)
        layout = row_layout(array) if array.ndim else RowLayout(value.dtype.numpy, 0, ((1, 1),))
        assert layout is not None
    elif array.dtype != value.dtype.numpy:
        check_kind(value, array, position)
    return _Feed(value, array, layout, copied)


@record
class _Span:
    """Steps whose batches have one size.

    Attributes:
        rows: of a batch.
        first: the number of the first step.
        last: the number of the step after the last.
        sizes: the values of the symbolic sizes.
        shapes: of the results.
    """

    rows: int
    first: int
    last: int
    sizes: Mapping[str, int]
    shapes: tuple[tuple[int, ...], ...]


@functools.cache
def _steps_kernel() -> int:
    [address] = load([KernelRequest(_STEPS, "kernel")])
    return address


class _Loop:
    """The tables by which native code makes the steps of a span with a machine.

    Their words are set from a vector of places: of the batch of each argument, of the row numbers, of each result.
    """

    def __init__(self, machine: Machine, feeds: Sequence[_Feed], rows: int, in_order: bool, progress: Array) -> None:
        self.machine = machine
        self._batches: dict[int, Array] = {}
        words, status = machine.words.ctypes.data, machine.status.ctypes.data
        strides: list[int] = []
        targets: list[list[int]] = []
        ordered: list[int] = []
        gathers: list[tuple[int, int, int, int]] = []
        tables: list[Array] = []
        for position, feed in enumerate(feeds):
            targets.append([words + 8 * word for word in machine.linked.get(("input", position), ())])
            shape = feed.batch_shape(rows)
            if feed.shared or (in_order and feed.fits):
                strides.append(0 if feed.shared else prod(shape) * feed.array.itemsize)
                continue
            batch = self._batches[position] = np.empty(shape, feed.value.dtype.numpy)
            places = feed.array.ctypes.data, batch.ctypes.data, 0
            tables.append(np.array([*places, *gather_words(feed.layout), status], np.int64))
            table: int = tables[-1].ctypes.data
            chunk = -(-_TASK_BYTES * rows // max(1, batch.nbytes))
            gathers.append((gather_kernel(feed.layout, feed.value.dtype), table, rows, chunk))
            ordered.append(table + 8 * ORDER_WORD)
            strides.append(0)
        strides.append(8 * rows)
        targets.append(ordered)
        for position, type in enumerate(machine.program.outputs):
            strides.append(prod(bind(size, machine.plan.sizes) for size in type.shape) * type.dtype.itemsize)
            targets.append([words + 8 * word for word in machine.linked.get(("output", position), ())])
        self._places = np.zeros(len(strides), np.int64)
        self._strides = np.array(strides, np.int64)
        base = self._places.ctypes.data
        links = [(word, base + 8 * i, 0, strides[i]) for i, linked in enumerate(targets) for word in linked]
        steps = np.concatenate([np.array(gathers, np.int64).reshape(-1, STEP_WORDS), machine.bundled.rows])
        call = call_table(steps, machine.status, links)
        self._status = np.zeros(STATUS_WORDS, np.int64)
        self._table = np.array([0, self._status.ctypes.data, call.ctypes.data, 0, 0, progress.ctypes.data], np.int64)
        self._kept = (*tables, steps, call, progress)
        program = np.array([[_steps_kernel(), self._table.ctypes.data, 1, 1]], np.int64)
        self._run = program_runner(program, self._status)

    def run(self, places: Sequence[int], step: int, most: int, ticks: int) -> int | None:
        """Make steps from a step of the span on.

        Args:
            places: where the first step of the span finds its arguments and row numbers, and leaves its results.
            step: how many steps of the span were made before.
            most: how many to make at most.
            ticks: after how many no more is begun; one is.

        Returns:
            None, or which step of the program found a fault: gathering comes first.
        """
        self._places[:] = np.array(places, np.int64) + step * self._strides
        for position, batch in self._batches.items():
            self._places[position] = batch.ctypes.data
        self._table[[_MOST, _BUDGET]] = most, ticks
        self._status[:] = 0
        self.machine.forget_fault()  # of a run after which Ctrl-C came before the fault was taken
        return None if self._run() < 0 else int(self._status[1])

    def gathered(self, fault: int) -> int | None:
        """The position of the argument whose rows could not be gathered; None for a fault of the program's own."""
        return list(self._batches)[fault] if fault < len(self._batches) else None

    def own_step(self, fault: int) -> int:
        """The step of the machine's program."""
        return fault - len(self._batches)


class Epoch:
    """The steps of a compiled function over arrays in memory: what :meth:`graphc.Function.epoch` returns.

    For instance::

        epoch = step.epoch(images, labels, batch_size=64, shuffle=0)
        while epoch.advance() < epoch.steps:
            print(epoch.finished, "of", epoch.steps)
        losses = epoch.results[0]

    Attributes:
        batch_size: examples of a step; the last one may have fewer.
        steps: how many there are.
        results: for each output an array of its values in all steps, the steps along the first axis. Those of steps
            that are not finished are not set.
    """

    def __init__(
        self,
        executor: Executor,
        args: tuple[Any, ...],
        named: Mapping[str, Any],
        batch_size: int,
        shuffle: Shuffle,
        drop_last: bool,
    ) -> None:
        """See :meth:`graphc.Function.epoch`."""
        if batch_size < 1:
            raise FeedError(f"batch_size={batch_size}", expected="at least 1")
        self._executor = executor
        self._given = executor.matched(args, named)
        self._feeds = self._made_feeds()
        self._examples = self._length()
        self.batch_size = batch_size
        self._drop_last = drop_last
        self._loops: dict[tuple[int, bool], _Loop] = {}
        self._progress = np.zeros(_PROGRESS_WORDS, np.int64)
        self._budget, self._longest = _FIRST_TICKS, 0
        self.restart(shuffle)

    def _made_feeds(self) -> list[_Feed]:
        pairs = zip(self._executor.placeholders, self._given, strict=True)
        return [_feed(value, given, position) for position, (value, given) in enumerate(pairs)]

    def _length(self) -> int:
        """How many rows the arrays have."""
        lengths = {len(feed.array) for feed in self._feeds if not feed.shared}
        if len(lengths) == 1:
            return lengths.pop()
        texts = [f"{label(feed.value, i)}: {feed.array.shape}" for i, feed in enumerate(self._feeds)]
        raise FeedError(
            f"arrays with {' and '.join(map(str, sorted(lengths))) or 'no'} rows were given, of the shapes "
            + ", ".join(texts),
            expected="one number of examples along the first axes of all arrays, but of those without axes",
            remedy="put examples along the first axis",
        )

    def restart(self, shuffle: Shuffle = None, finished: int = 0) -> None:
        """Begin the steps anew, with new results.

        Args:
            shuffle: the order of the examples, as for :meth:`graphc.Function.epoch`.
            finished: how many steps are taken for finished already; their results are not set.

        Raises:
            FeedError: the order is none, or batches of its length do not fit the placeholders.
            ShapeError: the last, smaller batch has results of other shapes.
        """
        if any(feed.copied for feed in self._feeds):  # of arrays that may have changed
            self._feeds = self._made_feeds()
            self._loops.clear()
        self._order = _order(shuffle, self._examples)
        self._in_order = self._order is None
        count = self._examples if self._order is None else len(self._order)
        self._spans = list(self._made_spans(count))
        if not self._spans:
            raise FeedError(
                f"{count} examples make no batch of {self.batch_size}",
                expected="enough examples for one batch",
                remedy="use a smaller batch_size" + (", or drop_last=False" if self._drop_last else ""),
            )
        for span in self._spans:
            with self._executor.turn(span.sizes) as machine:  # before the first step, whatever is wrong with the last
                self._loop(machine, span)
        if self._order is None and not all(feed.shared or feed.fits for feed in self._feeds):
            self._order = np.arange(count)
        self.steps = self._spans[-1].last
        self._progress[_FINISHED] = finished
        types = self._executor.outputs
        self.results: list[Array] = [
            np.empty((self.steps, *shape), type.dtype.numpy)
            for type, shape in zip(types, self._spans[0].shapes, strict=True)
        ]

    def _made_spans(self, count: int) -> Iterator[_Span]:
        full, rest = divmod(count, self.batch_size)
        if full:
            yield self._span(self.batch_size, 0, full)
        if rest and not self._drop_last:
            last = self._span(rest, full, full + 1)
            if full and last.shapes != self._span(self.batch_size, 0, full).shapes:
                raise ShapeError(
                    f"the results of a batch of {self.batch_size} and of the last one of {rest} have different shapes",
                    expected="results of one shape, to be stacked",
                    remedy=f"leave out the last batch with drop_last=True, or choose a batch_size that divides {count}",
                )
            yield last

    def _span(self, rows: int, first: int, last: int) -> _Span:
        sizes = bind_sizes((feed.value, feed.batch_shape(rows)) for feed in self._feeds)
        shapes = tuple(tuple(bind(size, sizes) for size in type.shape) for type in self._executor.outputs)
        return _Span(rows, first, last, sizes, shapes)

    def _loop(self, machine: Machine, span: _Span) -> _Loop:
        """The tables for a machine, which is another one where the memory of the executor had to grow."""
        key = span.rows, self._in_order
        loop = self._loops.get(key)
        if loop is None or loop.machine is not machine:
            loop = self._loops[key] = _Loop(machine, self._feeds, span.rows, self._in_order, self._progress)
        return loop

    @property
    def finished(self) -> int:
        """How many steps are finished, whatever ended the last call of :meth:`advance`."""
        return int(self._progress[_FINISHED])

    def run(self) -> list[Array]:
        """Make all steps that are left; the results.

        Raises:
            IndexFault: as :meth:`advance`.
            NumericsError: as :meth:`advance`.
        """
        while self.advance() < self.steps:
            pass
        return self.results

    def advance(self, most: int | None = None) -> int:
        """Make steps for some 50 ms: at least one if any is left, and at most ``most``.

        Returns:
            How many steps are finished.

        Raises:
            FeedError: the data of a step hold integers that the placeholder's dtype cannot hold.
            IndexFault: the data of a step hold an index outside its axis. Variables are as the step before it left
                them; the next call begins with that step.
            NumericsError: with ``check_numerics``, a result of a step is not finite; variables as above.
        """
        finished = self.finished
        span = next((span for span in self._spans if span.last > finished), None)
        if span is None:
            return finished
        most = span.last - finished if most is None else min(most, span.last - finished)
        if self._executor.checks:
            self._call(span, most)
            return self.finished
        with self._executor.turn(span.sizes) as machine:
            loop = self._loop(machine, span)
            start = time.perf_counter()
            fault = loop.run(self._places(span), finished - span.first, most, self._budget)
            if fault is not None:
                raise self._error(machine, loop, span, fault)
            self._measure(time.perf_counter() - start)
        if threading.active_count() > 1:
            time.sleep(_PAUSE)
        return self.finished

    def _measure(self, seconds: float) -> None:
        """Let native runs be as long as they should: the longest one so far tells best what a tick is."""
        ticks = int(self._progress[_TICKS])
        if ticks > self._longest:
            self._longest = ticks
            self._budget = max(1, int(_SECONDS / max(seconds, 1e-9) * ticks))

    def _places(self, span: _Span) -> list[int]:
        """Where the first step of a span finds its arguments and the numbers of its rows, and leaves its results."""
        row = span.first * self.batch_size
        places = [_row_address(feed, row) for feed in self._feeds]
        places.append(self._order.ctypes.data + 8 * row if self._order is not None else 0)
        return places + [array[span.first :].ctypes.data for array in self.results]

    def _call(self, span: _Span, most: int) -> None:
        """Make steps by calls, which look at what each of them did."""
        end = time.perf_counter() + _SECONDS
        for step in range(self.finished, self.finished + most):
            rows = self._rows(span, step)
            batch = tuple(feed.array if feed.shared else feed.array[rows] for feed in self._feeds)
            try:
                made = self._executor(batch, {})
            except GraphError as error:
                raise self._located(error, step) from None
            for array, result in zip(self.results, made, strict=True):
                array[step] = result
            self._progress[_FINISHED] = step + 1
            if time.perf_counter() > end:
                return

    def _rows(self, span: _Span, step: int) -> slice | Array:
        """The rows of the batch of a step."""
        rows = slice(step * self.batch_size, step * self.batch_size + span.rows)
        return rows if self._order is None else self._order[rows]

    def _error(self, machine: Machine, loop: _Loop, span: _Span, fault: int) -> GraphError:
        """What a step found in its data."""
        step = self.finished
        position = loop.gathered(fault)
        if position is not None:
            feed = self._feeds[position]
            row = self._row(span, step, feed, int(machine.status[2]))
            return self._located(cannot_hold(feed.value, position, f", in row {row}"), step)
        found = machine.take_fault(loop.own_step(fault))
        error, holder = self._executor.index_fault(found)
        if holder is not None and not self._feeds[holder].shared:
            feed = self._feeds[holder]
            error.found += f", in row {self._row(span, step, feed, found.position)} of {label(feed.value, holder)}"
        return self._located(error, step)

    def _row(self, span: _Span, step: int, feed: _Feed, position: int) -> int:
        """The row of the data that an item of a batch comes from."""
        within = position // max(1, prod(feed.batch_shape(1)))
        rows = self._rows(span, step)
        return rows.start + within if isinstance(rows, slice) else int(rows[within])

    def _located(self, error: GraphError, step: int) -> GraphError:
        error.found += f", in step {step + 1} of {self.steps}"
        remedy = error.remedy.partition("; variables are")[0]
        error.remedy = f"{remedy}; variables are as they were after {step} steps"
        return error


def _row_address(feed: _Feed, row: int) -> int:
    """Where a row is, in an array that has its rows one after another."""
    address: int = feed.array.ctypes.data
    return address if feed.shared else address + row * prod(feed.array.shape[1:]) * feed.array.itemsize


def _order(shuffle: Shuffle, examples: int) -> Array | None:
    """The numbers of the rows in their order; None for all as they lie.

    Raises:
        FeedError: what is given is no order.
    """
    if shuffle is None or shuffle is False:
        return None
    if isinstance(shuffle, np.random.Generator):
        return shuffle.permutation(examples)
    if isinstance(shuffle, int | np.integer) and shuffle is not True:
        return np.random.default_rng(shuffle).permutation(examples)
    order = np.asarray(shuffle)
    if order.ndim != 1 or order.dtype.kind not in "iu":
        raise FeedError(
            f"shuffle={shuffle!r}",
            expected="a seed, a numpy.random.Generator, a vector of row numbers, or None for the rows as they lie",
        )
    if order.size and (order.min() < 0 or order.max() >= examples):
        raise FeedError(
            f"an order with row numbers from {order.min()} to {order.max()}",
            expected=f"row numbers from 0 to {examples - 1}",
        )
    return np.ascontiguousarray(order, np.int64)
