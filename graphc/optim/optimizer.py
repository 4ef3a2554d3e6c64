"""What all optimizers share: the learning rate, the state, and the way from a loss to updates of variables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.ops import Variable
from graphc.ir.source import scope
from graphc.ir.types import DType
from graphc.optim.arguments import check_at_least
from graphc.optim.clip import GradientTransform
from graphc.optim.schedules import Schedule
from graphc.state import UnmatchedNames, load_values, numbered, values_of

__all__ = ["LearningRate", "Optimizer", "Rate", "Rule", "Slots"]

LearningRate: TypeAlias = float | Value | Schedule
"""A number, a 0-d float value (a variable, to be changed by hand), or a schedule."""

Rate: TypeAlias = float | Value
"""The learning rate of one update: a number, which takes the dtype of what it meets, or a 0-d value."""


class Slots:
    """The state that an optimizer keeps for one parameter: variables of the parameter's type, by name."""

    def __init__(self, parameter: Variable, name: str) -> None:
        self.parameter = parameter
        self.name = name
        self.variables: dict[str, Variable] = {}
        self.updates: dict[Variable, Value] = {}

    def read(self, slot: str, start: float = 0.0) -> Variable:
        """The variable of a slot; when it is read for the first time it is made and holds ``start`` everywhere."""
        if slot not in self.variables:
            array = np.full(self.parameter.shape, start, self.parameter.dtype.numpy)
            self.variables[slot] = ops.variable(array, f"{self.name}.{slot}")
        return self.variables[slot]

    def write(self, slot: str, value: Value) -> Value:
        """Make ``value`` the next value of a slot; returns it."""
        self.updates[self.variables[slot]] = value
        return value


Rule: TypeAlias = Callable[[Variable, Value, Slots], Value]
"""A function from a parameter, its gradient and its state to its next value; it writes the next state."""


class Optimizer(ABC):
    """Turns gradients into updates of parameters, as part of the graph.

    For instance::

        optimizer = gr.optim.Adam(1e-3)
        step = gr.compile([x, t], loss, updates=optimizer.updates(loss, model.parameters()))

    The state belongs to the optimizer: calling it twice for one parameter gives updates of the same variables.

    Args:
        lr: the learning rate: a number, a schedule of :mod:`graphc.optim.schedules`, or a 0-d variable, whose value
            may be changed between steps.
        weight_decay: the factor of the L2 penalty: ``weight_decay * parameter`` is added to each gradient.
        gradient_clip: applied to the gradients before all else: ``clip_by_global_norm(1.0)``, for instance.

    Raises:
        GraphError: a number is outside its range.
    """

    def __init__(
        self, lr: LearningRate, weight_decay: float = 0.0, gradient_clip: GradientTransform | None = None
    ) -> None:
        check_at_least(0.0, weight_decay=weight_decay)
        self.lr = _checked_rate(lr)
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self._step: Variable | None = None
        self._slots: dict[Variable, Slots] = {}

    @abstractmethod
    def rule(self, rate: Rate) -> Rule:
        """The formula, for a learning rate; what is the same for all parameters is computed here, once."""

    @property
    def step(self) -> Variable:
        """How many updates were made, 0-d int64. Made when first asked for: plain SGD does not count."""
        if self._step is None:
            self._step = ops.variable(0, "step", "int64")
        return self._step

    @property
    def learning_rate(self) -> Value:
        """The learning rate of the next update, 0-d: an output worth watching where it is a schedule."""
        return ops.as_value(self._rate())

    def _rate(self) -> Rate:
        return self.lr if isinstance(self.lr, Value | float) else _checked_rate_value(self.lr(self.step))

    def updates(self, loss: Value, parameters: Iterable[Variable]) -> dict[Variable, Value]:
        """The next values of parameters, and of the optimizer's own state, that reduce a loss.

        Args:
            loss: a float value of shape ().
            parameters: float variables. One that the loss does not depend on has a gradient of zeros.

        Returns:
            What ``gr.compile`` takes as ``updates``.

        Raises:
            DTypeError: something else than float variables was given.
            GradientError: the loss is not a float scalar.
        """
        given = list(dict.fromkeys(checked_parameter(parameter) for parameter in parameters))
        return self.apply(dict(zip(given, ops.grad(loss, given), strict=True)))

    def apply(self, gradients: Mapping[Variable, Value] | Iterable[tuple[Variable, Value]]) -> dict[Variable, Value]:
        """The next values for gradients that were computed before.

        Args:
            gradients: for each parameter, a value of its type: a mapping, or pairs of both.

        Returns:
            What ``gr.compile`` takes as ``updates``.

        Raises:
            DTypeError: something else than float variables was given.
            ShapeError: a gradient is not of its parameter's type.
        """
        given = checked_gradients(gradients)
        with scope(type(self).__name__.lower()):
            clip = self.gradient_clip or list
            rule = self.rule(self._rate())
            updates: dict[Variable, Value] = {}
            for parameter, gradient in zip(given, clip(list(given.values())), strict=True):
                slots = self._slots_of(parameter)
                updates[parameter] = rule(parameter, gradient, slots)
                updates.update(slots.updates)
            if self._step is not None:
                updates[self._step] = self._step + 1
        return updates

    def _slots_of(self, parameter: Variable) -> Slots:
        if parameter not in self._slots:
            taken = [slots.name for slots in self._slots.values()]
            self._slots[parameter] = Slots(parameter, numbered([*taken, parameter.name or "parameter"])[-1])
        return self._slots[parameter]

    def named_variables(self) -> dict[str, Variable]:
        """The variables of the state by name; see :meth:`state_dict`."""
        own = {"step": self._step} if self._step is not None else {}
        if isinstance(self.lr, Variable):
            own["lr"] = self.lr
        kept = [variable for slots in self._slots.values() for variable in slots.variables.values()]
        return own | {variable.name or "": variable for variable in kept}

    def state_dict(self) -> dict[str, Array]:
        """Copies of the state by name: ``step``, and ``weight.exp_avg`` for a parameter called ``weight``.

        A learning rate that is a variable is ``lr``.
        Where several parameters have one name, those after the first are numbered: ``weight_1.exp_avg``.
        """
        return values_of(self.named_variables())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> UnmatchedNames:
        """Copy arrays into the state, after ``updates`` was called. Where anything is wrong, nothing is changed.

        Args:
            state: what :meth:`state_dict` gave for an optimizer of the same kind and the same parameters.
            strict: whether names that only one side has are an error.

        Returns:
            The names that only one side has.

        Raises:
            GraphError: on request, names that only one side has.
            ShapeError: an array has another shape than the state.
        """
        return load_values(self.named_variables(), state, strict)


def rate_for(rate: Rate, dtype: DType) -> Rate:
    """A learning rate as an operand that keeps ``dtype``."""
    return ops.cast(rate, dtype) if isinstance(rate, Value) else rate


def with_decay(parameter: Value, gradient: Value, weight_decay: float) -> Value:
    """The gradient of the loss with an L2 penalty."""
    return gradient + weight_decay * parameter if weight_decay else gradient


def checked_gradients(gradients: Mapping[Variable, Value] | Iterable[tuple[Variable, Value]]) -> dict[Variable, Value]:
    """The gradients by parameter; see :meth:`Optimizer.apply`."""
    given = dict(gradients)
    for parameter, gradient in given.items():
        _check_gradient(checked_parameter(parameter), gradient)
    if not given:
        raise GraphError(
            "an optimizer was given no parameters",
            expected="at least one",
            remedy="pass model.parameters(), or a list of variables",
        )
    return given


def _checked_rate(lr: Any) -> float | Value | Schedule:
    if isinstance(lr, Value):
        return _checked_rate_value(lr)
    if isinstance(lr, Real):
        check_at_least(0.0, lr=float(lr))
        return float(lr)
    if callable(lr):
        schedule: Schedule = lr
        return schedule
    raise DTypeError(
        f"the learning rate {lr!r}",
        expected="a number, a 0-d float variable, or a schedule",
    )


def _checked_rate_value(rate: Any) -> Value:
    if not (isinstance(rate, Value) and rate.shape == () and rate.dtype.is_float):
        raise DTypeError(
            f"the learning rate is {rate!r}",
            expected="a float value of shape ()",
            remedy="return a scalar from the schedule, or use gr.variable(0.1) for a rate that is set by hand",
        )
    return rate


def checked_parameter(parameter: Any) -> Variable:
    if not (isinstance(parameter, Variable) and parameter.dtype.is_float):
        raise DTypeError(
            f"an optimizer was given {parameter!r} as a parameter",
            expected="variables of float32 or float64",
            remedy="pass a list of gr.parameter values, for instance model.parameters()",
        )
    return parameter


def _check_gradient(parameter: Variable, gradient: Any) -> None:
    if not isinstance(gradient, Value) or gradient.type != parameter.type:
        raise ShapeError(
            f"the gradient of {parameter!r} is {gradient!r}",
            expected=f"a value of type {parameter.type}",
            remedy="compute it with gr.grad(loss, parameter)",
        )
