"""Cross-entropy of rows of logits, and its gradient."""

from __future__ import annotations

from graphc.ir.dims import Size, product
from graphc.ir.graph import Node
from graphc.ir.types import TensorType
from graphc.runtime.kernels.axes import read_words
from graphc.runtime.kernels.base import Kernel, code, kernel_for

_WORK = 12  # scalar operations for a logit
_NARROW = 64
"""Rows of at most so many classes share one loop of exponentials, which fills its vectors across rows."""


def _extent(node: Node) -> tuple[Size, Size]:
    """How many rows, and how many classes."""
    shape = node.inputs[0].shape
    return product(shape[:-1]), shape[-1]


def _is_narrow(classes: Size) -> bool:
    return isinstance(classes, int) and classes <= _NARROW


@kernel_for("cross_entropy")
def cross_entropy(node: Node) -> Kernel:
    """The loss of each row, its largest logit, and the logarithm of its summed exponentials less that."""
    logits, target = node.inputs
    rows, classes = _extent(node)
    dtype, work = code(logits.dtype), _WORK * logits.size
    if target.dtype.is_float:
        return Kernel("cross_entropy", _probabilities(dtype), rows, (classes,), work=work)
    narrow = _is_narrow(classes)
    ignored = node.attrs.ignore_index
    return Kernel(
        "cross_entropy",
        _labels(dtype, code(target.dtype), narrow, ignored is not None),
        rows,
        (classes, ignored or 0),
        scratch=(TensorType(logits.dtype, (rows * classes,)),) if narrow else (),
        work=work,
        faults=True,
    )


def _labels(dtype: str, label: str, narrow: bool, ignoring: bool) -> str:
    """Rows leave their sums where the logarithms will be."""
    buffers = ["logits", "target", "loss", "maxima", "log_sums", *(["items"] if narrow else [])]
    if narrow:
        sums = f"""\
            for i in range(start, start + classes):
                store_{dtype}_5(items, i, load_{dtype}_0(logits, i) - largest)
        for i in range(first * classes, last * classes):
            store_{dtype}_5(items, i, exp(load_{dtype}_5(items, i)))
        for row in range(first, last):
            start = row * classes
            total = {dtype}(0)
            for i in range(start, start + classes):
                total += load_{dtype}_5(items, i)
            store_{dtype}_4(log_sums, row, total)"""
    else:
        sums = f"""\
            total = {dtype}(0)
            for i in range(start, start + classes):
                total += exp(load_{dtype}_0(logits, i) - largest)
            store_{dtype}_4(log_sums, row, total)"""
    # The fused operation keeps largest - logit together: the difference is exact where the logits are large and near.
    return f"""
def kernel(args, lo, hi):
{read_words(*buffers, "classes", "ignored", "status")}
    first = lo
    while first < hi:
        last = min(hi, first + 64)
        for row in range(first, last):
            start = row * classes
            largest = {dtype}(-1e999)
            for i in range(start, start + classes):
                largest = maximum(largest, load_{dtype}_0(logits, i))
            store_{dtype}_3(maxima, row, largest)
{sums}
        for row in range(first, last):
            store_{dtype}_4(log_sums, row, log(load_{dtype}_4(log_sums, row)))
        for row in range(first, last):
            label = i64(load_{label}_1(target, row))
            {"if label == ignored:" if ignoring else "if False:"}
                store_{dtype}_2(loss, row, {dtype}(0))
            elif 0 <= label and label < classes:
                distance = load_{dtype}_3(maxima, row) - load_{dtype}_0(logits, row * classes + label)
                store_{dtype}_2(loss, row, fma({dtype}(1), load_{dtype}_4(log_sums, row), distance))
            else:
                report_fault(status, 1, label, row)
                store_{dtype}_2(loss, row, {dtype}(0))
        first = last
"""


def _probabilities(dtype: str) -> str:
    return f"""
def kernel(args, lo, hi):
{read_words("logits", "target", "loss", "maxima", "log_sums", "classes")}
    for row in range(lo, hi):
        start = row * classes
        largest = {dtype}(-1e999)
        for i in range(start, start + classes):
            largest = maximum(largest, load_{dtype}_0(logits, i))
        total = {dtype}(0)
        weight = {dtype}(0)
        chosen = {dtype}(0)
        for i in range(start, start + classes):
            shifted = load_{dtype}_0(logits, i) - largest
            share = load_{dtype}_1(target, i)
            total += exp(shifted)
            weight += share
            chosen += {dtype}(0) if share == {dtype}(0) else share * shifted
        logarithm = log(total)
        store_{dtype}_3(maxima, row, largest)
        store_{dtype}_4(log_sums, row, logarithm)
        store_{dtype}_2(loss, row, logarithm * weight - chosen)
"""


@kernel_for("cross_entropy_grad")
def cross_entropy_grad(node: Node) -> Kernel:
    """The gradient by the logits."""
    logits, target = node.inputs[:2]
    rows, classes = _extent(node)
    dtype, work, narrow = code(logits.dtype), _WORK * logits.size, _is_narrow(classes)
    if target.dtype.is_float:
        return Kernel("cross_entropy_grad", _probabilities_grad(dtype, narrow), rows, (classes,), work=work)
    ignored = node.attrs.ignore_index
    source = _labels_grad(dtype, code(target.dtype), narrow, ignored is not None)
    return Kernel("cross_entropy_grad", source, rows, (classes, ignored or 0), work=work, faults=True)


def _shares(dtype: str, narrow: bool, factor: str = "") -> str:
    """Rows ``first`` to ``last`` leave their softmax, wide ones times a factor, where the gradient will be."""
    # The fused operation keeps the logit less the maximum together, as in the loss.
    log_share = f"fma({dtype}(-1), logarithm, load_{dtype}_0(logits, i) - largest)"
    exponentials = f"""
        for i in range(first * classes, last * classes):
            store_{dtype}_5(out, i, exp(load_{dtype}_5(out, i)))"""
    return f"""\
        last = min(hi, first + {64 if narrow else 1})
        for row in range(first, last):
            largest = load_{dtype}_2(maxima, row)
            logarithm = load_{dtype}_3(log_sums, row)
            scale = load_{dtype}_4(g, row)
            for i in range(row * classes, (row + 1) * classes):
                store_{dtype}_5(out, i, {log_share if narrow else f"exp({log_share}){factor}"})\
{exponentials if narrow else ""}"""


def _labels_grad(dtype: str, label: str, narrow: bool, ignoring: bool) -> str:
    if narrow:
        gradient = f"""\
                for i in range(start, start + classes):
                    one_hot = {dtype}(1) if i == start + label else {dtype}(0)
                    store_{dtype}_5(out, i, (load_{dtype}_5(out, i) - one_hot) * scale)"""
    else:
        gradient = f"""\
                store_{dtype}_5(out, start + label, load_{dtype}_5(out, start + label) - scale)"""
    return f"""
def kernel(args, lo, hi):
{read_words("logits", "target", "maxima", "log_sums", "g", "out", "classes", "ignored", "status")}
    first = lo
    while first < hi:
{_shares(dtype, narrow, " * scale")}
        for row in range(first, last):
            start = row * classes
            scale = load_{dtype}_4(g, row)
            label = i64(load_{label}_1(target, row))
            {"if label == ignored:" if ignoring else "if False:"}
                for i in range(start, start + classes):
                    store_{dtype}_5(out, i, {dtype}(0))
            elif 0 <= label and label < classes:
{gradient}
            else:
                report_fault(status, 1, label, row)
                for i in range(start, start + classes):
                    store_{dtype}_5(out, i, {dtype}(0))
        first = last
"""


def _probabilities_grad(dtype: str, narrow: bool) -> str:
    return f"""
def kernel(args, lo, hi):
{read_words("logits", "target", "maxima", "log_sums", "g", "out", "classes")}
    first = lo
    while first < hi:
{_shares(dtype, narrow)}
        for row in range(first, last):
            start = row * classes
            weight = {dtype}(0)
            for i in range(start, start + classes):
                weight += load_{dtype}_1(target, i)
            scale = load_{dtype}_4(g, row)
            for i in range(start, start + classes):
                store_{dtype}_5(out, i, (load_{dtype}_5(out, i) * weight - load_{dtype}_1(target, i)) * scale)
        first = last
"""
