"""Algebraic simplification: identities, conversions and views that cancel, and operations on literals alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.build import rebuild
from graphc.ir.graph import Graph, Node, Value
from graphc.passes.dce import Dce
from graphc.passes.rewrite import Matcher, Rule, ValueRule, first_result, rewrite, rewrite_bodies
from graphc.passes.rules.arithmetic import (
    add_negative,
    add_zero,
    cast_of_cast,
    divide_by_constant,
    log_of_exp,
    multiply_by_constant,
    negate_again,
    negative_outward,
    power_by_constant,
    reciprocal_of_root,
    scaled_again,
    sign_of_operands,
    subtract_itself,
    subtract_negative,
    subtract_zero,
)
from graphc.passes.rules.constants import fold
from graphc.passes.rules.logic import (
    and_with_constant,
    choose,
    compare_with_itself,
    done_again,
    not_of_not,
    or_with_constant,
    same_operands,
)
from graphc.passes.rules.pooling import pool_first, sum_of_scattered
from graphc.passes.rules.reductions import reduce_again, reduce_broadcast, reduce_single_items
from graphc.passes.rules.selection import add_to_chosen_rows, product_of_chosen_rows
from graphc.passes.rules.views import (
    add_side_by_side,
    broadcast_again,
    broadcast_last,
    concatenate_parts,
    pad_nothing,
    reshape_again,
    slice_again,
    slice_of_part,
    transpose_again,
    transpose_of_product,
    view_of_one_item,
)
from graphc.record import record

__all__ = ["RULES", "Simplify"]

RULES: Mapping[str, tuple[ValueRule, ...]] = {
    "abs": (done_again,),
    "add": (add_zero, add_negative, add_side_by_side, add_to_chosen_rows),
    "all": (reduce_single_items, reduce_broadcast, reduce_again),
    "any": (reduce_single_items, reduce_broadcast, reduce_again),
    "bitwise_and": (same_operands, and_with_constant),
    "bitwise_not": (not_of_not,),
    "bitwise_or": (same_operands, or_with_constant),
    "broadcast_to": (broadcast_again,),
    "cast": (cast_of_cast,),
    "ceil": (done_again,),
    "concatenate": (concatenate_parts,),
    "divide": (divide_by_constant, scaled_again, sign_of_operands, reciprocal_of_root),
    "equal": (compare_with_itself,),
    "floor": (done_again,),
    "greater": (compare_with_itself,),
    "greater_equal": (compare_with_itself,),
    "less": (compare_with_itself,),
    "less_equal": (compare_with_itself,),
    "log": (log_of_exp,),
    "matmul": (product_of_chosen_rows,),
    "max": (reduce_single_items, reduce_broadcast),
    "maximum": (same_operands,),
    "min": (reduce_single_items, reduce_broadcast),
    "minimum": (same_operands,),
    "multiply": (multiply_by_constant, scaled_again, sign_of_operands),
    "negative": (negate_again,),
    "not_equal": (compare_with_itself,),
    "pad": (pad_nothing,),
    "power": (power_by_constant,),
    "prod": (reduce_single_items, reduce_again),
    "relu": (done_again,),
    "reshape": (reshape_again, view_of_one_item, negative_outward),
    "round": (done_again,),
    "sign": (done_again,),
    "slice": (slice_again, slice_of_part, view_of_one_item),
    "stop_gradient": (done_again,),
    "subtract": (subtract_zero, subtract_itself, subtract_negative),
    "sum": (reduce_single_items, reduce_broadcast, reduce_again, negative_outward, sum_of_scattered),
    "transpose": (transpose_again, transpose_of_product, view_of_one_item),
    "trunc": (done_again,),
    "where": (choose,),
}
"""The rules that an operation is tried with, in this order."""

OF_SEVERAL_RESULTS: Mapping[str, Rule] = {"max_pool": pool_first}
"""The rules of operations with more than one result."""


@record
class Simplify:
    """Apply :data:`RULES`, and fold constants, until nothing changes, in one walk.

    A rule looks at what computes the inputs of a node. These are simple before the node is visited; what a rule makes
    is simplified at once.
    """

    name: str = "simplify"

    def __call__(self, graph: Graph) -> Graph:
        """The graph in simpler terms."""
        simple: set[Node] = set()

        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            inside = rewrite_bodies(node, self)
            if inside is not None or len(node.outputs) != 1:
                several = OF_SEVERAL_RESULTS.get(node.op.name)
                return inside or fold(node, matcher) or (several(node, matcher) if several is not None else None)
            result = _simplified(node.output, matcher, simple)
            return None if result is node.output else (result,)

        result = rewrite(graph, rule)
        return graph if result is graph else Dce()(result)


def _simplified(value: Value, matcher: Matcher, simple: set[Node]) -> Value:
    node = value.node
    while node not in simple and len(node.outputs) == 1 and not matcher.hidden(value):
        inputs = [_simplified(each, matcher, simple) for each in node.inputs]
        if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
            node = rebuild(node, inputs)
        result = _step(node, matcher)
        if result is None:
            simple.add(node)
            return node.output
        value, node = result, result.node
    return value


def _step(node: Node, matcher: Matcher) -> Value | None:
    folded = fold(node, matcher)
    if folded is not None:
        return folded[0]
    rules = RULES.get(node.op.name, ())
    return first_result((broadcast_last, *rules) if node.op.elementwise else rules, node, matcher)
