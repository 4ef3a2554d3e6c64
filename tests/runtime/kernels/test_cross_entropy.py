from __future__ import annotations

import numpy as np
import pytest

import graphc as gr
from graphc.ir.build import apply
from graphc.ir.graph import Node
from graphc.ir.op import Sample, registry
from tests.support import check_kernel, run_kernel, sample_cases


def make_node(rows: int, classes: int, target: str = "int64") -> Node:
    shape = (rows, classes) if target == "float32" else (rows,)
    return gr.cross_entropy(gr.placeholder((rows, classes)), gr.placeholder(shape, target), reduction="none").node


def make_gradient(node: Node) -> Node:
    """The node of the gradient of ``node``."""
    rows = gr.placeholder(node.outputs[0].shape)
    return apply(registry["cross_entropy_grad"], (*node.inputs, rows, rows, rows), node.attrs)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "sample"), sample_cases("cross_entropy", "cross_entropy_grad"))
def test_kernel_equals_evaluation(name: str, sample: Sample, dtype: str, symbolic: bool, parts: int) -> None:
    check_kernel(name, sample, dtype, symbolic, parts)


@pytest.mark.parametrize(("rows", "classes"), [(150, 10), (131, 64), (130, 65), (5, 1000)])
def test_narrow_and_wide_rows(rows: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    logits = (3 * rng.normal(size=(rows, classes))).astype(np.float32)
    labels = rng.integers(0, classes, rows)
    labels[::7] = -100
    node = make_node(rows, classes)
    for found, wanted in zip(
        run_kernel(node, [logits, labels], parts=3).outputs,
        node.op.evaluate(node.attrs, logits.astype(np.float64), labels),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, 2e-6, 2e-6)


def test_bits_do_not_depend_on_the_parts() -> None:
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(301, 10)).astype(np.float32), rng.integers(0, 10, 301)
    node = make_node(301, 10)
    whole, cut = (run_kernel(node, [logits, labels], parts=parts).outputs for parts in (1, 11))
    for left, right in zip(whole, cut, strict=True):
        assert np.array_equal(left, right)
    gradient = make_gradient(node)
    given = [logits, labels, *whole[1:], np.ones(301, np.float32)]
    (left,), (right,) = (run_kernel(gradient, given, parts=parts).outputs for parts in (1, 11))
    assert np.array_equal(left, right)


@pytest.mark.parametrize("target", ["int64", "float32"])
@pytest.mark.parametrize("classes", [5, 64, 65, 100])
def test_large_logits_keep_their_precision(classes: int, target: str) -> None:
    # Loss and gradient that are made from a rounded logsumexp would be off by up to 1/512 here.
    steps = np.arange(classes) % 5
    logits = (40000 + steps).astype(np.float32)[None]
    node = make_node(1, classes, target)
    one_hot = np.eye(classes, dtype=np.float32)[[1]]
    given = [logits, np.array([1]) if target == "int64" else one_hot]
    loss, largest, log_sum = run_kernel(node, given).outputs
    total = np.exp(steps - 1.0).sum()
    np.testing.assert_allclose(loss, np.log(total), 1e-6)
    assert largest == 40004
    np.testing.assert_allclose(log_sum, np.log(total) - 3, 1e-6)
    (gradient,) = run_kernel(make_gradient(node), [*given, largest, log_sum, np.ones(1, np.float32)]).outputs
    np.testing.assert_allclose(gradient, np.exp(steps - 1.0) / total - one_hot, 2e-6, 1e-7)


@pytest.mark.parametrize("classes", [3, 70])
@pytest.mark.parametrize("label", [-1, -101, 70, 2**40])
def test_label_that_is_no_class_is_reported_and_skipped(label: int, classes: int) -> None:
    logits = np.zeros((4, classes), np.float32)
    labels = np.array([0, 1, label, 2])
    node = make_node(4, classes)
    run = run_kernel(node, [logits, labels])
    assert run.status.tolist() == [1, label, 2]
    np.testing.assert_allclose(run.outputs[0], [np.log(classes)] * 2 + [0] + [np.log(classes)], 1e-6)


@pytest.mark.parametrize("classes", [3, 70])
def test_gradient_reports_and_skips_labels_that_are_no_classes(classes: int) -> None:
    gradient = make_gradient(make_node(4, classes, "int32"))
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(4, classes)).astype(np.float32)
    labels = np.array([2, classes, -100, 1], np.int32)
    largest = logits.max(1)
    log_sum = np.log(np.exp(logits - largest[:, None]).sum(1))
    scale = np.array([1, np.inf, np.inf, 2], np.float32)
    run = run_kernel(gradient, [logits, labels, largest, log_sum, scale])
    assert run.status.tolist() == [1, classes, 1]
    (found,) = run.outputs
    np.testing.assert_array_equal(found[1:3], 0)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = (shares - np.eye(classes)[[2, 0, 0, 1]])[[0, 3]] * [[1], [2]]
    np.testing.assert_allclose(found[[0, 3]], wanted, 1e-5, 1e-6)


@pytest.mark.parametrize("target", ["int8", "int16", "int32", "int64", "uint8"])
def test_labels_of_every_integer_dtype(target: str) -> None:
    logits = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)
    labels = np.array([0, 3, 2, 1, 0, 3], target)
    node = make_node(6, 4, target)
    assert (node.attrs.ignore_index is None) == (target == "uint8")
    loss, *_ = run_kernel(node, [logits, labels]).outputs
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(loss, -np.log(shares[np.arange(6), labels]), 1e-5)


def test_impossible_classes() -> None:
    logits = np.array([[0, -np.inf, 0], [-np.inf, 1, 0]], np.float32)
    loss, largest, log_sum = run_kernel(make_node(2, 3), [logits, np.array([2, 0])]).outputs
    np.testing.assert_allclose(loss, [np.log(2), np.inf], 1e-6)
    np.testing.assert_array_equal(largest, [0, 1])
    np.testing.assert_allclose(log_sum, [np.log(2), np.log(1 + np.e) - 1], 1e-6)
    target = np.array([[0.5, 0, 0.5], [0, 1, 0]], np.float32)
    loss, *_ = run_kernel(make_node(2, 3, "float32"), [logits, target]).outputs
    np.testing.assert_allclose(loss, [np.log(2), np.log(1 + np.e) - 1], 1e-6)
