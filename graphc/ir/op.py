"""What an operation is: everything about it stands in one :class:`OpDef`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from graphc.ir.dims import Dim, bind
from graphc.ir.types import TensorType
from graphc.record import record

if TYPE_CHECKING:
    from graphc.ir.graph import Node, Value

__all__ = [
    "Array",
    "NoAttrs",
    "OpDef",
    "Registry",
    "RowFormula",
    "RowStep",
    "Sample",
    "Trimmed",
    "bind_attrs",
    "no_gradient",
    "registry",
]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Types: TypeAlias = TensorType | tuple[TensorType, ...]
Cotangents: TypeAlias = Sequence["Value | None"]


@runtime_checkable
class Body(Protocol):
    """A graph that is an attribute of a node."""

    def bind(self, sizes: Mapping[str, int]) -> Any:
        """The graph with the values of its symbolic sizes, ready to be evaluated."""


@record
class NoAttrs:
    """The attributes of an operation that has none."""


@record
class Sample:
    """Inputs that exercise an operation: ``build`` takes one value for each of ``inputs`` and returns the result.

    ``differentiable`` are the positions of the inputs whose gradient is to be checked; ``smooth`` says whether second
    derivatives, and finite differences, make sense at this point.
    """

    build: Callable[..., Any]
    inputs: tuple[Array, ...]
    differentiable: tuple[int, ...] = ()
    smooth: bool = True
    label: str = ""


@record
class RowStep:
    """A statement of a :class:`RowFormula`.

    Attributes:
        name: what later steps call its value.
        expression: a scalar expression: a template over the operands ``{0}``, ``{1}`` ..., over earlier steps by name,
            over ``{size}``, the length of a row, and ``{dtype}``, the conversion to the dtype of the results. It has
            a value for each item of a row where one of these has, else one for the row.
        reduction: the name of the combining function, for a step that is one value of a row: that of its expression
            over all items.
        cost: about how many additions an item costs.
    """

    name: str
    expression: str
    reduction: str | None = None
    cost: int = 1


@record
class RowFormula:
    """How an operation is computed whose results, along the last axis, depend on the same row of its operands alone.

    Attributes:
        steps: in an order in which they can be computed.
        results: the names of the steps that are the results.
    """

    steps: tuple[RowStep, ...]
    results: tuple[str, ...]


@record
class Trimmed:
    """A node with fewer results: its attributes, and which of the inputs and outputs it keeps."""

    attrs: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@record(eq=False)
class OpDef:
    """An operation, declared once.

    Attributes:
        name: the name of the node and, where it has one, of the public function.
        doc: one line: what it computes, with the source of a formula that is not common knowledge.
        infer: ``infer(attrs, *types)`` gives the type, or a tuple of types, of the results, or raises a
            :class:`~graphc.errors.GraphError`.
        evaluate: ``evaluate(attrs, *arrays)`` computes the results with NumPy; dims in ``attrs`` are integers by then.
        vjp: ``vjp(node, *cotangents)`` gives, for each input of ``node``, its cotangent or None where the output does
            not depend on it differentiably. A cotangent may have the broadcast shape: autodiff sums it back.
            Operations without any derivative say so with :data:`no_gradient`.
        attrs: the frozen dataclass of its attributes.
        expression: for elementwise operations, the scalar expression that kernels compute: a template over ``{0}``,
            ``{1}`` ..., in the names of :mod:`graphc.runtime.instructions`. All operands are broadcast together.
        cost: for elementwise operations, about how many additions an item costs; for those by rows too.
        rows: for operations along the last axis, ``rows(node)`` gives the scalar statements that kernels compute; None
            for a node along another axis.
        commutative: whether the two inputs may be exchanged.
        reduction: for reductions over ``attrs.axes``, the name of the combining function.
        needs_items: whether it has no result along an axis without items; ``infer`` refuses those of known sizes.
        view: whether the result is a rearrangement of the input's items that needs no arithmetic.
        faults: whether it checks values at run time and may raise.
        decompose: for composite operations, ``decompose(node)`` gives the same results from simpler operations.
        trim: ``trim(node, live, prune)`` gives the node without what only the outputs at other positions than ``live``
            need; None where nothing is to be left out. ``prune`` leaves out of a graph what its results do not need.
        merge: ``merge(node, other)`` gives, for two nodes with the same inputs, the attributes of a node that has the
            outputs of ``node``, then what ``other`` adds to them, and the positions in it of the outputs of ``other``;
            None where they do not belong together.
        samples: makes the inputs that drive its tests.
    """

    name: str
    doc: str
    infer: Callable[..., Types]
    evaluate: Callable[..., Any]
    vjp: Callable[..., Cotangents]
    attrs: type = NoAttrs
    expression: str | None = None
    cost: int = 1
    rows: Callable[[Node], RowFormula | None] | None = None
    commutative: bool = False
    reduction: str | None = None
    needs_items: bool = False
    view: bool = False
    faults: bool = False
    decompose: Callable[[Node], Sequence[Value]] | None = None
    trim: Callable[[Node, Collection[int], Callable[[Any], Any]], Trimmed | None] | None = None
    merge: Callable[[Node, Node], tuple[Any, tuple[int, ...]] | None] | None = None
    samples: Callable[[], Sequence[Sample]] = tuple

    @property
    def elementwise(self) -> bool:
        """Whether each item of the result depends on the items of the inputs at the same place alone."""
        return self.expression is not None

    def __repr__(self) -> str:
        return f"OpDef({self.name})"


def no_gradient(node: Node, *cotangents: Value | None) -> Cotangents:
    """The vjp of operations whose results are piecewise constant, not numbers of a continuum, or have no inputs."""
    return (None,) * len(node.inputs)


class Registry(Mapping[str, OpDef]):
    """The operations by name. Each file of :mod:`graphc.ir.ops` adds its own while it is imported."""

    def __init__(self) -> None:
        self._ops: dict[str, OpDef] = {}

    def add(self, op: OpDef) -> OpDef:
        """Declare an operation; a name may be declared once."""
        if op.name in self._ops:
            raise ValueError(f"the operation {op.name!r} is declared twice")
        self._ops[op.name] = op
        return op

    def __getitem__(self, name: str) -> OpDef:
        return self._ops[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)


registry = Registry()


def _bind_field(value: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(value, Dim):
        return bind(value, sizes)
    if isinstance(value, tuple):
        return tuple(_bind_field(item, sizes) for item in value)
    return value.bind(sizes) if isinstance(value, Body) else value


def bind_attrs(attrs: Any, sizes: Mapping[str, int]) -> Any:
    """The attributes with every symbolic size replaced by its value, and every body bound to the values."""
    changed = {}
    for field in fields(attrs):
        value = getattr(attrs, field.name)
        bound = _bind_field(value, sizes)
        if bound is not value and bound != value:
            changed[field.name] = bound
    return replace(attrs, **changed) if changed else attrs


def attr_items(attrs: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of the attributes that differ from their defaults, for texts and pictures."""
    if is_dataclass(attrs):
        for field in fields(attrs):
            value = getattr(attrs, field.name)
            if field.repr and not (value is None or value is field.default):
                yield field.name, value
