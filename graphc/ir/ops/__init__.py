"""The operations, and the public functions that build them."""

import typing
from types import ModuleType

from graphc.ir.ops.activations import *
from graphc.ir.ops.along_axis import *
from graphc.ir.ops.arithmetic import *
from graphc.ir.ops.assemble import *
from graphc.ir.ops.attention import *
from graphc.ir.ops.choice import *
from graphc.ir.ops.comparison import *
from graphc.ir.ops.cond import *
from graphc.ir.ops.conv import *
from graphc.ir.ops.conversion import *
from graphc.ir.ops.convolution import *
from graphc.ir.ops.creation import *
from graphc.ir.ops.cross_entropy import *
from graphc.ir.ops.differentiation import *
from graphc.ir.ops.effects import *
from graphc.ir.ops.einsum import *
from graphc.ir.ops.fused import *
from graphc.ir.ops.index import *
from graphc.ir.ops.interpolate import *
from graphc.ir.ops.leaves import *
from graphc.ir.ops.linalg import *
from graphc.ir.ops.losses import *
from graphc.ir.ops.normalization import *
from graphc.ir.ops.normalize import *
from graphc.ir.ops.philox import *
from graphc.ir.ops.pool import *
from graphc.ir.ops.pooling import *
from graphc.ir.ops.positions import *
from graphc.ir.ops.reduce import *
from graphc.ir.ops.scan import *
from graphc.ir.ops.shape import *
from graphc.ir.ops.softmax import *
from graphc.ir.ops.statistics import *
from graphc.ir.ops.subscript import *
from graphc.ir.ops.transcendental import *
from graphc.ir.ops.update import *
from graphc.ir.ops.while_loop import *
from graphc.ir.ops.window import *

if not typing.TYPE_CHECKING:  # type checkers read the lists of the files
    # The public functions alone: not the files that they stand in.
    __all__ = [
        name for name, value in globals().items() if not (name.startswith("_") or isinstance(value, type | ModuleType))
    ]
