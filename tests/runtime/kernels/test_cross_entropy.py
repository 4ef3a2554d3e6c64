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
    assert np.array_equal(whole[0], cut[0])
    assert np.array_equal(whole[1], cut[1])


@pytest.mark.parametrize("classes", [5, 100])
def test_loss_of_large_logits_keeps_its_precision(classes: int) -> None:
    # A loss computed from a rounded logsumexp would be off by up to 1/512 here.
    steps = np.arange(classes) % 5
    logits = (40000 + steps).astype(np.float32)[None]
    node = make_node(1, classes)
    loss, _ = run_kernel(node, [logits, np.array([1])]).outputs
    np.testing.assert_allclose(loss, np.log(np.exp(steps - 1.0).sum()), 1e-6)


@pytest.mark.parametrize("classes", [3, 70])
@pytest.mark.parametrize("label", [-1, -101, 70, 2**40])
def test_label_that_is_no_class_is_reported_and_skipped(label: int, classes: int) -> None:
    logits = np.zeros((4, classes), np.float32)
    labels = np.array([0, 1, label, 2])
    node = make_node(4, classes)
    run = run_kernel(node, [logits, labels])
    assert run.status.tolist() == [1, label, 2]
    np.testing.assert_allclose(run.outputs[0], [np.log(classes)] * 2 + [0] + [np.log(classes)], 1e-6)


def test_gradient_reports_labels_that_are_no_classes() -> None:
    logits = gr.placeholder((2, 3))
    labels = gr.placeholder((2,), "int32")
    rows = gr.placeholder((2,))
    node = make_node(2, 3)
    gradient = apply(registry["cross_entropy_grad"], (logits, labels, rows, rows), node.attrs)
    given = np.zeros((2, 3), np.float32), np.array([3, 1], np.int32), np.ones(2, np.float32), np.ones(2, np.float32)
    run = run_kernel(gradient, given)
    assert run.status.tolist() == [1, 3, 0]
    np.testing.assert_array_equal(run.outputs[0][0], 0)
    assert run.outputs[0][1, 1] < 0


@pytest.mark.parametrize("target", ["int8", "int16", "int32", "int64", "uint8"])
def test_labels_of_every_integer_dtype(target: str) -> None:
    logits = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)
    labels = np.array([0, 3, 2, 1, 0, 3], target)
    node = make_node(6, 4, target)
    assert (node.attrs.ignore_index is None) == (target == "uint8")
    loss, _ = run_kernel(node, [logits, labels]).outputs
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(loss, -np.log(shares[np.arange(6), labels]), 1e-5)


def test_impossible_classes() -> None:
    logits = np.array([[0, -np.inf, 0], [-np.inf, 1, 0]], np.float32)
    loss, logsumexp = run_kernel(make_node(2, 3), [logits, np.array([2, 0])]).outputs
    np.testing.assert_allclose(loss, [np.log(2), np.inf], 1e-6)
    np.testing.assert_allclose(logsumexp, [np.log(2), np.log(1 + np.e)], 1e-6)
    target = np.array([[0.5, 0, 0.5], [0, 1, 0]], np.float32)
    loss, _ = run_kernel(make_node(2, 3, "float32"), [logits, target]).outputs
    np.testing.assert_allclose(loss, [np.log(2), np.log(1 + np.e) - 1], 1e-6)
