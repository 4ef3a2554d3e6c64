"""Losses as modules, named as in ``torch.nn``; each applies the function that it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.nn.module import Module

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss"]

Reduction: TypeAlias = Literal["mean", "sum", "none"]


@dataclass(eq=False)
class CrossEntropyLoss(Module):
    """The cross-entropy of softmax(logits) and labels or probabilities; classes are the last axis.

    See :func:`graphc.cross_entropy`.
    """

    reduction: Reduction = "mean"
    ignore_index: int = -100
    label_smoothing: float = 0.0

    def forward(self, logits: Operand, target: Operand) -> Value:
        """The loss of logits (..., classes) for labels (...) or probabilities (..., classes)."""
        return ops.cross_entropy(
            logits,
            target,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )


@dataclass(eq=False)
class MSELoss(Module):
    """Squared differences: see :func:`graphc.mse_loss`."""

    reduction: Reduction = "mean"

    def forward(self, input: Operand, target: Operand) -> Value:
        """The loss of an input for a target of its shape."""
        return ops.mse_loss(input, target, reduction=self.reduction)


@dataclass(eq=False)
class L1Loss(Module):
    """Absolute differences: see :func:`graphc.l1_loss`."""

    reduction: Reduction = "mean"

    def forward(self, input: Operand, target: Operand) -> Value:
        """The loss of an input for a target of its shape."""
        return ops.l1_loss(input, target, reduction=self.reduction)


@dataclass(eq=False)
class HuberLoss(Module):
    """Squared differences up to ``delta``, absolute ones beyond: see :func:`graphc.huber_loss`."""

    reduction: Reduction = "mean"
    delta: float = 1.0

    def forward(self, input: Operand, target: Operand) -> Value:
        """The loss of an input for a target of its shape."""
        return ops.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


@dataclass(eq=False)
class BCELoss(Module):
    """The binary cross-entropy of probabilities and targets: see :func:`graphc.binary_cross_entropy`."""

    reduction: Reduction = "mean"

    def forward(self, input: Operand, target: Operand) -> Value:
        """The loss of probabilities for targets of their shape."""
        return ops.binary_cross_entropy(input, target, reduction=self.reduction)


@dataclass(eq=False)
class BCEWithLogitsLoss(Module):
    """The binary cross-entropy of sigmoid(logits) and targets: see :func:`graphc.binary_cross_entropy_with_logits`."""

    reduction: Reduction = "mean"
    pos_weight: Operand = None

    def forward(self, input: Operand, target: Operand) -> Value:
        """The loss of logits for targets of their shape."""
        return ops.binary_cross_entropy_with_logits(input, target, reduction=self.reduction, pos_weight=self.pos_weight)
