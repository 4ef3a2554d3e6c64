"""Optimizers as graph updates, learning-rate schedules, gradient clipping and accumulation, averages of parameters."""

from graphc.optim import schedules
from graphc.optim.accumulation import GradientAccumulation
from graphc.optim.adam import Adam, AdamW
from graphc.optim.adaptive import Adagrad, RMSProp
from graphc.optim.averaging import ExponentialMovingAverage
from graphc.optim.clip import GradientTransform, clip_by_global_norm, clip_by_norm, clip_by_value, global_norm
from graphc.optim.optimizer import LearningRate, Optimizer, Rate, Rule, Slots
from graphc.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ExponentialMovingAverage",
    "GradientAccumulation",
    "GradientTransform",
    "LearningRate",
    "Optimizer",
    "RMSProp",
    "Rate",
    "Rule",
    "Slots",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "global_norm",
    "schedules",
]
