"""Recognition of functions that a user wrote out, and that have an operation, or a form, which is stable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.graph import Graph, Node, Value
from graphc.passes.cse import Cse
from graphc.passes.dce import Dce
from graphc.passes.rewrite import Matcher, ValueRule, first_result, rewrite, rewrite_bodies
from graphc.passes.rules.cross_entropy import (
    log_of_chosen_softmax,
    logsumexp_less_chosen,
    picked_log_softmax,
    summed_log_softmax,
)
from graphc.passes.rules.softmax import (
    exp_of_log_softmax,
    log_of_softmax,
    log_of_summed_exponentials,
    log_softmax_written_out,
    softmax_by_division,
    softmax_by_multiplication,
)
from graphc.passes.rules.stable import (
    expm1_by_addition,
    expm1_by_subtraction,
    log1p_written_out,
    log_of_sigmoid,
    sigmoid_written_out,
)
from graphc.passes.simplify import Simplify
from graphc.record import record

__all__ = ["Recognize"]

COMPOSITES: Mapping[str, tuple[ValueRule, ...]] = {
    "add": (expm1_by_addition,),
    "divide": (softmax_by_division, sigmoid_written_out),
    "exp": (exp_of_log_softmax,),
    "gather": (picked_log_softmax,),
    "log": (log_of_softmax, log_of_chosen_softmax, log_of_sigmoid, log1p_written_out),
    "log1p": (log_of_sigmoid, log1p_written_out),
    "multiply": (softmax_by_multiplication,),
    "subtract": (log_softmax_written_out, logsumexp_less_chosen, expm1_by_subtraction),
    "sum": (summed_log_softmax,),
}
"""The rules that an operation is tried with, in this order."""

REMAINING: Mapping[str, tuple[ValueRule, ...]] = {"log": (log_of_summed_exponentials,)}
"""The rules for what no composite operation has taken up."""


@record
class Recognize:
    """Replace softmax, log-softmax and cross-entropy, sigmoid and the like, as users write them, by operations.

    What is found computes the same function, at least as exactly, and has a gradient of its own. Equal expressions are
    merged first, so that a pattern sees one where the user wrote two; the result is simplified.
    """

    name: str = "recognize"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with an operation for each composite function that is found."""
        merged = Cse()(graph)
        found = self._apply(self._apply(merged, COMPOSITES), REMAINING)
        return graph if found is merged else Simplify()(Dce()(found))

    def _apply(self, graph: Graph, rules: Mapping[str, tuple[ValueRule, ...]]) -> Graph:
        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            result = first_result(rules.get(node.op.name, ()), node, matcher)
            if result is not None:
                return (result,)
            return rewrite_bodies(node, self) if rules is COMPOSITES else None

        return rewrite(graph, rule)
