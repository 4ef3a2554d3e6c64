"""Modules: parts of a model that hold parameters and build graphs when they are called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Self

from graphc.ir.op import Array
from graphc.ir.ops import Variable
from graphc.ir.source import scope
from graphc.nn.summary import record, summary_text
from graphc.state import UnmatchedNames, load_values, values_of

__all__ = ["Module"]


class Module(ABC):
    """A part of a model. Subclasses keep parameters and other modules as attributes and define :meth:`forward`.

    For instance::

        class Residual(gr.nn.Module):
            def __init__(self, width):
                self.inner = gr.nn.Linear(width, width)
                self.scale = gr.parameter(np.ones(width, "float32"), name="scale")

            def forward(self, x):
                return x + self.scale * gr.relu(self.inner(x))

    A module has no state of its own in a graph: calling it adds nodes, in a scope with its name. It may be called many
    times, and every call uses the same parameters. Parameters are named by the path of attributes that leads to them
    (``inner.weight``); lists, tuples and dicts of modules are followed (``layers.0.weight``). Names and shapes of the
    modules here are those of ``torch.nn``, so a state may come from there.

    Attributes:
        training: whether graphs are built for training (with dropout, for instance); see :meth:`train`, :meth:`eval`.
    """

    training: bool = True

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The results as graph values for arguments that are graph values."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What :meth:`forward` returns, built in the scope of this module."""
        name = _scope_name(self, _caller.get())
        token = _caller.set(self)
        try:
            with scope(name), record(self, name) as finish:
                result = self.forward(*args, **kwargs)
                finish(result)
                return result
        finally:
            _caller.reset(token)

    def members(self) -> Iterator[tuple[str, Module | Variable]]:
        """Names and objects of the modules and variables that this module holds itself."""
        for name, value in vars(self).items():
            yield from _named(name, value)

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Paths and modules: this one, whose path is empty, and all below it, each once, outer ones first."""
        seen: set[int] = set()  # of ids: a subclass may be a dataclass, which does not hash
        for path, module in _walk(self, "", ()):
            if isinstance(module, Module) and id(module) not in seen:
                seen.add(id(module))
                yield path, module

    def modules(self) -> list[Module]:
        """This module and all below it, each once, outer ones first."""
        return [module for _, module in self.named_modules()]

    def named_parameters(self) -> Iterator[tuple[str, Variable]]:
        """Paths and trainable variables, each variable once, in the order of attributes."""
        seen: set[Variable] = set()
        for path, variable in self._named_variables():
            if variable.trainable and variable not in seen:
                seen.add(variable)
                yield path, variable

    def parameters(self) -> list[Variable]:
        """The trainable variables, each once, in the order of attributes."""
        return [variable for _, variable in self.named_parameters()]

    def _named_variables(self) -> Iterator[tuple[str, Variable]]:
        """Paths and variables; one that two paths lead to stands under both, as in PyTorch's states."""
        return ((path, member) for path, member in _walk(self, "", ()) if isinstance(member, Variable))

    def state_dict(self) -> dict[str, Array]:
        """Copies of what all variables hold, by path."""
        return values_of(dict(self._named_variables()))

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> UnmatchedNames:
        """Copy arrays into the variables. Where anything is wrong, nothing is changed.

        Args:
            state: arrays, or what NumPy makes arrays of (PyTorch's tensors, for instance), by path.
            strict: whether names that only one side has are an error.

        Returns:
            The names that only one side has.

        Raises:
            GraphError: on request, names that only one side has.
            ShapeError: an array's shape is not that of its variable.
            DTypeError: an array's numbers do not fit its variable.
        """
        return load_values(dict(self._named_variables()), state, strict)

    def train(self, mode: bool = True) -> Self:
        """Build graphs for training from now on; graphs that were already built stay as they are."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Build graphs for evaluation from now on: ``gr.compile([x], model.eval()(x))``."""
        return self.train(False)

    def summary(self, *args: Any, **kwargs: Any) -> str:
        """A table of the modules in the order of their calls, with types of results and numbers of parameters.

        Args:
            *args: arguments of the module, usually placeholders.
            **kwargs: more of them.
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()  # building must not draw random streams
        try:
            return summary_text(self, lambda: self(*args, **kwargs))
        finally:
            for module, mode in modes:
                module.training = mode

    def settings(self) -> str:
        """The arguments of the constructor, as :func:`repr` shows them."""
        return ""

    def __repr__(self) -> str:
        name = type(self).__name__
        below = [
            f"  ({path}): " + repr(member).replace("\n", "\n  ")
            for path, member in self.members()
            if isinstance(member, Module)
        ]
        return "\n".join([f"{name}(", *below, ")"]) if below else f"{name}({self.settings()})"


_caller: ContextVar[Module | None] = ContextVar("caller", default=None)


def _named(name: str, value: Any) -> Iterator[tuple[str, Module | Variable]]:
    """The modules and variables in an attribute, which may be a container."""
    if isinstance(value, Module | Variable):
        yield name, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _named(f"{name}.{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _named(f"{name}.{key}", item)


def _walk(module: Module, path: str, above: tuple[Module, ...]) -> Iterator[tuple[str, Module | Variable]]:
    """Paths of a module and of everything below it; one that holds a module above itself is not followed there."""
    yield path, module
    for name, member in module.members():
        below = f"{path}.{name}" if path else name
        if isinstance(member, Variable):
            yield below, member
        elif member is not module and all(member is not outer for outer in above):
            yield from _walk(member, below, (*above, module))


def _scope_name(module: Module, caller: Module | None) -> str:
    """The name by which the calling module knows another: ``hidden``, or ``linear_0`` where that is only a number."""
    kind = type(module).__name__.lower()
    for name, member in caller.members() if caller is not None else ():
        if member is module:
            return f"{kind}_{name}" if name.isdecimal() else name
    return kind
