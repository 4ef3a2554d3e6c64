"""From the shapes of arrays to the values of symbolic sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphc.errors import FeedError, GraphError
from graphc.ir.bodies import bodies
from graphc.ir.build import infer_types, name_operation
from graphc.ir.dims import Dim, Size, Symbol, bind, symbols
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import bind_attrs
from graphc.ir.source import origin
from graphc.ir.types import Constraint, TensorType, collect_constraints, shape_text

__all__ = ["assumptions", "bind_sizes", "check_constraints", "check_items", "label", "needing_items"]


def label(value: Value, position: int | None = None) -> str:
    """How messages name a placeholder: by name, else by place."""
    if value.name:
        return repr(value.name)
    return f"argument {position}" if position is not None else f"the unnamed {value.node.op.name}"


def _lone_symbol(size: Size) -> str | None:
    match size:
        case Dim(terms=((((Symbol(name),)), 1),)):
            return name
    return None


def bind_sizes(placeholders: Iterable[tuple[Value, tuple[int, ...]]]) -> dict[str, int]:
    """The sizes that make the placeholders' shapes those of their arrays.

    Raises:
        FeedError: a rank or a size differs, or one name would have two sizes.
    """
    pairs = list(placeholders)
    sizes: dict[str, int] = {}
    origin: dict[str, str] = {}
    for position, (value, shape) in enumerate(pairs):
        if len(shape) != value.ndim:
            raise _mismatch(value, position, shape, f"{value.ndim} axes")
        for size, actual in zip(value.shape, shape, strict=True):
            name = _lone_symbol(size)
            if name is None:
                continue
            if sizes.setdefault(name, actual) != actual:
                raise _mismatch(value, position, shape, f"'{name}' to be {sizes[name]}, as it is in {origin[name]}")
            origin.setdefault(name, label(value, position))
    for position, (value, shape) in enumerate(pairs):
        for size, actual in zip(value.shape, shape, strict=True):
            missing = [symbol.name for symbol in symbols(size) if symbol.name not in sizes]
            if missing:
                raise FeedError(
                    f"the size '{missing[0]}' of {label(value, position)} stands in an expression alone: '{size}'",
                    expected="every symbolic size to be an axis of some placeholder by itself",
                    location=value.node.location,
                )
            if bind(size, sizes) != actual:
                raise _mismatch(value, position, shape, f"{size} where it has {actual}")
    return sizes


def _mismatch(value: Value, position: int, shape: tuple[int, ...], wanted: str) -> FeedError:
    return FeedError(
        f"the array for {label(value, position)} has shape {shape}",
        expected=f"shape {shape_text(value.shape)}: {wanted}",
        remedy="reshape the array, or change the placeholder's shape",
        location=value.node.location,
    )


def assumptions(graph: Graph) -> list[Constraint]:
    """Pairs of sizes that inference took for equal, in the graph and in those that its nodes hold."""
    with collect_constraints() as found:
        _infer_again(graph)
    return found


def _infer_again(graph: Graph) -> None:
    for node in graph.nodes:
        infer_types(node.op, [value.type for value in node.inputs], node.attrs)
        for _, body in bodies(node):
            _infer_again(body)


def needing_items(graph: Graph) -> tuple[Node, ...]:
    """The nodes, in the graph and in those that its nodes hold, that have no result along an axis without items."""
    within = [node for outer in graph.nodes for _, body in bodies(outer) for node in needing_items(body)]
    return (*(node for node in graph.nodes if node.op.needs_items), *within)


def check_items(nodes: Iterable[Node], sizes: Mapping[str, int]) -> None:
    """Infer nodes again, now that sizes are known.

    Raises:
        ShapeError: one of them reduces an axis that has no items.
    """
    for node in nodes:
        types = [TensorType(value.dtype, tuple(bind(size, sizes) for size in value.shape)) for value in node.inputs]
        with origin(node.origin):
            try:
                infer_types(node.op, types, bind_attrs(node.attrs, sizes))
            except GraphError as error:
                name_operation(error, node.op)
                raise


def check_constraints(constraints: Iterable[tuple[Size, Size]], sizes: Mapping[str, int]) -> None:
    """Check that sizes which the graph assumed to be equal are.

    Raises:
        FeedError: they differ.
    """
    for left, right in constraints:
        found = bind(left, sizes), bind(right, sizes)
        if found[0] != found[1]:
            raise FeedError(
                f"a size left open in a placeholder (None) has the value {found[0]} where {found[1]} is needed",
                expected=f"{left} and {right} to be equal",
                remedy="feed arrays whose sizes agree, or give the sizes one name to see which axes they are",
            )
