"""Linear: a matrix and a bias."""

from __future__ import annotations

import math
from functools import partial

from graphc.errors import ShapeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import Variable, as_value, parameter
from graphc.ir.types import DType
from graphc.nn.init import Initializer, Rng, as_generator, fixed_sizes, initial, uniform, zeros
from graphc.nn.module import Module

__all__ = ["Linear"]


class Linear(Module):
    """``x @ weight.T + bias``: float (..., in_features) to (..., out_features).

    Args:
        in_features: the size of the last axis of the input.
        out_features: the size of the last axis of the result.
        bias: whether a bias is added.
        dtype: float32 or float64.
        init: how the weight starts, from :mod:`graphc.nn.init`; the bias then starts at zero. Without it, both start
            uniform between plus and minus ``1/sqrt(in_features)``, as in PyTorch (LeCun, Bottou, Orr, Müller, Efficient
            BackProp, 1998, section 4.6).
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`.

    Attributes:
        weight: (out_features, in_features), as in PyTorch; the product reads it transposed without a copy.
        bias: (out_features,), or None.

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, the last axis of the input has another size.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: DType | str | type = "float32",
        init: Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        shape = fixed_sizes(out_features, in_features)
        self.out_features, self.in_features = shape
        rng = as_generator(rng)
        bound = 1.0 / math.sqrt(max(self.in_features, 1))
        default = partial(uniform, low=-bound, high=bound)
        self.weight = parameter(initial(init or default, shape, rng), "weight", dtype)
        self.bias: Variable | None = None
        if bias:
            self.bias = parameter(initial(zeros if init else default, shape[:1], rng), "bias", dtype)

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        value = as_value(x)
        if value.ndim == 0 or (isinstance(value.shape[-1], int) and value.shape[-1] != self.in_features):
            raise ShapeError(
                f"{self!r} was called with {value.type}",
                expected=f"a last axis of size {self.in_features}",
                remedy="make the layer with in_features=the size of that axis, or flatten the input first",
            )
        product = value @ self.weight.T
        return product if self.bias is None else product + self.bias

    def settings(self) -> str:
        """The sizes, and whether there is a bias."""
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")
