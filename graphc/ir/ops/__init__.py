"""The operations, and the public functions that build them."""

from graphc.ir.ops.activations import *
from graphc.ir.ops.along_axis import *
from graphc.ir.ops.assemble import *
from graphc.ir.ops.creation import *
from graphc.ir.ops.cross_entropy import *
from graphc.ir.ops.differentiation import *
from graphc.ir.ops.einsum import *
from graphc.ir.ops.elementwise import *
from graphc.ir.ops.index import *
from graphc.ir.ops.leaves import *
from graphc.ir.ops.linalg import *
from graphc.ir.ops.losses import *
from graphc.ir.ops.philox import *
from graphc.ir.ops.reduce import *
from graphc.ir.ops.shape import *
from graphc.ir.ops.softmax import *
from graphc.ir.ops.statistics import *
from graphc.ir.ops.update import *
