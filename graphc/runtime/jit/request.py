"""What is asked of the compiler: a function, as Python source."""

from __future__ import annotations

from graphc.record import record

KERNEL_SIGNATURE = "void(int64*, int64, int64)"


@record
class KernelRequest:
    """Python source that defines the function `name`, to be compiled with the C signature `signature`.

    A signature names its types as in ``"void(int64*, int64, int64)"``, the one of kernels: the table of arguments, and
    the half-open range of the outer index.
    """

    source: str
    name: str
    signature: str = KERNEL_SIGNATURE
